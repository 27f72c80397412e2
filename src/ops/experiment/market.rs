//! Runs that are made by this program's own commands, each as a process of its own: their JSON is what is measured.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::results::{Cell, Figures};
use super::work::Market;
use crate::journal::Block;
use crate::limits::EXPERIMENT_RUN_MAX;
use crate::model::peer::entry::Entry;
use crate::ops::output::{Failure, exit};
use crate::ops::source::open_offline;
use crate::types::{Number, PeerId, Seq, node_name};

/// A command of this program, and the one object that it prints. It must end with one of these codes.
pub(super) async fn object(dir: &Path, args: &[String], codes: &[i32]) -> Result<Value, Failure> {
    let failed = |why: String| Failure::new(exit::UNDETERMINED, format!("bazaar {}: {why}", args.join(" ")));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    // What this process is told is not what its children are told.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BAZAAR_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    let done = tokio::time::timeout(EXPERIMENT_RUN_MAX, command.output()).await;
    let done = done.map_err(|_| failed(format!("not within {EXPERIMENT_RUN_MAX:?}")))?;
    let done = done.map_err(|error| failed(error.to_string()))?;
    if !done.status.code().is_some_and(|code| codes.contains(&code)) {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(failed(format!("{}: {}", done.status, said.lines().last().unwrap_or_default())));
    }
    serde_json::from_slice(&done.stdout).map_err(|error| failed(error.to_string()))
}

fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_default()
}

/// The market's flags, and the stock that it is born with.
fn up(market: &Market, dir: &Path) -> Result<Vec<String>, Failure> {
    let Market { mode, buyers, sellers, interval_ms, deposit, deposit_every_ms, requests, stock } = *market;
    let good = |(name, price): (&str, u32)| {
        (name.to_owned(), serde_json::json!({ "quantity": stock, "price": price }))
    };
    let goods: serde_json::Map<_, _> =
        [("boar", 3), ("fish", 1), ("salt", 4)].into_iter().map(good).collect();
    std::fs::write(dir.join("stock.json"), Value::from(goods).to_string())
        .map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
    let text = format!(
        "up --json --data-dir market --config-dir . --base-port 0 --buyers {buyers} --sellers {sellers} --consistency {} \
         --interval {interval_ms}ms --deposit {}-{} --deposit-every {deposit_every_ms}ms --requests {requests}",
        mode.name(),
        deposit.0,
        deposit.1,
    );
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// A market that ends when its buyers are done, and what it came to.
pub(super) async fn run(market: &Market, dir: &Path) -> Result<Cell, Failure> {
    let summary = object(dir, &up(market, dir)?, &[0]).await?;
    let of_orders = |key: &str| 100.0 * number(&summary, key) / number(&summary, "orders").max(1.0);
    let mut figures = Figures::from([
        ("sold_out_pct".to_owned(), of_orders("sold_out")),
        ("oversold_pct".to_owned(), of_orders("oversold")),
        ("undersold_pct".to_owned(), of_orders("undersold")),
    ]);
    for key in ["orders_per_s", "p50_ms", "p99_ms", "oversold", "undersold"] {
        figures.insert(key.to_owned(), number(&summary, key));
    }
    Ok(Cell { runs: vec![figures], ..Cell::default() })
}

/// The same, and then how its orders stand to one another.
pub(super) async fn ordering(market: &Market, dir: &Path) -> Result<Cell, Failure> {
    let summary = object(dir, &up(market, dir)?, &[0]).await?;
    let args = "verify --json --data-dir market --check V06".split_whitespace().map(str::to_owned);
    let verdict = object(dir, &args.collect::<Vec<_>>(), &[0, 5]).await?;
    let inversions = verdict["checks"][0]["failed"].as_f64().unwrap_or(f64::NAN);
    let mut waits = Vec::new();
    for buyer in 1..=market.buyers {
        waits.push(median_wait(dir, buyer)?);
    }
    let (fastest, slowest) =
        (waits.iter().copied().fold(f64::MAX, f64::min), waits.iter().copied().fold(0.0, f64::max));
    let figures = [
        ("rank_inversions", inversions),
        ("slowest_of_fastest", slowest / fastest.max(1e-9)),
        ("answered", number(&summary, "orders")),
    ];
    let figures = figures.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(Cell { runs: vec![figures], ..Cell::default() })
}

/// The middle of a buyer's waits, in milliseconds: from its journal, whose blocks have the times of placing and telling.
fn median_wait(dir: &Path, buyer: u32) -> Result<f64, Failure> {
    let unreadable =
        |why: String| Failure::new(exit::UNDETERMINED, format!("the journal of peer {buyer}: {why}"));
    let mut journal = open_offline(&dir.join("market").join(node_name(PeerId(buyer))))?;
    let (mut placed, mut waits) = (BTreeMap::new(), Vec::new());
    for bytes in journal.blocks(Seq(1)) {
        let block = Block::<Entry>::decode(&bytes?).map_err(|error| unreadable(error.to_string()))?;
        let time = block.header.time.0;
        for entry in block.records {
            let told: Vec<Number> = match entry {
                Entry::Placed(order) => {
                    placed.insert(order.number, time);
                    continue;
                }
                Entry::Answered { told, .. } => told.iter().map(|it| it.number).collect(),
                Entry::ToldEarly { told, .. } => told.iter().map(|it| it.id.number).collect(),
                Entry::ToldEarlyUndrawn { told, .. } => told.iter().map(|it| it.id.number).collect(),
                _ => continue,
            };
            waits.extend(told.iter().filter_map(|number| Some(time.saturating_sub(placed.remove(number)?))));
        }
    }
    waits.sort_unstable();
    Ok(waits.get(waits.len() / 2).copied().unwrap_or_default() as f64 / 1_000.0)
}

/// The warehouse is killed under load, on a ledger of so many rows.
pub(super) async fn recovery(rows: u64) -> Result<Cell, Failure> {
    let args = format!("bench recovery --json --orders {rows} --kills 3");
    let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
    let object = object(Path::new("."), &args, &[0]).await?;
    let figures = [("serving_ms", number(&object, "median_ms")), ("rss_mib", number(&object, "rss_mib"))];
    let figures = figures.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(Cell { runs: vec![figures], ..Cell::default() })
}
