//! One run of one cell: a market is started, tried, and ended. Nothing of it stays.

use std::path::Path;

use super::results::Cell;
use super::{market, other, rig};
use crate::ops::output::Failure;
use crate::ops::rig::delay;
use crate::types::Consistency;

/// A market of `bazaar up`: peers that shop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Market {
    pub mode: Consistency,
    pub buyers: u32,
    pub sellers: u32,
    pub interval_ms: u64,
    pub deposit: (u64, u64),
    pub deposit_every_ms: u64,
    /// Of each buyer.
    pub requests: u64,
    /// Pieces of each good at first.
    pub stock: u64,
}

impl Market {
    pub(super) fn new(mode: Consistency) -> Market {
        let (buyers, sellers, interval_ms, deposit_every_ms) = (4, 2, 4, 20);
        Market {
            mode,
            buyers,
            sellers,
            interval_ms,
            deposit: (1, 5),
            deposit_every_ms,
            requests: 200,
            stock: 30,
        }
    }
}

/// What goes wrong, with the primary trader or the warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Pause,
    Partition,
    NoWarehouse,
}

impl Fault {
    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Pause => "pause",
            Fault::Partition => "partition",
            Fault::NoWarehouse => "no warehouse",
        }
    }
}

/// When it goes wrong, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub fault: Fault,
    pub first_ms: u64,
    /// From one to the next.
    pub each_ms: u64,
    pub for_ms: u64,
    pub times: u32,
}

/// A market under a load of clients that do not wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rig {
    pub mode: Consistency,
    pub peers: u32,
    /// Orders per second that are due.
    pub rate: u32,
    pub seconds: u64,
    pub trouble: Option<Trouble>,
    /// The primary is asked how old its cache is.
    pub watches_cache: bool,
    /// Each sync of the warehouse takes so much longer.
    pub late_ms: u64,
    /// The way to the warehouse takes so much longer.
    pub far_ms: u64,
}

impl Rig {
    pub(super) fn new(mode: Consistency, seconds: u64) -> Rig {
        Rig { mode, peers: 2, rate: 300, seconds, trouble: None, watches_cache: false, late_ms: 0, far_ms: 0 }
    }
}

/// What is to be done for a cell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Market(Market),
    Rig(Rig),
    Ordering(Market),
    Detection { suspect_ms: u64, pause_ms: u64 },
    Election { peers: u32 },
    Recovery { rows: u64 },
}

impl Work {
    /// What it lacks on this machine, if anything.
    pub(super) fn lacks(&self) -> Option<String> {
        match self {
            Work::Rig(rig) if rig.late_ms > 0 => delay::lacks_strace(),
            _ => None,
        }
    }

    /// Runs once. `dir` is empty, and removed afterwards.
    ///
    /// # Errors
    /// The market could not be tried.
    pub(super) async fn run(&self, dir: &Path) -> Result<Cell, Failure> {
        match self {
            Work::Market(market) => market::run(market, dir).await,
            Work::Rig(rig) => rig::run(rig, dir).await,
            Work::Ordering(market) => market::ordering(market, dir).await,
            Work::Detection { suspect_ms, pause_ms } => other::detection(*suspect_ms, *pause_ms, dir).await,
            Work::Election { peers } => other::election(*peers, dir).await,
            Work::Recovery { rows } => market::recovery(*rows).await,
        }
    }
}
