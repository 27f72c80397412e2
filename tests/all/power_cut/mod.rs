//! Power cuts: whatever a disk may keep of unsynced writes, every acknowledged step is there after the next start.
//!
//! A child process decides orders in 200 steps (`BAZAAR_POWER_CUT_STEPS`) with the real warehouse and writes them
//! through the real journal over the real sled under `strace`, in two lives: the first ends without a close, the second
//! recovers and goes on. Its calls are replayed on a model of a disk; after every write and sync, states that a power
//! cut could leave are made real and opened with the real recovery. Each must hold all that was acknowledged by then,
//! as an unbroken chain whose fold is the state.
//!
//! `BAZAAR_POWER_CUT=all` tries every state, otherwise a sample that takes some seconds is tried. Without strace the
//! test says that it was skipped, and fails where `CI` is set. How many states were tried and failed goes to the file
//! [`PROOF`] too, since a passing test's output is not shown and `.ci/run` wants to see that it ran.

mod disk;
mod trace;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bazaar::journal::{self, Block, Journal, Recovered, Step, Ticket, Tip, Urgency};
use bazaar::model::call::{Ask, Opening};
use bazaar::model::clock::Clock;
use bazaar::model::fold::Fold;
use bazaar::model::hello::Hello;
use bazaar::model::market::Market;
use bazaar::model::message::{ControlUp, Message, SettleAnswer, SettleAsk, Stream};
use bazaar::model::row::Record;
use bazaar::model::step::{At, ConnId, Effect, Input, Machine, Numbers, Past, ReplyId, Turn};
use bazaar::model::warehouse::{Parts, Rules, Warehouse};
use bazaar::types::{
    Batch, Epoch, Generation, Hash, Money, Now, Number, Office, Order, OrderId, OrderKind, PeerId, ProcessId,
    ProductId, Quantity, Seq, Stamp, Term, Token, WallMicros,
};

use self::disk::{Disk, Files, Survive};
use self::trace::{Event, parse};

const CHILD: &str = "BAZAAR_POWER_CUT_CHILD";
/// Steps of the run, unless `BAZAAR_POWER_CUT_STEPS` says how many.
const STEPS: u64 = 200;
const CHECKPOINT_EVERY: u64 = 40;
/// States tried unless all are asked for.
const SAMPLE: usize = 700;
const NODE: &str = "node";
const ACKS: &str = "acks";
/// "tried failed", for `.ci/run`; made anew by each run.
const PROOF: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/power_cut");

fn steps() -> u64 {
    std::env::var("BAZAAR_POWER_CUT_STEPS").map_or(STEPS, |steps| steps.parse().unwrap())
}

const PEERS: u32 = 8;

fn hello(peer: u32) -> Hello {
    Hello { peer: PeerId(peer), token: Some(Token([peer as u8; 32])), ..Hello::default() }
}

/// A log that is never asked.
struct NoLog;

impl Past for NoLog {
    fn holds(&self, _: Seq, _: Hash) -> Result<bool, String> {
        Err("there is no log".to_owned())
    }
}

const CONTROL: ConnId = ConnId(1);
const SETTLE: ConnId = ConnId(2);

/// The real warehouse with goods, sessions, and a trader in office, in its first turn.
fn warehouse(turn: &mut Turn<Record>) -> Warehouse {
    let parts = Parts {
        mode: bazaar::types::Consistency::default(),
        restore: String::new(),
        market: Market::default(),
        clock: Clock::starting_at(Stamp(0)),
        rules: Rules { commission_percent: 5, suspect_after_ms: 1000, starts: 1 },
        cluster: "cut".to_owned(),
        store: Hash::default(),
        key: None,
        process: ProcessId::default(),
        addr: String::new(),
        pid: 1,
        heartbeat_ms: 1000,
        goods: ["boar", "fish", "salt"].map(|name| (name.to_owned(), Quantity(40), Money(100))).to_vec(),
    };
    let mut warehouse = Warehouse::new(parts, Now(0));
    let opening = |peer: u32| {
        let store = Token([peer as u8; 32]).store_id();
        Ask::Open(Opening {
            seen: None,
            licence: None,
            peer: PeerId(peer),
            store,
            cluster: String::new(),
            generation: Generation::default(),
        })
    };
    let mut inputs: Vec<Input> =
        (1..=PEERS).map(|peer| Input::Asked(ReplyId(u64::from(peer)), opening(peer))).collect();
    let trader = || Box::new(hello(PEERS));
    inputs.extend([
        Input::Opened(CONTROL, Stream::Control),
        Input::Said(CONTROL, Message::ControlUp(ControlUp { hello: Some(trader()), ..ControlUp::default() })),
        Input::Asked(ReplyId(99), Ask::Claim(trader(), Office::Primary)),
        Input::Opened(SETTLE, Stream::Settle),
        Input::Said(SETTLE, Message::SettleAsk(SettleAsk { hello: Some(trader()), ..SettleAsk::default() })),
    ]);
    let at = At { time: WallMicros(1), ..At::default() };
    inputs.into_iter().for_each(|input| warehouse.step(at, input, turn));
    turn.take_effects();
    warehouse
}

