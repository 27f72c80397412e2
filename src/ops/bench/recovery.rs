//! `bench recovery`: a warehouse with a long ledger is killed by `kill -9` under load, and started again on its store.
//!
//! The time runs from the kill until the new process serves: the end of the old one, opening the store, the checkpoint,
//! the fold of what came after it, and the sync before anything is said. The load that follows shows that it serves;
//! the next kill ends that load. Afterwards `verify` reads it all.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use super::nodes::{self, Nodes, report};
use super::{Place, market, unless_interrupted, warehouse};
use crate::cli::{BenchFlags, Global, RecoveryFlags};
use crate::ops::output::{Failure, exit, json_line, note, rounded};
use crate::ops::progress::{Part, Progress};
use crate::ops::runtime::runtime;

/// Time to fill the ledger; a machine that needs longer is not fit for this.
const FILL_MAX: Duration = Duration::from_secs(600);
/// Rows of load between a start and the next kill, at least.
const ROWS_BETWEEN: u64 = 100_000;

/// One kill.
struct Recovered {
    serving: Duration,
    rows: u64,
    line: String,
    rss_mib: f64,
}

/// Measures, prints, and gives the exit code.
///
/// # Errors
/// A node did not start, no load was served, or `verify` failed.
pub(super) fn run(flags: &RecoveryFlags, global: &Global) -> Result<u8, Failure> {
    let place = Place::new(flags.data_dir.as_deref())?;
    let measured = runtime()?.block_on(unless_interrupted(kills(&place, flags, global)))?;
    let Some(kills) = measured else { return Ok(exit::DONE) };
    nodes::verify(&place.dir)?;
    print(&kills, global).map_err(Failure::writing)?;
    let late = |within: Duration| kills.iter().any(|kill| kill.serving > within);
    Ok(if flags.within.is_some_and(late) { exit::THRESHOLD } else { exit::DONE })
}

async fn kills(place: &Place, flags: &RecoveryFlags, global: &Global) -> Result<Vec<Recovered>, Failure> {
    let (mut warehouse, mut addr) = nodes::start_warehouse(place)?;
    let progress = Progress::new(global);
    let mut wanted = flags.orders;
    let mut kills = Vec::new();
    for _ in 0..flags.kills {
        let part = progress.part("load before a kill", "rows", Some(wanted));
        let rows = load_until(&addr, wanted, &part).await?;
        drop(part);
        let began = Instant::now();
        drop(warehouse);
        (warehouse, addr) = nodes::start_warehouse(place)?;
        let serving = began.elapsed();
        let (line, rss_mib) = said(&warehouse);
        if !global.quiet && !global.json {
            note(format_args!("killed at row {rows}: serves after {} ms: {line}", serving.as_millis()));
        }
        kills.push(Recovered { serving, rows, line, rss_mib });
        wanted = rows + ROWS_BETWEEN;
    }
    // What was recovered last is proved by load, too.
    load_until(&addr, wanted, &progress.part("load after the last kill", "rows", Some(wanted))).await?;
    warehouse.end().await?;
    Ok(kills)
}

fn said(warehouse: &Nodes) -> (String, f64) {
    let first = warehouse.iter().next();
    first.map_or_else(Default::default, |child| (child.line.clone(), child.usage().1))
}

/// Load until the ledger is so long; how long it is then. The load is still on its way when this returns.
async fn load_until(addr: &str, rows: u64, part: &Part) -> Result<u64, Failure> {
    let flags = BenchFlags { duration: FILL_MAX, ..BenchFlags::default() };
    let _loads = warehouse::start_loads(addr, &flags)?;
    let what = format!("{rows} rows in the ledger");
    let reached = async || {
        let seq = report(addr).await?.log.0.0;
        part.done(|| Some(seq));
        Ok(seq >= rows)
    };
    market::until(&what, FILL_MAX, reached).await?;
    Ok(report(addr).await?.log.0.0)
}

fn print(kills: &[Recovered], global: &Global) -> io::Result<()> {
    let ms = |duration: Duration| rounded(duration.as_secs_f64() * 1e3, 1);
    let mut times: Vec<f64> = kills.iter().map(|kill| ms(kill.serving)).collect();
    times.sort_by(f64::total_cmp);
    let (median, max) = (times[times.len() / 2], times[times.len() - 1]);
    let rows = kills.iter().map(|kill| kill.rows).max().unwrap_or_default();
    let rss_mib = rounded(kills.iter().map(|kill| kill.rss_mib).fold(0.0, f64::max), 0);
    let mut out = io::stdout().lock();
    if !global.json {
        return writeln!(
            out,
            "{} kills, up to {rows} rows: serves again after {median} ms in the median, {max} ms at most, {rss_mib} MiB resident",
            kills.len()
        );
    }
    let each =
        |kill: &Recovered| json!({ "rows": kill.rows, "serving_ms": ms(kill.serving), "said": kill.line });
    let each: Vec<_> = kills.iter().map(each).collect();
    let object = json!({ "kills": kills.len(), "rows": rows, "median_ms": median, "max_ms": max, "rss_mib": rss_mib, "each": each });
    writeln!(out, "{}", json_line(object))
}
