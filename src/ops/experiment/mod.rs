//! `bazaar experiment`: repeats what the course measured, and what it should have, with pictures.
//!
//! In: which ones. Out: figures as CSV and JSON, pictures as SVG, all of it on one page, and a table on the terminal. Each
//! cell of a sweep is run several times, and its median counts. What was measured is kept after each run: Ctrl-C loses the
//! run that is under way, and the same command goes on from there. Exit codes: 0; 2 an expression makes no sense; 7 the
//! directory holds something else; 8 an expression does not hold; 130 interrupted.

mod assertion;
mod catalogue;
mod draw;
mod market;
mod other;
mod results;
mod rig;
mod terminal;
mod work;

use std::io::Write as _;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::assertion::Assertion;
use self::catalogue::{Experiment, named};
use self::results::{Results, Setting, Store};
use self::work::Work;
use super::output::{Failure, exit, json_line, note};
use super::progress::{Part, Progress};
use super::runtime::runtime_with_thread;
use crate::cli::{ExperimentArgs, Global};

/// Makes them.
///
/// # Errors
/// See the module's text.
pub fn run(args: &ExperimentArgs, global: &Global) -> Result<u8, Failure> {
    let made: Vec<&'static Experiment> = args.names().into_iter().map(named).collect();
    let parse = |text: &String| Assertion::parse(text, &made);
    let assertions = args.assert.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let setting = setting(args);
    let store = Store::open(&args.out, &args.names(), &setting)?;
    let mut all = Vec::new();
    for experiment in &made {
        let results = match store.read(experiment.name)? {
            Some(results) => results,
            None => new(experiment, &setting),
        };
        // It is theirs from now on, also if it is interrupted at once.
        store.keep(&results)?;
        all.push((*experiment, results));
    }
    let whole = runtime_with_thread()?.block_on(async {
        tokio::select! {
            done = measure(args, global, &store, &mut all) => done.map(|()| true),
            _ = tokio::signal::ctrl_c() => Ok(false),
        }
    })?;
    draw::write(&store, &all)?;
    if !whole {
        note(format_args!(
            "interrupted: what was measured is in {}; the same command goes on",
            args.out.display()
        ));
        return Ok(exit::INTERRUPTED);
    }
    report(args, global, &store, &all, &assertions)
}

fn setting(args: &ExperimentArgs) -> Setting {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("a machine", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Setting {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: format!("{model}, {cores} cores"),
        quick: args.quick,
        repeat: args.repeats(),
    }
}

fn new(experiment: &Experiment, setting: &Setting) -> Results {
    Results {
        experiment: experiment.name.to_owned(),
        setting: setting.clone(),
        dimensions: experiment.dimensions.iter().map(|it| (*it).to_owned()).collect(),
        ..Results::default()
    }
}

/// A run that is to be made: of which experiment, and where.
struct Due {
    experiment: usize,
    at: Vec<String>,
    work: Work,
}

/// What is not there yet, the first run of each cell before the second of any: what is interrupted has something of all.
fn due(all: &mut [(&'static Experiment, Results)], repeat: u32) -> Vec<Due> {
    let mut due = Vec::new();
    for nth in 0..repeat as usize {
        for (at_experiment, (experiment, results)) in all.iter_mut().enumerate() {
            for (at, work) in (experiment.cells)(results.setting.quick) {
                if let Some(lacks) = work.lacks() {
                    let left_out = format!("{}: {lacks}", at.join(", "));
                    if !results.left_out.contains(&left_out) {
                        results.left_out.push(left_out);
                    }
                } else if results.cell(&at).runs.len() <= nth {
                    due.push(Due { experiment: at_experiment, at, work });
                }
            }
        }
    }
    due
}

async fn measure(
    args: &ExperimentArgs,
    global: &Global,
    store: &Store,
    all: &mut [(&'static Experiment, Results)],
) -> Result<(), Failure> {
    let due = due(all, args.repeats());
    let (part, began) =
        (Progress::new(global).part("experiments", "runs", Some(due.len() as u64)), Instant::now());
    let runs = due.len();
    for (nth, Due { experiment, at, work }) in due.into_iter().enumerate() {
        let (experiment, results) = &mut all[experiment];
        tell(&part, began, (nth, runs), &format!("{} {}", experiment.name, at.join(" ")));
        let dir = TempDir::with_prefix("bazaar-experiment-");
        let dir = dir.map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
        let measured = Box::pin(work.run(dir.path())).await.map_err(|failure| {
            let what = format!("{} {}: {}", experiment.name, at.join(" "), failure.what);
            Failure { what, ..failure }
        })?;
        let cell = results.cell(&at);
        cell.runs.extend(measured.runs);
        (cell.series, cell.bands) = (measured.series, measured.bands);
        store.keep(results)?;
    }
    Ok(())
}

/// How far it is, and how long the rest takes if it goes on like this.
fn tell(part: &Part, began: Instant, (nth, runs): (usize, usize), what: &str) {
    part.says(|| {
        let left = began.elapsed().as_secs_f64() / nth.max(1) as f64 * (runs - nth) as f64;
        let left = Duration::from_secs(if nth == 0 { 0 } else { left as u64 });
        let left = if nth == 0 { String::new() } else { format!(", about {left:?} left") };
        format!("experiment  {nth} of {runs} runs{left}  {what}")
    });
}

fn report(
    args: &ExperimentArgs,
    global: &Global,
    store: &Store,
    all: &[(&'static Experiment, Results)],
    assertions: &[Assertion],
) -> Result<u8, Failure> {
    let mut broken = Vec::new();
    for assertion in assertions {
        for (_, results) in all.iter().filter(|(experiment, _)| experiment.name == assertion.experiment) {
            broken.extend(assertion.judge(results)?);
        }
    }
    let mut out = std::io::stdout().lock();
    let page = store.path("index.html");
    if global.json {
        let names: Vec<&str> = all.iter().map(|(experiment, _)| experiment.name).collect();
        let object = serde_json::json!({
            "experiments": names,
            "out": args.out.display().to_string(),
            "page": page.display().to_string(),
            "broken": broken,
            "pass": broken.is_empty(),
        });
        writeln!(out, "{}", json_line(object)).map_err(Failure::writing)?;
    } else {
        for (experiment, results) in all {
            writeln!(out, "{}\n", terminal::shown(experiment, results)).map_err(Failure::writing)?;
        }
        let before = args.compare.as_deref().map(Store::at);
        for (experiment, results) in all.iter().filter(|_| before.is_some()) {
            let Some(before) = &before else { continue };
            for line in terminal::compared(experiment, results, before)? {
                writeln!(out, "{line}").map_err(Failure::writing)?;
            }
        }
        writeln!(out, "pictures and figures: {}", page.display()).map_err(Failure::writing)?;
    }
    broken.iter().for_each(note);
    Ok(if broken.is_empty() { exit::DONE } else { exit::THRESHOLD })
}
