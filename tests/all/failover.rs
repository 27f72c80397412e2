//! A trader dies or falls silent under load: how long until a peer that it served is served again, and what became of
//! the orders that it held. The short version runs with the tests; `BAZAAR_KILLS=20` is the long one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bazaar::node::wall_now;
use bazaar::types::Office;
use fastrand::Rng;
use rustix::process::Signal;

use super::market::{Market, SOON, Up, kill, turn, until};

/// Four buyers and two sellers place 500 orders a second; two idle peers with the highest ids begin as traders.
const LOAD: [&str; 8] = ["--buyers", "4", "--sellers", "2", "--interval", "8ms", "--deposit-every", "100ms"];
/// On an idle machine a tenth of it; a loaded one still serves again within this.
const SERVED_AGAIN_MAX: Duration = Duration::from_secs(5);

/// A trader that was stopped, and when.
struct Shot {
    trader: u32,
    office: Office,
    at: SystemTime,
}

impl Shot {
    /// Peers that this trader decided for.
    fn served(&self, buyer: u32) -> bool {
        buyer.is_multiple_of(2) == (self.office == Office::Primary)
    }
}

fn wanted(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Stops one of the paired traders with `signal` while both are busy.
fn shoot(up: &Up<'_>, office: Office, signal: Signal) -> Shot {
    up.wait_for_pair();
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 200);
    let seat = until("a living trader", SOON, || up.seat(office));
    let pid = up.node(&format!("peer-{}", seat.peer)).pid;
    let at = UNIX_EPOCH + Duration::from_micros(wall_now().0);
    kill(pid, signal);
    // The same peer may be back in office before anybody looks, in another life.
    until("another pair", SOON, || {
        let roster = up.status("warehouse")?.roster;
        let lives =
            [Office::Primary, Office::Secondary].map(|office| roster.get(office).map(|it| it.process));
        (roster.paired && !lives.contains(&Some(seat.process))).then_some(())
    });
    Shot { trader: seat.peer.0, office, at }
}

/// Per peer that the shot hit: the time from the shot to the first answer by another trader.
fn served_again(market: &Market, shot: &Shot) -> Vec<Duration> {
    let first = |buyer: u32| {
        let orders = market.dump("orders", &market.node_dir(&format!("peer-{buyer}")));
        let told = orders.iter().filter(|order| order["via"] != shot.trader);
        let told = told.filter_map(|order| humantime::parse_rfc3339(order["told_at"].as_str()?).ok());
        told.filter(|at| *at > shot.at).min().map(|at| at.duration_since(shot.at).unwrap())
    };
    (1..=4).filter(|buyer| shot.served(*buyer)).filter_map(first).collect()
}

/// Prints the median and the longest; the longest is what must hold.
fn judge(what: &str, mut times: Vec<Duration>, limit: Duration) {
    times.sort_unstable();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!("{what}: {} peers served again, median {median:?}, longest {longest:?}", times.len());
    assert!(longest <= limit, "{what}: {times:?}");
}

#[test]
fn killed_traders_are_replaced_before_their_peers_wait_long() {
    let _turn = turn();
    let kills = wanted("BAZAAR_KILLS", 3);
    let market = Market::new();
    let up = market.start(&[&LOAD[..], &["--restart", "on-crash"]].concat());
    let mut rng = Rng::new();
    let shots: Vec<Shot> = (0..kills)
        .map(|_| shoot(&up, if rng.bool() { Office::Primary } else { Office::Secondary }, Signal::KILL))
        .collect();
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 200);
    let summary = up.interrupt().expect(0).object();
    let failovers = summary["failovers"].as_array().unwrap();
    let sum = |key: &str| failovers.iter().map(|it| it[key].as_u64().unwrap_or(0)).sum::<u64>();
    eprintln!(
        "{kills} kills: {} orders, replayed {}, of them duplicates suppressed {}",
        summary["orders"],
        sum("replayed"),
        sum("duplicates")
    );
    let times: Vec<Duration> = shots.iter().flat_map(|shot| served_again(&market, shot)).collect();
    assert!(times.len() >= kills, "each shot hit a peer");
    judge("kill -9", times, SERVED_AGAIN_MAX);
    market.verify();
}

#[test]
fn a_silent_trader_is_replaced_within_the_time_of_suspicion() {
    let _turn = turn();
    let pauses = wanted("BAZAAR_PAUSES", 1);
    let market = Market::new();
    // Under load no heartbeat is needed: what is unanswered is noticed when it is overdue.
    let timers = ["--heartbeat", "5s", "--suspect-after", "1s"];
    let up = market.start(&[&LOAD[..], &timers].concat());
    let mut shots = Vec::new();
    for round in 0..pauses {
        let office = if round % 2 == 0 { Office::Primary } else { Office::Secondary };
        let shot = shoot(&up, office, Signal::STOP);
        kill(up.node(&format!("peer-{}", shot.trader)).pid, Signal::CONT);
        shots.push(shot);
    }
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 200);
    up.interrupt().expect(0);
    let times: Vec<Duration> = shots.iter().flat_map(|shot| served_again(&market, shot)).collect();
    judge("SIGSTOP under load, suspect-after 1 s", times, Duration::from_secs(2));
    market.verify();
}

#[test]
fn a_silent_trader_of_a_quiet_market_is_replaced_by_the_next_heartbeat() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&[
        "--nodes",
        "6",
        "--interval",
        "1h",
        "--deposit-every",
        "1h",
        "--heartbeat",
        "1s",
        "--suspect-after",
        "1s",
    ]);
    up.wait_for_pair();
    let trader = up.node("peer-6");
    let at = Instant::now();
    kill(trader.pid, Signal::STOP);
    until("peer 5 is primary", SOON, || (up.holder(Office::Primary)? == "peer-5").then_some(()));
    let took = at.elapsed();
    eprintln!("SIGSTOP of a quiet trader, heartbeat and suspect-after 1 s: replaced after {took:?}");
    assert!(took <= Duration::from_secs(3), "{took:?}");
    kill(trader.pid, Signal::CONT);
    market.run(&["buy", "fish"]).expect(0);
    up.interrupt().expect(0);
    market.verify();
}

#[test]
fn what_a_killed_trader_had_accepted_is_settled_by_its_partner() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&LOAD);
    up.wait_for_pair();
    let warehouse = up.node("warehouse");
    kill(warehouse.pid, Signal::STOP);
    let depth = until("orders wait at the primary", SOON, || {
        Some(up.status("peer-8")?.queue_depth).filter(|depth| *depth > 10)
    });
    up.kill("peer-8");
    kill(warehouse.pid, Signal::CONT);
    until("peer 7 is primary", SOON, || (up.holder(Office::Primary)? == "peer-7").then_some(()));
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 200);
    let summary = up.interrupt().expect(0).object();
    eprintln!("{depth} orders waited at the killed trader: {}", summary["failovers"]);
    let replayed = summary["failovers"][0]["replayed"].as_u64().unwrap();
    assert!(replayed > 0 && summary["failovers"][0]["from"] == 8, "{summary}");
    market.verify();
}
