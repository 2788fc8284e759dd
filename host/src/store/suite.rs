//! What every store promises, asked of each of them.

mod ends;

use std::sync::Arc;

use proptest::prelude::*;

use super::memory::Memory;
use super::sqlite::Sqlite;
use super::*;

pub(super) fn tags(key: &str, model: &str, labels: &[(&str, &str)]) -> Arc<Tags> {
    Arc::new(Tags {
        key: key.into(),
        route: "auto".into(),
        provider: "p".into(),
        model: model.into(),
        labels: labels.iter().map(|(l, v)| ((*l).to_owned(), (*v).to_owned())).collect(),
        ..Tags::default()
    })
}

pub(super) fn hold(id: u64, at_ms: u64) -> Hold {
    Hold {
        id,
        at_ms,
        ceiling: Nanodollars(1_000),
        request: format!("r{id}").into(),
        tags: tags("k", "m", &[]),
        price_version: 7,
    }
}

pub(super) fn line(id: u64, at_ms: u64, cost: u64, tags: Arc<Tags>) -> Line {
    Line {
        id,
        at_ms,
        request: format!("r{id}").into(),
        tags,
        outcome: "answered".to_owned(),
        usage: Usage {
            input: 10,
            output: cost,
            ..Usage::default()
        },
        cost: Some(Nanodollars(cost)),
        ceiling: Nanodollars(1_000),
        reference: Some(Nanodollars(cost * 10)),
        price_version: 7,
        is_estimated: false,
        is_recovered: false,
        corrects: None,
        metadata: None,
    }
}

/// A check of one promise, on a store of each kind; the second door is opened where it is to be read.
fn each(promise: impl Fn(&mut dyn Store)) {
    promise(&mut Memory::default());
    let folder = tempfile::tempdir().unwrap();
    promise(&mut Sqlite::open(folder.path()).unwrap());
}

fn sound(store: &dyn Store) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

fn all(store: &dyn Store, span: Span, by: &[By]) -> Vec<(Vec<String>, i128, u64)> {
    let question = Question {
        span,
        by: by.to_vec(),
        only: Vec::new(),
    };
    let spent = store.spent(&question).unwrap();
    spent
        .into_iter()
        .map(|spent| (spent.group, spent.sums.cost, spent.sums.calls))
        .collect()
}

fn booked(lines: Vec<Line>) -> Batch {
    Batch {
        lines,
        ..Batch::default()
    }
}

#[test]
fn a_line_is_found_by_its_number() {
    each(|store| {
        let wanted = line(4, 1_000, 7, tags("k", "m", &[("task", "coding")]));
        store
            .commit(&Batch {
                lines: vec![line(3, 1_000, 5, tags("k", "m", &[])), wanted.clone()],
                ..Batch::default()
            })
            .unwrap();
        assert_eq!(store.line(4).unwrap(), Some(wanted));
        assert_eq!(store.line(5).unwrap(), None);
    });
}