/// Order `n` of the run, counted from 0: peers take turns, half of them sell.
fn order(n: u64) -> Order {
    let peer = (n % u64::from(PEERS)) as u32 + 1;
    let number = Number::new(Epoch(0), (n / u64::from(PEERS)) as u32 + 1);
    let kind = if peer.is_multiple_of(2) {
        OrderKind::Sell
    } else {
        OrderKind::Buy { partial: n.is_multiple_of(5) }
    };
    let (product, quantity) = (ProductId((n % 3) as u16), Quantity(1 + n * 7 % 5));
    Order { id: OrderId { peer: PeerId(peer), number }, stamp: Stamp(n + 1), kind, product, quantity }
}

/// What the warehouse records in each step: mostly one order, now and then several, or more than a block holds. Step
/// `k`, from 1, has the time `k`.
fn run() -> &'static [Vec<Record>] {
    static RUN: OnceLock<Vec<Vec<Record>>> = OnceLock::new();
    RUN.get_or_init(|| {
        let mut turn = Turn::new(Numbers::default(), Box::new(NoLog));
        let (mut warehouse, mut next) = (warehouse(&mut turn), 0);
        let step = |k: u64| {
            let count = if k.is_multiple_of(17) { 900 } else { 1 + k % 4 * 8 };
            let orders = (next..next + count).map(order).collect();
            next += count;
            let ask = SettleAsk { batch: Batch(k), term: Term(1), orders, ..SettleAsk::default() };
            let at = At { time: WallMicros(k), ..At::default() };
            warehouse.step(at, Input::Said(SETTLE, Message::SettleAsk(ask)), &mut turn);
            warehouse.end_turn(at, &mut turn);
            let answers = turn.take_effects();
            let decided = answers.iter().map(|(_, effect)| match effect {
                Effect::Send(SETTLE, Message::SettleAnswer(SettleAnswer { outcomes, .. })) => outcomes.len(),
                _ => 0,
            });
            assert_eq!(decided.sum::<usize>() as u64, count, "every order of the run is decided");
            turn.take_records().0
        };
        (1..=steps()).map(step).collect()
    })
}

fn records(k: u64) -> Vec<Record> {
    run()[k as usize - 1].clone()
}

/// The state after the first `last` records.
fn state_at(last: Seq) -> Market {
    let mut state = Market::default();
    for k in 1..=steps() {
        for record in records(k) {
            if state.seq == last {
                return state;
            }
            let seq = state.seq.next();
            state.apply(seq, WallMicros(k), &record);
        }
    }
    state
}

fn open(node: &Path, fatal: journal::Fatal) -> Result<Recovered<Market>, journal::OpenError> {
    let birth = journal::Birth::new("cut", PeerId(0), "warehouse", Token([7; 32]));
    journal::open::<Market>(node, Some(birth), Some("cut"), "", fatal)
}

/// The traced process: writes steps, and a line per acknowledged sequence. Nothing to do in an ordinary test run.
#[test]
fn child() {
    let Some(root) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let mut acks = fs::OpenOptions::new().append(true).create(true).open(root.join(ACKS)).unwrap();
    let Recovered { mut journal, mut state, recovery, .. } =
        open(&root.join(NODE), journal::exit_on_failure()).unwrap();
    let first_life = steps() * 3 / 5;
    let (first, last) = if recovery.fresh { (1, first_life) } else { (first_life + 1, steps()) };
    for k in first..=last {
        let records = records(k);
        records.iter().for_each(|record| {
            let seq = state.seq.next();
            state.apply(seq, WallMicros(k), record);
        });
        let urgency = Urgency::Now;
        let ticket = journal.stage(Step { records, time: WallMicros(k), clock: Stamp(k), urgency });
        if k.is_multiple_of(CHECKPOINT_EVERY) {
            journal.checkpoint(state.parts());
        }
        // Every third step gathers in a group with the next one.
        if !k.is_multiple_of(3) || k == last {
            let seq = wait(&journal, ticket);
            acks.write_all(format!("{seq}\n").as_bytes()).unwrap();
        }
    }
    while journal.stats().checkpoints < last / CHECKPOINT_EVERY - (first - 1) / CHECKPOINT_EVERY {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The end of a kill, not of a close.
    std::process::exit(0);
}

fn wait(journal: &Journal<Market>, ticket: Ticket) -> Seq {
    let durable = journal.durable();
    let end = Instant::now() + Duration::from_secs(60);
    while durable.borrow().ticket < ticket {
        assert!(Instant::now() < end, "a step must become durable");
        std::thread::sleep(Duration::from_micros(50));
    }
    journal.reader().durable().seq
}

fn strace_is_missing() -> bool {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return false;
    }
    assert!(std::env::var_os("CI").is_none(), "strace is not installed: power cuts cannot be tested");
    eprintln!("SKIPPED power_cut: strace is not installed");
    true
}

