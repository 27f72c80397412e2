//! Where blocks are read from: a copy of a store on disk, or a running node. Readers see only this.

mod offline;

pub use offline::{InUse, node_dirs, open_offline, open_stores};
use serde_json::Value;

use super::output::{Failure, Row};
use crate::types::{Hash, Money, PeerId, ProductId, Quantity, Seq, Stamp, WallMicros};

/// A good as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueGood {
    /// Its name.
    pub name: String,
    /// Posted price of one piece.
    pub unit_price: Money,
}

/// The goods by product index; records name them by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue(pub Vec<CatalogueGood>);

impl Catalogue {
    /// Reads `[{"name", "unit_price"}]`, as a peer's store keeps it; what is not of this form is left out.
    pub fn from_json(json: &[u8]) -> Catalogue {
        let goods: Vec<Value> = serde_json::from_slice(json).unwrap_or_default();
        let good = |good: &Value| {
            let unit_price = Money(good["unit_price"].as_i64()?);
            Some(CatalogueGood { name: good["name"].as_str()?.to_string(), unit_price })
        };
        Catalogue(goods.iter().filter_map(good).collect())
    }

    /// The good's name; `#7` for a product that the catalogue lacks.
    pub fn name(&self, product: ProductId) -> String {
        let good = self.0.get(usize::from(product.0));
        good.map_or_else(|| format!("#{product}"), |good| good.name.clone())
    }
}

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

/// `warehouse` or `peer-4`.
pub fn node_name(node: PeerId) -> String {
    if node == PeerId::WAREHOUSE { "warehouse".into() } else { format!("peer-{node}") }
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
