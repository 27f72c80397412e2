//! What happens at a node, for people who watch it: `up` prints these.

use super::offices::Roster;
use super::row::Outcome;
use super::tentative::Tentative;
use crate::types::{Order, PeerId};

/// Something that happened at a node, for whoever watches: `up` prints these.
#[derive(Clone, Debug)]
pub struct Happening {
    /// Unix microseconds.
    pub time: u64,
    /// At which peer.
    pub peer: PeerId,
    /// What.
    pub what: What,
}

/// See [`Happening`].
#[derive(Clone, Debug)]
pub enum What {
    /// An order's outcome reached its peer.
    Told(Order, Outcome),
    /// A trader's answer reached the peer before the order was settled.
    ToldEarly(Order, Tentative),
    /// Free text.
    Line(String),
    /// The offices changed.
    Roster(Roster),
    /// The shopper has placed and heard of everything of this run.
    Done,
    /// A trader suspects another.
    Suspected(PeerId),
    /// The first order was decided under a term that replaced this trader's.
    TookOver(PeerId),
    /// All orders that this dead trader had accepted are settled.
    Replayed(PeerId, Replayed),
}

/// What became of the orders that a dead trader had accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The survivor has their outcomes.
    pub settled: u64,
    /// Of those, it had settled them itself before it died.
    pub duplicates: u64,
    /// The warehouse did not take them: they are open until their peers ask again.
    pub lost: u64,
}
