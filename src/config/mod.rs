//! The market's three JSON files: `topology.json`, `config_buyers_sellers.json` and `stock.json`.
//!
//! In: a directory and the number of nodes asked for. Out: goods and peers that are right, or a [`ConfigError`] that
//! names file, place, value and mend. Nothing is started on a file that was not checked whole. The default directory,
//! where it does not exist, stands for the copy of `data/` in the binary, so that `bazaar up` needs no files.

mod error;
mod file;
mod market;
mod stock;

pub use error::ConfigError;
pub(crate) use market::{PeerPlan, market, ring};
pub(crate) use stock::stock;

/// Where the files are looked for unless `--config-dir` says otherwise.
pub(crate) const DEFAULT_DIR: &str = "data";
