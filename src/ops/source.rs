//! Where blocks are read from: a copy of a store on disk, or a running node. Readers see only this.

mod offline;

pub use offline::{InUse, node_dirs, open_offline, open_stores};

use super::output::{Failure, Row};
use crate::model::catalogue::Catalogue;
pub use crate::types::node_name;
use crate::types::{Hash, PeerId, Quantity, Seq, Stamp, WallMicros};

/// What a source says of the node whose blocks it gives.
#[derive(Clone, Debug, Default)]
pub struct SourceMeta {
    /// Whose; 0 is the warehouse.
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
    /// Further facts for `dump meta`, in the order of printing.
    pub facts: Row,
    /// A running node, which goes on while it is read.
    pub live: bool,
}

impl SourceMeta {
    /// The blocks are the warehouse's ledger, not a peer's journal.
    pub fn is_ledger(&self) -> bool {
        self.node == PeerId::WAREHOUSE
    }

    /// `warehouse` or `peer-4`: the node's directory in a market's.
    pub fn name(&self) -> String {
        node_name(self.node)
    }
}

/// Whether a store's checkpoint is the fold of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointVerdict {
    /// There is none, or the source cannot tell.
    Absent,
    /// It is, up to here.
    Equal(Seq),
    /// It is not; what differs.
    Differs(String),
}

/// The warehouse's stock as a trader has it from pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockCache {
    /// The ledger row that it goes up to.
    pub seq: Seq,
    /// Pieces by product index.
    pub stock: Vec<Quantity>,
    /// When it was asked for, by the asker's clock.
    pub asked_at: WallMicros,
}

/// Raw blocks of one node, oldest first.
pub trait BlockSource {
    /// Whose they are.
    fn meta(&self) -> &SourceMeta;

    /// The blocks from the one that holds `from`. May be asked again; a live source then gives what is there by then.
    fn blocks(&mut self, from: Seq) -> Box<dyn Iterator<Item = Result<Vec<u8>, Failure>> + '_>;

    /// The cache of a running trader as it is now; none of any other source.
    fn cache(&mut self) -> Option<StockCache> {
        None
    }

    /// Compares the store's checkpoint with the fold of its log up to there.
    fn checkpoint_check(&mut self) -> Result<CheckpointVerdict, Failure> {
        Ok(CheckpointVerdict::Absent)
    }
}

/// Blocks in memory.
#[cfg(test)]
pub(crate) struct Memory {
    pub(crate) meta: SourceMeta,
    pub(crate) blocks: Vec<Vec<u8>>,
    pub(crate) cache: Option<StockCache>,
}

#[cfg(test)]
impl BlockSource for Memory {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    fn blocks(&mut self, from: Seq) -> Box<dyn Iterator<Item = Result<Vec<u8>, Failure>> + '_> {
        use crate::journal::BlockHeader;
        let reaches =
            move |block: &&Vec<u8>| BlockHeader::peek(block).is_ok_and(|header| header.last() >= from);
        Box::new(self.blocks.iter().skip_while(move |block| !reaches(block)).cloned().map(Ok))
    }

    fn cache(&mut self) -> Option<StockCache> {
        self.cache.clone()
    }
}