#[test]
fn a_hold_is_open_until_a_line_resolves_it() {
    each(|store| {
        let batch = Batch {
            holds: vec![hold(1, 5), hold(2, 6), hold(3, 7)],
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
        let batch = Batch {
            lines: vec![line(1, 5, 3, tags("k", "m", &[]))],
            released: vec![2],
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
        let (open, next) = store.open_holds().unwrap();
        assert_eq!((open, next), (vec![hold(3, 7)], 4));
        sound(store);
    });
}

#[test]
fn a_batch_that_is_offered_again_counts_once() {
    each(|store| {
        let batch = Batch {
            holds: vec![hold(9, 5)],
            lines: vec![line(1, 5, 3, tags("k", "m", &[]))],
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
        store.commit(&batch).unwrap();
        assert_eq!(all(store, Span::EVER, &[]), [(vec![], 3, 1)]);
        assert_eq!(store.open_holds().unwrap().0.len(), 1);
        sound(store);
    });
}

#[test]
fn what_was_written_is_read_as_it_was() {
    each(|store| {
        let mut written = line(4, 5, 3, tags("k", "m", &[("task", "co\"ding"), ("x", "")]));
        written.is_estimated = true;
        written.is_recovered = true;
        written.cost = None;
        written.metadata = Some("{\"a\":1}".into());
        let correction = Line {
            corrects: Some(Correction { line: 4, by: -2 }),
            ..line(5, 6, 0, tags("k", "m", &[]))
        };
        let lines = vec![written, correction];
        store
            .commit(&Batch {
                lines: lines.clone(),
                ..Batch::default()
            })
            .unwrap();
        let mut read = Vec::new();
        let mut keep = |line| {
            read.push(line);
            true
        };
        store.publish().unwrap();
        store.reader().unwrap().lines(Span::EVER, &mut keep).unwrap();
        assert_eq!(read, lines);
        sound(store);
    });
}

#[test]
fn sums_are_asked_for_by_what_lines_are_counted_under() {
    each(|store| {
        let day = 86_400_000;
        let lines = vec![
            line(1, day, 1, tags("a", "m", &[("task", "code"), ("tier", "x")])),
            line(2, day + 1, 10, tags("a", "n", &[("task", "chat")])),
            line(3, 2 * day, 100, tags("b", "m", &[])),
        ];
        store.commit(&booked(lines)).unwrap();
        let group = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            all(store, Span::EVER, &[By::Key]),
            [(group(&["a"]), 11, 2), (group(&["b"]), 100, 1)]
        );
        assert_eq!(
            all(store, Span::EVER, &[By::Label]),
            [
                (group(&[""]), 100, 1),
                (group(&["task=chat"]), 10, 1),
                (group(&["task=code"]), 1, 1),
                (group(&["tier=x"]), 1, 1)
            ]
        );
        assert_eq!(
            all(store, Span::EVER, &[By::Day, By::Model]),
            [
                (group(&["1970-01-02", "m"]), 1, 1),
                (group(&["1970-01-02", "n"]), 10, 1),
                (group(&["1970-01-03", "m"]), 100, 1)
            ]
        );
        let only = Question {
            span: Span::EVER,
            by: vec![],
            only: vec![(By::Key, "a".to_owned()), (By::Label, "task=code".to_owned())],
        };
        assert_eq!(store.spent(&only).unwrap()[0].sums.cost, 1);
        sound(store);
    });
}

#[test]
fn documents_are_kept_until_they_expire_or_are_taken_away() {
    each(|store| {
        let document = |id: &str, content: Option<&[u8]>, expires_ms| Document {
            kind: "key",
            id: id.to_owned(),
            content: content.map(Arc::from),
            expires_ms,
        };
        let documents = vec![
            document("a", Some(b"1"), None),
            document("b", Some(b"2"), Some(10)),
            document("c", Some(b""), Some(20)),
        ];
        store
            .commit(&Batch {
                documents,
                ..Batch::default()
            })
            .unwrap();
        assert_eq!(store.document("key", "b", 9).unwrap(), Some(b"2".to_vec()));
        assert_eq!(store.document("key", "b", 10).unwrap(), None);
        assert_eq!(store.document("answer", "a", 0).unwrap(), None);
        assert_eq!(store.prune(15, 0).unwrap(), Pruned { lines: 0, documents: 1 });
        let documents = vec![document("a", None, None)];
        store
            .commit(&Batch {
                documents,
                ..Batch::default()
            })
            .unwrap();
        assert_eq!(store.documents("key", 0).unwrap(), [("c".to_owned(), vec![])]);
        sound(store);
    });
}

#[test]
fn documents_of_a_kind_have_bounded_room() {
    each(|store| {
        let document = |kind, expires_ms: u64| Document {
            kind,
            id: format!("{expires_ms:03}"),
            content: Some(Arc::from(vec![7; 933])),
            expires_ms: Some(expires_ms),
        };
        let answers = (1..=10).map(|expires_ms| document("answer", expires_ms));
        let documents = answers.chain([document("key", 1)]).collect();
        store
            .commit(&Batch {
                documents,
                ..Batch::default()
            })
            .unwrap();
        // A thousand bytes each, with what is around them.
        assert_eq!(store.trim("answer", 10_000).unwrap(), 0);
        assert_eq!(store.trim("answer", 5_000).unwrap(), 6);
        let left: Vec<String> = store
            .documents("answer", 0)
            .unwrap()
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        assert_eq!(left, ["007", "008", "009", "010"]);
        assert_eq!(store.documents("key", 0).unwrap().len(), 1);
        sound(store);
    });
}

#[test]
fn forgotten_lines_stay_in_the_sums() {
    each(|store| {
        let lines = vec![
            line(1, 5, 1, tags("k", "m", &[])),
            line(2, 9_000_000, 2, tags("k", "m", &[])),
        ];
        store.commit(&booked(lines)).unwrap();
        assert_eq!(store.prune(0, 3_600_000).unwrap().lines, 1);
        assert_eq!(all(store, Span::EVER, &[]), [(vec![], 3, 2)]);
        sound(store);
    });
}

#[test]
fn numbers_do_not_come_back_when_all_that_had_them_is_forgotten() {
    each(|store| {
        let lines = vec![line(7, 5, 1, tags("k", "m", &[])), line(8, 6, 2, tags("k", "m", &[]))];
        store.commit(&booked(lines)).unwrap();
        assert_eq!(store.prune(0, u64::MAX >> 1).unwrap().lines, 1, "the last one stays");
        assert_eq!(store.open_holds().unwrap(), (vec![], 9));
        assert_eq!(all(store, Span::EVER, &[]), [(vec![], 3, 2)]);
        sound(store);
    });
}

#[test]
fn keys_are_written_beside_a_gateway_whose_tables_nobody_changes() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Sqlite::open_beside(folder.path()).is_err(), "there is none");
    let mut serving = Sqlite::open(folder.path()).unwrap();
    let lines = vec![line(1, 5, 3, tags("k", "m", &[]))];
    serving.commit(&booked(lines)).unwrap();
    serving.publish().unwrap();
    let log = folder.path().join(format!("{}-wal", super::sqlite::FILE));
    let length = || std::fs::metadata(&log).unwrap().len();
    let before = length();
    let mut beside = Sqlite::open_beside(folder.path()).unwrap();
    assert_eq!(length(), before, "the log stays the gateway's");
    let key = Document {
        kind: "key",
        id: "k".to_owned(),
        content: Some(b"{}".as_slice().into()),
        expires_ms: None,
    };
    beside
        .commit(&Batch {
            documents: vec![key],
            ..Batch::default()
        })
        .unwrap();
    assert_eq!(serving.documents("key", 0).unwrap().len(), 1);
    // A version that this one does not write stays as it is.
    let file = rusqlite::Connection::open(folder.path().join(super::sqlite::FILE)).unwrap();
    file.pragma_update(None, "user_version", 1).unwrap();
    assert!(Sqlite::open_beside(folder.path()).is_err());
    let version: i64 = file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
}

