//! What the warehouse's state comes to with many stores of one peer, and with many clients: bytes of a checkpoint, memory,
//! and the time of an `Open`. Small here; `--ignored --nocapture NAME` does it at full scale
//! and prints the figures.

use std::time::{Duration, Instant};

use crate::journal;
use crate::limits::{CHECKPOINT_ROOM_BYTES, CLIENT_OUTCOMES_MAX, SESSION_WINDOW};
use crate::model::call::{Answer, Ask, Opening};
use crate::model::clock::Clock;
use crate::model::fold::Fold as _;
use crate::model::market::{Market, NotTaken, Settling, Verdict};
use crate::model::row::Record;
use crate::model::step::{At, Effect, Input, Machine as _, Numbers, Past, ReplyId, Turn};
use crate::model::warehouse::{Parts, Rules, Warehouse};
use crate::types::{
    Batch, Consistency, Epoch, Generation, Hash, Money, Now, Number, Order, OrderId, OrderKind, PeerId,
    ProcessId, ProductId, Quantity, Seq, Stamp, Term, WallMicros,
};

const PEER: PeerId = PeerId(1);
const SECOND: Duration = Duration::from_secs(1);

struct NoPast;

impl Past for NoPast {
    fn holds(&self, _: Seq, _: Hash) -> Result<bool, String> {
        Ok(true)
    }
}

/// A market with one good that never sells out.
fn market() -> Market {
    let mut market = Market::default();
    let (name, clock) = ("fish".to_owned(), Stamp(1));
    put(
        &mut market,
        WallMicros(0),
        Record::Stocked { name, quantity: Quantity(1 << 30), unit_price: Money(100), clock },
    );
    market
}

fn put(market: &mut Market, time: WallMicros, record: Record) {
    market.apply_outcome(market.seq.next(), time, &record);
}

fn buy(market: &mut Market, time: WallMicros, peer: PeerId, number: Number) {
    let id = OrderId { peer, number };
    let kind = OrderKind::Buy { partial: false };
    let order = Order { id, stamp: Stamp(2), kind, product: ProductId(0), quantity: Quantity(1) };
    let by = Settling {
        told: None,
        trader: PeerId(6),
        term: Term(1),
        batch: Batch(1),
        clock: Stamp(3),
        commission_percent: 5,
    };
    let Verdict::New(record) = market.decide(&order, &by) else { panic!("{id} was not decided") };
    put(market, time, record);
}

fn session(market: &mut Market, time: WallMicros, peer: PeerId, epoch: u64, store: u64) {
    let store = Hash::of(&store.to_le_bytes());
    put(market, time, Record::Session { peer, epoch: Epoch(epoch), store, key: None, clock: Stamp(2) });
}

/// A peer that lost so many stores. In each the first order stays open, and these numbers are decided.
fn many_stores(stores: u64, numbers: &[u32]) -> Market {
    let mut market = market();
    for epoch in 0..stores {
        session(&mut market, WallMicros(epoch), PEER, epoch, epoch);
        for k in numbers {
            buy(&mut market, WallMicros(epoch), PEER, Number::new(Epoch(epoch), *k));
        }
    }
    market
}

/// So many clients, each with one order, and this time between them.
fn many_clients(clients: u32, apart: Duration) -> Market {
    let mut market = market();
    for at in 0..clients {
        let (client, time) = (PeerId(1_001 + at), WallMicros(u64::from(at) * apart.as_micros() as u64));
        session(&mut market, time, client, 0, u64::from(at));
        buy(&mut market, time, client, Number(1));
    }
    market
}

fn checkpoint_bytes(market: &Market) -> usize {
    market.parts().iter().map(|(_, part)| journal::encode(part).unwrap().len()).sum()
}

