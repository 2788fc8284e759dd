//! How a request ended, told to the policies that want to hear it: off the request's path, each outcome in its turn. What
//! comes faster than policies can hear it is dropped, and counted as a fault of theirs, before it fills the memory.

use std::sync::Arc;

use crate::generation::Route;
use crate::plugins::words::Ended;

/// Tells the route's policies; nothing happens where the gateway is shutting down.
pub(super) fn tell(route: &Arc<Route>, ended: Ended) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let policies = route.policies.iter().map(|policy| &policy.policy);
    let mut hearers = Vec::new();
    for policy in policies.filter(|policy| policy.has_outcome()) {
        match policy.attend() {
            Ok(seat) => hearers.push((policy.clone(), seat)),
            Err(fault) => tracing::warn!(
                policy = policy.name(), request_id = ended.request_id, %fault,
                "a policy does not hear how a request ended: too many wait to be heard"
            ),
        }
    }
    if hearers.is_empty() {
        return;
    }
    runtime.spawn(async move {
        for (policy, seat) in hearers {
            if let Err(fault) = policy.observe(seat, ended.clone()).await {
                tracing::warn!(policy = policy.name(), %fault, "a policy failed to hear how a request ended");
            }
        }
    });
}
