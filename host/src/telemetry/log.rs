//! Log lines on their way to standard error. Whoever reads it may be slow, or have stopped reading, and no request waits for
//! that: lines that do not fit into the queue are lost and counted.

use std::io::{self, Write};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const MOST: usize = 1_024;
/// How long the end of the process waits for them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lines that were lost. There is one standard error, and the log is there before any metrics are.
static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);

/// The queue before standard error; each write to it is one line.
#[derive(Debug, Clone)]
pub struct Log(SyncSender<Message>);

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Log {
    /// Starts the thread that writes.
    pub fn start() -> io::Result<Self> {
        let (lines, queue) = mpsc::sync_channel(MOST);
        let thread = std::thread::Builder::new().name("pointsman-log".to_owned());
        thread.spawn(move || write(&queue))?;
        Ok(Self(lines))
    }

    /// Waits until what was logged is written, if somebody reads it.
    pub fn flush(&self) {
        let (reply, written) = mpsc::sync_channel(1);
        if self.0.try_send(Message::Flush(reply)).is_ok() {
            let _ = written.recv_timeout(PATIENCE);
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Message::Line(line.to_vec())).is_err() {
            LOST.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// How many lines were lost.
pub(super) fn lost() -> Counter {
    LOST.clone()
}

fn write(queue: &Receiver<Message>) {
    let mut told = 0;
    for message in queue {
        match message {
            // Where standard error is closed, there is nobody to tell.
            Message::Line(line) => drop(io::stderr().write_all(&line)),
            Message::Flush(reply) => drop(reply.send(())),
        }
        let lost = LOST.get();
        if lost > told {
            tracing::warn!(
                lines = lost - told,
                "log lines were lost: standard error was not read in time"
            );
            told = lost;
        }
    }
}
