//! How many requests are begun before whatever else is ready to run has had its turn. What is beyond the machine would otherwise wait where
//! nobody sees it: in the runtime's queue of tasks, in front of answers that have come and streams that go on.

use std::time::Duration;

/// Beginning requests should take about so long of a turn: half as long as all else that is ready, and no less and no more than this.
/// Streams under way make turns long by themselves, and would leave no time for others to begin.
const LEAST_TIME: Duration = Duration::from_millis(2);
const MOST_TIME: Duration = Duration::from_millis(10);
/// A turn that is much too long, where nobody has counted yet what takes it.
const LONG: Duration = Duration::from_millis(8);
/// So many are begun in each turn, however long it takes: a turn may be long for reasons that are none of the requests'.
const LEAST: usize = 4;
const MOST: usize = 1 << 12;
/// So many turns may be waited for, and so many may wait in any case: what comes at once need not be too much.
const TURNS: usize = 8;
const LINE: usize = 64;
/// So long is waited for a turn where too much has come for a while: whoever waits only takes the place of somebody who comes later.
pub(super) const SHORT: Duration = Duration::from_millis(10);
/// Fewer than this are not what makes a turn long.
const MANY: usize = 32;
/// Where it begins, before anything is known of what requests cost.
const FIRST: usize = 64;

/// Counts those of one turn.
#[derive(Debug)]
pub(super) struct Pace {
    begun: usize,
    most: usize,
    /// How long turns are, of late.
    turn: Duration,
    /// Somebody had to wait for the next turn.
    is_short: bool,
    /// Somebody had to, since that was asked.
    was_short: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            begun: 0,
            most: FIRST,
            turn: LONG,
            is_short: false,
            was_short: false,
        }
    }
}

impl Pace {
    /// Whether one more may be begun in this turn.
    pub(super) fn has_room(&self) -> bool {
        self.begun < self.most
    }

    /// Whether three quarters of what may be begun in this turn have been.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.begun * 4 >= self.most * 3
    }

    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }

    /// Somebody waits for the next turn.
    pub(super) fn wait(&mut self) {
        (self.is_short, self.was_short) = (true, true);
    }

    /// Whether somebody had to wait since this was asked last.
    pub(super) fn was_short(&mut self) -> bool {
        std::mem::take(&mut self.was_short)
    }

    /// Whether so much was begun in this turn that it took much too long.
    pub(super) fn is_too_fast(&self, took: Duration) -> bool {
        took > LONG && self.begun >= MANY
    }

    /// Everything that was ready when the turn began has run, and so much of the time was taken by requests that begin. As many as fit
    /// into their time are begun in the next one: at most by half fewer, and only where this one was full of them; by a quarter more,
    /// where there was time left and some waited.
    pub(super) fn turned(&mut self, took: Duration, beginning: Duration) {
        let time = (took.saturating_sub(beginning) / 2).clamp(LEAST_TIME, MOST_TIME);
        let is_full = self.begun * 2 >= self.most;
        self.turn = (self.turn * 7 + took) / 8;
        if beginning > time && is_full {
            let fit = self.begun as f64 * time.as_secs_f64() / beginning.as_secs_f64();
            self.most = (fit as usize).max(self.most / 2).max(LEAST);
        } else if beginning < time && self.is_short {
            self.most = (self.most + (self.most / 4).max(1)).min(MOST);
        }
        self.begun = 0;
        self.is_short = false;
    }

    /// How many may wait for a turn: those of the next few. More are refused at once, which costs least.
    pub(super) fn line(&self) -> usize {
        (self.most * TURNS).max(LINE)
    }

    /// The same where too much has come for a while: those of the turns that are over within a [`SHORT`] time. Where turns are longer
    /// there is no line: those who come in a turn are more than can be begun in it, and who waited would be one turn later than they.
    pub(super) fn short_line(&self) -> usize {
        let turns = SHORT.as_micros() / self.turn.as_micros().max(1);
        self.most * usize::try_from(turns).unwrap_or(TURNS).min(TURNS)
    }

    /// How many are begun in a turn now.
    pub(super) fn most(&self) -> usize {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns in which as much is begun as may be, each request taking so long beside everything else; how many that are in the end.
    fn settled(each: Duration, beside: Duration) -> usize {
        let mut pace = Pace::default();
        for _ in 0..100 {
            while pace.has_room() {
                pace.begin();
            }
            pace.wait();
            let beginning = each * u32::try_from(pace.most()).unwrap();
            pace.turned(beginning + beside, beginning);
        }
        pace.most()
    }

    #[test]
    fn as_many_are_begun_in_a_turn_as_fit_into_it() {
        let many = settled(Duration::from_micros(20), Duration::ZERO);
        assert!((60..=130).contains(&many), "{many}");
        let few = settled(Duration::from_micros(200), Duration::ZERO);
        assert!((5..=13).contains(&few), "{few}");
        assert_eq!(settled(Duration::from_millis(50), Duration::ZERO), LEAST);
    }

    #[test]
    fn beside_streams_that_take_their_time_as_many_begin_as_take_half_of_that() {
        let beside = |milliseconds| settled(Duration::from_micros(200), Duration::from_millis(milliseconds));
        let (few, some, most) = (beside(3), beside(12), beside(500));
        assert!((5..=13).contains(&few), "{few}");
        assert!((23..=38).contains(&some), "{some}");
        assert!((39..=63).contains(&most), "{most}");
    }

    #[test]
    fn a_turn_that_is_long_for_other_reasons_changes_nothing() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.begin();
            pace.turned(Duration::from_millis(100), Duration::from_millis(100));
        }
        assert_eq!(pace.most(), FIRST);
    }
}
