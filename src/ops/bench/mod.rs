//! `bazaar bench`: how fast this machine's market is, with every order over gRPC from other processes and durable
//! before it is answered.
//!
//! In: what to measure and for how long. Out: one set of figures, with the disk's own speed of the same run beside
//! them. Holds: figures are printed only of a run whose ledger has exactly the orders that were answered and passes
//! `verify`; whatever was started is gone when the command ends, however it ends.

#[cfg(test)]
mod bounds;
mod figures;
mod inspect;
mod latency;
mod load;
mod market;
mod nodes;
mod raw;
mod recovery;
mod sparse;
mod warehouse;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use self::figures::Figures;
pub use self::load::load;
use self::raw::Raw;
use super::output::{Failure, exit, note};
use super::progress::Progress;
use super::runtime::runtime;
use crate::cli::{BenchArgs, BenchFlags, BenchTarget, Global};
use crate::types::Consistency;

/// Orders per second that the warehouse alone is promised to settle on the machine that the README names.
const WAREHOUSE_FLOOR: u64 = 400_000;
/// The same of a whole market, with replication between the traders.
const MARKET_FLOOR: u64 = 60_000;

/// Measures, prints the figures, and gives the exit code: 8 if a threshold was stated and missed.
///
/// # Errors
/// A node did not start, an order was lost or not answered in time, or `verify` failed.
pub fn run(args: &BenchArgs, global: &Global) -> Result<u8, Failure> {
    match &args.target {
        BenchTarget::Recovery(flags) => recovery::run(flags, global),
        BenchTarget::Inspect(flags) => inspect::run(flags, global),
        BenchTarget::Floors { duration } => floors(*duration, global),
        target => rates(target, global),
    }
}

/// Both floors are tried, whatever the first one came to.
fn floors(duration: Duration, global: &Global) -> Result<u8, Failure> {
    let flags = |floor| BenchFlags { floor: Some(floor), duration, ..BenchFlags::default() };
    let targets = [BenchTarget::Warehouse(flags(WAREHOUSE_FLOOR)), BenchTarget::Market(flags(MARKET_FLOOR))];
    let ended = targets.iter().map(|target| rates(target, global)).collect::<Result<Vec<u8>, Failure>>()?;
    Ok(ended.into_iter().max().unwrap_or(exit::DONE))
}

fn rates(target: &BenchTarget, global: &Global) -> Result<u8, Failure> {
    let (BenchTarget::Warehouse(flags) | BenchTarget::Market(flags) | BenchTarget::Latency(flags)) = target
    else {
        unreachable!("recovery, inspect and floors are no rates");
    };
    let place = Place { mode: flags.consistency, ..Place::new(flags.data_dir.as_deref())? };
    let raw = Raw::measure(&place.dir).map_err(system)?;
    let work = async {
        match target {
            BenchTarget::Warehouse(_) => warehouse::run(&place, flags).await,
            BenchTarget::Market(_) => market::run(&place, flags).await,
            _ => latency::run(&place, flags).await,
        }
    };
    let part = Progress::new(global).part("measuring", "", None);
    let measured = runtime()?.block_on(unless_interrupted(part.wait(work, flags.duration)))?;
    drop(part);
    let Some(run) = measured else { return Ok(exit::DONE) };
    if run.orders == 0 {
        return Err(Failure::new(exit::UNDETERMINED, "no order was answered: nothing was measured"));
    }
    let ledger_orders = nodes::ledger_orders(&place.node("warehouse"))?;
    if ledger_orders != run.orders {
        let what = format!("{} orders were answered, the ledger has {ledger_orders}", run.orders);
        return Err(Failure::new(exit::BROKEN, what));
    }
    nodes::verify(&place.dir)?;
    let figures = Figures { run, raw, flags: flags.clone() };
    figures.print(global).map_err(Failure::writing)?;
    let Some(floor) = figures.missed_floor() else { return Ok(exit::DONE) };
    note(format_args!("missed: {:.0} orders/s, at least {floor} are promised", figures.orders_per_s()));
    Ok(exit::THRESHOLD)
}

/// Runs until a first Ctrl-C, then gives `None`: the run is dropped, which ends its processes.
async fn unless_interrupted<T>(run: impl Future<Output = Result<T, Failure>>) -> Result<Option<T>, Failure> {
    tokio::select! {
        done = run => done.map(Some),
        _ = tokio::signal::ctrl_c() => {
            note("interrupted: no figures");
            Ok(None)
        }
    }
}

fn system(error: std::io::Error) -> Failure {
    Failure::new(exit::FAILURE, error.to_string())
}

/// Where the stores of a run go: a market's directory. A temporary one goes with this value.
struct Place {
    dir: PathBuf,
    config: TempDir,
    mode: Option<Consistency>,
    _temporary: Option<TempDir>,
}

/// Goods of a bench; enough of them that orders do not all meet at one shelf.
const GOODS: [&str; 8] = ["boar", "fish", "salt", "hemp", "iron", "wool", "wine", "lead"];
/// Pieces of each at the start: more than buyers get ahead of sellers, so that orders sell and are not refused, and few
/// enough that sales soon fill from many deposits, as in a market that has run for long.
const STOCK_EACH: u32 = 20_000;

impl Place {
    fn new(data_dir: Option<&Path>) -> Result<Place, Failure> {
        let temporary = match data_dir {
            Some(dir) => fresh(dir).map(|()| None)?,
            None => Some(TempDir::with_prefix("bazaar-bench-").map_err(system)?),
        };
        let dir = temporary.as_ref().map(TempDir::path).or(data_dir).unwrap_or(Path::new(".")).to_owned();
        let config = TempDir::with_prefix("bazaar-goods-").map_err(system)?;
        let goods: serde_json::Map<_, _> = GOODS.iter().zip(1..).map(good).collect();
        fs::write(config.path().join("stock.json"), serde_json::Value::from(goods).to_string())
            .map_err(system)?;
        Ok(Place { dir, config, mode: None, _temporary: temporary })
    }

    fn node(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn good((name, price): (&&str, u32)) -> (String, serde_json::Value) {
    ((*name).to_owned(), serde_json::json!({ "quantity": STOCK_EACH, "price": price }))
}

/// A bench counts every order of its ledger, so it needs a ledger of its own.
fn fresh(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(system)?;
    match fs::read_dir(dir).map_err(system)?.next() {
        None => Ok(()),
        Some(_) => Err(Failure::new(exit::DIRECTORY, format!("{} is not empty", dir.display()))
            .hint("a bench makes new stores: name a new directory, or leave --data-dir out")),
    }
}
