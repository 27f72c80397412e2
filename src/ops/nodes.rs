//! `warehouse` and `peer`: from validated options to a running node.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use super::market::{self, WayIn};
use super::output::{Failure, exit};
use crate::cli::{Global, KeepFlags, LogFormat, NodeAddr, NodeFlags, PeerArgs, ShopperFlags, WarehouseArgs};
use crate::config;
use crate::journal::{Keep, NodeDir, OpenError};
use crate::limits::START_MAX;
use crate::model::shopper::Habits;
use crate::node::boot::{self, BootError, PeerSpec, WarehouseSpec};
use crate::node::life::{Settings, not_ready};
use crate::node::log;
use crate::types::{PeerId, Role};

/// Runs a warehouse until it is told to stop.
pub fn warehouse(args: &WarehouseArgs, global: &Global) -> Result<u8, Failure> {
    prepare(&args.node, &args.data_dir, global)?;
    let goods = config::stock(&args.market.config_dir)?;
    let spec = WarehouseSpec {
        settings: settings(&args.node, args.listen(), args.data_dir.clone()),
        cluster: args.node.cluster.clone(),
        commission_percent: args.market.commission_percent,
        mode: args.market.consistency.unwrap_or_default(),
        goods: goods.into_iter().map(|good| (good.name, good.quantity, good.unit_price)).collect(),
    };
    ended(boot::run_warehouse(spec))
}

/// Runs a peer until it is told to stop.
pub fn peer(args: &PeerArgs, global: &Global) -> Result<u8, Failure> {
    prepare(&args.node, &args.data_dir(), global)?;
    let way_in = market::way_in(args, START_MAX, global.timeout)?;
    way_in.map_or(Ok(exit::DONE), |way_in| run_peer(args, way_in))
}

/// Runs a peer in the market that was found for it, until it is told to stop.
pub(crate) fn run_peer(args: &PeerArgs, way_in: WayIn) -> Result<u8, Failure> {
    let listen = args.listen(&way_in.warehouse);
    let spec = PeerSpec {
        settings: Settings { keep: Some(keep(args.keep)), ..settings(&args.node, listen, args.data_dir()) },
        cluster: way_in.cluster,
        id: args.id,
        role: args.role,
        warehouse: way_in.warehouse,
        neighbours: args.neighbour.iter().map(neighbour).collect(),
        join: way_in.join,
        habits: habits(args.role, &args.shopper),
        no_preempt: args.shopper.no_preempt,
        queue_max: args.shopper.queue_max,
    };
    ended(boot::run_peer(spec))
}

/// Without an address it is heard of later.
fn neighbour((peer, addr): &(PeerId, Option<NodeAddr>)) -> (PeerId, String) {
    (*peer, addr.as_ref().map(ToString::to_string).unwrap_or_default())
}

/// What is said now goes to stderr, behind the log's last line.
fn ended(run: Result<(), BootError>) -> Result<u8, Failure> {
    log::finish();
    run.map(|()| exit::DONE).map_err(failure)
}

fn settings(flags: &NodeFlags, listen: SocketAddr, data_dir: std::path::PathBuf) -> Settings {
    Settings {
        listen,
        advertise: flags.advertise.as_ref().map(ToString::to_string),
        data_dir,
        http: flags.http,
        trace_events: flags.trace_events as usize,
        parent_pipe: flags.parent_pipe,
        ready_file: flags.ready_file.clone(),
        heartbeat_ms: flags.timers.heartbeat.as_millis() as u64,
        suspect_after_ms: flags.timers.suspect_after.as_millis() as u64,
        keep: None,
    }
}

fn keep(flags: KeepFlags) -> Keep {
    Keep { age: flags.keep, bytes: flags.keep_max.0 }
}

fn habits(role: Role, flags: &ShopperFlags) -> Habits {
    Habits {
        role,
        requests: flags.requests,
        interval_ms: flags.interval.as_millis() as u64,
        deposit: (flags.deposit.min.0, flags.deposit.max.0),
        deposit_every_ms: flags.deposit_every.as_millis() as u64,
        quantity: (flags.quantity.min.0, flags.quantity.max.0),
        partial: flags.partial,
        seed: flags.seed.unwrap_or_else(|| fastrand::u64(..)),
    }
}

/// What comes before anything of a start can fail: the ready file of an earlier one goes.
///
/// # Errors
/// There can be no ready file where it was asked for.
pub(crate) fn prepare(flags: &NodeFlags, dir: &Path, global: &Global) -> Result<(), Failure> {
    let removed = flags.ready_file.as_deref().map_or(Ok(()), not_ready);
    begin_log(flags, dir, global);
    removed.map_err(|error| {
        let path = flags.ready_file.as_deref().unwrap_or(Path::new(""));
        Failure::new(exit::USAGE, format!("--ready-file {}: {error}", path.display()))
            .hint("name a file in a directory that this user may write in")
    })
}

/// The same for a command line that was refused: the node that it names does not start.
pub fn refused(args: &[OsString]) {
    if let Some(path) = crate::cli::ready_file_of(args) {
        // The refusal is what there is to say.
        let _ = std::fs::remove_file(path);
    }
}

/// A node's log goes to stderr, which `up` points at NODE/log: then it is rotated. What sled says of a damaged store is
/// told by us, with the mend, in one line.
fn begin_log(flags: &NodeFlags, dir: &Path, global: &Global) {
    let level = match global.verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let told = std::env::var("BAZAAR_LOG").ok().filter(|told| !told.is_empty());
    let filter = told
        .and_then(|told| tracing_subscriber::EnvFilter::try_new(told).ok())
        .unwrap_or_else(|| tracing_subscriber::EnvFilter::new(format!("warn,sled=off,bazaar={level}")));
    let bounds = log::Bounds { size: flags.log.log_size.0, files: flags.log.log_files };
    let style = match flags.log_format {
        LogFormat::Json => log::Style::Json,
        LogFormat::Pretty => log::Style::Pretty,
    };
    log::begin(&NodeDir::new(dir).log(), bounds, style, filter);
}

fn failure(error: BootError) -> Failure {
    match &error {
        BootError::Open(open) => open.into(),
        BootError::Listen { addr, flag, .. } => {
            let port = addr.rsplit_once(':').map_or("", |(_, port)| port);
            Failure::new(exit::FAILURE, error.to_string()).hint(format!(
                "stop what listens there (ss -ltnp 'sport = :{port}'), or choose another {flag}"
            ))
        }
        BootError::Warehouse { .. } => Failure::new(exit::UNREACHABLE, error.to_string())
            .hint("start the warehouse first, or name it with --warehouse ADDR"),
        BootError::Identity(_) => Failure::new(exit::DIRECTORY, error.to_string())
            .hint("choose another --data-dir, or the right --id"),
        BootError::Descriptors(_) => Failure::new(exit::FAILURE, error.to_string())
            .hint("raise the limit where the node is started: ulimit -n 1024"),
        BootError::System(_) | BootError::Randomness(_) | BootError::Ended(_) => {
            Failure::new(exit::FAILURE, error.to_string())
        }
    }
}

/// The failure for a directory that cannot be used.
pub(crate) fn directory(error: &OpenError) -> Failure {
    error.into()
}
