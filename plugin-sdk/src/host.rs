//! The one door to the imports: the host's functions in a component, the test host's everywhere else.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::policy::pointsman::plugin::{log, models, prompt, state};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::imports::{log, models, prompt, state};
