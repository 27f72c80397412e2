//! What can be wrong with the configuration files. Nothing was started or written when one of these is returned.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::market::IDLE_OF_RING;
use crate::journal::mend::word;
use crate::limits::{PEERS_MAX, PRODUCT_NAME_MAX, PRODUCTS_MAX, STOCK_MAX, UNIT_PRICE_MAX};
use crate::types::{Money, PeerId};

/// A configuration that is refused. The message says what and why and names the value; [`ConfigError::hint`] the mend.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is absent or may not be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not JSON, or JSON of another shape.
    #[error("{}:{line}:{column}: {why}", file.display())]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser met.
        why: String,
        /// It is JSON, and says something else than is expected.
        is_json: bool,
    },
    /// There is no entry for the number of nodes asked for.
    #[error("{} has no entry for {nodes} nodes, only for {}", file.display(), list(entries))]
    NoEntry {
        /// Which file.
        file: PathBuf,
        /// Asked for.
        nodes: u32,
        /// The entries that there are.
        entries: Vec<String>,
    },
    /// A key or a list names something that is no peer id.
    #[error("{}: \"{peer}\" in entry \"{nodes}\" is not a peer: ids are 1 to {PEERS_MAX}", file.display())]
    NotAPeer {
        /// Which file.
        file: PathBuf,
        /// The entry.
        nodes: u32,
        /// What stands there.
        peer: String,
    },
    /// The entry lists another number of peers than its name says.
    #[error("{}: entry \"{nodes}\" lists {found} peers", file.display())]
    WrongCount {
        /// Which file.
        file: PathBuf,
        /// The entry.
        nodes: u32,
        /// Peers in it.
        found: usize,
    },
    /// Two offices need two peers.
    #[error("{nodes} peers are too few: the market has two traders")]
    TooFewPeers {
        /// Asked for.
        nodes: u32,
    },
    /// A peer is to buy and to sell.
    #[error("{}: peer {peer} is on both lists of entry \"{nodes}\"", file.display())]
    OnBothLists {
        /// Which file.
        file: PathBuf,
        /// The entry.
        nodes: u32,
        /// The peer.
        peer: PeerId,
    },
    /// A buyer or seller that the topology does not know.
    #[error("{}: {role} {peer} of entry \"{nodes}\" is absent from topology.json", file.display())]
    NotInTopology {
        /// Which file.
        file: PathBuf,
        /// The entry.
        nodes: u32,
        /// `buyer` or `seller`.
        role: &'static str,
        /// The peer.
        peer: PeerId,
    },
    /// A link leads to a peer that does not exist, or back to the peer itself.
    #[error("{}: neighbour {neighbour} of peer {peer} in entry \"{nodes}\" {why}", file.display())]
    BadNeighbour {
        /// Which file.
        file: PathBuf,
        /// The entry.
        nodes: u32,
        /// The peer that lists it.
        peer: PeerId,
        /// The neighbour.
        neighbour: PeerId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The links leave a peer cut off, so that it would never hear of the others.
    #[error("{}: no links lead from peer {from} to peer {to} in entry \"{nodes}\"", file.display())]
    Unconnected {
        /// Which file.
        file: PathBuf,
        /// The entry.
        nodes: u32,
        /// One side.
        from: PeerId,
        /// The other.
        to: PeerId,
    },
    /// The number of goods is outside 1 to [`PRODUCTS_MAX`].
    #[error("{}: {goods} goods; a market has 1 to {PRODUCTS_MAX}", file.display())]
    GoodsCount {
        /// Which file.
        file: PathBuf,
        /// Goods in it.
        goods: usize,
    },
    /// A name that could not be typed as `GOOD=N`, or too long a one.
    #[error("{}: {name:?} cannot be the name of a good", file.display())]
    GoodName {
        /// Which file.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// More pieces than a product may have.
    #[error("{}: {quantity} pieces of {name} are above the limit of {STOCK_MAX}", file.display())]
    TooManyPieces {
        /// Which file.
        file: PathBuf,
        /// The good.
        name: String,
        /// Its quantity.
        quantity: u64,
    },
    /// A price that is negative, too high, or finer than a minor unit.
    #[error("{}: price {price} of {name} is not 0 to {} with at most two decimals", file.display(), Money(UNIT_PRICE_MAX))]
    Price {
        /// Which file.
        file: PathBuf,
        /// The good.
        name: String,
        /// As written.
        price: String,
    },
}

impl ConfigError {
    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            ConfigError::Unreadable { .. } => "name another directory with --config-dir".into(),
            ConfigError::Malformed { file, is_json: true, .. } => format!("write it like {}", shape(file)),
            ConfigError::Malformed { file, .. } => format!("mend that place in {}", word(file)),
            ConfigError::NoEntry { nodes, .. } => {
                let traded = nodes.saturating_sub(IDLE_OF_RING);
                let sellers = (traded / 2).min(2);
                let buyers = traded - sellers;
                format!("add one, or leave the files out: bazaar up --buyers {buyers} --sellers {sellers}")
            }
            ConfigError::NotAPeer { .. } => format!("use whole numbers from 1 to {PEERS_MAX}"),
            ConfigError::WrongCount { nodes, .. } => format!("list {nodes} peers, or rename the entry"),
            ConfigError::TooFewPeers { .. } => "ask for at least 2".into(),
            ConfigError::OnBothLists { peer, .. } => format!("take {peer} off \"buyers\" or off \"sellers\""),
            ConfigError::NotInTopology { peer, .. } => {
                format!("take {peer} off the list, or give it neighbours")
            }
            ConfigError::BadNeighbour { neighbour, .. } => {
                format!("take {neighbour} off that list of neighbours")
            }
            ConfigError::Unconnected { from, to, .. } => {
                format!("add a link, for instance from {from} to {to}")
            }
            ConfigError::GoodsCount { .. } => {
                format!("list goods like {STOCK}")
            }
            ConfigError::GoodName { .. } => {
                format!("use 1 to {PRODUCT_NAME_MAX} bytes without '=', spaces or a leading '-'")
            }
            ConfigError::TooManyPieces { .. } => "stock fewer".into(),
            ConfigError::Price { .. } => "write prices like 3 or 3.50".into(),
        }
    }
}

const STOCK: &str = r#"{"fish": {"quantity": 43, "price": 1}}"#;

/// What a file of that name looks like.
fn shape(file: &Path) -> &'static str {
    match file.file_name().and_then(OsStr::to_str) {
        Some("topology.json") => {
            r#"{"3": {"1": [2], "2": [1, 3], "3": [2]}}: of each number of peers, each peer's neighbours"#
        }
        Some("config_buyers_sellers.json") => {
            r#"{"3": {"buyers": [1], "sellers": [2]}}: of each number of peers, who does what"#
        }
        _ => STOCK,
    }
}

fn list(entries: &[String]) -> String {
    if entries.is_empty() { "none".into() } else { entries.join(", ") }
}
