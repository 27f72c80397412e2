//! `bazaar simulate`: whole markets from seeds, and what came of them.
//!
//! Out: one JSON object, or the same for people. Exit 5 if a seed failed; 8 if many seeds with all faults left a kind of
//! fault or a mark unseen, since what never happened is not tried.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::output::{Failure, exit, json_line};
use crate::cli::{Global, SimulateArgs};
use crate::sim::{Batch, Kind, Mark, Options, Outcome, Report, Schedule, Show, play, shorten};

/// Runs the seeds, prints what came of them, and gives the exit code.
///
/// # Errors
/// stdout cannot be written to.
pub fn run(args: &SimulateArgs, global: &Global) -> Result<u8, Failure> {
    let (options, began) = (args.options(), Instant::now());
    if let Some(schedule) = &args.schedule {
        return play_one(schedule, args, global);
    }
    let batch = Batch { seeds: args.seeds(), jobs: args.jobs, until_failure: args.until_failure };
    let mut printed = Ok(());
    let report = batch.run(&options, |outcome| {
        if printed.is_ok() {
            printed = tell(outcome, global).and_then(|()| draw(outcome, args));
        }
    });
    printed.map_err(Failure::writing)?;
    let elapsed = began.elapsed();
    let short = shortened(&report, &options);
    let verdict = Verdict { report, short, options, elapsed };
    verdict.print(global, &mut io::stdout()).map_err(Failure::writing)?;
    Ok(verdict.exit())
}

/// Failed seeds that are shortened: the others most often fail for the same reason.
const SHORTENED_MAX: usize = 3;

/// The first failed seeds' schedules, shortened.
fn shortened(report: &Report, options: &Options) -> BTreeMap<u64, Schedule> {
    let first = report.failed.iter().take(SHORTENED_MAX);
    first.map(|(seed, failure)| (*seed, shorten(&options.schedule(*seed), failure).0)).collect()
}

/// Plays one schedule, and says how it went.
fn play_one(schedule: &Schedule, args: &SimulateArgs, global: &Global) -> Result<u8, Failure> {
    let outcome = play(schedule, Show { lines: args.trace, diagram: args.diagram.is_some() });
    print_one(&outcome, args, global).map_err(Failure::writing)?;
    Ok(if outcome.failed.is_some() { exit::BROKEN } else { exit::DONE })
}

fn print_one(outcome: &Outcome, args: &SimulateArgs, global: &Global) -> io::Result<()> {
    tell(outcome, global)?;
    draw(outcome, args)?;
    let failed = outcome.failed.as_ref().map(|failure| json!({ "check": failure.check, "why": failure.why }));
    let (mut out, hash) = (io::stdout(), outcome.hash);
    match (global.json, &outcome.failed) {
        (true, _) => {
            let object = json!({ "failed": failed, "trace_hash": hash.to_string() });
            writeln!(out, "{}", json_line(object))?
        }
        (false, Some(failure)) => {
            writeln!(out, "failed: {}: {}\ntrace   {hash}", failure.check, failure.why)?
        }
        (false, None) => writeln!(out, "passed, {} orders\ntrace   {hash}", outcome.orders)?,
    }
    Ok(())
}

/// Writes the diagram, if one is wanted.
fn draw(outcome: &Outcome, args: &SimulateArgs) -> io::Result<()> {
    match (&args.diagram, &outcome.svg) {
        (Some(file), Some(svg)) => std::fs::write(file, svg)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
        _ => Ok(()),
    }
}

/// The lines of a traced seed: on stdout, unless that is for the final object.
fn tell(outcome: &Outcome, global: &Global) -> io::Result<()> {
    let mut write = |line: &String| match global.json {
        true => writeln!(io::stderr(), "{line}"),
        false => writeln!(io::stdout(), "{line}"),
    };
    outcome.lines.iter().try_for_each(&mut write)
}

struct Verdict {
    report: Report,
    /// The first failed seeds' schedules, shortened.
    short: BTreeMap<u64, Schedule>,
    options: Options,
    elapsed: Duration,
}

impl Verdict {
    fn exit(&self) -> u8 {
        match (self.report.failed.is_empty(), self.report.missing(&self.options).is_empty()) {
            (false, _) => exit::BROKEN,
            (true, false) => exit::THRESHOLD,
            (true, true) => exit::DONE,
        }
    }

    fn seeds_per_s(&self) -> f64 {
        self.report.seeds as f64 / self.elapsed.as_secs_f64().max(1e-6)
    }

    fn print(&self, global: &Global, out: &mut dyn Write) -> io::Result<()> {
        match global.json {
            true => writeln!(out, "{}", json_line(self.json())),
            false => self.table(out),
        }
    }

