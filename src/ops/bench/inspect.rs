//! `bench inspect`: how long the questions that people come back for take on a long ledger.
//!
//! A market of real processes fills its stores, or a ledger is written with one row in each block (`--sparse`). Then each
//! question is asked by a process of its own, three times; the median counts. The stores are stopped, and what was just
//! written is in the page cache.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::market::{self, Market};
use super::nodes::report;
use super::{Place, sparse, system, unless_interrupted};
use crate::cli::{Global, InspectFlags};
use crate::ops::children;
use crate::ops::output::{Failure, exit, json_line, rounded};
use crate::ops::progress::{Part, Progress};
use crate::ops::runtime::runtime;

/// Time to fill the ledger; a machine that needs longer is not fit for this.
const FILL_MAX: Duration = Duration::from_secs(3_600);
/// Buyers and sellers of the market that fills it.
const SHOPPERS: u32 = 4;
/// How often each question is asked.
const TIMES: usize = 3;
/// A question that is not answered by then is given up.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// How often the memory of a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Asked of the warehouse's store, with the seconds that an answer may take at ten million rows.
const OF_LEDGER: [(&str, f64); 13] = [
    ("dump", 0.3),
    ("dump meta", 0.3),
    ("dump accounts", 0.3),
    ("dump inventory", 0.3),
    ("dump sessions", 0.3),
    ("dump ledger --reverse --limit 5", 0.1),
    ("dump ledger --tail 5", 0.1),
    ("dump ledger --peer 1 --limit 5", 2.0),
    ("dump ledger --kind office,fence", 2.0),
    ("dump ledger --trader 6 --product wine --limit 5", 2.0),
    ("dump inventory --at HALF", 1.0),
    ("dump ledger --format jsonl", 8.0),
    ("dump ledger --format csv", 8.0),
];
/// Asked of all stores.
const OF_MARKET: [(&str, f64); 2] = [("dump --order 1-1000", 0.3), ("verify", 5.0)];

/// What was measured of one question.
struct Answer {
    question: String,
    seconds: f64,
    at_most: f64,
    mib: f64,
}

/// Measures, prints, and gives the exit code.
///
/// # Errors
/// A node did not start, or a question was not answered.
pub(super) fn run(flags: &InspectFlags, global: &Global) -> Result<u8, Failure> {
    let place = Place::new(flags.data_dir.as_deref())?;
    let progress = Progress::new(global);
    let part = progress.part("filling the ledger", "rows", Some(flags.orders));
    let filled = runtime()?.block_on(unless_interrupted(fill(&place, flags, &part)))?;
    drop(part);
    let Some(rows) = filled else { return Ok(exit::DONE) };
    let warehouse = place.node("warehouse");
    let questions = OF_LEDGER.len() + if flags.sparse { 1 } else { OF_MARKET.len() };
    let part = progress.part("asking", "questions", Some(questions as u64));
    let mut answers = Vec::new();
    for (question, at_most) in OF_LEDGER {
        let question = question.replace("HALF", &(rows / 2).to_string());
        part.done(|| Some(answers.len() as u64));
        answers.push(ask(question, &warehouse, at_most)?);
    }
    for (question, at_most) in OF_MARKET.iter().filter(|_| !flags.sparse) {
        part.done(|| Some(answers.len() as u64));
        answers.push(ask((*question).to_owned(), &place.dir, *at_most)?);
    }
    if flags.sparse {
        answers.push(ask("verify".to_owned(), &warehouse, 5.0)?);
    }
    drop(part);
    print(rows, flags, &answers, global).map_err(Failure::writing)?;
    let late = |within: f64| answers.iter().any(|answer| answer.seconds > answer.at_most * within);
    Ok(if flags.within.is_some_and(late) { exit::THRESHOLD } else { exit::DONE })
}

/// Gives how many rows there are.
async fn fill(place: &Place, flags: &InspectFlags, part: &Part) -> Result<u64, Failure> {
    if flags.sparse {
        sparse::write(&place.node("warehouse"), flags.orders, part).await?;
        return Ok(flags.orders);
    }
    let nodes = Market::start(place, SHOPPERS).await?;
    let shoppers = market::start_shoppers(place, &nodes, SHOPPERS)?;
    let what = format!("{} rows in the ledger", flags.orders);
    let filled = async || {
        let rows = report(&nodes.addr).await?.log.0.0;
        part.done(|| Some(rows));
        Ok(rows >= flags.orders)
    };
    market::until(&what, FILL_MAX, filled).await?;
    market::quiesce(&shoppers).await?;
    let rows = report(&nodes.addr).await?.log.0.0;
    shoppers.end().await?;
    nodes.end().await?;
    Ok(rows)
}

fn ask(question: String, dir: &Path, at_most: f64) -> Result<Answer, Failure> {
    let mut asked = (0..TIMES).map(|_| once(&question, dir)).collect::<Result<Vec<_>, Failure>>()?;
    asked.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mib = asked.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
    Ok(Answer { question, seconds: asked[TIMES / 2].0, at_most, mib })
}

/// Seconds, and the most memory that it had, in MiB.
fn once(question: &str, dir: &Path) -> Result<(f64, f64), Failure> {
    let began = Instant::now();
    let mut process = Command::new(std::env::current_exe().map_err(system)?)
        .args(question.split(' '))
        .arg("--data-dir")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(system)?;
    let mut mib = 0.0_f64;
    loop {
        mib = mib.max(children::peak_of(process.id()));
        if let Some(status) = process.try_wait().map_err(system)? {
            let seconds = began.elapsed().as_secs_f64();
            let failed =
                || Failure::new(exit::UNDETERMINED, format!("bazaar {question} ended with {status}"));
            return if status.success() { Ok((seconds, mib)) } else { Err(failed()) };
        }
        if began.elapsed() > ANSWER_MAX {
            // It may have ended just now.
            let _ = process.kill();
            process.wait().map_err(system)?;
            let what = format!("bazaar {question} has not ended within {ANSWER_MAX:?}");
            return Err(Failure::new(exit::UNDETERMINED, what));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn print(rows: u64, flags: &InspectFlags, answers: &[Answer], global: &Global) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if global.json {
        let each: Vec<Value> = answers.iter().map(as_json).collect();
        let object = json!({ "rows": rows, "sparse": flags.sparse, "questions": each });
        return writeln!(out, "{}", json_line(object));
    }
    let sparse = if flags.sparse { ", one in each block" } else { "" };
    writeln!(out, "{rows} rows{sparse}; median of {TIMES}")?;
    writeln!(out, "seconds  at most     MiB  question")?;
    answers.iter().try_for_each(|Answer { question, seconds, at_most, mib }| {
        writeln!(out, "{seconds:>7.2}  {at_most:>7.1}  {mib:>6.0}  {question}")
    })
}

fn as_json(answer: &Answer) -> Value {
    let Answer { question, seconds, at_most, mib } = answer;
    json!({ "question": question, "s": rounded(*seconds, 3), "at_most_s": at_most, "peak_mib": rounded(*mib, 0) })
}
