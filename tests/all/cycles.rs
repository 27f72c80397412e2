//! Kill cycles: any of the nodes, up to all at once, die by `kill -9` under load and are started again after a while,
//! over and over, at the same addresses and on the same stores. `BAZAAR_CYCLES=200` is the long version. Traders answer in
//! `BAZAAR_MODE`, or in each mode for two cycles, in turn.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use super::market::{Market, Running, SOON, bazaar, status, turn, until};

const BUYERS: u32 = 4;
const PEERS: u32 = 8;
/// Cycles after which everything is stopped and read.
const READ_EVERY: usize = 20;
const MODES: [&str; 3] = ["cacheless", "cached", "escrow"];
/// Cycles in one mode, if all are to be seen.
const CYCLES_A_MODE: usize = 2;

/// A node with its address and store, whether it runs or not.
struct Place {
    name: String,
    args: Vec<String>,
    addr: String,
    dir: PathBuf,
    running: Option<Running>,
}

impl Place {
    fn start(&mut self, market: &Market) {
        let mut command = bazaar(market.cwd());
        command.args(&self.args).args(["--listen", &self.addr, "--data-dir"]).arg(&self.dir);
        self.running = Some(Running::start(command));
    }

    fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::KILL);
            running.wait(SOON);
        }
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::TERM);
            running.wait(SOON).expect(0);
        }
    }

    /// Nobody killed it: it has no reason to have ended.
    fn assert_alive(&mut self) {
        let Some(running) = &mut self.running else { return };
        assert!(!running.has_ended(), "{} ended by itself: {}", self.name, running.stderr());
    }
}

/// Addresses that were free a moment ago, with ports that no dialing process is given.
fn free_addrs(count: u32) -> Vec<String> {
    let free = |_| TcpListener::bind(("127.0.0.1", fastrand::u16(12_000..32_000))).ok();
    let listeners: Vec<TcpListener> = (0..10_000).filter_map(free).take(count as usize).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

/// A warehouse and eight peers in a ring, four buyers, two sellers and two idle.
fn places(market: &Market) -> Vec<Place> {
    let addrs = free_addrs(PEERS + 1);
    let place = |name: String, args: Vec<String>, at: u32| {
        let dir = market.node_dir(&name);
        Place { name, args, addr: addrs[at as usize].clone(), dir, running: None }
    };
    let strings = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<String>>();
    let mut places = vec![place("warehouse".to_owned(), strings(&["warehouse"]), 0)];
    for id in 1..=PEERS {
        let role = if id <= BUYERS {
            "buyer"
        } else if id <= BUYERS + 2 {
            "seller"
        } else {
            "idle"
        };
        let next = id % PEERS + 1;
        let neighbour = format!("{next}={}", addrs[next as usize]);
        let mut args =
            strings(&["peer", "--role", role, "--warehouse", &addrs[0], "--neighbour", &neighbour]);
        args.extend(strings(&["--id", &id.to_string(), "--interval", "4ms", "--deposit-every", "20ms"]));
        args.extend(strings(&["--heartbeat", "1s", "--suspect-after", "1s"]));
        places.push(place(format!("peer-{id}"), args, id));
    }
    places
}

fn rows(places: &[Place]) -> u64 {
    status(&places[0].addr).map_or(0, |report| report.log.0.0)
}

fn wait_for_trade(places: &mut [Place]) {
    let before = until("the warehouse answers", SOON, || Some(rows(places)).filter(|rows| *rows > 0));
    until("trade goes on", SOON, || {
        places.iter_mut().for_each(Place::assert_alive);
        (rows(places) >= before + 100).then_some(())
    });
}

/// Which nodes die this time: one, some, or all.
fn victims(rng: &mut Rng, count: usize) -> Vec<usize> {
    let wanted = match rng.u32(0..4) {
        0 | 1 => 1,
        2 => rng.usize(2..count),
        _ => count,
    };
    let mut all: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut all);
    all.truncate(wanted);
    all
}

fn cycle(market: &Market, places: &mut [Place], rng: &mut Rng, pause_max_ms: u64) {
    // The injected moment: anywhere between two syncs.
    std::thread::sleep(Duration::from_millis(rng.u64(0..200)));
    let victims = victims(rng, places.len());
    victims.iter().for_each(|at| places[*at].kill());
    let mut pauses: Vec<(u64, usize)> = victims.iter().map(|at| (rng.u64(0..=pause_max_ms), *at)).collect();
    pauses.sort_unstable();
    let mut waited = 0;
    for (pause, at) in pauses {
        // The injected absence.
        std::thread::sleep(Duration::from_millis(pause - waited));
        waited = pause;
        places[at].start(market);
    }
    wait_for_trade(places);
}

/// The mode of a cycle, counted from 0.
fn mode(cycle: usize) -> String {
    let turn = || MODES[cycle / CYCLES_A_MODE % MODES.len()].to_owned();
    std::env::var("BAZAAR_MODE").unwrap_or_else(|_| turn())
}

/// All stop in order, the warehouse last, and every store is read.
fn read(market: &Market, places: &mut [Place]) {
    places.iter_mut().rev().for_each(Place::stop);
    market.verify();
}

#[test]
fn nodes_killed_over_and_over_lose_nothing_and_do_nothing_twice() {
    let _turn = turn();
    let cycles = std::env::var("BAZAAR_CYCLES").map_or(6, |text| text.parse().unwrap());
    let pause_max_ms = if cycles > 20 { 5_000 } else { 1_000 };
    let seed =
        std::env::var("BAZAAR_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("again: BAZAAR_TEST_SEED={seed} BAZAAR_CYCLES={cycles} cargo test --test all cycles");
    let mut rng = Rng::with_seed(seed);
    let market = Market::new();
    let mut places = places(&market);
    places.iter_mut().for_each(|place| place.start(&market));
    wait_for_trade(&mut places);
    for done in 1..=cycles {
        market.run(&["mode", &mode(done - 1), "--connect", &places[0].addr]).expect(0);
        cycle(&market, &mut places, &mut rng, pause_max_ms);
        if done % READ_EVERY == 0 && done < cycles {
            read(&market, &mut places);
            eprintln!("{done} cycles: verify 0, {} ledger rows", market.ledger().len());
            places.iter_mut().for_each(|place| place.start(&market));
            wait_for_trade(&mut places);
        }
    }
    read(&market, &mut places);
    eprintln!("{cycles} cycles: verify 0, {} ledger rows", market.ledger().len());
}
