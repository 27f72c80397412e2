//! The journal as a whole, over sled and over memory.

use tempfile::TempDir;

use super::testing::{Counts, add, birth, never, step, wait};
use super::*;
use crate::model::fold::Fold as _;

fn reopen(dir: &TempDir) -> Recovered<Counts> {
    open::<Counts>(&dir.path().join("node"), Some(birth()), Some("test"), "127.0.0.1:0", never()).unwrap()
}

#[test]
fn what_was_durable_is_there_after_close_and_after_a_drop() {
    let dir = TempDir::new().unwrap();
    let mut live = Counts::default();
    for round in 0..4_u64 {
        let Recovered { mut journal, state, recovery, .. } = reopen(&dir);
        assert_eq!(state, live);
        assert_eq!((recovery.fresh, journal.meta().starts), (round == 0, round + 1));
        assert_eq!(recovery.last, live.last);
        for k in 0..50 {
            let records = vec![add(k, u64::from(k)), add(1, 1)];
            live.take(round, &records);
            let ticket = journal.stage(step(records, round));
            if k % 10 == 0 {
                wait(&journal, ticket);
            }
            if k == 25 && round != 1 {
                journal.checkpoint(live.parts());
            }
        }
        let ticket = journal.stage(step(Vec::new(), round));
        wait(&journal, ticket);
        match round % 2 {
            0 => assert_eq!(journal.close().unwrap().seq, live.last),
            _ => drop(journal),
        }
    }
}
