//! Offices that nobody holds: the market stands still, and says so, whoever is asked.

use super::by_hand::{ByHand, PEERS, QUICK, WAREHOUSE};
use super::market::{Ended, SOON, run, until};

fn looked_at(hands: &ByHand, id: u32) -> Ended {
    run(hands.market.cwd(), &["status", "--connect", &hands.addr(id)])
}

fn is_not_healthy(hands: &ByHand, id: u32, why: &str) {
    let looked = looked_at(hands, id).expect(3);
    let last = looked.stdout.lines().last().unwrap();
    assert!(last.starts_with("not healthy: ") && last.contains(why), "{}", looked.stdout);
}

/// It said healthy with every peer dead.
#[test]
fn a_market_whose_peers_are_all_dead_is_not_healthy() {
    let mut hands = ByHand::empty(&QUICK);
    hands.start(&[WAREHOUSE]);
    is_not_healthy(&hands, WAREHOUSE, "no trader in office");
    hands.start(&[6]);
    until("6 is elected", SOON, || hands.holder(bazaar::types::Office::Primary));
    for id in [WAREHOUSE, 6] {
        is_not_healthy(&hands, id, "no secondary in office");
    }
    hands.start(&PEERS[..5]);
    hands.wait_for_pair();
    for id in [WAREHOUSE, 6, 5, 1] {
        until("it is healthy", SOON, || (looked_at(&hands, id).code == 0).then_some(()));
    }
    hands.kill(&PEERS);
    until("the warehouse sees that nobody is there", SOON, || {
        hands.status(WAREHOUSE)?.members.is_empty().then_some(())
    });
    is_not_healthy(&hands, WAREHOUSE, "is absent");
    // After its own start it waits for the holders before anybody may claim their offices.
    hands.kill(&[WAREHOUSE]);
    hands.start(&[WAREHOUSE]);
    is_not_healthy(&hands, WAREHOUSE, "is absent");
}
