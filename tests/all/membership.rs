//! Peers that go for good and come back, and peers that nobody knew: under load, with no order lost, no view that
//! differs for long, and nobody waited for. Churn does all of it at random; `BAZAAR_CHURN_PEERS=30
//! BAZAAR_CHURN_SECONDS=120` is the long version.

use std::time::{Duration, Instant};

use bazaar::types::Office;
use rustix::process::Signal;

use super::by_hand::{ByHand, QUICK, WAREHOUSE, name};
use super::market::{
    ByHand as ByHandNode, Ended, Market, Running, SOON, bazaar, by_hand, run, status, turn, until,
};

fn wanted(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Everybody who runs believes the same, and `status` finds nothing wrong.
fn is_healthy(hands: &ByHand) -> Option<()> {
    let status = run(hands.market.cwd(), &["status", "--connect", &hands.addr(WAREHOUSE)]);
    (status.code == 0).then_some(())
}

fn wait_until_healthy(hands: &ByHand, what: &str) {
    until(&format!("the market is healthy after {what}"), SOON, || is_healthy(hands));
}

/// Peer `id` leaves; what the command said.
fn leave(hands: &mut ByHand, id: u32) -> String {
    let said = run(hands.market.cwd(), &["leave", "--connect", &hands.addr(id)]).expect(0).stdout;
    hands.end_of(id).expect(0);
    said.trim_end().to_owned()
}

/// As help shows it. Otherwise nobody knows anybody, and whoever is elected fences whoever was.
#[test]
fn peers_that_are_told_of_the_warehouse_alone_keep_one_pair() {
    let mut hands = ByHand::apart(&QUICK);
    hands.start(&[WAREHOUSE]);
    hands.start(&[1, 2, 3, 4, 5, 6]);
    hands.wait_for_holder(Office::Primary, 6);
    let pair = hands.wait_for_pair();
    let terms = |hands: &ByHand| {
        let roster = hands.roster().unwrap();
        (roster.primary.map(|seat| seat.term), roster.secondary.map(|seat| seat.term), roster.paired)
    };
    let (before, began) = (terms(&hands), Instant::now());
    // Many times as long as a peer that does not answer is waited for.
    while began.elapsed() < Duration::from_secs(12) {
        hands.trade_goes_on("a second of trade", Instant::now());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((hands.wait_for_pair(), terms(&hands)), (pair, before), "one pair all the time");
    wait_until_healthy(&hands, "a while");
    let market = hands.ends_well("peers that were told of the warehouse alone", Duration::ZERO);
    let fences = ByHand::rows(&market, "fence").into_iter().filter(|row| row["by"] != row["trader"]);
    assert_eq!(fences.count(), 0, "nobody fenced another");
}

#[test]
fn a_buyer_leaves_and_comes_back() {
    let mut hands = ByHand::trading(&[]);
    assert_eq!(leave(&mut hands, 1), "peer 1 has left");
    let connect = hands.addr(WAREHOUSE);
    wait_until_healthy(&hands, "the leave of a buyer");
    let again = run(hands.market.cwd(), &["leave", "--connect", &connect, "--peer", "1"]).expect(0);
    assert_eq!(again.stdout, "peer 1 has left before\n");
    hands.move_away(1);
    hands.start(&[1]);
    wait_until_healthy(&hands, "its return");
    let placed = hands.status(1).unwrap().shopping.answered;
    until("it trades again", SOON, || (hands.status(1)?.shopping.answered > placed + 5).then_some(()));
    hands.ends_well("a buyer left and came back elsewhere", Duration::ZERO);
}

/// No other peer's order is left without an answer; a peer that left is neither elected nor missed.
fn a_trader_leaves(office: Office, id: u32) {
    let mut hands = ByHand::trading(&[]);
    let left = Instant::now();
    let said = leave(&mut hands, id);
    assert!(
        said.starts_with(&format!("peer {id} has left: "))
            && said.contains(&format!("office {office} given up")),
        "{said}"
    );
    let took = hands.trade_goes_on("the leave of a trader", left);
    let (primary, secondary) = hands.wait_for_pair();
    assert!(primary != id && secondary != id);
    wait_until_healthy(&hands, "the leave of a trader");
    hands.start(&[id]);
    wait_until_healthy(&hands, "its return");
    hands.trade_goes_on("the return of a trader", Instant::now());
    hands.ends_well(&format!("{office} left under load and came back"), took);
}

#[test]
fn the_secondary_leaves_under_load() {
    a_trader_leaves(Office::Secondary, 5);
}

#[test]
fn the_primary_leaves_under_load() {
    a_trader_leaves(Office::Primary, 6);
}

#[test]
fn leaving_is_refused_by_name() {
    let mut hands = ByHand::trading(&[]);
    let (cwd, warehouse) = (hands.market.cwd().to_owned(), hands.addr(WAREHOUSE));
    let at = |args: &[&str]| run(&cwd, &[&["leave"], args].concat());
    at(&["--connect", &warehouse]).refused(4, "never leaves its market");
    at(&["--connect", &warehouse, "--peer", "99"]).refused(2, "there is no peer 99");
    at(&[]).refused(2, "which peer?");
    hands.kill(&[4]);
    at(&["--connect", &warehouse, "--peer", "4"]).refused(3, "peer 4 does not answer");
    hands.start(&[4]);
    hands.ends_well("refused leaves", Duration::ZERO);
}

#[test]
fn a_peer_that_nobody_knew_joins_at_any_node_and_trades() {
    let mut hands = ByHand::trading(&[]);
    let at = fastrand::u32(0..=6);
    let mut joined: Vec<u32> = Vec::new();
    for (id, at) in [(7, at), (8, 7)] {
        hands.join(id, at);
        joined.push(id);
    }
    for id in joined {
        until(&format!("{} trades", name(id)), SOON, || {
            (hands.status(id)?.shopping.answered > 5).then_some(())
        });
    }
    wait_until_healthy(&hands, "two joins");
    // A peer that joined at it is known to all, and stays so when the node that it joined at is gone.
    hands.kill(&[1]);
    hands.start(&[1]);
    wait_until_healthy(&hands, "a restart");
    let warehouse = hands.addr(WAREHOUSE);
    let twin = ["join", &warehouse, "--id", "7", "--listen", ":0", "--data-dir", "twin"];
    run(hands.market.cwd(), &twin).refused(4, "peer 7 is alive already");
    assert!(!hands.market.cwd().join("twin").exists(), "nothing was written");
    let other =
        ["join", &warehouse, "--id", "9", "--cluster", "feed", "--listen", ":0", "--data-dir", "twin"];
    run(hands.market.cwd(), &other).refused(7, "not of feed");
    let nowhere = format!("{}:9", hands.host);
    let dead = ["--timeout", "200ms", "join", &nowhere, "--id", "9", "--listen", ":0", "--data-dir", "twin"];
    run(hands.market.cwd(), &dead).refused(3, "no node to join at");
    assert!(!hands.market.cwd().join("twin").exists(), "nothing was written");
    hands.ends_well("peers that nobody knew joined", Duration::ZERO);
}

/// Otherwise it runs for ever, knows nobody, and says so nowhere.
#[test]
fn a_peer_that_is_told_to_join_another_market_ends_and_says_which() {
    let _turn = turn();
    let (here, there) = (Market::new(), Market::new());
    let warehouse = |market: &Market| by_hand(market, "warehouse", "127.0.0.1:0", &["warehouse"]);
    let (own, other) = (warehouse(&here), warehouse(&there));
    let peer = |market: &Market, of: &ByHandNode, id: &str| {
        let args = ["peer", "--id", id, "--role", "idle", "--warehouse", &of.addr];
        by_hand(market, &format!("peer-{id}"), "127.0.0.1:0", &args)
    };
    let theirs = peer(&there, &other, "2");
    let cluster = |node: &ByHandNode| status(&node.addr).unwrap().cluster;
    let both = [cluster(&own), cluster(&other)];
    let names = |ended: Ended| {
        for named in [&both[0], &both[1], &theirs.addr, "7-data"] {
            assert!(ended.stderr.contains(named), "{named}: {}", ended.stderr);
        }
    };
    let at = |warehouse: &str, join: &str| {
        let mut command = bazaar(here.cwd());
        command.args(["peer", "--id", "7", "--role", "idle", "--listen", ":0", "--data-dir", "7-data"]);
        command.args(["--warehouse", warehouse, "--join", join]);
        Running::start(command)
    };
    names(at(&own.addr, &theirs.addr).wait(SOON).refused(7, "market"));
    assert!(!here.cwd().join("7-data").exists(), "nothing was written");

    // A node that does not answer is not waited for: the warehouse names the others.
    let addr = theirs.addr.clone();
    theirs.running.signal(Signal::TERM);
    theirs.running.wait(SOON).expect(0);
    let late = at(&own.addr, &addr);
    until("its store is there", SOON, || here.cwd().join("7-data/store").exists().then_some(()));
    late.signal(Signal::TERM);
    late.wait(SOON).expect(0);
    let args = ["peer", "--id", "2", "--role", "idle", "--warehouse", &other.addr];
    let _theirs = by_hand(&there, "peer-2", &addr, &args);
    // Its own directory was of the other market before.
    let again = at(&other.addr, &addr).wait(SOON).refused(7, "7-data");
    assert!(again.stderr.contains(&both[0]) && again.stderr.contains(&both[1]), "{}", again.stderr);
}

/// What happens to one peer.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Leaves,
    Dies,
    Stops,
}

#[test]
fn churn() {
    let peers = wanted("BAZAAR_CHURN_PEERS", 8) as u32;
    let lasts = Duration::from_secs(wanted("BAZAAR_CHURN_SECONDS", 10));
    let seed = wanted("BAZAAR_TEST_SEED", fastrand::u64(..));
    eprintln!("again: BAZAAR_TEST_SEED={seed} BAZAAR_CHURN_PEERS={peers} cargo test --test all churn");
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut hands = ByHand::empty(&QUICK);
    hands.start_in_order();
    (7..=peers).for_each(|id| hands.join(id, chance.u32(1..=6)));
    let (began, mut away, mut done) = (Instant::now(), Vec::new(), [0_u32; 4]);
    while began.elapsed() < lasts {
        // Half of them stay, so that there is always somebody to trade with.
        let here: Vec<u32> = (1..=peers).filter(|id| !away.contains(id)).collect();
        if away.len() as u32 >= peers / 2 || (!away.is_empty() && chance.bool()) {
            let id = away.swap_remove(chance.usize(..away.len()));
            if chance.u8(..3) == 0 {
                hands.move_away(id);
            }
            let at = if chance.u8(..4) == 0 { WAREHOUSE } else { here[chance.usize(..here.len())] };
            hands.join(id, at);
            done[3] += 1;
            continue;
        }
        let id = here[chance.usize(..here.len())];
        let fate = [Fate::Leaves, Fate::Dies, Fate::Stops][chance.usize(..3)];
        match fate {
            Fate::Leaves => drop(leave(&mut hands, id)),
            Fate::Dies => hands.kill(&[id]),
            Fate::Stops => {
                hands.signal(id, Signal::TERM);
                hands.end_of(id).expect(0);
            }
        }
        done[fate as usize] += 1;
        away.push(id);
    }
    for id in std::mem::take(&mut away) {
        let at = (1..=peers).find(|other| hands.runs(*other)).unwrap_or(WAREHOUSE);
        hands.join(id, at);
    }
    let back = Instant::now();
    hands.wait_for_pair();
    let took = hands.trade_goes_on("churn", back);
    wait_until_healthy(&hands, "churn");
    let [left, died, stopped, joined] = done;
    hands.ends_well(
        &format!(
            "churn of {peers} peers: {left} left, {died} killed, {stopped} stopped, {joined} joined again"
        ),
        took,
    );
}
