//! The hot paths of one order, each on its own: what it costs to decide, to remember, to queue, to encode and to store it.
//!
//! `cargo bench` prints a table of nanoseconds per item: the median of several rounds, with the fastest and the slowest.
//! Run without `--bench`, as `cargo test --benches` does, it goes through every path once and measures nothing.
//!
//! Beside `bazaar bench`, which measures whole processes over gRPC, this says which part moved.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bazaar::journal::{
    self, Birth, Block, ChainWriter, CodecError, MemoryDisk, RealTime, Recovered, Sealing, Setup, Step, Tip,
    Urgency,
};
use bazaar::limits::SESSION_WINDOW;
use bazaar::model::fold::Fold as _;
use bazaar::model::market::{Market, Settling, Verdict};
use bazaar::model::queue::Queue;
use bazaar::model::row::{Decision, Record, Slice, initial_lot};
use bazaar::model::session::{Decided, Standing, Window};
use bazaar::types::{
    Batch, Epoch, Hash, Money, Number, Order, OrderId, OrderKind, PeerId, ProductId, Quantity, Seq, Stamp,
    Term, Token, WallMicros,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const BUY: OrderKind = OrderKind::Buy { partial: false };
/// Records per group, about what gathers during one sync under load.
const GROUP: usize = 1_000;
const PEERS: u32 = 8;
/// Rounds that are measured, after one that is not.
const ROUNDS: usize = 15;

fn main() -> Outcome<()> {
    let measured = std::env::args().any(|arg| arg == "--bench");
    let (rounds, scale) = if measured { (ROUNDS, 1) } else { (1, 100) };
    let mut table = Table { rounds, measured };
    table.head();
    market(&mut table, 50_000 / scale)?;
    session(&mut table, 50_000 / scale)?;
    queue(&mut table, 20_000 / scale)?;
    blocks(&mut table, GROUP)?;
    let dir = tempfile::tempdir()?;
    let setup = Setup {
        dir: dir.path().to_owned(),
        birth: Some(birth()),
        key: None,
        expect_cluster: None,
        mark: None,
        sealing: Sealing::never(),
        time: Arc::<RealTime>::default(),
        fatal: journal::exit_on_failure(),
    };
    let in_memory = journal::start::<Market>(MemoryDisk::new().open(), setup)?;
    staging(&mut table, "journal: stage to durable, in memory", in_memory, 20 / scale.min(20))?;
    let on_disk = open(&dir.path().join("warehouse"))?;
    staging(&mut table, "journal: stage to durable, on disk", on_disk, 20 / scale.min(20))
}

// ---- measuring

struct Table {
    rounds: usize,
    measured: bool,
}

impl Table {
    fn head(&self) {
        if self.measured {
            println!("{:<40} {:>9} {:>9} {:>9} {:>12}", "path", "median ns", "min", "max", "items/s");
        }
    }

    /// `round` says how long its `items` took, preparation left out. The first round warms up.
    fn time(
        &mut self,
        path: &str,
        items: usize,
        mut round: impl FnMut() -> Outcome<Duration>,
    ) -> Outcome<()> {
        round()?;
        let mut each = Vec::with_capacity(self.rounds);
        for _ in 0..self.rounds {
            each.push(round()?.as_nanos() as f64 / items as f64);
        }
        each.sort_by(f64::total_cmp);
        let (median, min, max) = (each[each.len() / 2], each[0], each[each.len() - 1]);
        if self.measured {
            println!("{path:<40} {median:>9.0} {min:>9.0} {max:>9.0} {:>12.0}", 1e9 / median);
        } else {
            println!("{path}: ok");
        }
        Ok(())
    }
}

// ---- samples

fn order(at: usize, kind: OrderKind) -> Order {
    let peer = PeerId(1 + at as u32 % PEERS);
    let number = Number::new(Epoch(0), 1 + at as u32 / PEERS);
    let id = OrderId { peer, number };
    Order { id, stamp: Stamp(1 + at as u64), kind, product: ProductId(0), quantity: Quantity(2) }
}

fn settling(at: usize) -> Settling {
    let (batch, clock) = (Batch(1 + at as u64 / 64), Stamp(100 + at as u64));
    Settling { trader: PeerId(6), term: Term(1), batch, clock, commission_percent: 5, told: None }
}

fn sale(at: usize) -> Record {
    let Settling { trader, term, batch, clock, .. } = settling(at);
    let decision =
        Decision { order: order(at, BUY), clock, stock_after: Quantity(1_000), trader, term, batch };
    let slices = vec![Slice { lot: initial_lot(), quantity: Quantity(2) }];
    Record::Sale { decision, unit_price: Money(100), commission_percent: 5, slices }
}

/// A stocked warehouse with open sessions.
fn stocked() -> Market {
    let mut market = Market::default();
    let goods = Record::Stocked {
        name: "fish".into(),
        quantity: Quantity(1_000_000_000),
        unit_price: Money(100),
        clock: Stamp(1),
    };
    market.apply(Seq(1), WallMicros(1), &goods);
    for peer in 1..=PEERS {
        let (peer, store, clock) = (PeerId(peer), Hash::of(&peer.to_le_bytes()), Stamp(1));
        market.apply(
            market.seq.next(),
            WallMicros(1),
            &Record::Session { peer, epoch: Epoch(0), store, key: None, clock },
        );
    }
    market
}

// ---- the paths

/// Three buyers for each seller; numbers run on, so that session windows fill and move.
fn market(table: &mut Table, items: usize) -> Outcome<()> {
    table.time("market: decide and apply an order", items, || {
        let mut market = stocked();
        let orders: Vec<Order> = (0..items)
            .map(|at| order(at, if at.is_multiple_of(4) { OrderKind::Sell } else { BUY }))
            .collect();
        let began = Instant::now();
        for (at, order) in orders.iter().enumerate() {
            let Verdict::New(record) = market.decide(order, &settling(at)) else {
                return Err(format!("{} was not decided", order.id).into());
            };
            black_box(market.apply_outcome(market.seq.next(), WallMicros(2), &record));
        }
        let took = began.elapsed();
        market.invariants()?;
        Ok(took)
    })
}

fn session(table: &mut Table, items: usize) -> Outcome<()> {
    let outcome = sale(0).outcome(Seq(1), WallMicros(1)).ok_or("a sale is an outcome")?;
    let decided = Decided { order: order(0, BUY), outcome };
    table.time("session: ask and decide a new number", items, || {
        let mut window = Window::default();
        let began = Instant::now();
        for k in 1..=items as u32 {
            if window.standing(k) != Standing::Open {
                return Err(format!("number {k} is not open").into());
            }
            window.decide(k, decided.clone());
        }
        Ok(began.elapsed())
    })?;
    let mut window = Window::default();
    (1..=SESSION_WINDOW).for_each(|k| window.decide(k, decided.clone()));
    table.time("session: ask a decided number again", items, || {
        let began = Instant::now();
        for at in 0..items as u32 {
            black_box(window.standing(1 + at.wrapping_mul(2_654_435_761) % SESSION_WINDOW));
        }
        Ok(began.elapsed())
    })
}

/// Stamps come mixed, as from many peers; batches of 64 leave and are settled.
fn queue(table: &mut Table, items: usize) -> Outcome<()> {
    let stamp = |at: usize| Stamp(1 + (at as u64).wrapping_mul(2_654_435_761) % items as u64);
    let orders: Vec<Order> = (0..items).map(|at| Order { stamp: stamp(at), ..order(at, BUY) }).collect();
    table.time("queue: push, take by 64, done", items, || {
        let mut queue = Queue::default();
        let began = Instant::now();
        for order in &orders {
            black_box(queue.push(*order));
        }
        while !queue.is_empty() {
            for order in queue.take(64) {
                black_box(queue.done(order.id));
            }
        }
        Ok(began.elapsed())
    })
}

fn blocks(table: &mut Table, items: usize) -> Outcome<()> {
    let records: Vec<Record> = (0..items).map(sale).collect();
    let encode = |keep: &mut dyn FnMut(&[u8])| {
        ChainWriter::new(Tip::default()).write(&records, WallMicros(1), |_, bytes| {
            keep(bytes);
            Ok::<(), CodecError>(())
        })
    };
    table.time("block: encode and hash a record", items, || {
        let began = Instant::now();
        encode(&mut |bytes| {
            black_box(bytes);
        })?;
        Ok(began.elapsed())
    })?;
    let mut encoded: Vec<Vec<u8>> = Vec::new();
    encode(&mut |bytes| encoded.push(bytes.to_vec()))?;
    table.time("block: check and decode a record", items, || {
        let began = Instant::now();
        for bytes in &encoded {
            black_box(Block::<Record>::decode(bytes)?);
        }
        Ok(began.elapsed())
    })
}

fn birth() -> Birth {
    Birth::new("bench", PeerId::WAREHOUSE, "warehouse", Token([7; 32]))
}

fn open(dir: &Path) -> Outcome<Recovered<Market>> {
    Ok(journal::open::<Market>(dir, Some(birth()), None, "", journal::exit_on_failure())?)
}

/// Groups one after the other, each waited for: staging, the writer's wake-up, blocks, store and sync.
fn staging(table: &mut Table, path: &str, recovered: Recovered<Market>, groups: usize) -> Outcome<()> {
    let mut journal = recovered.journal;
    let mut durable = journal.durable();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let records: Vec<Record> = (0..GROUP).map(sale).collect();
    table.time(path, groups * GROUP, || {
        let steps: Vec<Vec<Record>> = (0..groups).map(|_| records.clone()).collect();
        let began = Instant::now();
        for records in steps {
            let clock = Stamp(journal.next_seq().0);
            let ticket = journal.stage(Step { records, time: WallMicros(1), clock, urgency: Urgency::Now });
            runtime.block_on(durable.wait_for(|durable| durable.ticket >= ticket))?;
        }
        Ok(began.elapsed())
    })?;
    journal.close()?;
    Ok(())
}
