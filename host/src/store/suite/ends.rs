//! Sums at the end of what a store can keep: it goes on, and what it says is the truth or the most that it can say.

use super::*;

const MOST: i128 = i64::MAX as i128;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_store_whose_sums_reach_their_end_goes_on(
        lines in prop::collection::vec((0u64..4, 0u64..200_000_000, prop::bool::ANY), 1..24),
        corrected in prop::collection::vec((0usize..24, 0i64..i64::MAX), 0..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut truth = 0i128;
        let mut all: Vec<Line> = Vec::new();
        for (place, (quarters, at_ms, is_other)) in lines.iter().enumerate() {
            let cost = u64::try_from(i64::MAX).unwrap() / 4 * quarters + place as u64;
            let key = if *is_other { "a" } else { "b" };
            let cost = Some(Nanodollars(cost));
            all.push(Line { cost, reference: cost, ..line(place as u64 + 1, *at_ms, 0, tags(key, "m", &[])) });
        }
        for (place, by) in corrected {
            let of = &all[place % lines.len()];
            // No line gets below nothing.
            let left = all.iter().filter(|line| line.id == of.id || line.corrects.is_some_and(|by| by.line == of.id));
            let left: i128 = left.map(Line::counts).sum();
            let by = -i64::try_from(left.min(by.into())).unwrap();
            let correction = Line {
                corrects: Some(Correction { line: of.id, by }),
                ..line(all.len() as u64 + 1, of.at_ms, 0, of.tags.clone())
            };
            all.push(correction);
        }
        for batch in all.chunks(3) {
            // Each by another process, which knows nothing but what was kept.
            let mut store = Sqlite::open(folder.path()).unwrap();
            store.commit(&booked(batch.to_vec())).unwrap();
            truth += batch.iter().map(Line::counts).sum::<i128>();
            for by in [&[][..], &[By::Day], &[By::Key, By::Day]] {
                let said: i128 = super::all(&store, Span::EVER, by).iter().map(|(_, cost, _)| *cost).sum();
                prop_assert!(said == truth || said >= MOST, "{said} is not {truth}");
            }
            store.costs(Span::EVER).unwrap();
            let mut count = 0;
            store.lines(Span::EVER, &mut |_| { count += 1; true }).unwrap();
            sound(&store);
        }
    }
}
