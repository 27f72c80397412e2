use super::*;
use crate::audit::{Check, audit, fixture};
use crate::journal::{Step, Urgency, exit_on_failure, open};
use crate::model::market::Market;
use crate::model::peer::PeerState;
use crate::model::peer::entry::Entry;
use crate::ops::source::open_stores;
use crate::types::{SecretKey, Token};

/// A stopped warehouse that has lived.
fn warehouse(dir: &Path) {
    let birth = Birth::new("3f2a", PeerId::WAREHOUSE, ROLE, Token([7; 32]));
    let birth = Birth { key: Some(SecretKey([9; 32])), ..birth };
    let mut recovered = open::<Market>(dir, Some(birth), None, "", exit_on_failure()).unwrap();
    for (at, records) in fixture::Market::lived().ledger.into_iter().enumerate() {
        let (time, clock) = (WallMicros(at as u64), Stamp(1_000));
        recovered.journal.stage(Step { records, time, clock, urgency: Urgency::Now });
    }
    recovered.journal.close().unwrap();
}

fn global() -> Global {
    crate::cli::Cli::parse_from_args(["bazaar", "-q", "dump"].map(Into::into)).unwrap().global
}

fn backup_to(from: &Path, out: &Path) -> Result<u8, Failure> {
    let args = BackupArgs { out: out.to_owned(), data_dir: from.to_owned(), connect: None, archive: vec![] };
    backup(&args, &global())
}

fn restore_from(from: &Path, data_dir: &Path) -> Result<u8, Failure> {
    restore_above(from, data_dir, None)
}

fn restore_above(from: &Path, data_dir: &Path, above: Option<u64>) -> Result<u8, Failure> {
    let (from, data_dir) = (from.to_owned(), data_dir.to_owned());
    restore(&RestoreArgs { from, data_dir, accept_loss: true, above }, &global())
}

/// A stopped peer that has seen this generation.
fn peer(dir: &Path, generation: Generation) {
    let birth = Birth::new("3f2a", PeerId(4), "buyer", Token([4; 32]));
    let mut recovered = open::<PeerState>(dir, Some(birth), None, "", exit_on_failure()).unwrap();
    let (seq, hash) = (Seq(0), Hash::default());
    let records = vec![Entry::LedgerSeen { generation, seq, hash, proof: None }];
    let step = Step { records, time: WallMicros(1), clock: Stamp(1), urgency: Urgency::Now };
    recovered.journal.stage(step);
    recovered.journal.close().unwrap();
}

/// Reads a directory once its last owner has let go.
fn opened(dir: &Path) -> Source {
    open_stores(&[dir.to_owned()], &[], &mut |_, error| Err(error.into())).unwrap().pop().unwrap()
}

#[test]
fn a_backup_is_a_warehouse_and_a_restored_one_goes_on_in_a_later_generation() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    warehouse(&at("m/warehouse"));
    drop(opened(&at("m/warehouse")));
    assert_eq!(backup_to(&at("m"), &at("b")), Ok(exit::DONE));
    let rows: Vec<Vec<u8>> = opened(&at("b")).blocks(Seq(1)).map(Result::unwrap).collect();
    let own: Vec<Vec<u8>> = opened(&at("m/warehouse")).blocks(Seq(1)).map(Result::unwrap).collect();
    assert_eq!(rows, own, "the blocks as they are");
    assert_eq!(backup_to(&at("m"), &at("b")).unwrap_err().exit, exit::USAGE, "not empty");
    assert_eq!(restore_from(&at("b"), &at("m")).unwrap_err().exit, exit::DIRECTORY, "a store is there");

    let mut generations = Vec::new();
    for above in [None, None, Some(1)] {
        fs::remove_dir_all(at("m/warehouse")).unwrap();
        assert_eq!(restore_above(&at("b"), &at("m"), above), Ok(exit::DONE));
        let mut restored = [opened(&at("m/warehouse"))];
        let found = audit(&mut restored, 5).unwrap();
        assert!(found.failed().is_empty(), "{:?}", found.of(Check::Fencing));
        let blocks: Vec<Vec<u8>> = restored[0].blocks(Seq(1)).map(Result::unwrap).collect();
        assert_eq!(blocks[..own.len()], own);
        let last = Block::<Record>::decode(blocks.last().unwrap()).unwrap().records;
        let [Record::Restored { generation, .. }] = last[..] else { panic!("{last:?}") };
        generations.push(generation);
    }
    let [first, second, above] = generations[..] else { panic!("{generations:?}") };
    assert!(first.count == 1 && first.rivals(second), "of the same backup, and told apart: {generations:?}");
    assert_eq!(above.count, 2);

    let recovered = open::<Market>(&at("m/warehouse"), None, Some("3f2a"), "", exit_on_failure()).unwrap();
    assert_eq!(recovered.state.generation, above);
    assert!(recovered.state.offices.grants().next().is_none());
    drop(recovered);
}

/// Otherwise a second restore of one backup begins a generation that peers have seen already, with other rows in it.
#[test]
fn a_restore_begins_a_generation_above_what_the_stores_at_hand_have_seen() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    warehouse(&at("b"));
    drop(opened(&at("b")));
    let generation = |dir: &Path| generation::of(opened(dir).as_mut()).unwrap().count;
    for (name, seen, restored) in [("m", 3, 4), ("old", 1_795_341_600, 1_795_341_600 + (1 << 16))] {
        peer(&at(name).join("peer-4"), Generation { count: seen, random: 5 });
        assert_eq!(restore_from(&at("b"), &at(name)), Ok(exit::DONE));
        assert_eq!(generation(&at(name).join("warehouse")), restored);
    }
    assert_eq!(restore_above(&at("b"), &at("none"), Some(900)).unwrap_err().exit, exit::USAGE);
    let spent = restore_above(&at("b"), &at("none"), Some(127)).unwrap_err();
    assert!(spent.exit == exit::NO && spent.hint.unwrap().contains("another market"), "{}", spent.what);
    assert!(!at("none").exists(), "nothing was made");
}

