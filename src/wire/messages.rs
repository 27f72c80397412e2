//! What crosses the wire, in the model's types. `convert` turns each into its proto and back; nothing else sees protos.

use tokio::sync::oneshot;

use super::outbox::Outbox;
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::membership::Member;
use crate::model::offices::Roster;
use crate::model::row::Outcome;
use crate::model::warehouse::GivenUp;
use crate::types::{
    Batch, Epoch, Hash, Money, Office, Order, OrderId, OrderKind, PeerId, ProductId, Quantity, Seq, Stamp,
    Term,
};

/// Peer -> trader on `Trade`: first a hello, then orders in ascending numbers.
#[derive(Clone, Debug, Default)]
pub struct TradeAsk {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Hello>,
    /// Orders.
    pub orders: Vec<Order>,
}

/// Trader -> peer on `Trade`.
#[derive(Clone, Debug, Default)]
pub struct TradeAnswer {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Hello>,
    /// Decided orders.
    pub outcomes: Vec<Outcome>,
    /// Orders that stay open, or are stale.
    pub not_taken: Vec<(OrderId, NotTaken)>,
    /// The offices changed.
    pub roster: Option<Roster>,
}

/// Trader -> warehouse on `Settle`.
#[derive(Clone, Debug, Default)]
pub struct SettleAsk {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Hello>,
    /// The grant.
    pub term: Term,
    /// Numbers the batches of a term.
    pub batch: Batch,
    /// In queue order.
    pub orders: Vec<Order>,
}

/// Warehouse -> trader on `Settle`.
#[derive(Clone, Debug, Default)]
pub struct SettleAnswer {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Hello>,
    /// Which batch.
    pub batch: Batch,
    /// Decided orders.
    pub outcomes: Vec<Outcome>,
    /// Orders left open.
    pub not_taken: Vec<(OrderId, NotTaken)>,
    /// The batch as a whole was not taken, nor will be a later one of this stream.
    pub refused: Option<NotTaken>,
    /// Comes with `refused`.
    pub roster: Option<Roster>,
    /// What the ledger durably holds.
    pub ledger: (Seq, Hash),
}

/// Peer -> warehouse on `Control`.
#[derive(Clone, Debug, Default)]
pub struct ControlUp {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Hello>,
    /// Answers the warehouse's heartbeat; 0: none.
    pub heartbeat_answer: u64,
}

/// A peer's session as traders need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Whose.
    pub peer: PeerId,
    /// Which of its stores.
    pub epoch: Epoch,
    /// BLAKE3 of that store's token.
    pub store: Hash,
}

/// Warehouse -> peer on `Control`.
#[derive(Clone, Debug, Default)]
pub struct ControlDown {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Hello>,
    /// The offices, whenever they change.
    pub roster: Option<Roster>,
    /// Sessions, to traders.
    pub sessions: Vec<SessionInfo>,
    /// To be answered; 0: none.
    pub heartbeat: u64,
}

/// Warehouse -> trader on `Watch`.
#[derive(Clone, Debug, Default)]
pub struct StockPush {
    /// The sender's clock.
    pub clock: Stamp,
    /// Ledger sequence that the levels stand for.
    pub seq: Seq,
    /// Changed products.
    pub levels: Vec<(ProductId, Quantity)>,
}

/// Trader -> partner on `Replicate`.
#[derive(Clone, Debug, Default)]
pub struct ReplicaAsk {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Hello>,
    /// The sender's grant.
    pub term: Term,
    /// The chunk's place in the sender's journal.
    pub chunk: Seq,
    /// Accepted orders as the journal encodes them; may be empty.
    pub orders: Vec<u8>,
    /// Chunks below this are settled.
    pub settled_below: Seq,
}

/// Partner -> trader on `Replicate`.
#[derive(Clone, Debug, Default)]
pub struct ReplicaAnswer {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Hello>,
    /// The acknowledging trader's grant.
    pub term: Term,
    /// Everything up to this chunk is durable there.
    pub chunk: Seq,
}

/// Calls on `Replica`.
#[derive(Debug)]
pub enum ReplicaCall {
    /// A replicate stream of the other trader began.
    Opened(u64, Outbox<ReplicaAnswer>),
    /// A message on it.
    Asked(u64, Box<ReplicaAsk>),
    /// It ended.
    Closed(u64),
}

/// What peers say to each other on `Cluster.Control`.
#[derive(Clone, Debug)]
pub enum PeerWord {
    /// First message each way.
    Hello(Hello),
    /// News of the membership.
    Members(Vec<Member>),
    /// News of the offices.
    Roster(Roster),
    /// To be answered with the same number.
    Heartbeat(u64),
    /// The answer.
    HeartbeatAnswer(u64),
    /// Bully: I stand for this office; is anyone higher there?
    Election(Office),
    /// Bully: I am, and take over.
    Ok(Office),
    /// Bully: I won and hold the grant.
    Coordinator(Office),
    /// A higher id asks the primary for its office.
    Preempt,
    /// The sender has taken over the duties of this trader.
    TookOver(PeerId),
}

/// A word with the sender's clock.
#[derive(Clone, Debug)]
pub struct PeerMessage {
    /// The sender's clock.
    pub clock: Stamp,
    /// What is said.
    pub word: PeerWord,
}