/// Opens a store of the peer, or of a new client, at a warehouse with this state, and gives the time that it took.
fn time_of_open(market: Market, peer: PeerId) -> Duration {
    let parts = Parts {
        mode: Consistency::default(),
        market,
        clock: Clock::starting_at(Stamp(9)),
        rules: Rules { commission_percent: 5, suspect_after_ms: 5_000, starts: 1 },
        cluster: String::new(),
        store: Hash::default(),
        key: None,
        process: ProcessId::default(),
        addr: String::new(),
        pid: 1,
        restore: String::new(),
        heartbeat_ms: 5_000,
        goods: Vec::new(),
    };
    let mut warehouse = Warehouse::new(parts, Now(0));
    let mut turn = Turn::new(Numbers::default(), Box::new(NoPast));
    // Its peers are heard by then.
    let at = |ms: u64| At { now: Now(ms), ..At::default() };
    for ms in (0..=5_000).step_by(100) {
        warehouse.end_turn(at(ms), &mut turn);
        turn.take_effects();
    }
    let at = at(5_001);
    let mut times: Vec<Duration> = (0..9_u64)
        .map(|nth| {
            let store = Hash::of(&(u64::MAX - nth).to_le_bytes());
            let opening = Opening {
                peer,
                store,
                cluster: String::new(),
                generation: Generation::default(),
                seen: None,
                licence: None,
            };
            let began = Instant::now();
            warehouse.step(at, Input::Asked(ReplyId(nth + 1), Ask::Open(opening)), &mut turn);
            warehouse.end_turn(at, &mut turn);
            let took = began.elapsed();
            let opened = |effect: &Effect| matches!(effect, Effect::Reply(_, Ok(Answer::Opened(_))));
            assert!(turn.take_effects().iter().any(|(_, effect)| opened(effect)));
            took
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn print(what: &str, made: impl FnOnce() -> Market, peer: PeerId) {
    // What the program itself takes is in memory by then.
    time_of_open(many_stores(3, &[2]), PEER);
    let before = resident();
    let market = made();
    let (memory, bytes) = (resident().saturating_sub(before), checkpoint_bytes(&market));
    let took = time_of_open(market, peer);
    println!(
        "{what}: {} KiB in memory, {} KiB in a checkpoint, {took:?} for an Open",
        memory >> 10,
        bytes >> 10
    );
}

/// A closed session of a peer took the room of its outcomes though they were forgotten, if its first order stayed open.
#[test]
fn a_store_that_was_replaced_takes_less_room_than_one_order_of_it() {
    let numbers: Vec<u32> = (2..202).collect();
    let (few, many) = (many_stores(20, &numbers), many_stores(40, &numbers));
    let each = (checkpoint_bytes(&many) - checkpoint_bytes(&few)) / 20;
    assert!(each < 200, "{each} bytes for a store with 200 orders");
    assert_eq!(many.invariants(), Ok(()));
    assert!(time_of_open(many, PEER) < Duration::from_secs(1));
}

/// Otherwise each client that ever bought anything is in every checkpoint with all that it bought.
#[test]
fn outcomes_of_clients_that_are_long_gone_are_not_in_a_checkpoint() {
    let clients = CLIENT_OUTCOMES_MAX as u32 + 2_000;
    let market = many_clients(clients, SECOND);
    assert_eq!(market.client_outcomes(), CLIENT_OUTCOMES_MAX);
    let by = Settling {
        told: None,
        trader: PeerId(6),
        term: Term(1),
        batch: Batch(1),
        clock: Stamp(3),
        commission_percent: 5,
    };
    let asked_again = |client: u32| {
        let id = OrderId { peer: PeerId(1_001 + client), number: Number(1) };
        let kind = OrderKind::Buy { partial: false };
        let order = Order { id, stamp: Stamp(2), kind, product: ProductId(0), quantity: Quantity(1) };
        market.decide(&order, &by)
    };
    assert_eq!(asked_again(1_999), Verdict::NotTaken(NotTaken::Stale), "never decided twice");
    assert!(matches!(asked_again(2_000), Verdict::Known(_)), "the last ones are told again");
    let bytes = checkpoint_bytes(&market) as u64;
    assert!(bytes < CHECKPOINT_ROOM_BYTES, "{bytes} bytes");
    assert_eq!(market.invariants(), Ok(()));
    let mut restored = Market::default();
    market.parts().into_iter().for_each(|(_, part)| restored.restore(part));
    assert!(restored.is_whole() && restored == market, "a checkpoint is the fold");
    assert!(time_of_open(market, PeerId(0)) < Duration::from_secs(1));
}

// One figure for each process: what an earlier one gave back to the allocator is no memory that a later one takes.

#[test]
#[ignore = "full scale, for its figures"]
fn full_scale_stores() {
    print("1,000 stores of one peer, number 2 decided", || many_stores(1_000, &[2]), PEER);
}

#[test]
#[ignore = "full scale, for its figures"]
fn full_scale_stores_with_a_gap() {
    print("1,000 stores of one peer, number 4,096 decided", || many_stores(1_000, &[SESSION_WINDOW]), PEER);
}

#[test]
#[ignore = "full scale, for its figures"]
fn full_scale_stores_with_many_gaps() {
    let each_word: Vec<u32> = (2..SESSION_WINDOW).step_by(64).collect();
    print("1,000 stores of one peer, each 64th number decided", || many_stores(1_000, &each_word), PEER);
}

#[test]
#[ignore = "full scale, for its figures"]
fn full_scale_clients() {
    print("100,000 clients at once", || many_clients(100_000, Duration::ZERO), PeerId(0));
}

#[test]
#[ignore = "full scale, for its figures"]
fn full_scale_clients_in_a_day() {
    print("100,000 clients, a second apart", || many_clients(100_000, SECOND), PeerId(0));
}
