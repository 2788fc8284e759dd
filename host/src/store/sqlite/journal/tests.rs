//! What is in the journal when a process ends in the middle, and when the machine does.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{HEAD, SECTOR, SIZE, place};
use crate::money::{Nanodollars, Usage};
use crate::store::sqlite::{FILE, Sqlite, record};
use crate::store::suite::{hold, line, tags};
use crate::store::{Batch, Correction, Document, Hold, Line, Span, Store, StoreError};

fn held(ids: impl IntoIterator<Item = u64>) -> Batch {
    Batch {
        holds: ids.into_iter().map(|id| hold(id, id)).collect(),
        ..Batch::default()
    }
}

fn booked(ids: impl IntoIterator<Item = u64>) -> Batch {
    Batch {
        lines: ids
            .into_iter()
            .map(|id| line(id, id, id, tags("k", "m", &[])))
            .collect(),
        ..Batch::default()
    }
}

/// The files of a folder as they are now: what a process that is killed at this moment leaves behind.
fn killed(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn ids(store: &dyn Store) -> (Vec<u64>, Vec<u64>) {
    let mut lines = Vec::new();
    let mut keep = |line: Line| {
        lines.push(line.id);
        true
    };
    store.lines(Span::EVER, &mut keep).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let holds = store.open_holds().unwrap().0;
    (holds.iter().map(|hold| hold.id).collect(), lines)
}

#[test]
fn what_a_killed_process_kept_is_found_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(folder.path()).unwrap();
    store.commit(&held(1..=4)).unwrap();
    store.append(&booked([1, 3])).unwrap();
    let released = Batch {
        released: vec![2],
        ..Batch::default()
    };
    store.append(&released).unwrap();
    let left = killed(folder.path());
    assert_eq!(ids(&Sqlite::open(left.path()).unwrap()), (vec![4], vec![1, 3]));
    // And again, by one who was killed before it wrote anything, and by one after that who did.
    let again = killed(left.path());
    let mut next = Sqlite::open(again.path()).unwrap();
    next.commit(&held([5])).unwrap();
    next.append(&booked([4])).unwrap();
    let third = killed(again.path());
    assert_eq!(ids(&Sqlite::open(third.path()).unwrap()), (vec![5], vec![1, 3, 4]));
}

#[test]
fn who_only_reads_finds_what_a_killed_process_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(folder.path()).unwrap();
    store.commit(&held(1..=2)).unwrap();
    store.commit(&booked([1])).unwrap();
    // Somebody writes: it is seen when there are rows.
    assert_eq!(ids(&Sqlite::open_to_read(folder.path()).unwrap()), (vec![], vec![]));
    store.publish().unwrap();
    assert_eq!(ids(&Sqlite::open_to_read(folder.path()).unwrap()), (vec![2], vec![1]));
    store.commit(&booked([2])).unwrap();
    let left = killed(folder.path());
    assert_eq!(ids(&Sqlite::open_to_read(left.path()).unwrap()), (vec![], vec![1, 2]));
    assert_eq!(ids(&Sqlite::open(left.path()).unwrap()), (vec![], vec![1, 2]));
}

#[test]
fn what_was_released_in_the_tables_does_not_come_back_from_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(folder.path()).unwrap();
    store.commit(&held([1])).unwrap();
    // A batch with a document is written into the tables, with all that came before it.
    let with_document = Batch {
        released: vec![1],
        documents: vec![Document {
            kind: "key",
            id: "a".to_owned(),
            content: Some(b"1".as_slice().into()),
            expires_ms: None,
        }],
        ..Batch::default()
    };
    store.commit(&with_document).unwrap();
    let left = killed(folder.path());
    assert_eq!(ids(&Sqlite::open(left.path()).unwrap()), (vec![], vec![]));
}

#[test]
fn rows_are_made_before_the_journal_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(folder.path()).unwrap();
    for id in 1..=3_000 {
        store.append(&held([id])).unwrap();
        store.append(&booked([id])).unwrap();
    }
    let left = killed(folder.path());
    let seen = Sqlite::open_to_read(folder.path()).unwrap();
    assert!(ids(&seen).1.len() >= 2_000, "what is seen without being asked for");
    assert_eq!(
        ids(&Sqlite::open(left.path()).unwrap()),
        (vec![], (1..=3_000).collect())
    );
    // One that is larger than the journal is written past it.
    store.commit(&booked(10_000..60_000)).unwrap();
    assert_eq!(fs::metadata(place(&folder.path().join(FILE))).unwrap().len(), SIZE);
    assert_eq!(ids(&store).1.len(), 53_000);
}

