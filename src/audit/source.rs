//! Where blocks are read from: a store on disk or in memory, or a running node. Readers see only this.

use super::{CLIENT, Refold};
use crate::journal::{self, ReadError, State, Tip};
use crate::model::catalogue::Catalogue;
use crate::model::market::Market;
use crate::model::peer::PeerState;
use crate::types::{Hash, OrderId, PeerId, Quantity, SecretKey, Seq, Stamp, Term, node_name};

/// A node whose blocks are read.
pub type Source = Box<dyn BlockSource + Send>;

/// Why a source gives no further blocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The store cannot be read.
    #[error("{origin}: {why}")]
    Store {
        /// See [`SourceMeta::origin`].
        origin: String,
        /// What failed.
        why: ReadError,
    },
    /// A running node did not begin, or did not go on, to tell its blocks.
    #[error("the dump of {node} at {addr} broke off: {why}")]
    BrokeOff {
        /// See [`SourceMeta::name`].
        node: String,
        /// Where it was asked.
        addr: String,
        /// What the wire says, or that time was up.
        why: String,
    },
}

/// A value of [`SourceMeta::facts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A count, a number or an id.
    Number(u64),
    /// Anything else.
    Text(String),
}

/// What a source says of the node whose blocks it gives.
#[derive(Clone, Debug, Default)]
pub struct SourceMeta {
    /// The node; 0 is the warehouse.
    pub node: PeerId,
    /// What the node was made as.
    pub role: String,
    /// The market's id.
    pub cluster: String,
    /// Goods as the store knows them; empty for a warehouse, whose `stocked` rows are the catalogue.
    pub catalogue: Catalogue,
    /// Last durable (sequence, block hash) kept outside the store.
    pub mark: Option<(Seq, Hash)>,
    /// No clock value above this was used.
    pub clock_reserve: Option<Stamp>,
    /// The directory or address that was read.
    pub origin: String,
    /// Further facts under their names, for people; the auditor does not look at them.
    pub facts: Vec<(&'static str, Fact)>,
    /// A running node, which goes on while it is read.
    pub live: bool,
}

impl SourceMeta {
    /// The blocks are the warehouse's ledger, not a peer's journal.
    pub(crate) fn is_ledger(&self) -> bool {
        self.node == PeerId::WAREHOUSE
    }

    /// The store of a client that the warehouse never gave a number, so that it never ordered anything.
    pub(crate) fn never_ordered(&self) -> bool {
        self.role == CLIENT && self.is_ledger()
    }

    /// `warehouse` or `peer-4`: the node's directory in a market's.
    pub fn name(&self) -> String {
        node_name(self.node)
    }
}

/// What a log adds up to, and where it ends.
pub enum Folded {
    /// Of a warehouse.
    Ledger(journal::Folded<Market>),
    /// Of a peer.
    Journal(journal::Folded<PeerState>),
}

/// The warehouse's stock as a trader has it from pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockCache {
    /// The grant under which the trader thinks that it holds its office.
    pub term: Term,
    /// The ledger row that it goes up to.
    pub seq: Seq,
    /// Pieces by product index.
    pub stock: Vec<Quantity>,
}

/// Raw blocks as they are read; nothing comes after an error.
pub type Blocks<'a> = Box<dyn Iterator<Item = Result<Vec<u8>, SourceError>> + Send + 'a>;

/// Raw blocks of one node, oldest first.
pub trait BlockSource {
    /// The node that the blocks are of.
    fn meta(&self) -> &SourceMeta;

    /// The blocks from the one that holds `from`. May be asked again; a live source then gives what is there by then.
    fn blocks(&mut self, from: Seq) -> Blocks<'_>;

    /// The blocks from the one that holds `until` back to the first; none if the source can only give them forward.
    fn blocks_back(&mut self, _until: Seq) -> Option<Blocks<'_>> {
        None
    }

    /// The node's own state after the row `until`, or at the end of its log, if that is at hand without a look at every
    /// row. What the rows say is not checked.
    fn folded(&mut self, _until: Seq) -> Result<Option<Folded>, SourceError> {
        Ok(None)
    }

    /// Runs of rows, as first and last, among which the order may show; none: it may be anywhere.
    fn spans_of(&mut self, _order: OrderId) -> Result<Option<Vec<(Seq, Seq)>>, SourceError> {
        Ok(None)
    }

    /// Up to here some records are pruned; 0: none are.
    fn pruned_to(&self) -> Seq {
        Seq(0)
    }

    /// The rows up to this one are in archives that were not named; 0: none are.
    fn archived_to(&self) -> Seq {
        Seq(0)
    }

    /// The state before the first row, and where the log stood then, if rows before it are in archives.
    fn base(&self) -> Result<Option<(Tip, State)>, SourceError> {
        Ok(None)
    }

    /// What the warehouse signs with, for a copy of its store. Only a store on disk gives it.
    fn key(&self) -> Option<SecretKey> {
        None
    }

    /// The cache of a running trader as it is now; none of any other source.
    fn cache(&mut self) -> Option<StockCache> {
        None
    }

    /// The node's own fold, to be fed with the rows of the log and compared with the checkpoint; none if the source cannot
    /// tell.
    ///
    /// # Errors
    /// The checkpoint cannot be read; says why.
    fn refold(&mut self) -> Result<Option<Refold>, String> {
        Ok(None)
    }
}
