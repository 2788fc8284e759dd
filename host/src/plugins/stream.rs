//! One streamed answer through an adapter: an instance for its length, dropped when it ends, however it ends.

use std::sync::Arc;

use super::adapter::{AdapterError, Inner, Place, inputs};
use super::bindings::exports::pointsman::plugin::streaming;
use super::fault::Fault;
use super::imports::{Host, Inputs};
use super::instance::Instance;
use super::outgoing;
use super::words::{Chunk, Event, Failure, Operation, Target};

/// A streamed answer under way. Each call has the adapter's whole time for one call. After an error there is no more
/// to be had: drop it.
pub struct AdapterStream {
    adapter: Arc<Inner>,
    /// Absent while a call runs elsewhere, and after an error.
    guest: Option<Live>,
    inputs: Inputs,
}

struct Live {
    instance: Instance,
    streaming: streaming::Guest,
    /// Given back with the instance, which a call may outlive the stream in.
    _place: Place,
}

impl AdapterStream {
    pub(super) async fn begin(
        adapter: Arc<Inner>,
        place: Place,
        operation: Operation,
        target: &Target,
    ) -> Result<AdapterStream, AdapterError> {
        let (inputs, target) = (inputs(target), target.clone());
        let begun = adapter.run(move |inner| Live::begin(inner, place, operation, &target, inputs));
        let (guest, begun) = begun.await?;
        begun.map_err(AdapterError::of)?;
        Ok(AdapterStream {
            adapter,
            guest: Some(guest),
            inputs,
        })
    }

    /// All the events that one read brought in, the chunks that they make out.
    pub async fn push(&mut self, events: Vec<Event>) -> Result<Vec<Chunk>, AdapterError> {
        self.call(move |streaming, store| streaming.call_push(store, &events))
            .await
    }

    /// The end of the body. An error unless the provider's closing event was seen.
    pub async fn finish(mut self) -> Result<Vec<Chunk>, AdapterError> {
        self.call(|streaming, store| streaming.call_finish(store)).await
    }

    async fn call<F>(&mut self, call: F) -> Result<Vec<Chunk>, AdapterError>
    where
        F: FnOnce(&streaming::Guest, &mut wasmtime::Store<Host>) -> wasmtime::Result<Result<Vec<Chunk>, Failure>>
            + Send
            + 'static,
    {
        let Some(mut guest) = self.guest.take() else {
            return Err(Fault::Trap("the stream has ended".into()).into());
        };
        let inputs = self.inputs;
        let called = self.adapter.run(move |adapter| {
            guest.instance.renew(inputs, adapter.blueprint.limits.call_ms);
            guest.call(call)
        });
        let (guest, chunks) = called.await?;
        let chunks = outgoing::check_chunks(chunks.map_err(AdapterError::of)?);
        let chunks = self.adapter.usable(chunks)?;
        self.guest = Some(guest);
        Ok(chunks)
    }
}

impl Live {
    fn begin(
        adapter: &Inner,
        place: Place,
        operation: Operation,
        target: &Target,
        inputs: Inputs,
    ) -> Result<(Live, Result<(), Failure>), Fault> {
        let mut instance = adapter.blueprint.start(inputs, adapter.blueprint.limits.call_ms)?;
        let (streaming, begun) = instance.run(|store, guest| {
            let streaming = adapter.streaming.load(&mut *store, guest)?;
            let begun = streaming.call_begin(store, operation, target)?;
            Ok((streaming, begun))
        })?;
        let live = Live {
            instance,
            streaming,
            _place: place,
        };
        Ok((live, begun))
    }

    fn call<T>(
        mut self,
        call: impl FnOnce(&streaming::Guest, &mut wasmtime::Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<(Live, T), Fault> {
        let Live {
            instance, streaming, ..
        } = &mut self;
        let value = instance.run(|store, _| call(streaming, store))?;
        Ok((self, value))
    }
}
