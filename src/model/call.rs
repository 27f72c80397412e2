//! Unary calls: what is asked, what is answered, and why not. One pair of types for both ends: a node's machine asks with
//! an [`Ask`] and is asked with one, the wire carries it.

use super::evidence::{Licence, Seen};
use super::hello::Hello;
use super::lookup::Found;
use super::market::NotTaken;
use super::offices::Roster;
use super::report::Report;
use super::row::Outcome;
use super::tentative::Tentative;
use super::warehouse::{Denied, GivenUp, Opened};
use crate::types::{
    Consistency, Epoch, Generation, Hash, Money, Number, Office, Order, OrderKind, PeerId, ProcessId,
    ProductId, Quantity, Seq, Stamp, Term,
};

/// What one node asks of another, or a person of a node.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Warehouse: catalogue and properties.
    Catalogue,
    /// Warehouse: the session of a store.
    Open(Opening),
    /// Warehouse: the session of a peer.
    Session(PeerId),
    /// Warehouse: an office.
    Claim(Box<Hello>, Office),
    /// Warehouse: a term is to end.
    Fence(Box<Hello>, Term),
    /// Warehouse: the primary (its term comes first) has brought the secondary up to date.
    Pair(Box<Hello>, Term, Term),
    /// Warehouse: the holder gives its office up.
    Resign(Box<Hello>, GivenUp),
    /// Trader: one order, answered when it is decided.
    Submit(Box<Hello>, Order),
    /// Trader: orders of an ended term, and what was told of them; answered when they are durable there.
    HandOver(Box<Hello>, Vec<Order>, Vec<Tentative>),
    /// Any node: whether it lives, and in which life.
    Probe,
    /// Any node: everything about it.
    Status,
    /// Peer: it places an order of its own: good, quantity, kind, and under which number; 0: the next one.
    Place(String, Quantity, OrderKind, Number),
    /// Peer: who sells a good, within so many hops of it.
    Find(String, u32),
    /// Peer: its shopper places no more.
    Quiesce,
    /// Peer: it goes for good.
    Leave,
    /// Trader: it settles what it has and gives its office up, to a peer or (0) to nobody.
    ResignByHand(PeerId),
    /// Warehouse: traders are to answer in this mode from now on.
    Mode(Consistency),
    /// Warehouse: what a term that ended had sold.
    Complete(Box<Hello>, Box<SalesReport>),
    /// Warehouse: what a term that ended had sold is accepted to be lost.
    Release(Term),
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// To `Catalogue`.
    Catalogue(Box<Catalogue>),
    /// To `Open`.
    Opened(Box<OpenAnswer>),
    /// To `Session`; with the warehouse's clock.
    Session(Stamp, Option<SessionInfo>),
    /// To `Claim`, `Fence`, `Pair`, `Resign` and `Complete`: the offices as they are now; with the warehouse's clock.
    Roster(Stamp, Box<Roster>),
    /// To `Submit` and `Place`; to `Submit` with the ledger that holds it, as its warehouse showed it.
    Outcome(Box<Outcome>, Option<Box<Seen>>),
    /// To `HandOver`: how many, from the first, are taken.
    Taken(u32),
    /// To `Probe`.
    Alive(ProcessId),
    /// To `Status`.
    Status(Box<Report>),
    /// To `Find`.
    Found(Box<Found>),
    /// To `Quiesce`: how many orders are open.
    Open(u64),
    /// To `Leave`.
    Left(Farewell),
    /// To `ResignByHand`: which office it was, if it had one.
    Resigned(Option<(Office, Term)>),
    /// To `Mode`: the mode before, and the row of the change; none: the market was in that mode already.
    Mode(Consistency, Option<Seq>),
    /// To `Release`: pieces that are free again, by product.
    Released(Vec<(ProductId, Quantity)>),
}

/// A part of what a term had sold, in the order of its decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalesReport {
    /// The term.
    pub term: Term,
    /// Orders of which something was told in it.
    pub orders: Vec<Order>,
    /// What.
    pub told: Vec<Tentative>,
    /// Nothing comes behind it.
    pub last: bool,
}

