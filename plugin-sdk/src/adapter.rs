//! What an adapter is, and the macro that makes a component of it. The defaults, for providers that speak OpenAI's JSON
//! as it is, are in `passthrough.rs`.

pub use crate::bindings::adapter::pointsman::plugin::wire::{
    Answer, Authentication, Chunk, Dialects, Event, Failure, Framing, Kind, Operation, Outgoing, Profile, Target, Usage,
};
use crate::passthrough;

/// Translates between the canonical form (OpenAI's JSON) and a provider's. All functions are pure: the host owns sockets,
/// credentials, timeouts, retries and framing. Exported with [`export_adapter!`](crate::export_adapter).
pub trait Adapter: Sized + 'static {
    /// Translates streamed answers; [`Passthrough`](crate::Passthrough) where there is nothing to translate.
    type Stream: AdapterStream;

    /// Called once when the adapter is loaded.
    fn describe() -> Profile;

    /// The canonical request in, the provider's out; once for each attempt. A failure is the caller's: the request says
    /// what this provider cannot do. As it stands: the body as it came but for `model`, and usage asked for in a stream.
    fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
        passthrough::encode(&Self::describe(), operation, target, is_stream, body)
    }

    /// A success's body in, the canonical answer out. As it stands: the body as it came, and the usage that it tells.
    fn decode(operation: Operation, target: &Target, body: &[u8]) -> Result<Answer, Failure> {
        let _ = (operation, target);
        passthrough::decode(body)
    }

    /// What a status that is no success means; header names are in lower case. As it stands: an error in OpenAI's shape.
    fn explain(status: u16, headers: &[(String, String)], body: &[u8]) -> Failure {
        passthrough::explain(status, headers, body)
    }
}

/// One streamed answer on its way through an adapter. It lives in an instance of its own and is dropped with it.
pub trait AdapterStream: Sized + 'static {
    /// Called once, before any event.
    fn begin(operation: Operation, target: &Target) -> Result<Self, Failure>;

    /// Called with all the events that one read brought.
    fn push(&mut self, events: &[Event]) -> Result<Vec<Chunk>, Failure>;

    /// Called at the end of the body; an error unless the provider's closing event was seen.
    fn finish(&mut self) -> Result<Vec<Chunk>, Failure>;
}

impl Failure {
    /// A failure with a message for people.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
            code: None,
            retry_after_ms: None,
        }
    }

    /// The provider's own code for it.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// When the provider wants to be asked again.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u32) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }
}

impl Usage {
    /// Nothing used.
    pub fn none() -> Self {
        Usage {
            input: 0,
            cache_read: 0,
            cache_write: 0,
            output: 0,
            reasoning: 0,
            extras: Vec::new(),
        }
    }
}

impl Chunk {
    /// A chunk that tells no usage.
    pub fn new(data: impl Into<Vec<u8>>) -> Self {
        Chunk {
            data: data.into(),
            usage: None,
        }
    }
}

impl Answer {
    /// An answer that tells no usage.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Answer {
            body: body.into(),
            usage: None,
        }
    }
}

impl Event {
    /// An event without a name.
    pub fn new(data: impl Into<Vec<u8>>) -> Self {
        Event {
            name: None,
            data: data.into(),
        }
    }
}

impl Outgoing {
    /// A POST of JSON to a path below the provider's base URL.
    pub fn json(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Outgoing {
            method: "POST".into(),
            path: path.into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.into(),
        }
    }
}

/// Makes a component of an [`Adapter`]. Natively it only looks whether the type is one.
#[macro_export]
macro_rules! export_adapter {
    ($adapter:ty) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Profile = <$adapter as $crate::Adapter>::describe;

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::adapter::exports::pointsman::plugin::{describe, streaming, unary};

            ::std::thread_local! {
                static STREAM: ::std::cell::RefCell<Option<<$adapter as $crate::Adapter>::Stream>> =
                    const { ::std::cell::RefCell::new(None) };
            }

            struct Component;

            impl describe::Guest for Component {
                fn describe() -> $crate::Profile {
                    <$adapter as $crate::Adapter>::describe()
                }
            }

            impl unary::Guest for Component {
                fn encode(
                    operation: $crate::Operation,
                    target: $crate::Target,
                    is_stream: bool,
                    body: Vec<u8>,
                ) -> Result<$crate::Outgoing, $crate::Failure> {
                    <$adapter as $crate::Adapter>::encode(operation, &target, is_stream, &body)
                }

                fn decode(
                    operation: $crate::Operation,
                    target: $crate::Target,
                    body: Vec<u8>,
                ) -> Result<$crate::Answer, $crate::Failure> {
                    <$adapter as $crate::Adapter>::decode(operation, &target, &body)
                }

                fn explain(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> $crate::Failure {
                    <$adapter as $crate::Adapter>::explain(status, &headers, &body)
                }
            }

            impl streaming::Guest for Component {
                fn begin(operation: $crate::Operation, target: $crate::Target) -> Result<(), $crate::Failure> {
                    let stream = $crate::AdapterStream::begin(operation, &target)?;
                    STREAM.set(Some(stream));
                    Ok(())
                }

                fn push(events: Vec<$crate::Event>) -> Result<Vec<$crate::Chunk>, $crate::Failure> {
                    STREAM.with_borrow_mut(|stream| match stream {
                        Some(stream) => $crate::AdapterStream::push(stream, &events),
                        None => Err($crate::adapter::not_begun()),
                    })
                }

                fn finish() -> Result<Vec<$crate::Chunk>, $crate::Failure> {
                    STREAM.with_borrow_mut(|stream| match stream {
                        Some(stream) => $crate::AdapterStream::finish(stream),
                        None => Err($crate::adapter::not_begun()),
                    })
                }
            }

    $crate::bindings::adapter::export!(Component with_types_in $crate::bindings::adapter);
        };
    };
}

#[doc(hidden)]
pub fn not_begun() -> Failure {
    Failure::new(Kind::Upstream, "an event came before the stream had begun")
}
