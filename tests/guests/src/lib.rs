//! Plugins that misbehave, and some that do as they are told. Those in `examples/` are what somebody could write by mistake or on purpose with the SDK; those
//! in `wat/` do what no compiler would. `tests::guests` builds both. There is nothing in this library.