    fn json(&self) -> Value {
        let failed = self.report.failed.iter().map(|(seed, failure)| {
            let short = self.short.get(seed).map(replay_short);
            let replay = replay(*seed, &self.options);
            json!({ "seed": seed, "check": failure.check, "why": failure.why, "replay": replay, "short": short })
        });
        json!({
            "seeds": self.report.seeds,
            "failed": failed.collect::<Vec<Value>>(),
            "orders": self.report.orders,
            "faults": object(&self.faults()),
            "marks": object(&self.marks()),
            "missing": self.report.missing(&self.options),
            "trace_hash": self.report.trace_hash.to_string(),
            "elapsed_s": rounded(self.elapsed.as_secs_f64()),
            "seeds_per_s": rounded(self.seeds_per_s()),
        })
    }

    /// All kinds that were allowed, those that never came about included.
    fn faults(&self) -> Vec<(&'static str, u64)> {
        let count = |kind: &Kind| (kind.name(), of(&self.report.faults, kind));
        self.options.faults.iter().map(count).collect()
    }

    fn marks(&self) -> Vec<(&'static str, u64)> {
        Mark::ALL.iter().map(|mark| (mark.name(), of(&self.report.marks, mark))).collect()
    }

    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let Report { seeds, failed, orders, trace_hash, .. } = &self.report;
        for (seed, failure) in failed {
            writeln!(out, "seed {seed} failed: {}: {}", failure.check, failure.why)?;
            writeln!(out, "  again: {}", replay(*seed, &self.options))?;
            if let Some(schedule) = self.short.get(seed) {
                writeln!(out, "  short: {}", replay_short(schedule))?;
            }
        }
        let (rate, took) = (rounded(self.seeds_per_s()), rounded(self.elapsed.as_secs_f64()));
        writeln!(out, "{seeds} seeds, {} failed, {orders} orders in {took} s, {rate} seeds/s", failed.len())?;
        for (title, counts) in [("faults", self.faults()), ("marks", self.marks())] {
            let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(out, "{title:<7} {}", counts.join(", "))?;
        }
        let missing = self.report.missing(&self.options);
        if !missing.is_empty() {
            writeln!(out, "missing {}", missing.join(", "))?;
        }
        writeln!(out, "trace   {trace_hash}")
    }
}

fn of<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> u64 {
    counts.get(key).copied().unwrap_or_default()
}

fn object(counts: &[(&'static str, u64)]) -> Value {
    let pairs = counts.iter().map(|(name, count)| ((*name).to_owned(), Value::from(*count)));
    Value::Object(pairs.collect::<Map<String, Value>>())
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// The command that repeats one seed.
fn replay(seed: u64, options: &Options) -> String {
    let (least, most) = (options.peers.start(), options.peers.end());
    let peers = if least == most { least.to_string() } else { format!("{least}-{most}") };
    let faults: Vec<&str> = options.faults.iter().map(|kind| kind.name()).collect();
    let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(",") };
    format!("bazaar simulate --seed {seed} --peers {peers} --orders {} --faults {faults}", options.orders)
}

/// The command that plays a shortened schedule.
fn replay_short(schedule: &Schedule) -> String {
    format!("bazaar simulate --schedule '{schedule}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    fn verdict(line: &str) -> (Verdict, Value) {
        let cli = Cli::parse_from_args(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Simulate(args) = &cli.command else { panic!("not simulate") };
        let batch = Batch { seeds: args.seeds(), jobs: args.jobs, until_failure: args.until_failure };
        let (options, elapsed) = (args.options(), Duration::from_millis(1_250));
        let (report, short) = (batch.run(&options, |_| ()), BTreeMap::new());
        let verdict = Verdict { report, short, options, elapsed };
        let json = verdict.json();
        (verdict, json)
    }

    #[test]
    fn json_has_the_documented_keys_in_their_order() {
        let (verdict, json) = verdict("bazaar simulate --seeds 1..2 --orders 50 --faults kill");
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "seeds",
                "failed",
                "orders",
                "faults",
                "marks",
                "missing",
                "trace_hash",
                "elapsed_s",
                "seeds_per_s"
            ]
        );
        assert_eq!((json["seeds"].as_u64(), json["seeds_per_s"].as_f64()), (Some(2), Some(1.6)));
        assert_eq!(verdict.exit(), exit::DONE);
    }

    #[test]
    fn the_replay_of_a_failed_seed_repeats_its_options() {
        let (mut verdict, _) = verdict("bazaar simulate --seed 7 --peers 5 --orders 50 --faults none");
        let failure = crate::sim::Failure { check: "told", why: "of order 4-3".to_owned() };
        verdict.report.failed.push((7, failure));
        assert_eq!(verdict.exit(), exit::BROKEN);
        let again = "bazaar simulate --seed 7 --peers 5 --orders 50 --faults none";
        assert_eq!(verdict.json()["failed"][0]["replay"], again);
        let mut text = Vec::new();
        verdict.table(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("seed 7 failed: told: of order 4-3\n"), "{text}");
        assert!(text.contains(again));
    }
}
