//! Stores of a peer that come, go and come back: what the warehouse grants, `verify` accepts.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::by_hand::{ByHand, QUICK};
use super::market::{SOON, copy_tree, until};

/// It trades: so many more answers than before.
fn trades(hands: &ByHand, id: u32) {
    let answered = |hands: &ByHand| Some(hands.status(id)?.shopping.answered);
    let before = until("it answers", SOON, || answered(hands));
    until("it trades", SOON, || (answered(hands)? > before + 3).then_some(()));
}

/// Everything that the store of peer 1 had open is answered, and it ends.
fn ends(hands: &mut ByHand, id: u32) {
    hands.signal(id, Signal::TERM);
    hands.end_of(id).expect(0);
}

#[test]
fn a_store_that_another_one_replaced_comes_back() {
    let mut hands = ByHand::trading(&QUICK);
    trades(&hands, 1);
    ends(&mut hands, 1);
    let (dir, aside) = (hands.dir(1), hands.market.cwd().join("store-a"));
    fs::rename(&dir, &aside).unwrap();
    hands.start(&[1]);
    trades(&hands, 1);
    ends(&mut hands, 1);
    let other = hands.market.cwd().join("store-b");
    fs::rename(&dir, &other).unwrap();
    // It is the first one again, under a third epoch.
    copy_tree(&aside, &dir);
    hands.start(&[1]);
    trades(&hands, 1);
    hands.kill(&[1]);
    hands.start(&[1]);
    trades(&hands, 1);
    hands.settle_everything();
    let market = hands.ends_well_but("a store came back", Duration::ZERO, &[(1, 1)]);
    let epochs: Vec<u64> = ByHand::rows(&market, "session")
        .iter()
        .filter(|row| row["peer"] == 1)
        .map(|row| row["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs, [0, 1, 2]);
    // Each of its stores agrees with the ledger.
    fs::remove_dir_all(market.node_dir("peer-1")).unwrap();
    copy_tree(&other, &market.node_dir("peer-1"));
    market.verify();
}

#[test]
fn a_new_store_that_ends_right_after_its_start_is_sound() {
    let mut hands = ByHand::trading(&QUICK);
    for round in 0..4 {
        trades(&hands, 1);
        hands.kill(&[1]);
        fs::remove_dir_all(hands.dir(1)).unwrap();
        hands.start(&[1]);
        match round % 2 {
            0 => hands.kill(&[1]),
            _ => ends(&mut hands, 1),
        }
        let verdict = hands.market.run(&["verify"]);
        assert_eq!(verdict.code, 0, "{}{}", verdict.stdout, verdict.stderr);
        hands.start(&[1]);
    }
    let lost: Vec<(u64, u64)> = (0..4).map(|epoch| (1, epoch)).collect();
    hands.ends_well_but("new stores that ended at once", Duration::ZERO, &lost);
}
