//! Whatever a hub issues, a store holds what it leads to.

use std::path::Path;

use crate::model::{CALENDAR, Issuer, Model, STEPS, Step, content};
use bowline_core::hub::Operation;
use bowline_driver::store::Calendar;
use bowline_sqlite::coalesce::coalesce;
use bowline_sqlite::{Options, Store};
use proptest::prelude::*;

fn open(directory: &Path) -> Store {
    Store::open(directory, &Options::default()).expect("it opens")
}

fn held(store: &mut Store, calendar: Calendar) -> Vec<Operation> {
    let mut held = Vec::new();
    store.load(calendar, |operation| held.push(operation)).expect("it loads");
    held
}

/// Commands, in batches.
fn batches(steps: usize) -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (0..STEPS, any::<u32>(), any::<u32>());
    prop::collection::vec(prop::collection::vec(step, 1..steps), 1..12)
}

proptest! {
    /// What is taken out of a batch makes no difference, not even when the batch is repeated.
    #[test]
    fn coalesced_batches_lead_to_the_same(batches in batches(40)) {
        let (mut issuer, mut whole, mut less) = (Issuer::default(), Model::default(), Model::default());
        for batch in batches {
            batch.into_iter().for_each(|step| issuer.step(step));
            let issued = std::mem::take(&mut issuer.issued);
            let left = coalesce(&issued);
            whole.apply_all(&issued);
            less.apply_all(left.iter().copied());
            prop_assert_eq!(&less, &whole);
            less.apply_all(left);
            prop_assert_eq!(&less, &whole);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A store that is opened again holds what it was told; so does one that takes up its export.
    #[test]
    fn a_store_holds_what_it_was_told(batches in batches(60)) {
        let directory = tempfile::tempdir().unwrap();
        let mut issuer = Issuer::default();
        let mut store = open(directory.path());
        for batch in batches {
            batch.into_iter().for_each(|step| issuer.step(step));
            store.apply(CALENDAR, &std::mem::take(&mut issuer.issued)).unwrap();
        }
        drop(store);
        let mut store = open(directory.path());
        let found = held(&mut store, CALENDAR);
        let model = issuer.model.seen();
        prop_assert_eq!(Model::of(&found).seen(), model.clone());
        prop_assert!(found.len() <= 8 * model.len() + 200, "{} operations", found.len());
        prop_assert!(coalesce(&found).len() == found.len(), "the fewest");
        prop_assert_eq!(store.check().unwrap(), []);

        let mut export = Vec::new();
        let count = store.export(CALENDAR, &mut export).unwrap();
        prop_assert_eq!(count, found.len() as u64);
        let other = tempfile::tempdir().unwrap();
        let mut copy = open(other.path());
        prop_assert_eq!(copy.import(CALENDAR, &mut &export[..]).unwrap(), count);
        prop_assert_eq!(Model::of(&held(&mut copy, CALENDAR)).seen(), model);
    }
}

/// Any body comes back octet by octet, whatever its topic and its head look like.
#[test]
fn messages_come_back_whole() {
    let directory = tempfile::tempdir().unwrap();
    let batch: Vec<Operation> =
        (1..200).map(|n| Operation::MessageAdded { message: n, content: content(n as u32) }).collect();
    open(directory.path()).apply(CALENDAR, &batch).unwrap();
    assert_eq!(held(&mut open(directory.path()), CALENDAR), batch);
}

/// Times are those of the calendar: another process, whose instants count from elsewhere, gets them right.
#[test]
fn ends_are_kept_in_calendar_time() {
    use bowline_core::hub::Message;
    use bowline_core::time::Instant;
    let directory = tempfile::tempdir().unwrap();
    let message = |at| {
        let content = Message::new("a", b"").unwrap().with_expiry(Instant::from_millis(at));
        vec![Operation::MessageAdded { message: 1, content }]
    };
    open(directory.path()).apply(CALENDAR, &message(60_000)).unwrap();
    // 4 s later by the calendar, in a process that is 1 s old.
    let later = Calendar { now: Instant::from_millis(1_000), unix_ms: CALENDAR.unix_ms + 4_000 };
    assert_eq!(held(&mut open(directory.path()), later), message(7_000));
    let much_later = Calendar { unix_ms: CALENDAR.unix_ms + 1_000_000, ..later };
    assert_eq!(
        held(&mut open(directory.path()), much_later),
        message(0),
        "it ended before this process began"
    );
}

/// The order of deliveries is that of their coming, also where the numbers begin again at 0.
#[test]
fn numbers_begin_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut issuer = Issuer::default();
    issuer.step((0, 0, 0));
    issuer.step((0, 0, 1)); // The second session's numbers are about to begin again.
    for n in 0..20 {
        issuer.step((6, n, 4 * n + 3));
    }
    open(directory.path()).apply(CALENDAR, &issuer.issued).unwrap();
    let found = held(&mut open(directory.path()), CALENDAR);
    let numbers: Vec<u32> = found
        .iter()
        .filter_map(|o| match o {
            Operation::Queued { session: 2, number, .. } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(numbers[..5], [u32::MAX - 3, u32::MAX - 2, u32::MAX - 1, 0, 1]);
    assert_eq!(Model::of(&found), issuer.model);
}

/// An import goes into an empty store only, and says which line makes no sense.
#[test]
fn imports_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut import = |text: &str| store.import(CALENDAR, &mut text.as_bytes()).map_err(|e| e.to_string());
    let head = r#"{"op":"bowline_store","version":1,"exported_at":0}"#;
    let message = r#"{"op":"message","message":1,"topic":"a","payload":"b","qos":1}"#;
    assert_eq!(import(message), Err("line 1: this is no export of a store".to_owned()));
    assert!(import(&head.replace(":1,", ":7,")).unwrap_err().contains("the export's version is 7"));
    assert!(import(&format!("{head}\n{{}}")).unwrap_err().starts_with("line 2: missing field `op`"));
    let bad = message.replace("\"qos\":1", "\"qos\":3");
    assert_eq!(import(&format!("{head}\n{bad}")), Err("line 2: its qos is not 0, 1 or 2".to_owned()));
    let bad = message.replace("\"topic\":\"a\"", "\"topic\":\"a/#\"");
    assert_eq!(import(&format!("{head}\n{bad}")), Err("line 2: its topic is not a topic name".to_owned()));
    assert_eq!(import(&format!("{head}\n{message}\n")), Ok(1));
    assert_eq!(import(head), Err("the store is not empty; import into a new directory".to_owned()));
}