/// Why an answer is not the one that was waited for, for a log that people read.
pub(crate) fn why_not(answer: &Result<Answer, CallError>) -> String {
    match answer {
        Err(error) => error.to_string(),
        Ok(_) => "it answered something else".to_owned(),
    }
}

/// A store asks for its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The peer that it belongs to; 0: a new client.
    pub peer: PeerId,
    /// BLAKE3 of its token.
    pub store: Hash,
    /// The cluster that it belongs to; empty: none yet.
    pub cluster: String,
    /// In which its last session was opened.
    pub generation: Generation,
    /// What the store knows of the ledger, if anything.
    pub seen: Option<Box<Seen>>,
    /// Of an office that the peer held, if any.
    pub licence: Option<Box<Licence>>,
}

/// The answer to opening a session.
#[derive(Clone, Debug)]
pub struct OpenAnswer {
    /// The durable end of the ledger, as its warehouse shows it.
    pub seen: Option<Box<Seen>>,
    /// What was opened.
    pub opened: Opened,
    /// The warehouse's clock.
    pub clock: Stamp,
    /// The offices.
    pub roster: Roster,
    /// Counts restores.
    pub generation: Generation,
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
    pub generation: Generation,
}

/// A peer's session as traders need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The peer.
    pub peer: PeerId,
    /// Which of its stores.
    pub epoch: Epoch,
    /// BLAKE3 of that store's token.
    pub store: Hash,
    /// The peer held an office, so that it may have orders of others to hand over.
    pub held_office: bool,
}

/// What a peer did before it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Farewell {
    /// The peer.
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

/// A definite refusal of a unary call: nothing was done. The wire maps it to a gRPC status.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// An order or hand-over that stays with its sender; with the present offices as a referral.
    #[error("{0}")]
    NotTaken(NotTaken, Box<Roster>),
    /// A claim, fence or session that the warehouse does not grant.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// The request itself makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The node cannot serve this now.
    #[error("{0}")]
    Unavailable(String),
}

/// Why a call was refused that asked for no order, as far as a program acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The store is another market's, and asking again is in vain.
    OtherCluster,
    /// The store has seen a later generation of the ledger than there is, or another one with the same count.
    OlderCopy,
    /// The node is of a build that speaks otherwise.
    OtherVersion,
    /// The node cannot serve this now.
    Unavailable,
    /// The request itself makes no sense.
    Invalid,
    /// Anything else: the text says what.
    Other,
}

/// Why a unary call of ours failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No connection came about in time: nothing was sent.
    #[error("{addr} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        addr: String,
        /// What the network said.
        why: String,
        /// Nobody listens there: the process is dead.
        refused: bool,
    },
    /// A definite no to an order, with the addresses of the traders that the node knows.
    #[error("{why}")]
    NotTaken {
        /// The reason.
        why: NotTaken,
        /// Addresses of primary and secondary, as far as known.
        traders: Vec<String>,
    },
    /// A definite no to anything else.
    #[error("{text}")]
    Refused {
        /// For programs.
        cause: Cause,
        /// For people.
        text: String,
    },
    /// It was sent and nothing definite came back: it may have been done.
    #[error("{0}")]
    Unknown(String),
}

/// What a probe of a suspect found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// It answered, from this life.
    Alive(ProcessId),
    /// Nobody listens there: the process is dead.
    Dead,
    /// It neither answered nor refused the connection within [`crate::limits::PROBE_MAX`].
    Silent,
}

impl Probe {
    /// What the answer to [`Ask::Probe`] says.
    pub(crate) fn found(result: &Result<Answer, CallError>) -> Probe {
        match result {
            Ok(Answer::Alive(process)) => Probe::Alive(*process),
            Err(CallError::Unreachable { refused: true, .. }) => Probe::Dead,
            _ => Probe::Silent,
        }
    }
}
