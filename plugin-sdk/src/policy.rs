//! What a policy is, what it sees of a request, and the macro that makes a component of it.
//! How a verdict is put together in few words is in `verdict.rs`.

use std::ops::Deref;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::bindings::{
    observer::exports::pointsman::plugin::outcome::{Attempt, Ended},
    policy::{
        exports::pointsman::plugin::route::{Plan, Rejection, Step, Verdict},
        pointsman::plugin::{
            catalog::{Abilities, Candidate, Health, Price},
            request::{Edit, Summary, Surface},
        },
    },
    reviewer::exports::pointsman::plugin::review::{Answer as Reviewed, Opinion},
};
use crate::{config, host::prompt};

/// Decides which of the candidates serves a request. Exported with [`export_policy!`](crate::export_policy).
pub trait Policy: Sized + 'static {
    /// The plugin's part of the configuration. Doc comments become the descriptions in its JSON Schema; with
    /// `#[serde(deny_unknown_fields)]` a misspelt key is an error and not silently ignored.
    type Config: DeserializeOwned + JsonSchema;

    /// Called once when the plugin is loaded and again for each change of its configuration, never for a request. Do here
    /// whatever can be done before a request is known: the result is kept as a memory image from which every call starts.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// What somebody should know about a configuration that is accepted nevertheless; asked once after `new`.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Called once for each request. Nothing is kept from one call to the next, so there is nothing to change in `self`.
    /// An error is a fault of the policy's own; to turn a request down is a verdict.
    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String>;
}

/// For policies that want to hear how a request ended; exported with `export_policy!(MyPolicy, outcome)`.
pub trait Observe: Policy {
    /// Called once for each finished request that the policy had a say in, after the answer has gone out.
    fn observe(&self, ended: &Ended);
}

/// For policies that judge an answer before the client sees any of it; exported with `export_policy!(MyPolicy, review)`.
pub trait Review: Policy {
    /// Called for each answer to a plan that asked for it with [`Plan::review`], but not for the last step's. An error is a
    /// fault of the policy's own: the answer serves.
    fn review(&self, request: &Request, answer: &Reviewed) -> Result<Opinion, String>;
}

/// A request: its [`Summary`] by dereference, its content by functions that ask the host, each at the price of one copy.
#[derive(Debug)]
pub struct Request {
    summary: Summary,
}

impl Request {
    #[doc(hidden)]
    pub fn new(summary: Summary) -> Self {
        Request { summary }
    }

    /// What the policies before this one have set as `key`; the last one counts.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// `system`, `user`, `assistant`, `tool`, …; none past the last message.
    pub fn role(&self, index: u32) -> Option<String> {
        prompt::role(index)
    }

    /// The text parts of one message, joined by line feeds; none past the last message.
    pub fn text(&self, index: u32) -> Option<String> {
        prompt::text(index)
    }

    /// The text of the last message whose role is `user`; empty where there is none.
    pub fn last_user_text(&self) -> String {
        prompt::last_user_text()
    }

    /// The text of all `system` and `developer` messages, joined by line feeds.
    pub fn system_text(&self) -> String {
        prompt::system_text()
    }

    /// All messages' text, joined by line feeds, cut at so many bytes on a character's edge.
    pub fn all_text(&self, at_most: u32) -> String {
        prompt::all_text(at_most)
    }

    /// A request header, from the allow-list of the configuration; never a credential.
    pub fn header(&self, name: &str) -> Option<String> {
        prompt::header(name)
    }

    /// JSON text of what an RFC 6901 pointer finds in the request.
    pub fn get(&self, pointer: &str) -> Option<String> {
        prompt::get(pointer)
    }

    /// The string that an RFC 6901 pointer finds in the request; none where there is something else.
    pub fn string(&self, pointer: &str) -> Option<String> {
        serde_json::from_str(&self.get(pointer)?).ok()
    }
}

