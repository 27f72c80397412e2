//! The verdict, for people and as one object.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::resume::Resume;
use crate::audit::{Audit, Check, Example, Price, Tally};
use crate::cli::{Global, Target, VerifyArgs};
use crate::journal::mend::word;
use crate::ops::output::{Paint, colored, grouped, json_line};
use crate::types::Seq;

/// Missing stores named before the rest is only counted.
const NAMED_MAX: usize = 4;

pub(super) fn print(
    found: &Audit,
    wanted: &[Check],
    args: &VerifyArgs,
    global: &Global,
    resume: Option<&Resume>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if let Some(note) = resume.and_then(|resume| resume.note.as_ref()).filter(|_| !global.quiet) {
        writeln!(io::stderr(), "{note}")?;
    }
    if global.json {
        let checks: Vec<Value> = wanted.iter().map(|check| object(found, *check, args)).collect();
        let pass = wanted.iter().all(|check| found.of(*check).failed == 0);
        let mut verdict = json!({"checks": checks, "pass": pass});
        if let Some(Price { oversold, undersold, .. }) = found.price() {
            verdict["price"] = json!({"oversold": oversold, "undersold": undersold});
        }
        if let Some(resume) = resume {
            verdict["resumed_from"] = resume.from.0.into();
        }
        return writeln!(out, "{}", json_line(verdict));
    }
    if let Some(resume) = resume.filter(|resume| resume.from > Seq(0)) {
        writeln!(out, "what was verified before ends with row {} of the ledger", resume.from)?;
    }
    let color = colored(global.color, &io::stdout());
    wanted.iter().try_for_each(|check| lines(found, *check, args, color, out))?;
    if let Some(price) = found.price() {
        writeln!(out, "{}", paid(price))?;
    }
    writeln!(out, "{}", verdict(found, wanted, color))
}

/// The last line: `ok: 12 checks, 1,234,567 rows`, or which checks failed, and how often.
fn verdict(found: &Audit, wanted: &[Check], color: bool) -> String {
    let failed = wanted.iter().filter(|check| found.of(**check).failed > 0);
    let failed: Vec<String> =
        failed.map(|check| format!("{} ({})", check.id(), grouped(found.of(*check).failed))).collect();
    if !failed.is_empty() {
        return format!("{} {}", Paint::Red.on("FAILED:", color), failed.join(", "));
    }
    let unchecked = wanted.iter().filter(|check| found.unchecked(**check)).count();
    let without = if unchecked > 0 { format!(", {unchecked} not checked") } else { String::new() };
    let (made, rows) = (wanted.len() - unchecked, grouped(found.rows()));
    let checks = if made == 1 { "check" } else { "checks" };
    format!("{} {made} {checks}, {rows} rows{without}", Paint::Green.on("ok:", color))
}

/// `cached  12 oversold and taken back, 3 undersold: ...`.
fn paid(price: Price) -> String {
    let (oversold, undersold) = (grouped(price.oversold), grouped(price.undersold));
    format!(
        "cached  {oversold} oversold and taken back, {undersold} undersold: what the mode costs, and no failure"
    )
}

fn object(found: &Audit, check: Check, args: &VerifyArgs) -> Value {
    let tally = found.of(check);
    let example = |example: &Example| json!({"what": example.what, "command": command(example, args)});
    let examples: Vec<Value> = tally.examples.iter().take(args.max_examples).map(example).collect();
    json!({
        "check": check.id(),
        "name": check.title(),
        "result": result(found, check),
        "checked": tally.checked,
        "failed": tally.failed,
        "lost": tally.lost.values().sum::<u64>(),
        "examples": examples,
        "needs": found.lacks(check),
    })
}

fn result(found: &Audit, check: Check) -> &'static str {
    match found.of(check).failed {
        _ if found.unchecked(check) => "not_checked",
        0 => "ok",
        _ => "failed",
    }
}

fn lines(found: &Audit, check: Check, args: &VerifyArgs, color: bool, out: &mut dyn Write) -> io::Result<()> {
    let tally = found.of(check);
    let lacks = names(&found.lacks(check));
    let lost = lost(tally);
    let (word, paint, detail) = match result(found, check) {
        "not_checked" => ("not checked:", Paint::Yellow, format!("needs {lacks}")),
        "ok" if lacks.is_empty() => ("ok", Paint::Green, format!("{} checked{lost}", grouped(tally.checked))),
        "ok" => ("ok", Paint::Green, format!("{} checked{lost}, without {lacks}", grouped(tally.checked))),
        _ => ("FAILED", Paint::Red, format!("{} of {}{lost}", grouped(tally.failed), grouped(tally.checked))),
    };
    let word = paint.on(word, color);
    writeln!(out, "{}  {:<14}  {word} {detail}", check.id(), check.title())?;
    for example in tally.examples.iter().take(args.max_examples) {
        writeln!(out, "       {}\n         {}", example.what, command(example, args))?;
    }
    Ok(())
}

/// `, 3 lost with the restore of row 120`.
fn lost(tally: &Tally) -> String {
    let of = |(row, count): (&Seq, &u64)| format!(", {} lost with the restore of row {row}", grouped(*count));
    tally.lost.iter().map(of).collect()
}

fn names(lacks: &[String]) -> String {
    match lacks.len().checked_sub(NAMED_MAX) {
        None | Some(0) => lacks.join(", "),
        Some(more) => format!("{} and {more} more", lacks[..NAMED_MAX].join(", ")),
    }
}

/// The command that shows the case, on the stores that were checked.
fn command(example: &Example, args: &VerifyArgs) -> String {
    let stores = match args.stores.target() {
        Target::Node(addr) => format!(" --connect {addr}"),
        Target::Dirs(dirs) => dirs.iter().map(|dir| format!(" --data-dir {}", word(dir))).collect(),
    };
    format!("bazaar dump {}{stores}", example.show)
}
