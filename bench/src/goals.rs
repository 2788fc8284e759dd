//! The goals that the gateway is held to, most of them as multiples of the floor measured in the same run.

use crate::contender::Contender::{
    self, Floor, Pointsman, PointsmanFresh, PointsmanLedger, PointsmanLedgerMemory, PointsmanWarm,
};
use crate::results::{Figure, Results};
use crate::scenario::Scenario;

/// How a figure is set against its limit.
#[derive(Clone, Copy)]
enum Against {
    /// The figure divided by the floor's.
    TimesFloor,
    /// The figure less the floor's.
    OverFloor(&'static str),
    /// The figure less that of the gateway without a ledger.
    OverPlain(&'static str),
    /// The figure of the gateway without a ledger divided by this one: for what is better when it is more.
    FewerThanPlain,
    /// The figure itself.
    Itself(&'static str),
}

/// A figure and the most it may be.
struct Goal {
    what: &'static str,
    contender: Contender,
    scenario: Scenario,
    figure: Figure,
    against: Against,
    most: f64,
}

/// A goal and what was found of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    /// What was measured.
    pub what: &'static str,
    /// The goal, with its unit.
    pub goal: String,
    /// The value, with its unit; none where the run did not measure it.
    pub found: Option<String>,
    /// Whether the goal is met.
    pub met: Option<bool>,
}

#[rustfmt::skip]
const GOALS: &[Goal] = {
    use Against::{FewerThanPlain, Itself, OverFloor, OverPlain, TimesFloor};
    use Scenario::{C1, C64, Open500, Open1000, Prompt32k, Start, Stream, Stream10ms};
    &[
        Goal { what: "CPU per request, 64 connections, no policy", contender: Pointsman, scenario: C64, figure: |s| s.cpu_us, against: TimesFloor, most: 2.0 },
        Goal { what: "… three policies, warm instances", contender: PointsmanWarm, scenario: C64, figure: |s| s.cpu_us, against: TimesFloor, most: 3.2 },
        Goal { what: "… three policies, a fresh store each", contender: PointsmanFresh, scenario: C64, figure: |s| s.cpu_us, against: TimesFloor, most: 5.0 },
        Goal { what: "added at one connection, p50, no policy", contender: Pointsman, scenario: C1, figure: |s| s.p50_us, against: OverFloor("µs"), most: 40.0 },
        Goal { what: "… three policies, a fresh store each", contender: PointsmanFresh, scenario: C1, figure: |s| s.p50_us, against: OverFloor("µs"), most: 110.0 },
        Goal { what: "open loop, 1,000/s, p99, no policy", contender: Pointsman, scenario: Open1000, figure: |s| s.p99_us, against: TimesFloor, most: 1.5 },
        Goal { what: "32 KB prompt, CPU per request, no policy", contender: Pointsman, scenario: Prompt32k, figure: |s| s.cpu_us, against: TimesFloor, most: 4.0 },
        Goal { what: "stream, 50 events back to back, CPU per stream", contender: Pointsman, scenario: Stream, figure: |s| s.cpu_us, against: TimesFloor, most: 0.6 },
        Goal { what: "stream, 50 events 10 ms apart, CPU per stream", contender: Pointsman, scenario: Stream10ms, figure: |s| s.cpu_us, against: TimesFloor, most: 1.3 },
        Goal { what: "ledger on, 500/s, p50", contender: PointsmanLedger, scenario: Open500, figure: |s| s.p50_us, against: OverPlain("µs"), most: 150.0 },
        Goal { what: "… and where a sync takes no time", contender: PointsmanLedgerMemory, scenario: Open500, figure: |s| s.p50_us, against: OverPlain("µs"), most: 150.0 },
        Goal { what: "ledger on, requests/s, 64 connections", contender: PointsmanLedger, scenario: C64, figure: |s| s.per_second, against: FewerThanPlain, most: 1.25 },
        Goal { what: "… and where a sync takes no time", contender: PointsmanLedgerMemory, scenario: C64, figure: |s| s.per_second, against: FewerThanPlain, most: 1.25 },
        Goal { what: "resident memory, idle, three policies", contender: PointsmanFresh, scenario: Start, figure: |s| s.idle_mib, against: Itself("MiB"), most: 28.0 },
        Goal { what: "start to the first 200, three policies, compile cache", contender: PointsmanFresh, scenario: Start, figure: |s| s.start_ms, against: Itself("ms"), most: 70.0 },
        Goal { what: "… without the compile cache", contender: PointsmanFresh, scenario: Start, figure: |s| s.cold_start_ms, against: Itself("ms"), most: 1500.0 },
    ]
};

/// Every goal with its verdict.
pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    GOALS.iter().map(|goal| goal.judge(results)).collect()
}

impl Goal {
    fn judge(&self, results: &Results) -> Verdict {
        let value = self.value(results);
        Verdict {
            what: self.what,
            goal: format!("≤ {}", self.against.show(self.most)),
            found: value.map(|value| self.against.show(value)),
            met: value.map(|value| value <= self.most),
        }
    }

