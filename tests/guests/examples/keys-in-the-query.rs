//! An adapter whose provider wants its key as a query parameter, beside one that the adapter sends itself.

use pointsman_plugin::{
    Adapter, Authentication, Dialects, Failure, Operation, Outgoing, Passthrough, Profile, Target, export_adapter,
};

struct KeysInTheQuery;

impl Adapter for KeysInTheQuery {
    type Stream = Passthrough;

    fn describe() -> Profile {
        Profile {
            speaks: Dialects::empty(),
            authentication: Authentication::Query("key".to_owned()),
            ..Profile::openai()
        }
    }

    fn encode(_: Operation, _: &Target, _: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        Ok(Outgoing::json("/v1/chat/completions?alt=json", body))
    }
}

export_adapter!(KeysInTheQuery);
