//! What a journal must know of the state it keeps: how records become state, and how state becomes checkpoint parts.

use serde::{Serialize, de::DeserializeOwned};

use super::format_1::OfFormat1;
use super::row::OutcomeKind;
use crate::types::{Number, OrderKind, PeerId, Seq, WallMicros};

/// The trees of a node's store, by name. A warehouse has `Ledger` and its folds, a peer `Journal` and its folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// Warehouse: first sequence -> block.
    Ledger,
    /// Warehouse checkpoint: products and lots.
    Inventory,
    /// Warehouse checkpoint: balances.
    Accounts,
    /// Warehouse checkpoint: sessions with their windows. Peer checkpoint: other peers' sessions.
    Sessions,
    /// Warehouse checkpoint: grants and the term counter.
    Offices,
    /// Checkpoint: accepted orders in Lamport order (peers).
    Queue,
    /// Peer: first sequence -> block.
    Journal,
    /// Peer checkpoint: own orders that are open, and the counters.
    Orders,
    /// Peer checkpoint: the partner's accepted orders.
    Mirror,
    /// Format version, cluster, node, token, clock reserve, start count, checkpoint.
    Meta,
}

impl Tree {
    /// Name in the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tree::Ledger => "ledger",
            Tree::Inventory => "inventory",
            Tree::Accounts => "accounts",
            Tree::Sessions => "sessions",
            Tree::Offices => "offices",
            Tree::Queue => "queue",
            Tree::Journal => "journal",
            Tree::Orders => "orders",
            Tree::Mirror => "mirror",
            Tree::Meta => "meta",
        }
    }
}

/// What is counted of a record.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// The kind of its row: its place among the names of kinds.
    pub row: usize,
    /// The kind of the order that it decides, and what became of it.
    pub decided: Option<(OrderKind, OutcomeKind)>,
}

/// What a store keeps: a record of a log, or a piece of state in a checkpoint. An enum, whose variants have numbers.
pub trait Stored: Serialize + DeserializeOwned + OfFormat1 + Send + 'static {
    /// The peer that it is about, if it is about one: the block's header says so, see there.
    fn peer(&self) -> Option<PeerId> {
        None
    }

    /// What of it stays when the log is pruned behind a checkpoint that has what it adds to the state.
    fn pruned(self) -> Option<Self>
    where
        Self: Sized,
    {
        Some(self)
    }

    /// What is counted of it, for who watches the node; none: nothing.
    fn counted(&self) -> Option<Counted> {
        None
    }

    /// The orders that it shows, as ranges of one peer's numbers: a segment's index says so, for who looks for an order.
    /// Peer 0 stands for the one whose log it is.
    fn orders(&self, _seen: &mut dyn FnMut(PeerId, Number, Number)) {}
}

/// State that is a fold of a log: `apply` over all records from the default value gives it, and so do the parts of a
/// checkpoint followed by the records after it. A property test of each fold holds it to that.
pub trait Fold: Default + Send + 'static {
    /// One fact.
    type Record: Stored + Clone;
    /// A piece of state, far smaller than a block.
    type Part: Stored;
    /// The tree that holds the log's blocks.
    const LOG: Tree;

    /// Takes the record in. Deterministic; must not fail on any record that a node of this version wrote.
    fn apply(&mut self, seq: Seq, time: WallMicros, record: &Self::Record);
    /// Gives the whole state, in pieces, each with the tree it belongs to.
    fn each_part(&self, give: &mut dyn FnMut(Tree, Self::Part));
    /// The same, all at once.
    fn parts(&self) -> Vec<(Tree, Self::Part)> {
        let mut parts = Vec::new();
        self.each_part(&mut |tree, part| parts.push((tree, part)));
        parts
    }
    /// Takes one piece back into a state that started as the default value.
    fn restore(&mut self, part: Self::Part);
    /// Whether the parts that were taken back are all that this version keeps. Otherwise an earlier version wrote them, and
    /// the log is folded from its first record once more.
    fn is_whole(&self) -> bool {
        true
    }
}
