//! `bazaar bench`: how fast this machine's market is, with every order over gRPC from other processes and durable
//! before it is answered.
//!
//! In: what to measure and for how long. Out: one set of figures, with the disk's own speed of the same run beside
//! them. Holds: figures are printed only of a run whose ledger has exactly the orders that were answered and passes
//! `verify`; whatever was started is gone when the command ends, however it ends.

mod figures;
mod latency;
mod load;
mod market;
mod nodes;
mod raw;
mod warehouse;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use self::figures::Figures;
pub use self::load::load;
use self::raw::Raw;
use super::output::{Failure, exit};
use crate::cli::{BenchArgs, BenchFlags, BenchTarget, Global};

/// Measures, prints the figures, and gives the exit code: 8 if a floor was stated and missed.
///
/// # Errors
/// A node did not start, an order was lost or not answered in time, or `verify` failed.
pub fn run(args: &BenchArgs, global: &Global) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let (BenchTarget::Warehouse(flags) | BenchTarget::Market(flags) | BenchTarget::Latency(flags)) =
        &args.target;
    let place = Place::new(flags)?;
    let raw = Raw::measure(&place.dir).map_err(system)?;
    let measured = runtime.block_on(unless_interrupted(async {
        match &args.target {
            BenchTarget::Warehouse(flags) => warehouse::run(&place, flags).await,
            BenchTarget::Market(flags) => market::run(&place, flags).await,
            BenchTarget::Latency(flags) => latency::run(&place, flags).await,
        }
    }))?;
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
    Ok(if figures.misses_floor() { exit::THRESHOLD } else { exit::DONE })
}

/// `None` after a first Ctrl-C; dropping the run ends its processes.
async fn unless_interrupted<T>(run: impl Future<Output = Result<T, Failure>>) -> Result<Option<T>, Failure> {
    tokio::select! {
        done = run => done.map(Some),
        _ = tokio::signal::ctrl_c() => {
            eprintln!("interrupted: no figures");
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
    _temporary: Option<TempDir>,
}

/// Goods of a bench; enough of them that orders do not all meet at one shelf.
const GOODS: [&str; 8] = ["boar", "fish", "salt", "hemp", "iron", "wool", "wine", "lead"];
/// Pieces of each at the start: more than buyers get ahead of sellers, so that orders sell and are not refused, and few
/// enough that sales soon fill from many deposits, as in a market that has run for long.
const STOCK_EACH: u32 = 20_000;

impl Place {
    fn new(flags: &BenchFlags) -> Result<Place, Failure> {
        let temporary = match &flags.data_dir {
            Some(dir) => fresh(dir).map(|()| None)?,
            None => Some(TempDir::with_prefix("bazaar-bench-").map_err(system)?),
        };
        let given = || flags.data_dir.clone().unwrap_or_default();
        let dir = temporary.as_ref().map_or_else(given, |dir| dir.path().to_owned());
        let config = TempDir::with_prefix("bazaar-goods-").map_err(system)?;
        let goods: serde_json::Map<_, _> = GOODS.iter().zip(1..).map(good).collect();
        fs::write(config.path().join("stock.json"), serde_json::Value::from(goods).to_string())
            .map_err(system)?;
        Ok(Place { dir, config, _temporary: temporary })
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
