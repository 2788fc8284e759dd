//! The spans of time that sums are kept of, and which of them a longer time is read from.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::Span;
use super::write::clamp;

/// One row of sums: how long it is, when it begins, both in seconds, and of which tags.
pub(super) type Bucket = (i64, i64, i64);

/// How long the spans are that sums are kept of, in UTC. A month goes by the most seconds that it can have.
pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 86_400;
pub(super) const MONTH: i64 = 31 * DAY;
/// From the shortest to the longest; each begins with one of those before it.
pub(super) const SPANS: [i64; 3] = [HOUR, DAY, MONTH];
/// The bucket of everything.
pub(super) const ALL: Bucket = (0, 0, 0);

/// The bucket of what the buckets of all tags in such a span add up to: a row that has gone is missed there.
pub(super) const fn total(seconds: i64, start: i64) -> Bucket {
    (-seconds, start, 0)
}

/// When the span of this length began that a moment lies in.
pub(super) fn beginning(seconds: i64, at: i64) -> i64 {
    if seconds != MONTH {
        return at.div_euclid(seconds) * seconds;
    }
    let moment = Timestamp::from_second(at).unwrap_or(Timestamp::MAX);
    let first = Offset::UTC.to_datetime(moment).date().first_of_month();
    Offset::UTC
        .to_timestamp(first.at(0, 0, 0, 0))
        .map_or(at, Timestamp::as_second)
}

/// When the span of this length ends that comes to an end at this moment or after it.
pub(super) fn ending(seconds: i64, at: i64) -> i64 {
    let beginning = beginning(seconds, at);
    if beginning == at {
        return at;
    }
    self::beginning(seconds, beginning.saturating_add(seconds))
}

/// A piece of a span of time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Sums of so many seconds each, from and to in seconds.
    Sums(i64, i64, i64),
    /// What no whole hour covers.
    Lines(Span),
}

/// What a span is read from: the longest spans that lie in it whole, none longer than `longest`, and what is left at both
/// ends from shorter ones. No part is empty.
pub(super) fn parts(span: Span, longest: i64) -> Vec<Part> {
    let (from, to) = (clamp(span.from_ms), clamp(span.to_ms).min(i64::MAX / 2_000 * 1_000));
    let mut parts = Vec::new();
    let lines = |parts: &mut Vec<Part>, from: i64, to: i64| {
        if from < to {
            parts.push(Part::Lines(Span {
                from_ms: from as u64,
                to_ms: to as u64,
            }));
        }
    };
    let sums = |parts: &mut Vec<Part>, seconds, from, to| {
        if from < to {
            parts.push(Part::Sums(seconds, from, to));
        }
    };
    // The first second that is whole, and the last that has begun.
    let (mut first, mut last) = (
        ending(HOUR, from.saturating_add(999) / 1000),
        beginning(HOUR, to / 1000),
    );
    if first >= last {
        lines(&mut parts, from, to);
        return parts;
    }
    lines(&mut parts, from, first * 1000);
    lines(&mut parts, last * 1000, to);
    let mut shorter = HOUR;
    for longer in SPANS.into_iter().filter(|span| HOUR < *span && *span <= longest) {
        let (begins, ends) = (ending(longer, first), beginning(longer, last));
        if begins >= ends {
            break;
        }
        sums(&mut parts, shorter, first, begins);
        sums(&mut parts, shorter, ends, last);
        (first, last, shorter) = (begins, ends, longer);
    }
    sums(&mut parts, shorter, first, last);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_have_the_days_that_they_have() {
        let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        for (at, begins, ends) in [
            ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("2026-02-01T00:00:01Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2026-12-31T12:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            let at = second(at);
            assert_eq!(
                (beginning(MONTH, at), ending(MONTH, at)),
                (second(begins), second(ends))
            );
        }
        // Nobody spends anything then, and nothing goes wrong.
        assert!(beginning(MONTH, i64::MAX) < beginning(DAY, i64::MAX));
    }

    #[test]
    fn a_span_is_read_from_the_longest_that_fit() {
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond() as u64;
        let span = Span {
            from_ms: ms("2026-01-30T22:59:59.5Z"),
            to_ms: ms("2026-04-02T01:00:00.001Z"),
        };
        let found: Vec<(i64, i64)> = parts(span, MONTH)
            .iter()
            .map(|part| match part {
                Part::Sums(seconds, from, to) => (*seconds, (to - from) / seconds),
                Part::Lines(span) => (0, (span.to_ms - span.from_ms) as i64),
            })
            .collect();
        // February and March together are not twice as long as the longest month.
        assert_eq!(
            found,
            [(0, 500), (0, 1), (HOUR, 1), (HOUR, 1), (DAY, 1), (DAY, 1), (MONTH, 1)]
        );
        assert!(parts(span, DAY).contains(&Part::Sums(DAY, 1_769_817_600, 1_775_088_000)));
        assert_eq!(parts(Span { from_ms: 5, to_ms: 5 }, MONTH), []);
    }
}
