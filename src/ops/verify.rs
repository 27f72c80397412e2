//! `bazaar verify`: the documented invariants, checked from the records alone.
//!
//! In: sources of blocks, on disk or live. Out: a line per check, with examples and the command that shows each, and an
//! exit code: 5 if an invariant is broken, 6 if `--require-all` and a store was missing.

mod audit;
mod caches;
mod chain;
mod report;

use std::{io::Write, thread, time::Duration};

pub use audit::{Audit, audit};

use super::dump::Source;
use super::fold::Check;
use super::output::{Failure, exit};
use crate::cli::{Global, VerifyArgs};

/// A live market may be read in the middle of a step: what was missing is looked for again after this.
const SECOND_LOOK_AFTER: Duration = Duration::from_secs(1);
/// Examples kept while a second look may still clear some.
const EXAMPLES_LIVE_MAX: usize = 10_000;

/// Checks `sources` and prints the verdict. Gives the exit code.
pub fn run(
    args: &VerifyArgs,
    global: &Global,
    mut sources: Vec<Source>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let live = sources.iter().any(|source| source.meta().live);
    let examples_max = if live { EXAMPLES_LIVE_MAX } else { args.max_examples };
    let mut found = audit(&mut sources, examples_max)?;
    if live && found.may_be_underway() {
        thread::sleep(SECOND_LOOK_AFTER);
        found.confirm(&audit(&mut sources, EXAMPLES_LIVE_MAX)?);
    }
    let wanted: Vec<Check> = Check::ALL.into_iter().filter(|check| args.wants(check.number())).collect();
    report::print(&found, &wanted, args, global, out).map_err(Failure::writing)?;
    Ok(code(&found, &wanted, args.require_all))
}

fn code(found: &Audit, wanted: &[Check], require_all: bool) -> u8 {
    let broken = wanted.iter().any(|check| found.alarms.of(*check).failed > 0);
    let lacking = wanted.iter().any(|check| !found.lacks(*check).is_empty());
    match (broken, lacking && require_all) {
        (true, _) => exit::BROKEN,
        (false, true) => exit::UNDETERMINED,
        (false, false) => exit::DONE,
    }
}

#[cfg(test)]
mod tests;
