//! The worst days: processes that die together, in the middle of a takeover, a transfer or an election, or for long,
//! under load. Each time trade goes on, the market ends cleanly, and the records hold every promise.

use std::time::{Duration, Instant};

use bazaar::model::happening::What;
use bazaar::model::offices::Roster;
use bazaar::types::Office;
use rustix::process::Signal;

use super::by_hand::{ByHand, PEERS, WAREHOUSE};
use super::market::{SOON, kill, until};

/// A moment between two steps of a node is hit by killing as soon as the first is seen; this often, until it was hit.
const TRIES: usize = 8;

/// How long the warehouse stays away, unless `BAZAAR_TEST_OUTAGE_S` says so.
fn outage() -> Duration {
    let seconds = std::env::var("BAZAAR_TEST_OUTAGE_S").map_or(3, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

#[test]
fn a_warehouse_that_is_away_for_long_changes_no_office_and_loses_nothing() {
    let mut hands = ByHand::trading(&[]);
    let before = hands.roster().unwrap();
    let depth =
        |hands: &ByHand| -> u64 { [5, 6].iter().filter_map(|id| Some(hands.status(*id)?.queue_depth)).sum() };
    hands.kill(&[WAREHOUSE]);
    let away = Instant::now();
    let early =
        until("the traders accept without the warehouse", SOON, || Some(depth(&hands)).filter(|it| *it > 50));
    let late = until("they go on accepting", SOON, || Some(depth(&hands)).filter(|it| *it > early + 200));
    assert!(hands.status(6).unwrap().health.contains("no connection to the warehouse"), "status says why");
    std::thread::sleep(outage().saturating_sub(away.elapsed()));
    let (away, late, back) = (away.elapsed(), late.max(depth(&hands)), Instant::now());
    hands.start(&[WAREHOUSE]);
    let took = hands.trade_goes_on("an outage of the warehouse", back);
    let terms = |roster: &Roster| Office::BOTH.map(|office| roster.get(office).map(|seat| seat.term));
    assert_eq!(terms(&before), terms(&hands.roster().unwrap()));
    let what = format!("warehouse killed and back after {} s, {late} orders queued", away.as_secs());
    let market = hands.ends_well(&what, took);
    assert_eq!(ByHand::rows(&market, "office").len(), 2, "offices do not change");
}

/// Orders that a trader takes while the warehouse is away, in the test of that bound.
const QUEUE_MAX: &str = "300";

#[test]
fn a_full_queue_refuses_and_recovers() {
    let mut hands = ByHand::empty(&[]);
    PEERS.iter().for_each(|id| hands.tell(*id, &["--queue-max", QUEUE_MAX]));
    hands.start_in_order();
    hands.kill(&[WAREHOUSE]);
    let said = format!("{QUEUE_MAX} orders wait for the warehouse: new ones are refused");
    for trader in [5, 6] {
        until(&format!("the queue of {trader} is full, and it says so"), SOON, || {
            (hands.status(trader)?.health == said).then_some(())
        });
    }
    until("buyers are refused", SOON, || {
        [1, 2].iter().all(|id| hands.log(*id).contains("why=busy; asking again later is safe")).then_some(())
    });
    for trader in [5, 6] {
        assert_eq!(hands.status(trader).unwrap().queue_depth.to_string(), QUEUE_MAX, "it grows no further");
    }
    let back = Instant::now();
    hands.start(&[WAREHOUSE]);
    let took = hands.trade_goes_on("full queues", back);
    hands.ends_well("warehouse away until both traders' queues were full (300 each)", took);
}

#[test]
fn a_trader_and_the_warehouse_die_together() {
    let mut hands = ByHand::trading(&[]);
    hands.kill(&[6, WAREHOUSE]);
    let back = Instant::now();
    hands.start(&[WAREHOUSE]);
    let took = hands.trade_goes_on("the death of primary and warehouse", back);
    hands.wait_for_holder(Office::Primary, 5);
    hands.start(&[6]);
    hands.wait_for_pair();
    let market = hands.ends_well("primary and warehouse killed together, warehouse started again", took);
    assert!(ByHand::rows(&market, "fence").iter().any(|row| row["trader"] == 6 && row["by"] == 5));
}

#[test]
fn all_peers_die_at_once_and_come_back() {
    let mut hands = ByHand::trading(&[]);
    let rows = hands.status(WAREHOUSE).unwrap().log.0;
    hands.kill(&PEERS);
    let back = Instant::now();
    hands.start(&PEERS);
    hands.wait_for_pair();
    let took = hands.trade_goes_on("the death of all peers", back);
    assert!(hands.status(WAREHOUSE).unwrap().log.0 > rows);
    hands.ends_well("all peers killed at once, started again", took);
}

#[test]
fn the_survivor_dies_in_the_middle_of_its_takeover() {
    let mut hands = ByHand::trading(&[]);
    let term = hands.roster().unwrap().primary.unwrap().term;
    hands.kill(&[6]);
    until("the term of 6 is fenced", SOON, || {
        let roster = hands.roster()?;
        roster.primary.is_none_or(|seat| seat.term != term).then_some(())
    });
    let dead = Instant::now();
    hands.kill(&[5]);
    let took = hands.trade_goes_on("the death of both in a takeover", dead);
    hands.start(&[5, 6]);
    hands.wait_for_pair();
    let market = hands.ends_well("primary killed, survivor killed right after its fence", took);
    let fences = ByHand::rows(&market, "fence");
    assert!(fences.iter().any(|row| row["trader"] == 6 && row["by"] == 5), "{fences:?}");
    assert!(fences.iter().any(|row| row["trader"] == 5), "{fences:?}");
}

/// Kills `victim` when the office row of a new secondary is seen, until that came before its `paired`.
fn dies_in_a_transfer(what: &str, victim: fn(&Roster) -> u32) {
    let mut hands = ByHand::trading(&[]);
    for _ in 0..TRIES {
        let (_, old) = hands.wait_for_pair();
        let pids = hands.pids();
        let watch = hands.on_events(WAREHOUSE, move |event| {
            let What::Roster(roster) = event else { return None };
            let new = roster.secondary.as_ref().filter(|seat| seat.peer.0 != old && !roster.paired)?;
            roster.primary.as_ref()?;
            let victim = victim(roster);
            kill(pids[&victim], Signal::KILL);
            Some((victim, new.term, Instant::now()))
        });
        hands.kill(&[old]);
        let (victim, term, dead) = watch.join().unwrap();
        hands.end_of(victim);
        let took = hands.trade_goes_on(what, dead);
        let pair = ByHand::rows(&hands.market, "paired").iter().any(|row| row["partner_term"] == term.0);
        hands.start(&[old, victim]);
        hands.wait_for_pair();
        if !pair {
            hands.ends_well(what, took);
            return;
        }
    }
    panic!("{what}: the moment was never hit");
}

#[test]
fn a_new_secondary_dies_during_the_transfer() {
    dies_in_a_transfer("new secondary killed before its pair was journaled", |roster| {
        roster.secondary.as_ref().unwrap().peer.0
    });
}

#[test]
fn the_primary_dies_during_the_transfer() {
    dies_in_a_transfer("primary killed while its new secondary was not paired", |roster| {
        roster.primary.as_ref().unwrap().peer.0
    });
}

#[test]
fn the_winner_of_an_election_dies_before_its_first_write() {
    let mut hands = ByHand::trading(&[]);
    for _ in 0..TRIES {
        let (primary, secondary) = hands.wait_for_pair();
        let winner = *PEERS.iter().rev().find(|id| **id != primary && **id != secondary).unwrap();
        let pid = hands.pid(winner);
        let watch = hands.on_events(winner, move |event| {
            let What::Line(line) = event else { return None };
            let term = line.split_once("I am the primary trader (term ")?.1.strip_suffix(')')?;
            kill(pid, Signal::KILL);
            Some((term.parse::<u64>().unwrap(), Instant::now()))
        });
        hands.kill(&[primary, secondary]);
        let (term, dead) = watch.join().unwrap();
        hands.end_of(winner);
        let took = hands.trade_goes_on("the death of a winner", dead);
        let wrote = hands.market.ledger().iter().any(|row| row["term"] == term && !row["amount"].is_null());
        hands.start(&[primary, secondary, winner]);
        hands.wait_for_pair();
        if !wrote {
            hands.ends_well("winner of an election killed between announcement and first write", took);
            return;
        }
    }
    panic!("the moment between announcement and first write was never hit");
}

#[test]
fn who_lost_its_directory_comes_back_as_a_new_store() {
    let mut hands = ByHand::trading(&[]);
    for (peer, what) in [(6, "a trader"), (1, "a buyer")] {
        // A store that was started more often than its successor is going to be.
        hands.kill(&[peer]);
        hands.start(&[peer]);
        hands.wait_for_pair();
        let dead = Instant::now();
        hands.kill(&[peer]);
        std::fs::remove_dir_all(hands.dir(peer)).unwrap();
        hands.move_away(peer);
        hands.start(&[peer]);
        for other in PEERS {
            until(&format!("peer {other} knows the new process of {what} at its new address"), SOON, || {
                let members = hands.status(other)?.members;
                let found = members.into_iter().find(|member| member.id.0 == peer)?;
                (found.process.epoch.0 == 1 && found.addr == hands.addr(peer)).then_some(())
            });
        }
        let took = hands.trade_goes_on(what, dead);
        eprintln!("worst day: directory of {what} deleted: trade went on after {} ms", took.as_millis());
    }
    hands.wait_for_pair();
    let took = hands.trade_goes_on("two lost directories", Instant::now());
    let market = hands.ends_well_but("directories of a trader and a buyer deleted", took, &[(6, 0), (1, 0)]);
    let bought = market.dump("orders", &market.node_dir("peer-1"));
    assert!(!bought.is_empty() && bought.iter().all(|order| order["number"].as_u64().unwrap() >> 30 == 1));
}

#[test]
fn a_paused_warehouse_changes_no_office() {
    let hands = ByHand::trading(&[]);
    hands.signal(WAREHOUSE, Signal::STOP);
    std::thread::sleep(Duration::from_secs(3));
    let back = Instant::now();
    hands.signal(WAREHOUSE, Signal::CONT);
    let took = hands.trade_goes_on("a pause of the warehouse", back);
    let market = hands.ends_well("warehouse paused for 3 s", took);
    assert_eq!(ByHand::rows(&market, "office").len(), 2, "offices do not change");
}

/// Kills a node at random moments of its first 60 ms, twenty times, half of them before it had a store.
#[test]
fn nodes_killed_while_they_start_start_in_the_end() {
    let mut hands = ByHand::trading(&[]);
    for (id, what) in [(6, "a peer"), (WAREHOUSE, "the warehouse")] {
        hands.kill(&[id]);
        let mut unready = 0;
        for round in 0..20 {
            if id != WAREHOUSE && round < 10 {
                // Whatever is left of its store is gone, too: it is killed while it makes one.
                let _ = std::fs::remove_dir_all(hands.dir(id));
            }
            hands.spawn(id);
            std::thread::sleep(Duration::from_micros(fastrand::u64(0..60_000)));
            unready += u32::from(!hands.serves(id));
            hands.kill(&[id]);
        }
        assert!(unready > 5, "it was hit while it started");
        let back = Instant::now();
        hands.start(&[id]);
        let took = hands.trade_goes_on(what, back);
        eprintln!(
            "worst day: {what} killed 20 times in its first 60 ms, {unready} times before it served: trade went on after {} ms",
            took.as_millis()
        );
    }
    hands.wait_for_pair();
    let took = hands.trade_goes_on("40 kills", Instant::now());
    hands.ends_well_but("peer and warehouse killed 20 times each while they started", took, &[(6, 0)]);
}
