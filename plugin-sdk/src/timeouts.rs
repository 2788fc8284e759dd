//! The two times of a step that a [`Plan`](crate::Plan) has no room for. They are said while `decide` runs, and are part of the plan that
//! it returns: of its steps ([`Step`](crate::Step) has them as methods), or where it has none, of the candidates as they were. Said twice, the
//! last counts. A time of what was not offered has the plan refused, and at any other time a call traps.
//!
//! Where no plan is returned they are forgotten, and [`Plan::keep`](crate::Plan::keep) by itself becomes a pass: give it a reason.

use crate::host;

/// Gives up on the candidate's step if no connection stands by then.
pub fn connect(candidate: &str, milliseconds: u32) {
    host::timeouts::connect(candidate, milliseconds);
}

/// Gives up on the candidate's answer, once it has begun, if nothing more of it has come for so long.
pub fn gap(candidate: &str, milliseconds: u32) {
    host::timeouts::gap(candidate, milliseconds);
}
