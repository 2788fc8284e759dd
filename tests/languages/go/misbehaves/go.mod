module wit_component

go 1.25

require go.bytecodealliance.org/pkg v0.0.0

// What the bindings call, written by `pointsman plugin build`: nothing is fetched.
replace go.bytecodealliance.org/pkg => ./shim
