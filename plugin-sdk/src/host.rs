//! The one door to the imports: the host's functions in a component, the test host's everywhere else.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::policy::pointsman::plugin::{grants, log, models, prompt, state, timeouts};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::imports::{grants, log, models, prompt, state, timeouts};