/// A definite refusal of a unary call: nothing was done. `status.rs` maps it to a gRPC status.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// An order or hand-over that stays with its sender; with the present offices as a referral.
    #[error("{0}")]
    NotTaken(NotTaken, Roster),
    /// A claim, fence or session that the warehouse does not grant.
    #[error("{0}")]
    Denied(#[from] crate::model::warehouse::Denied),
    /// The request itself makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The node cannot serve this now.
    #[error("{0}")]
    Unavailable(String),
}

/// The answer slot of a unary call.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Calls on `Market`.
#[derive(Debug)]
pub enum MarketCall {
    /// A trade stream began.
    Opened(u64, Outbox<TradeAnswer>),
    /// A message on it.
    Asked(u64, TradeAsk),
    /// It ended.
    Closed(u64),
    /// One order, unary.
    Submit(Hello, Order, Reply<Outcome>),
}

/// Calls on `Cluster`.
#[derive(Debug)]
pub enum ClusterCall {
    /// A control stream of another peer began.
    Opened(u64, Outbox<PeerMessage>),
    /// A message on it.
    Said(u64, PeerMessage),
    /// It ended.
    Closed(u64),
    /// Orders of an ended term; answered when durable here: how many, from the first, are taken.
    HandOver(Hello, Vec<Order>, Reply<u32>),
}

/// A store asks for its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whose it is; 0: a new client's.
    pub peer: PeerId,
    /// BLAKE3 of its token.
    pub store: Hash,
    /// The cluster that it belongs to; empty: none yet.
    pub cluster: String,
    /// In which its last session was opened.
    pub generation: u64,
}

/// The answer to opening a session.
#[derive(Clone, Debug)]
pub struct OpenAnswer {
    /// What was opened.
    pub opened: crate::model::warehouse::Opened,
    /// The warehouse's clock.
    pub clock: Stamp,
    /// The offices.
    pub roster: Roster,
    /// Counts restores.
    pub generation: u64,
}

/// The catalogue and the market's properties.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// The warehouse's clock.
    pub clock: Stamp,
    /// The market's id.
    pub cluster: String,
    /// Its consistency mode.
    pub consistency: String,
    /// Goods with unit prices, by product id.
    pub goods: Vec<(String, Money)>,
    /// Counts restores.
    pub generation: u64,
}

/// Calls on `Warehouse`.
#[derive(Debug)]
pub enum WarehouseCall {
    /// Catalogue and properties.
    Catalogue(Reply<Catalogue>),
    /// The session of a store.
    Open(Opening, Reply<OpenAnswer>),
    /// The session of a peer.
    Session(PeerId, Reply<(Stamp, Option<SessionInfo>)>),
    /// An office is asked for.
    Claim(Hello, Office, Reply<(Stamp, Roster)>),
    /// A term is to end.
    Fence(Hello, Term, Reply<(Stamp, Roster)>),
    /// The primary has brought the secondary (its term comes last) up to date.
    Pair(Hello, Term, Term, Reply<(Stamp, Roster)>),
    /// The holder gives its office up.
    Resign(Hello, GivenUp, Reply<(Stamp, Roster)>),
    /// A control stream began.
    ControlOpened(u64, Outbox<ControlDown>),
    /// A message on it.
    ControlSaid(u64, ControlUp),
    /// It ended.
    ControlClosed(u64),
    /// A settle stream began.
    SettleOpened(u64, Outbox<SettleAnswer>),
    /// A batch on it.
    Settle(u64, SettleAsk),
    /// It ended.
    SettleClosed(u64),
    /// A watcher of the stock.
    Watch(Outbox<StockPush>),
}

/// Calls on `Admin` that need the loop.
#[derive(Debug)]
pub enum AdminCall {
    /// Everything about the node.
    Status(Reply<Box<super::report::Report>>),
    /// The peer places an order of its own: good, quantity, kind.
    Place(String, Quantity, OrderKind, Reply<Outcome>),
    /// The shopper places no more; how many orders are open.
    Quiesce(Reply<u64>),
    /// The peer goes for good.
    Leave(Reply<Farewell>),
    /// The trader settles what it has and gives its office up, to a peer or (0) to nobody; which office it was.
    Resign(PeerId, Reply<Option<(Office, Term)>>),
}

/// What a peer did before it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Farewell {
    /// Who.
    pub peer: PeerId,
    /// The office that it gave up.
    pub office: Option<(Office, Term)>,
    /// Orders of others that are at their home now.
    pub handed_over: u64,
    /// Own orders without outcome that stay in its store, since time was up.
    pub open: u64,
    /// Orders of others that stay in its store, since no home took them in time.
    pub pending: u64,
    /// Peers that have confirmed that they know of it.
    pub told: u32,
}

/// What a client stream of this node came to; `u64` is the number that the node gave the stream.
#[derive(Debug)]
pub enum StreamEvent<T> {
    /// Connected, and the other side accepted the stream.
    Up(u64),
    /// A message.
    Message(u64, T),
    /// Ended, or never came up; why. `refused`: nobody listens there.
    Lost {
        /// Which stream.
        conn: u64,
        /// Nobody listens at the address: the process is dead.
        refused: bool,
        /// For the log.
        why: String,
    },
}