#[test]
fn a_store_is_found_again_as_it_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let batch = Batch {
        holds: vec![hold(2, 6)],
        lines: vec![line(1, 5, 3, tags("k", "m", &[]))],
        ..Batch::default()
    };
    Sqlite::open(folder.path()).unwrap().commit(&batch).unwrap();
    let store = Sqlite::open(folder.path()).unwrap();
    assert_eq!(all(&store, Span::EVER, &[]), [(vec![], 3, 1)]);
    assert_eq!(store.open_holds().unwrap(), (vec![hold(2, 6)], 3));
}

#[test]
fn a_store_of_a_newer_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sqlite::open(folder.path()).unwrap());
    let file = rusqlite::Connection::open(folder.path().join(super::sqlite::FILE)).unwrap();
    file.pragma_update(None, "user_version", 1_000).unwrap();
    drop(file);
    for refused in [Sqlite::open(folder.path()), Sqlite::open_to_read(folder.path())] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("version 1000"), "{message}");
    }
}

#[test]
fn a_changed_value_is_noticed_wherever_it_is() {
    let changes = [
        "UPDATE lines SET cost = 0",
        "UPDATE lines SET at_ms = at_ms + 1",
        "UPDATE lines SET usage = '{}'",
        "DELETE FROM lines",
        "UPDATE sums SET cost = 0 WHERE seconds = 86400",
        "UPDATE sums SET start = start + 86400 WHERE seconds = 86400",
        "DELETE FROM sums WHERE seconds = 0",
        "DELETE FROM sums WHERE seconds = 3600",
        "DELETE FROM sums WHERE seconds = 2678400",
        "DELETE FROM sums WHERE seconds = -2678400",
        "UPDATE sums SET start = start + 86400 WHERE seconds = 2678400",
        "UPDATE tags SET key = 'other'",
        "UPDATE holds SET ceiling = 0",
        "UPDATE documents SET content = x'00'",
    ];
    for change in changes {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(folder.path()).unwrap();
        let batch = Batch {
            holds: vec![hold(2, 6)],
            lines: vec![line(1, 5, 3, tags("k", "m", &[]))],
            documents: vec![Document {
                kind: "key",
                id: "a".to_owned(),
                content: Some(Arc::from(&b"1"[..])),
                expires_ms: None,
            }],
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
        let file = rusqlite::Connection::open(folder.path().join(super::sqlite::FILE)).unwrap();
        file.execute(change, []).unwrap();
        assert_ne!(store.check().unwrap(), Vec::<String>::new(), "{change}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the span, sums by hour and day with lines at both ends are the sums of the lines in it.
    #[test]
    fn any_span_of_time_is_summed_exactly(
        lines in prop::collection::vec((0u64..8_000_000_000, 0u64..1_000_000, 0usize..3), 0..60),
        from_ms in 0u64..8_000_000_000,
        length in 0u64..8_000_000_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut disk, mut memory) = (Sqlite::open(folder.path()).unwrap(), Memory::default());
        let lines: Vec<Line> = lines
            .into_iter()
            .enumerate()
            .map(|(place, (at_ms, cost, key))| line(place as u64 + 1, at_ms, cost, tags(["a", "b", "c"][key], "m", &[])))
            .collect();
        for batch in lines.chunks(7) {
            let batch = Batch { lines: batch.to_vec(), ..Batch::default() };
            disk.commit(&batch).unwrap();
            memory.commit(&batch).unwrap();
        }
        let span = Span { from_ms, to_ms: from_ms + length };
        let question = Question { span, by: vec![By::Key, By::Day], only: vec![] };
        prop_assert_eq!(disk.spent(&question).unwrap(), memory.spent(&question).unwrap());
        let question = Question { by: vec![By::Key], ..question };
        prop_assert_eq!(disk.spent(&question).unwrap(), memory.spent(&question).unwrap());
        prop_assert_eq!(disk.costs(span).unwrap(), memory.costs(span).unwrap());
        sound(&disk);
    }
}

/// Stores as released versions wrote them, with what they hold: a dump for each, never changed after its release.
const RELEASED: [&str; 3] = [
    include_str!("../../../tests/stores/1.sql"),
    include_str!("../../../tests/stores/2.sql"),
    include_str!("../../../tests/stores/3.sql"),
];

#[test]
fn a_store_of_every_release_is_read_by_this_one() {
    for dump in RELEASED {
        let folder = tempfile::tempdir().unwrap();
        let file = rusqlite::Connection::open(folder.path().join(super::sqlite::FILE)).unwrap();
        file.execute_batch(dump).unwrap();
        drop(file);
        let store = Sqlite::open(folder.path()).unwrap();
        sound(&store);
        let group = |name: &str| vec![name.to_owned()];
        assert_eq!(
            all(&store, Span::EVER, &[By::Key]),
            [(group("a"), 11, 2), (group("b"), 98, 1)]
        );
        assert_eq!(store.open_holds().unwrap(), (vec![hold(9, 6)], 10));
        assert_eq!(store.document("key", "a", 0).unwrap(), Some(b"1".to_vec()));
    }
}

/// Writes the dump of this version's store; run by hand with `POINTSMAN_DUMP=FILE` when a version is released.
#[test]
fn a_dump_of_this_version_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(folder.path()).unwrap();
    let correction = Line {
        corrects: Some(Correction { line: 3, by: -2 }),
        ..line(4, 172_800_001, 0, tags("b", "m", &[]))
    };
    let lines = vec![
        line(1, 86_400_000, 1, tags("a", "m", &[("task", "code"), ("tier", "x")])),
        line(2, 86_400_001, 10, tags("a", "n", &[("task", "chat")])),
        line(3, 172_800_000, 100, tags("b", "m", &[])),
        correction,
    ];
    let documents = vec![Document {
        kind: "key",
        id: "a".to_owned(),
        content: Some(Arc::from(&b"1"[..])),
        expires_ms: None,
    }];
    let holds = vec![hold(9, 6)];
    let batch = Batch {
        holds,
        lines,
        documents,
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    sound(&store);
    drop(store);
    if let Some(to) = std::env::var_os("POINTSMAN_DUMP") {
        std::fs::copy(folder.path().join(super::sqlite::FILE), to).unwrap();
    }
}
