//! `bazaar bench`: load from other processes, and the hidden command that such a process runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::value;
use crate::limits::BATCH_ORDERS_MAX;
use crate::types::{Consistency, PeerId};

/// `bazaar bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// What is measured.
    #[command(subcommand)]
    pub target: BenchTarget,
}

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchTarget {
    /// Orders per second of the warehouse alone, settled over gRPC
    Warehouse(BenchFlags),
    /// Orders per second of a whole market with real peers, which journal what they place
    Market(BenchFlags),
    /// Time from before a peer's journal write to the outcome in hand, one order at a time
    Latency(BenchFlags),
    /// Time from kill -9 of the warehouse under load until it serves again, on a long ledger
    Recovery(RecoveryFlags),
    /// Time and memory of what dump and verify are asked, on a long ledger
    Inspect(InspectFlags),
    /// Runs warehouse and market, and fails with exit 8 if one is below the orders per second that are promised
    Floors {
        /// How long each load lasts
        #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value::period)]
        duration: Duration,
    },
}

/// Flags of every target.
#[derive(Args, Clone, Debug)]
pub struct BenchFlags {
    /// How long the load lasts
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::period)]
    pub duration: Duration,
    /// Orders per message of a load process (warehouse); peers form batches by what waits
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = batch())]
    pub batch: u32,
    /// Who places orders: load processes (warehouse; more than two share two processes, as there are two offices) or
    /// peers (market; at least a buyer and a seller)
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub clients: u32,
    /// When the traders answer (market, latency) [default: cacheless]
    #[arg(long, value_name = "MODE", value_parser = value::consistency, env = "BAZAAR_CONSISTENCY")]
    pub consistency: Option<Consistency>,
    /// Orders per second that must be reached, else exit 8
    #[arg(long, value_name = "N")]
    pub floor: Option<u64>,
    /// Where the stores go; kept [default: a temporary directory, removed]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Default for BenchFlags {
    /// As if nothing had been typed.
    fn default() -> Self {
        let (consistency, floor, data_dir) = Default::default();
        BenchFlags { duration: Duration::from_secs(10), batch: 256, clients: 2, consistency, floor, data_dir }
    }
}

/// Flags of `bench recovery`.
#[derive(Args, Clone, Debug)]
pub struct RecoveryFlags {
    /// Orders that the ledger holds before the first kill
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub orders: u64,
    /// How often it is killed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub kills: u32,
    /// Time within which it must serve every time, else exit 8
    #[arg(long, value_name = "TIME", value_parser = value::period)]
    pub within: Option<Duration>,
    /// Where the stores go; kept [default: a temporary directory, removed]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Flags of `bench inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectFlags {
    /// Rows that the ledger holds, at least
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub orders: u64,
    /// A ledger alone, with one row in each block, as weeks of few orders make it
    #[arg(long)]
    pub sparse: bool,
    /// So many times the seconds that are promised at most, else exit 8
    #[arg(long, value_name = "TIMES")]
    pub within: Option<f64>,
    /// Where the stores go; kept [default: a temporary directory, removed]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `bazaar bench-load`: one load process.
#[derive(Args, Clone, Debug)]
pub struct BenchLoadArgs {
    /// Where the warehouse listens
    #[arg(long, value_name = "ADDR", value_parser = value::addr)]
    pub warehouse: value::NodeAddr,
    /// Peer id of the process, which holds an office
    #[arg(long, value_name = "N", value_parser = value::peer)]
    pub id: PeerId,
    /// Peers whose orders it settles, with the ids after its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub sessions: u32,
    /// Orders per message
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = batch())]
    pub batch: u32,
    /// How long the load lasts
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::period)]
    pub duration: Duration,
    /// stdin is a pipe from the parent: end when it closes
    #[arg(long)]
    pub parent_pipe: bool,
}

fn batch() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=BATCH_ORDERS_MAX as i64)
}
