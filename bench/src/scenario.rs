//! What is measured: one entry for each kind of load, with the sizes and rates that the goals are written for.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::load::Arrivals;
use crate::mock::Pace;
use crate::tally::Expected;
use crate::wire;

const SMALL_PROMPT: usize = 1024;
const LARGE_PROMPT: usize = 32 * 1024;
const LEAST_ANSWER: usize = 1000;
const CONTENT_EVENTS: usize = 50;
const STREAMS: usize = 64;
/// Enough that a request of an open loop finds a free connection unless the proxy has fallen far behind.
const OPEN_CONNECTIONS: usize = 64;

/// One kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Closed loop, 1 connection.
    C1,
    /// Closed loop, 16 connections.
    C16,
    /// Closed loop, 64 connections.
    C64,
    /// Open loop, 100 requests a second.
    Open100,
    /// Open loop, 500 requests a second.
    Open500,
    /// Open loop, 1,000 requests a second.
    Open1000,
    /// Open loop, 4,000 requests a second.
    Open4000,
    /// Closed loop, 16 connections, a prompt of 32 KB.
    Prompt32k,
    /// 64 streams at once, 50 content events back to back.
    Stream,
    /// 64 streams at once, 50 content events 10 ms apart.
    Stream10ms,
    /// From start to the first 200, and memory while idle.
    Start,
}

/// The load of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// When requests are sent.
    pub arrivals: Arrivals,
    /// Over how many connections.
    pub connections: usize,
    /// The size of a request's body.
    pub body_bytes: usize,
    /// How answers are streamed; none asks for whole ones.
    pub stream: Option<Pace>,
}

impl Scenario {
    /// The name in tables and in the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::C1 => "c1",
            Self::C16 => "c16",
            Self::C64 => "c64",
            Self::Open100 => "open100",
            Self::Open500 => "open500",
            Self::Open1000 => "open1000",
            Self::Open4000 => "open4000",
            Self::Prompt32k => "prompt32k",
            Self::Stream => "stream",
            Self::Stream10ms => "stream10ms",
            Self::Start => "start",
        }
    }

    /// The load, for all but `start`.
    pub(crate) fn shape(self) -> Option<Shape> {
        let closed = |connections, body_bytes, stream| Shape {
            arrivals: Arrivals::Closed,
            connections,
            body_bytes,
            stream,
        };
        let open = |per_second| Shape {
            arrivals: Arrivals::Open(per_second),
            connections: OPEN_CONNECTIONS,
            body_bytes: SMALL_PROMPT,
            stream: None,
        };
        let paced = |millis| {
            Some(Pace {
                content_events: CONTENT_EVENTS,
                delay: Duration::from_millis(millis),
            })
        };
        Some(match self {
            Self::C1 => closed(1, SMALL_PROMPT, None),
            Self::C16 => closed(16, SMALL_PROMPT, None),
            Self::C64 => closed(64, SMALL_PROMPT, None),
            Self::Open100 => open(100),
            Self::Open500 => open(500),
            Self::Open1000 => open(1000),
            Self::Open4000 => open(4000),
            Self::Prompt32k => closed(16, LARGE_PROMPT, None),
            Self::Stream => closed(STREAMS, SMALL_PROMPT, paced(0)),
            Self::Stream10ms => closed(STREAMS, SMALL_PROMPT, paced(10)),
            Self::Start => return None,
        })
    }
}

impl Shape {
    /// What a good reply is.
    pub(crate) fn expected(&self) -> Expected {
        match self.stream {
            None => Expected::Whole(LEAST_ANSWER),
            Some(pace) => Expected::Events(wire::events_of_a_stream(pace.content_events)),
        }
    }
}