/// What is found where the file was changed after the process was killed.
fn changed(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<Sqlite, StoreError> {
    let left = killed(folder);
    let journal = place(&left.path().join(FILE));
    let mut bytes = fs::read(&journal).unwrap();
    change(&mut bytes);
    fs::write(&journal, bytes).unwrap();
    Sqlite::open(left.path())
}

#[test]
fn a_record_that_was_on_disk_is_missed_and_one_that_was_not_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(folder.path()).unwrap();
    store.commit(&held(1..=3)).unwrap();
    store.append(&booked([1])).unwrap();
    store.append(&booked([2])).unwrap();
    store.commit(&held([4])).unwrap();
    store.append(&booked([3])).unwrap();
    let records = 5;
    for record in 0..records {
        for byte in (0..HEAD + 20).step_by(3) {
            let opened = changed(folder.path(), |bytes| bytes[record * SECTOR + byte] ^= 0x40);
            match record {
                // The last one says that the three before the one before it were on disk, and that one as well.
                0..=3 => assert!(
                    matches!(opened, Err(StoreError::Damaged(_))),
                    "{record} {byte}: {opened:?}"
                ),
                _ => assert_eq!(ids(&opened.unwrap()), (vec![3, 4], vec![1, 2]), "{record} {byte}"),
            }
        }
    }
    // The power went: the last pieces of writing were lost, or some of them.
    let without = |lost: &[usize]| {
        changed(folder.path(), |bytes| {
            for record in lost {
                bytes[record * SECTOR..][..SECTOR].fill(0);
            }
        })
    };
    assert_eq!(ids(&without(&[4]).unwrap()), (vec![3, 4], vec![1, 2]));
    assert_eq!(ids(&without(&[3, 4]).unwrap()), (vec![3], vec![1, 2]));
    assert_eq!(ids(&without(&[2, 3, 4]).unwrap()), (vec![2, 3], vec![1]));
    assert_eq!(
        ids(&without(&[1, 3, 4]).unwrap()),
        (vec![1, 2, 3], vec![]),
        "the second is nothing without the first"
    );
    assert!(without(&[0, 3, 4]).is_err(), "the second knew that the first was there");
}

#[test]
fn the_journal_of_another_time_is_not_taken_for_this_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(folder.path()).unwrap();
    store.commit(&booked([1])).unwrap();
    store.publish().unwrap();
    let copy = folder.path().join("copy");
    store.backup(&copy).unwrap();
    for id in 2..=4 {
        store.commit(&booked([id])).unwrap();
        store.publish().unwrap();
    }
    store.commit(&booked([5])).unwrap();
    // The copy is put into the place of the store, and the journal is forgotten there.
    let left = killed(folder.path());
    for lost in ["-wal", "-shm"] {
        let _ = fs::remove_file(left.path().join(format!("{FILE}{lost}")));
    }
    fs::rename(left.path().join("copy"), left.path().join(FILE)).unwrap();
    assert_eq!(ids(&Sqlite::open(left.path()).unwrap()), (vec![], vec![1]));
}

#[test]
fn one_process_at_a_time_writes() {
    let folder = tempfile::tempdir().unwrap();
    let first = Sqlite::open(folder.path()).unwrap();
    let second = Sqlite::open(folder.path()).unwrap_err().to_string();
    assert!(second.contains("another process is writing"), "{second}");
    drop(first);
    Sqlite::open(folder.path()).unwrap();
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z]{1,9}", "\\PC{0,40}"]
}

prop_compose! {
    fn some_tags()(
        names in prop::array::uniform6(text()),
        labels in prop::collection::vec((text(), text()), 0..3),
    ) -> crate::store::Tags {
        let [key, team, organisation, route, provider, model] = names.map(Into::into);
        crate::store::Tags { key, team, organisation, route, provider, model, labels }
    }
}

prop_compose! {
    fn some_line()(
        numbers in prop::array::uniform8(any::<u64>()),
        tags in some_tags(),
        (request, outcome) in (text(), text()),
        (cost, reference) in (any::<Option<u64>>(), any::<Option<u64>>()),
        (is_estimated, is_recovered) in any::<(bool, bool)>(),
        corrects in any::<Option<(u64, i64)>>(),
        metadata in prop::option::of(text()),
        price_version in any::<u32>(),
    ) -> Line {
        let [id, at_ms, input, cache_read, output, reasoning, searches, ceiling] = numbers;
        Line {
            id,
            at_ms,
            request: request.into(),
            tags: tags.into(),
            outcome,
            usage: Usage { input, cache_read, output, reasoning, searches, ..Usage::default() },
            cost: cost.map(Nanodollars),
            ceiling: Nanodollars(ceiling),
            reference: reference.map(Nanodollars),
            price_version,
            is_estimated,
            is_recovered,
            corrects: corrects.map(|(line, by)| Correction { line, by }),
            metadata: metadata.map(Into::into),
        }
    }
}

prop_compose! {
    fn some_hold()(
        numbers in prop::array::uniform3(any::<u64>()),
        (request, tags, price_version) in (text(), some_tags(), any::<u32>()),
    ) -> Hold {
        let [id, at_ms, ceiling] = numbers;
        Hold { id, at_ms, ceiling: Nanodollars(ceiling), request: request.into(), tags: tags.into(), price_version }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_batch_is_read_as_it_was_spelled(
        holds in prop::collection::vec(some_hold(), 0..4),
        released in prop::collection::vec(any::<u64>(), 0..4),
        lines in prop::collection::vec(some_line(), 0..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let batch = Batch { holds, released, lines, documents: Vec::new() };
        let mut spelled = Vec::new();
        record::spell(&batch, &mut spelled);
        prop_assert_eq!(record::read(&spelled), Some(batch));
        // Whatever is there, reading it ends.
        for (place, by) in flips {
            let at = place.index(spelled.len());
            spelled[at] ^= by;
        }
        let _ = record::read(&spelled);
        for end in 0..spelled.len() {
            let _ = record::read(&spelled[..end]);
        }
    }
}