impl Deref for Request {
    type Target = Summary;

    fn deref(&self) -> &Summary {
        &self.summary
    }
}

/// A policy from the text of its configuration, as the host does it.
pub fn load<P: Policy>(config: &str) -> Result<P, String> {
    P::new(config::parse(config)?)
}

/// Makes a component of a [`Policy`]; with `review` or `outcome` or both behind it, of one that is a [`Review`] or an
/// [`Observe`] too. Natively it only looks whether the type is one.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty $(, $hook:ident)*) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&str) -> Result<$policy, String> = $crate::policy::load::<$policy>;

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code)]
        const _: () = {
            $crate::__policy_component!($policy);
            $($crate::__policy_hook!($hook, $policy);)*
        };

        $(#[cfg(not(target_family = "wasm"))] $crate::__policy_hook!($hook, $policy);)*
    };
}

// An optional hook. Natively a look at the type suffices.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __policy_hook {
    (review, $policy:ty) => {
        const _: fn(&$policy, &$crate::Request, &$crate::Reviewed) -> Result<$crate::Opinion, String> =
            <$policy as $crate::Review>::review;
    };
    (outcome, $policy:ty) => {
        const _: fn(&$policy, &$crate::Ended) = <$policy as $crate::Observe>::observe;
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __policy_hook {
    (review, $policy:ty) => {
        impl $crate::bindings::reviewer::exports::pointsman::plugin::review::Guest for Component {
            fn review(summary: $crate::Summary, answer: $crate::Reviewed) -> Result<$crate::Opinion, String> {
                POLICY.with_borrow(|policy| match policy {
                    Some(policy) => $crate::Review::review(policy, &$crate::Request::new(summary), &answer),
                    None => Err("an answer came before the configuration".into()),
                })
            }
        }
        $crate::bindings::reviewer::export!(Component with_types_in $crate::bindings::reviewer);
    };
    (outcome, $policy:ty) => {
        impl $crate::bindings::observer::exports::pointsman::plugin::outcome::Guest for Component {
            fn observe(ended: $crate::Ended) {
                // Without a configuration there was no decision, so there is nobody to tell.
                POLICY.with_borrow(|policy| {
                    if let Some(policy) = policy {
                        $crate::Observe::observe(policy, &ended);
                    }
                })
            }
        }
        $crate::bindings::observer::export!(Component with_types_in $crate::bindings::observer);
    };
}

// The part that every policy's component has. The policy lives in a static: the host keeps an image of the memory after
// `load` and starts each call from it, so that `decide` finds the policy as `load` left it.
#[doc(hidden)]
#[macro_export]
macro_rules! __policy_component {
    ($policy:ty) => {
        ::std::thread_local! {
            static POLICY: ::std::cell::RefCell<Option<$policy>> = const { ::std::cell::RefCell::new(None) };
        }

        struct Component;

        impl $crate::bindings::policy::exports::pointsman::plugin::configure::Guest for Component {
            fn load(config: String) -> Result<Vec<String>, String> {
                let policy = $crate::policy::load::<$policy>(&config)?;
                let warnings = $crate::Policy::warnings(&policy);
                POLICY.set(Some(policy));
                Ok(warnings)
            }

            fn schema() -> String {
                $crate::config::schema::<<$policy as $crate::Policy>::Config>()
            }
        }

        impl $crate::bindings::policy::exports::pointsman::plugin::route::Guest for Component {
            fn decide(
                summary: $crate::Summary,
                candidates: Vec<$crate::Candidate>,
            ) -> Result<$crate::Verdict, String> {
                POLICY.with_borrow(|policy| match policy {
                    Some(policy) => $crate::Policy::decide(policy, &$crate::Request::new(summary), &candidates),
                    None => Err("a request came before the configuration".into()),
                })
            }
        }

        $crate::bindings::policy::export!(Component with_types_in $crate::bindings::policy);
    };
}
