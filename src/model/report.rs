//! What a node tells of itself: the body of `status`.

use super::membership::Member;
use super::offices::Roster;
use crate::types::{Generation, Hash, Money, Order, OrderId, PeerId, ProcessId, Quantity, Seq, Stamp};

/// Counts of this process's own orders.
#[derive(Clone, Debug, Default)]
pub struct Shopping {
    /// Orders placed.
    pub placed: u64,
    /// Orders that have an outcome.
    pub answered: u64,
    /// Orders that have none yet, those of earlier processes included.
    pub open: u64,
    /// This run's orders are all placed.
    pub done: bool,
    /// Outcomes `bought` and `partly_bought`.
    pub bought: u64,
    /// Outcomes `sold_out`.
    pub sold_out: u64,
    /// Outcomes `deposited`.
    pub deposits: u64,
    /// All other outcomes.
    pub refused: u64,
    /// HdrHistogram (V2 serialization) of microseconds from placing to outcome.
    pub latency_us: Vec<u8>,
    /// Unix microseconds of the first placing; 0: none.
    pub first_at: u64,
    /// Unix microseconds of the last outcome; 0: none.
    pub last_at: u64,
}

/// See the module's text. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The node's clock.
    pub clock: Stamp,
    /// 0: the warehouse.
    pub peer: PeerId,
    /// `warehouse`, `buyer`, `seller` or `idle`.
    pub role: String,
    /// The market's id.
    pub cluster: String,
    /// Of the operating system.
    pub pid: u32,
    /// Where it listens.
    pub addr: String,
    /// This life.
    pub process: ProcessId,
    /// The offices as it knows them.
    pub roster: Roster,
    /// Its own log, durably.
    pub log: (Seq, Hash),
    /// The ledger as it has heard of it.
    pub ledger: (Seq, Hash),
    /// Orders waiting or in flight.
    pub queue_depth: u64,
    /// The first of them in queue order.
    pub queue: Vec<Order>,
    /// The oldest of them.
    pub oldest: Option<OrderId>,
    /// How long the oldest has waited here.
    pub oldest_waiting_ms: u64,
    /// Since the last stock push.
    pub cache_age_ms: u64,
    /// Since the last sign of life from the partner or the warehouse.
    pub heartbeat_age_ms: u64,
    /// On the data directory's disk.
    pub disk_free: u64,
    /// Orders are refused until space is free again.
    pub disk_low: bool,
    /// The membership as it knows it.
    pub members: Vec<Member>,
    /// The catalogue.
    pub goods: Vec<(String, Money)>,
    /// Stock by product, as it knows it.
    pub stock: Vec<Quantity>,
    /// Ledger sequence of that stock.
    pub stock_seq: Seq,
    /// Own orders.
    pub shopping: Shopping,
    /// Elections started.
    pub elections: u64,
    /// Orders that were asked again and answered from the record.
    pub duplicates: u64,
    /// `ok`, or what is wrong.
    pub health: String,
    /// The market's consistency mode.
    pub consistency: String,
    /// Syncs of the store.
    pub syncs: u64,
    /// Bytes of blocks written.
    pub bytes_written: u64,
    /// Messages sent to other nodes.
    pub messages_sent: u64,
    /// Where the warehouse listens, as the node was told.
    pub warehouse: String,
    /// Counts restores of the warehouse, as far as the node knows.
    pub generation: Generation,
    /// The peer's neighbours in the topology.
    pub neighbours: Vec<PeerId>,
    /// Of the warehouse: stores of peers and clients that have a session.
    pub sessions: u64,
}