    fn value(&self, results: &Results) -> Option<f64> {
        let value = results.median(self.scenario, self.contender, self.figure)?;
        let floor = || results.median(self.scenario, Floor, self.figure);
        let plain = || results.median(self.scenario, Pointsman, self.figure);
        match self.against {
            Against::TimesFloor => floor().filter(|floor| *floor > 0.0).map(|floor| value / floor),
            Against::OverFloor(_) => floor().map(|floor| value - floor),
            Against::OverPlain(_) => plain().map(|plain| value - plain),
            Against::FewerThanPlain => plain().filter(|_| value > 0.0).map(|plain| plain / value),
            Against::Itself(_) => Some(value),
        }
    }
}

impl Against {
    fn show(self, value: f64) -> String {
        match self {
            Self::TimesFloor => format!("{value:.2}× the floor"),
            Self::OverFloor(unit) => format!("{value:.0} {unit} over the floor"),
            Self::OverPlain(unit) => format!("{value:.0} {unit} over the gateway without it"),
            Self::FewerThanPlain => format!("{value:.2}× fewer than without it"),
            Self::Itself(unit) => format!("{value:.0} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::Machine;
    use crate::measure::{Effort, Measurement, Sample};

    fn results(figures: &[(Contender, f64)]) -> Results {
        let measurement = |(contender, cpu_us): &(Contender, f64)| Measurement {
            scenario: Scenario::C64,
            contender: *contender,
            sample: Sample {
                cpu_us: Some(*cpu_us),
                ..Sample::default()
            },
        };
        let effort = Effort {
            repeats: 3,
            warm_up: Duration::ZERO,
            span: Duration::ZERO,
            rest: Duration::ZERO,
        };
        Results {
            machine: Machine::describe(&std::env::temp_dir()),
            effort,
            measurements: figures.iter().map(measurement).collect(),
        }
    }

    fn first(figures: &[(Contender, f64)]) -> Verdict {
        verdicts(&results(figures)).remove(0)
    }

    #[test]
    fn a_goal_is_judged_by_the_medians_of_its_contender_and_the_floor() {
        let floor = [(Floor, 11.0), (Floor, 10.0), (Floor, 90.0)];
        let met = first(&[&floor[..], &[(Pointsman, 22.0), (Pointsman, 20.0), (Pointsman, 500.0)]].concat());
        assert_eq!((met.found.as_deref(), met.met), (Some("2.00× the floor"), Some(true)));
        let missed = first(&[&floor[..], &[(Pointsman, 23.0)]].concat());
        assert_eq!(
            (missed.found.as_deref(), missed.met),
            (Some("2.09× the floor"), Some(false))
        );
    }

    #[test]
    fn a_goal_that_was_not_measured_is_neither_met_nor_missed() {
        assert_eq!(first(&[(Floor, 10.0)]).met, None);
        assert_eq!(first(&[(Pointsman, 10.0)]).met, None);
    }
}
