//! `bazaar backup`, `restore` and `archive`: keeping a copy of the ledger, putting it in the place of a lost one, and moving
//! its older part into a file.

use std::path::PathBuf;

use clap::Args;

use super::market::MARKET_DIR;
use super::value;
use crate::types::Seq;

/// `bazaar backup`.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// Where the copy goes: an empty or a new directory
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Directory of a market or of its warehouse; a running one is asked
    #[arg(long, value_name = "DIR", default_value = MARKET_DIR, env = "BAZAAR_DATA_DIR")]
    pub data_dir: PathBuf,
    /// A node of a running market, instead of a directory
    #[arg(long, value_name = "ADDR", value_parser = value::addr)]
    pub connect: Option<value::NodeAddr>,
    /// A file that `archive` made of the ledger, copied before what the store still has (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with = "connect")]
    pub archive: Vec<PathBuf>,
}

/// `bazaar archive`.
#[derive(Args, Clone, Debug)]
pub struct ArchiveArgs {
    /// Move rows before this one, as far as whole segments go
    #[arg(long, value_name = "SEQ", value_parser = super::inspect::seq)]
    pub before: Seq,
    /// The archive: a new file
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Directory of a market or of its warehouse, which is stopped
    #[arg(long, value_name = "DIR", default_value = MARKET_DIR, env = "BAZAAR_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// `bazaar restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Directory of the market, or of its warehouse, whose store is lost
    #[arg(long, value_name = "DIR", default_value = MARKET_DIR, env = "BAZAAR_DATA_DIR")]
    pub data_dir: PathBuf,
    /// What came after the backup is lost: without this nothing is done
    #[arg(long)]
    pub accept_loss: bool,
    /// Begin a generation above this one, too: one that a node which is not at hand has seen
    #[arg(long, value_name = "GENERATION")]
    pub above: Option<u64>,
}
