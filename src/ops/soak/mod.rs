//! `bazaar soak`: a market of real processes under load and faults for as long as wanted, and a verdict.
//!
//! ```text
//! schedule ---> faults ---> nodes <--- clients (open loop) ---> told ---> books <--- ledger
//!                             |                                             |
//!                          samples, `verify` of all stores -----------> verdict, history, page
//! ```
//!
//! Holds: whatever was started is gone when this ends; a verdict is written however it ends, of what was seen; and it
//! passes only if the last check of all stores was made, and found nothing.

mod books;
mod faults;
mod history;
mod page;
mod run;
mod schedule;
mod slope;
mod stage;
mod verdict;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::run::Run;
use self::schedule::{Drawn, Schedule};
use self::verdict::Seen;
use super::output::{Failure, exit, json_line, versioned};
use super::progress::Progress;
use crate::cli::{FaultKind, Global, KeepStores, SoakArgs};
use crate::ops::rig::disk::SmallDisk;
use crate::types::PeerId;

/// The verdict in a report directory.
const VERDICT: &str = "verdict.json";
const PAGE: &str = "index.html";

/// Runs, writes the report, prints the verdict, and gives its exit code: 5 if a promise is broken, 8 if a threshold was
/// missed, 6 if neither can be told.
///
/// # Errors
/// The report cannot be written, or the market does not start.
pub fn run(args: &SoakArgs, global: &Global) -> Result<u8, Failure> {
    let seed =
        args.seed.or_else(|| seed_of(args.replay.as_deref()?)).unwrap_or_else(|| fastrand::u64(..1 << 32));
    let report = args.report.clone().unwrap_or_else(|| format!("bazaar-soak-{seed}").into());
    fresh(&report)?;
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = built.map_err(|error| Failure::new(exit::FAILURE, format!("no runtime: {error}")))?;
    let plan = Plan::new(args, seed)?;
    plan.say(global);
    let mut seen = runtime.block_on(Run::start(plan, args, global, &report))?.finish(&runtime, args)?;
    seen.seed = seed;
    write(&report, &seen)?;
    let kept = keep(&report, args.keep, seen.exit() == exit::DONE);
    print(&seen, &report, kept, global).map_err(Failure::writing)?;
    Ok(seen.exit())
}

/// The seed of an earlier run.
fn seed_of(report: &Path) -> Option<u64> {
    let verdict: Value = serde_json::from_slice(&fs::read(report.join(VERDICT)).ok()?).ok()?;
    verdict["seed"].as_u64()
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |error| Failure::new(exit::FAILURE, format!("{}: {error}", path.display()))
}

/// A report is of one run.
fn fresh(report: &Path) -> Result<(), Failure> {
    fs::create_dir_all(report).map_err(failed(report))?;
    match fs::read_dir(report).map_err(failed(report))?.next() {
        None => Ok(()),
        Some(_) => Err(Failure::new(exit::USAGE, format!("{} is not empty", report.display()))
            .hint("name another directory with --report DIR, or remove this one")),
    }
}

/// What is to go wrong.
struct Plan {
    schedule: Schedule,
    kinds: Vec<FaultKind>,
    left_out: Vec<(String, String)>,
    disk: Option<(PeerId, SmallDisk)>,
}

impl Plan {
    fn new(args: &SoakArgs, seed: u64) -> Result<Plan, Failure> {
        let wanted = if args.replay.is_some() { &FaultKind::ALL[..] } else { &args.faults.0 };
        let disk = match wanted.contains(&FaultKind::DiskFull) {
            true => SmallDisk::new(),
            false => Err("it was not asked for".to_owned()),
        };
        let lacking = wanted.iter().filter_map(|kind| Some((*kind, faults::lacks(*kind, &disk)?)));
        let lacking: Vec<(FaultKind, String)> = lacking.collect();
        let there = |kind: &&FaultKind| lacking.iter().all(|(lacks, _)| lacks != *kind);
        let kinds: Vec<FaultKind> = wanted.iter().filter(there).copied().collect();
        // The highest peer is elected first: a trader's disk matters most.
        let small = PeerId(args.nodes);
        let schedule = match &args.replay {
            Some(earlier) => Schedule::read(earlier).map_err(|error| {
                Failure::new(exit::USAGE, format!("{}: {error}", earlier.join(schedule::SCHEDULE).display()))
                    .hint("name the report directory of an earlier soak")
            })?,
            None => Schedule::Drawn(Drawn::new(seed, &kinds, args.nodes, small, args.fault_every)),
        };
        let left_out = lacking.into_iter().map(|(kind, why)| (kind.name().to_owned(), why)).collect();
        Ok(Plan { schedule, kinds, left_out, disk: disk.ok().map(|disk| (small, disk)) })
    }

    /// The next fault of a kind that can be had here.
    fn next(&mut self) -> Option<schedule::Planned> {
        loop {
            let planned = self.schedule.next()?;
            if planned.kind().is_some_and(|kind| self.kinds.contains(&kind)) {
                return Some(planned);
            }
        }
    }

    fn say(&self, global: &Global) {
        if !global.quiet {
            for (kind, why) in &self.left_out {
                // A stderr that is gone hears nothing.
                let _ = writeln!(std::io::stderr(), "left out: {kind}: {why}");
            }
        }
    }
}

fn write(report: &Path, seen: &Seen) -> Result<(), Failure> {
    let (verdict, index) = (report.join(VERDICT), report.join(PAGE));
    let text = serde_json::to_string_pretty(&versioned(seen.json())).unwrap_or_default();
    fs::write(&verdict, text).map_err(failed(&verdict))?;
    let page = page::page(seen).map_err(|why| Failure::new(exit::FAILURE, format!("no picture: {why}")))?;
    fs::write(&index, page).map_err(failed(&index))
}

/// Keeps what the nodes left, or removes it. Gives where it is.
fn keep(report: &Path, when: KeepStores, well: bool) -> Option<PathBuf> {
    let market = report.join("market");
    let kept = when == KeepStores::Always || when == KeepStores::OnFailure && !well;
    if !kept {
        // What cannot be removed is in nobody's way.
        let _ = fs::remove_dir_all(&market);
    }
    let _ = (fs::remove_dir_all(report.join("goods")), fs::remove_file(report.join("verified")));
    kept.then_some(market)
}

fn print(seen: &Seen, report: &Path, kept: Option<PathBuf>, global: &Global) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if global.json {
        return writeln!(out, "{}", json_line(seen.json()));
    }
    seen.lines().iter().try_for_each(|line| writeln!(out, "{line}"))?;
    writeln!(out, "report    {}", report.join(PAGE).display())?;
    kept.iter().try_for_each(|market| writeln!(out, "stores    {}", market.display()))
}

/// The line on the terminal.
fn line(global: &Global) -> super::progress::Part {
    Progress::new(global).part("soak", "orders", None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_of_one_run() {
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("report");
        fresh(&report).unwrap();
        fresh(&report).unwrap();
        fs::write(report.join(VERDICT), r#"{"seed":42}"#).unwrap();
        let refused = fresh(&report).unwrap_err();
        assert!(refused.exit == exit::USAGE && refused.hint.unwrap().contains("--report"));
        assert_eq!(seed_of(&report), Some(42));
        assert_eq!(seed_of(dir.path()), None);
    }
}
