//! For policies that can do with less than they import. A policy that calls this is loaded whatever it is granted, and has to
//! look before it uses `state` or `models`: a call of what is not granted traps.

use crate::host;

/// Whether the configuration gives `state`, `spend`, `models` or `fetch`.
pub fn is_given(grant: &str) -> bool {
    host::grants::given().iter().any(|given| given == grant)
}
