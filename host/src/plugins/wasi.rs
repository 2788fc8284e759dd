//! An inert WASI 0.2, for guests whose toolchain imports it whether they use it or not: no environment, arguments,
//! files or sockets; input is at its end, output goes to the capped log; the clocks and all randomness come from the
//! call's recorded inputs, so that a decision stays a function of them.
//!
//! wasmtime-wasi's synchronous functions start a runtime of their own and must not be called on a runtime's worker:
//! plugins that import WASI are called on blocking threads.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamResult, subscribe};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::pointsman::plugin::log::Level;
use super::imports::{Host, Inputs};
use super::log::Log;

/// Most random bytes that a guest may ask for at once.
const RANDOM_BYTES: u64 = 1 << 20;

/// One instance's WASI.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    inputs: Inputs,
    /// Nanoseconds since the call began, as far as the guest can tell: every look at a clock takes one microsecond, and
    /// sleeping takes as long as it should without anybody waiting.
    elapsed: u64,
    random: u64,
}

impl Wasi {
    fn new(host: &Host) -> Wasi {
        let output = Output(Arc::new(Mutex::new(Lines {
            log: host.log.clone(),
            pending: Vec::new(),
            longest: host.limits.log_line_bytes,
        })));
        let mut table = ResourceTable::new();
        table.set_max_capacity(host.limits.handles);
        let ctx = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output)
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        Wasi {
            ctx,
            table,
            inputs: host.inputs,
            elapsed: 0,
            random: host.inputs.seed,
        }
    }

    pub(super) fn renew(&mut self, inputs: Inputs) {
        self.inputs = inputs;
        self.elapsed = 0;
        self.random = inputs.seed;
    }

    /// Whether the guest holds anything of the host's, a stream or a clock's alarm.
    pub(super) fn has_handles(&self) -> bool {
        !self.table.is_empty()
    }

    fn now(&mut self) -> u64 {
        self.elapsed = self.elapsed.saturating_add(1_000);
        self.elapsed
    }

    fn alarm(&mut self, after: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.elapsed = self.elapsed.saturating_add(after);
        let rung = self.table.push(Rung)?;
        subscribe(&mut self.table, rung)
    }

    fn next_random(&mut self) -> u64 {
        // SplitMix64: any seed will do, and all of them differ.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES {
            return Err(wasmtime::Error::msg(format!(
                "{len} random bytes at once; the limit is {RANDOM_BYTES}"
            )));
        }
        let len = len as usize;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next_random().to_le_bytes());
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}

impl Host {
    fn wasi(&mut self) -> &mut Wasi {
        if self.wasi.is_none() {
            self.wasi = Some(Box::new(Wasi::new(self)));
        }
        self.wasi.as_mut().expect("it was made above")
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { ctx, table, .. } = self.wasi();
        WasiCtxView { ctx, table }
    }
}

/// Everything of wasmtime-wasi, with clocks and randomness of our own in the place of its.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    wall_clock::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    random::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    insecure::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    insecure_seed::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl monotonic_clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi().now())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let after = when.saturating_sub(self.wasi().elapsed);
        self.wasi().alarm(after)
    }

    fn subscribe_duration(&mut self, after: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wasi().alarm(after)
    }
}

impl wall_clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let wasi = self.wasi();
        let nanos = u128::from(wasi.inputs.now_ms) * 1_000_000 + u128::from(wasi.now());
        Ok(wall_clock::Datetime {
            seconds: (nanos / 1_000_000_000) as u64,
            nanoseconds: (nanos % 1_000_000_000) as u32,
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1_000,
        })
    }
}

impl random::Host for Host {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.wasi().random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi().next_random())
    }
}

impl insecure::Host for Host {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.wasi().random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi().next_random())
    }
}

impl insecure_seed::Host for Host {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.wasi().next_random(), self.wasi().next_random()))
    }
}

/// An alarm that has always gone off: time moved on when it was set.
struct Rung;

#[wasmtime_wasi::async_trait]
impl Pollable for Rung {
    async fn ready(&mut self) {}
}

/// Standard output and standard error, which share a log.
#[derive(Clone)]
struct Output(Arc<Mutex<Lines>>);

struct Lines {
    log: Log,
    pending: Vec<u8>,
    longest: usize,
}

impl Output {
    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                // What the log would cut is not kept; a little more than the limit shows it that there was more.
                _ if self.pending.len() <= self.longest => self.pending.push(*byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        let line = mem::take(&mut self.pending);
        self.log.line(Level::Info, &String::from_utf8_lossy(&line));
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.end_line();
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines().push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl tokio::io::AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lines().push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
