//! What crosses the wire, in the model's types. `convert` turns each into its proto and back; nothing else sees protos.

use tokio::sync::oneshot;

use super::outbox::Outbox;
pub use crate::model::call::{Catalogue, Farewell, OpenAnswer, Opening, Refusal, SessionInfo};
use crate::model::hello::Hello;
pub use crate::model::message::{
    ControlDown, ControlUp, PeerMessage, PeerWord, ReplicaAnswer, ReplicaAsk, SettleAnswer, SettleAsk,
    StockPush, TradeAnswer, TradeAsk,
};
use crate::model::offices::Roster;
use crate::model::row::Outcome;
use crate::model::warehouse::GivenUp;
use crate::types::{Office, Order, OrderKind, PeerId, Quantity, Stamp, Term};

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
