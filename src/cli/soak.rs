//! `bazaar soak`: how long, what load, what goes wrong, and what counts as a failure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::size::{self, Bytes};
use super::value::{self, ValueError};
use crate::limits::{SOAK_NODES_MIN, SOAK_RATE_MAX};
use crate::types::Consistency;

/// `bazaar soak`.
#[derive(Args, Clone, Debug)]
pub struct SoakArgs {
    /// How long the load lasts
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = value::period)]
    pub duration: Duration,
    /// Peers of the market, the warehouse apart
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(i64::from(SOAK_NODES_MIN)..=64))]
    pub nodes: u32,
    /// Orders per second that are due, however slow the answers are
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=i64::from(SOAK_RATE_MAX)))]
    pub rate: u32,
    /// What goes wrong: kinds with commas between, all, or none
    #[arg(long, value_name = "KINDS", default_value = "all", value_parser = faults)]
    pub faults: Faults,
    /// How often a fault, or two, or a quiet spell is drawn
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = fault_every)]
    pub fault_every: Duration,
    /// What is drawn is the same for the same seed [default: random]
    #[arg(long, value_name = "N", env = "BAZAAR_SEED")]
    pub seed: Option<u64>,
    /// Where verdict, history, schedule and pictures go [default: bazaar-soak-SEED]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Play the faults of an earlier run, by its report directory, at the same times
    #[arg(long, value_name = "DIR", conflicts_with_all = ["faults", "fault_every", "seed"])]
    pub replay: Option<PathBuf>,
    /// Go on beyond the duration until something fails, and end as soon as it does
    #[arg(long)]
    pub until_failure: bool,
    /// Growth of a node's memory per hour above which the run has failed
    #[arg(long, value_name = "SIZE/h", default_value = "8MiB/h", value_parser = per_hour)]
    pub max_rss_slope: PerHour,
    /// Growth of a node's disk per hour above which the run has failed
    #[arg(long, value_name = "SIZE/h", default_value = "1GiB/h", value_parser = per_hour)]
    pub max_disk_slope: PerHour,
    /// When the traders answer [default: cacheless]
    #[arg(long, value_name = "MODE", value_parser = value::consistency, env = "BAZAAR_CONSISTENCY")]
    pub consistency: Option<Consistency>,
    /// Serve a page of the market at this address, like 127.0.0.1:0
    #[arg(long, value_name = "ADDR", value_parser = value::listen)]
    pub http: Option<SocketAddr>,
    /// When the nodes' stores and logs are kept, in DIR/market of the report
    #[arg(long, value_name = "WHEN", value_enum, default_value = "on-failure")]
    pub keep: KeepStores,
}

/// When what the nodes left is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeepStores {
    /// If the verdict is not that all is well.
    OnFailure,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// What goes wrong, from outside of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// SIGKILL, and a start some time later.
    Kill,
    /// SIGSTOP, and SIGCONT some time later.
    Pause,
    /// Links between nodes carry nothing, or are reset.
    Partition,
    /// Each sync takes longer.
    SlowDisk,
    /// No room is left on a node's disk.
    DiskFull,
    /// All nodes are killed at once and started again.
    RestartAll,
}

impl FaultKind {
    /// All of them.
    pub(crate) const ALL: [FaultKind; 6] = [
        FaultKind::Kill,
        FaultKind::Pause,
        FaultKind::Partition,
        FaultKind::SlowDisk,
        FaultKind::DiskFull,
        FaultKind::RestartAll,
    ];

    /// As typed, and as written in a schedule.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FaultKind::Kill => "kill",
            FaultKind::Pause => "pause",
            FaultKind::Partition => "partition",
            FaultKind::SlowDisk => "slow-disk",
            FaultKind::DiskFull => "disk-full",
            FaultKind::RestartAll => "restart-all",
        }
    }

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<FaultKind> {
        FaultKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Kinds of faults, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub(crate) Vec<FaultKind>);

fn faults(text: &str) -> Result<Faults, ValueError> {
    let named = |name: &str| match FaultKind::named(name.trim()) {
        Some(kind) => Ok(kind),
        None => {
            let kinds = FaultKind::ALL.map(FaultKind::name).join(", ");
            value::refuse(format!("{name:?} is no kind of fault"), format!("use {kinds}, all, or none"))
        }
    };
    let mut kinds = match text.trim() {
        "all" => FaultKind::ALL.to_vec(),
        "none" => Vec::new(),
        text => text.split(',').map(named).collect::<Result<Vec<_>, _>>()?,
    };
    kinds.sort_unstable();
    kinds.dedup();
    Ok(Faults(kinds))
}

/// Faults end before the next ones are drawn, and a node needs time to come back.
fn fault_every(text: &str) -> Result<Duration, ValueError> {
    match value::period(text)? {
        every if every < Duration::from_secs(2) => {
            value::refuse("too often: nodes need time to come back", "use 2s or more")
        }
        every => Ok(every),
    }
}

/// Bytes in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerHour(pub(crate) u64);

fn per_hour(text: &str) -> Result<PerHour, ValueError> {
    let size = text.strip_suffix("/h").unwrap_or(text);
    let Bytes(bytes) = size::bytes(size)?;
    Ok(PerHour(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_or_all_or_none() {
        assert_eq!(faults("pause,kill,kill"), Ok(Faults(vec![FaultKind::Kill, FaultKind::Pause])));
        assert_eq!(faults("all").map(|faults| faults.0.len()), Ok(6));
        assert_eq!(faults("none"), Ok(Faults(Vec::new())));
        let refused = faults("kill,flood").unwrap_err();
        assert!(refused.why.contains("flood") && refused.mend.contains("slow-disk"), "{refused:?}");
    }

    #[test]
    fn slopes_are_sizes_per_hour() {
        assert_eq!(per_hour("8MiB/h"), Ok(PerHour(8 << 20)));
        assert_eq!(per_hour("1GiB"), Ok(PerHour(1 << 30)));
        assert!(per_hour("fast").is_err());
        assert!(fault_every("500ms").unwrap_err().mend.contains("2s"));
    }
}
