//! A timer for open loops: tokio's own has a grain of a millisecond, which is as long as the time between two requests.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// A timer of the kernel's, awaited through the runtime. It is read like a pipe, which is the one way in which tokio waits
/// for any readable descriptor without unsafe code.
pub(crate) struct Pacer(Receiver);

impl Pacer {
    /// Makes a timer that is not set; needs a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer: OwnedFd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Receiver::from_owned_fd_unchecked(timer).map(Self)
    }

    /// Waits for the moment `due`; returns at once where it has passed.
    pub(crate) async fn until(&mut self, due: Instant) -> io::Result<()> {
        let wait = due.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let it_value = Timespec::try_from(wait).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value,
        };
        rustix::time::timerfd_settime(self.0.as_fd(), TimerfdTimerFlags::empty(), &once)?;
        // What can be read, once the time has come, is the number of times it came.
        self.0.read_u64_le().await.map(drop)
    }
}