fn last_record(dir: &Path) -> Record {
    let last = opened(dir).blocks(Seq(1)).map(Result::unwrap).last().unwrap();
    Block::<Record>::decode(&last).unwrap().records.pop().unwrap()
}

/// Otherwise a ledger that is restored when the clock has gone back gives numbers again that were given.
#[test]
fn ten_restores_of_one_backup_go_on_whatever_the_wall_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    warehouse(&at("b"));
    drop(opened(&at("b")));
    let (from, data_dir) = (at("b"), at("m"));
    let args = RestoreArgs { from, data_dir, accept_loss: true, above: None };
    let mut clocks = Vec::new();
    for (round, now) in
        [50, 3, 9_000_000_000_000_000, 0, 7, 2, 8_000, 4_000_000, 6, 1].into_iter().enumerate()
    {
        assert_eq!(restore_at(WallMicros(now), &args, &global()), Ok(exit::DONE));
        let Record::Restored { generation, clock } = last_record(&at("m/warehouse")) else { panic!() };
        assert_eq!(generation.count, round as u64 + 1);
        clocks.push(clock);
        // The next disaster: a peer is left that has seen this one, and the mark of the lost store.
        fs::remove_dir_all(at("m/warehouse/store")).unwrap();
        let _ = fs::remove_dir_all(at("m/peer-4"));
        peer(&at("m/peer-4"), generation);
        drop(opened(&at("m/peer-4")));
    }
    assert!(clocks.is_sorted_by(|one, next| one.0 + (1 << 47) < next.0), "{clocks:?}");
}

/// Without the key a restored warehouse cannot say anything that the others take for its word; who reads the backup can.
#[test]
fn a_backup_has_the_key_and_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    warehouse(&at("m/warehouse"));
    drop(opened(&at("m/warehouse")));
    assert_eq!(NodeDir::new(&at("m/warehouse")).read_key(), Some(SecretKey([9; 32])), "for while it runs");
    assert_eq!(backup_to(&at("m"), &at("b")), Ok(exit::DONE));
    assert_eq!(opened(&at("b")).key(), Some(SecretKey([9; 32])));
    assert_eq!(restore_from(&at("b"), &at("again")), Ok(exit::DONE));
    assert_eq!(opened(&at("again/warehouse")).key(), Some(SecretKey([9; 32])));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["b/store/db", "b/store/conf", "b/mark", "b/node.json", "m/warehouse/key"] {
        assert_eq!(mode(&at(name)), 0o600, "{name}");
    }
    assert_eq!((mode(&at("b")), mode(&at("b/store")), mode(&at("m/warehouse/store"))), (0o700, 0o700, 0o700));
}

#[test]
fn what_is_no_backup_or_damaged_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(restore_from(&at("none"), &at("m")).unwrap_err().exit, exit::USAGE);
    fs::create_dir_all(at("cut/store.tmp")).unwrap();
    let cut = restore_from(&at("cut"), &at("m")).unwrap_err();
    assert_eq!(cut.exit, exit::DIRECTORY);
    assert!(cut.what.contains("cut off"), "{cut:?}");
    assert!(cut.hint.is_some_and(|hint| hint.contains("take another")));

    warehouse(&at("warehouse"));
    drop(opened(&at("warehouse")));
    let mark = fs::read(at("warehouse/mark")).unwrap();
    assert_eq!(backup_to(&at("warehouse"), &at("b")), Ok(exit::DONE));
    // A mark beyond the end: the copy is older than what was durable.
    let json = NodeDir::new(&at("b")).read_node_json().unwrap();
    assert_eq!((json.cluster.as_str(), json.role.as_str()), ("3f2a", ROLE));
    fs::write(at("b/mark"), &mark[..40]).unwrap();
    let torn = restore_from(&at("b"), &at("m")).unwrap_err();
    assert!(torn.exit == exit::DIRECTORY && torn.what.contains("mark"), "{torn:?}");
    fs::write(at("b/mark"), &mark).unwrap();
    fs::write(at("b/store/db"), "no store").unwrap();
    assert_ne!(restore_from(&at("b"), &at("m")).unwrap_err().exit, exit::DONE);
    assert!(!at("m").join("warehouse").exists(), "nothing was made");
}

#[test]
fn a_loss_is_accepted_by_name() {
    let args = RestoreArgs { from: "b".into(), data_dir: "m".into(), accept_loss: false, above: None };
    let refused = restore(&args, &global()).unwrap_err();
    assert_eq!(refused.exit, exit::USAGE);
    assert!(refused.hint.unwrap().contains("--accept-loss"));
}

#[test]
fn a_market_or_its_warehouse_may_be_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(target(&at("m")), at("m/warehouse"));
    assert_eq!(target(&at("m/warehouse")), at("m/warehouse"));
    fs::create_dir_all(at("w")).unwrap();
    fs::write(at("w/node.json"), "{}").unwrap();
    assert_eq!(target(&at("w")), at("w"), "its store is lost, its name is not");
}
