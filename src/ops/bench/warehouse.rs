//! `bench warehouse`: one warehouse and one or two load processes that settle with it, as traders do.
//!
//! There are two offices, so there are at most two load processes; further `--clients` are further peers, each with its
//! own session, in those two.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::figures::{Process, Run};
use super::{Place, nodes, system};
use crate::cli::BenchFlags;
use crate::limits::PROGRESS_MAX;
use crate::ops::histogram::{add_histogram, latencies};
use crate::ops::output::{Failure, exit};

/// Peers of a load process for each client: several, so that one peer's window is not what is measured.
const PEERS_PER_CLIENT: u32 = 4;
/// Ids between the first peers of two load processes.
const IDS_APART: u32 = 500;

/// A load process. It ends at once when the pipe closes.
pub(super) struct Load {
    process: Child,
    _pipe: Option<ChildStdin>,
}

/// Measures; the warehouse is stopped when this returns.
pub(super) async fn run(place: &Place, flags: &BenchFlags) -> Result<Run, Failure> {
    let (warehouse, addr) = nodes::start_warehouse(place)?;
    let before = nodes::report(&addr).await?;
    let loads = start_loads(&addr, flags)?;
    let mut counted = Vec::new();
    for load in loads {
        counted.push(finished(load, flags.duration).await?);
    }
    let ended = warehouse.end().await?;
    let mut run = sum(&counted)?;
    for node in ended {
        run.syncs += node.report.syncs - before.syncs;
        run.bytes += node.report.bytes_written - before.bytes_written;
        run.processes.insert(0, node.process);
    }
    Ok(run)
}

/// Load on the warehouse at this address; it ends when the value is dropped.
pub(super) fn start_loads(warehouse: &str, flags: &BenchFlags) -> Result<Vec<Load>, Failure> {
    (0..flags.clients.min(2)).map(|at| start_load(warehouse, at, flags)).collect()
}

fn start_load(warehouse: &str, at: u32, flags: &BenchFlags) -> Result<Load, Failure> {
    let processes = flags.clients.min(2);
    let clients = (flags.clients + processes - 1 - at) / processes;
    let mut process = Command::new(std::env::current_exe().map_err(system)?)
        .args(["bench-load", "--parent-pipe", "--warehouse", warehouse])
        .args(["--id", &(1 + at * IDS_APART).to_string()])
        .args(["--sessions", &(clients * PEERS_PER_CLIENT).to_string()])
        .args(["--batch", &flags.batch.to_string()])
        .args(["--duration", &format!("{}ms", flags.duration.as_millis())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(system)?;
    Ok(Load { _pipe: process.stdin.take(), process })
}

/// What a load process counted.
async fn finished(load: Load, duration: Duration) -> Result<Value, Failure> {
    let Load { process, _pipe } = load;
    let output = tokio::task::spawn_blocking(move || process.wait_with_output());
    let output = tokio::time::timeout(duration + PROGRESS_MAX, output).await;
    let late = |_| Failure::new(exit::UNDETERMINED, "a load process does not end");
    let ended = |error: tokio::task::JoinError| Failure::new(exit::FAILURE, error.to_string());
    let output = output.map_err(late)?.map_err(ended)?.map_err(system)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(Failure::new(exit::UNDETERMINED, format!("a load process failed: {said}")));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::new(exit::FAILURE, format!("what a load process printed: {error}")))
}

fn sum(counted: &[Value]) -> Result<Run, Failure> {
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap_or_default();
    let first = counted.iter().map(|load| number(load, "first_us")).min().unwrap_or_default();
    let last = counted.iter().map(|load| number(load, "last_us")).max().unwrap_or_default();
    let mut run = Run {
        orders: counted.iter().map(|load| number(load, "orders")).sum(),
        elapsed_s: last.saturating_sub(first) as f64 / 1e6,
        latency_us: latencies(),
        syncs: 0,
        bytes: 0,
        outcomes: [0, 1, 2].map(|at| counted.iter().filter_map(|load| load["outcomes"][at].as_u64()).sum()),
        processes: Vec::new(),
    };
    for (at, load) in counted.iter().enumerate() {
        let bytes: Vec<u8> = serde_json::from_value(load["latency_us"].clone()).unwrap_or_default();
        if !add_histogram(&mut run.latency_us, &bytes) {
            return Err(Failure::new(exit::FAILURE, "a load process printed no latencies"));
        }
        let figure = |key: &str| load[key].as_f64().unwrap_or_default();
        let (name, cpu_s, rss_mib) = (format!("load-{}", at + 1), figure("cpu_s"), figure("rss_mib"));
        run.processes.push(Process { name, cpu_s, rss_mib });
    }
    Ok(run)
}