/// Runs the child under strace and gives what it did.
fn traced(root: &Path, syncs: &mut usize) -> Vec<Event> {
    let output = root.join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "16777216", "-e", trace::CALLS, "-o"])
        .arg(&output)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "power_cut::child", "--test-threads=1"])
        .env(CHILD, root)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the traced child failed: {status}");
    let text = fs::read_to_string(&output).unwrap();
    parse(&text, &root.join(NODE), &root.join(ACKS), syncs)
}

/// A place for thousands of short-lived stores, in memory where there is such a place.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

#[test]
fn every_acknowledged_step_survives_a_power_cut_at_any_moment() {
    // Without a proof of an earlier run there is nothing to remove.
    let _ = fs::remove_file(PROOF);
    if strace_is_missing() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let mut syncs = 0;
    let mut events = traced(root.path(), &mut syncs);
    events.extend(traced(root.path(), &mut syncs));
    let (states, failures) = try_states(root.path(), &events);
    let acks = events.iter().filter(|event| matches!(event, Event::Acknowledged(_))).count();
    let db = fs::metadata(root.path().join(NODE).join("store/db")).unwrap().len();
    println!("power_cut: {} events, {syncs} syncs, {acks} acknowledgements, db of {db} B", events.len());
    println!("power_cut: {states} states tried, {} failed", failures.len());
    fs::write(PROOF, format!("{states} {}\n", failures.len())).unwrap();
    assert!(failures.is_empty(), "{} of {states} states failed; the first: {}", failures.len(), failures[0]);
    assert!(acks as u64 >= steps() * 3 / 5 && syncs >= acks, "the run was as long as it should be");
}

/// Walks through the run; tries four states where something is unsynced, one where nothing is.
fn try_states(root: &Path, events: &[Event]) -> (usize, Vec<String>) {
    let all = std::env::var("BAZAAR_POWER_CUT").is_ok_and(|value| value == "all");
    let every = if all { 1 } else { (events.len() * 4).div_ceil(SAMPLE) };
    let scratch = scratch();
    let (mut disk, mut acknowledged, mut states) = (Disk::default(), 0, 0);
    let mut failures = Vec::new();
    for (at, event) in events.iter().enumerate() {
        disk.take(event);
        if let Event::Acknowledged(seq) = event {
            acknowledged = acknowledged.max(*seq);
        }
        let survivals = [Survive::Nothing, Survive::Everything, Survive::Torn, Survive::Some(at as u64)];
        let survivals = if disk.is_settled() { &survivals[..1] } else { &survivals[..] };
        for (kind, survive) in survivals.iter().enumerate() {
            if !(at * 4 + kind * 5).is_multiple_of(every) {
                continue;
            }
            let place = scratch.path().join(format!("{states}"));
            states += 1;
            make(&disk.after_power_cut(*survive), root, &place);
            if let Err(why) = check(&place.join(NODE), acknowledged) {
                failures.push(format!("after event {at} ({survive:?}, {acknowledged} acknowledged): {why}"));
            }
            fs::remove_dir_all(&place).unwrap();
        }
    }
    (states, failures)
}

fn make(files: &Files, root: &Path, place: &Path) {
    fs::create_dir_all(place).unwrap();
    for (path, content) in files {
        let path = place.join(path.strip_prefix(root).unwrap());
        // A file may have outlived the name of its directory only if that was never synced.
        if !path.parent().is_some_and(Path::is_dir) {
            continue;
        }
        match content {
            None => fs::create_dir_all(path).unwrap(),
            Some(bytes) => fs::write(path, bytes).unwrap(),
        }
    }
}

fn check(node: &Path, acknowledged: u64) -> Result<(), String> {
    let Recovered { journal, state, recovery, .. } =
        open(node, Arc::new(|why| panic!("{why}"))).map_err(|error| error.to_string())?;
    let last = recovery.last;
    if last.0 < acknowledged {
        return Err(format!("ends at {last}"));
    }
    if state != state_at(last) {
        return Err(format!("the state at {last} is not the fold of the records"));
    }
    let mut tip = Tip::default();
    while tip.seq < last {
        for bytes in journal.reader().blocks(tip.seq.next(), 1 << 20).map_err(|error| error.to_string())? {
            let block = Block::<Record>::decode(&bytes).map_err(|error| error.to_string())?;
            if !tip.links(&block.header, &block.seal) {
                return Err(format!("block {} does not follow {}", block.header.number, tip.block));
            }
            tip = Tip { seq: block.header.last(), block: block.header.number, hash: block.seal.hash };
        }
    }
    Ok(())
}
