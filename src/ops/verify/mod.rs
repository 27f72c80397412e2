//! `bazaar verify`: the documented invariants, as [`crate::audit`] checks them.
//!
//! In: stores on disk, running nodes, or both. Out: a line per check, with examples and the command that shows each, and
//! an exit code: 5 if an invariant is broken, 6 if `--require-all` and a store was missing. With `--resume` what an earlier one
//! looked at is not looked at again.

pub(crate) mod child;
mod report;
mod resume;

use std::io::{Write, stdout};
use std::thread;
use std::time::Duration;

use resume::Resume;

use super::live::Asking;
use super::output::{Failure, exit};
use crate::audit::{Audit, Check, Source, SourceError, audit_from};
use crate::cli::{Global, Target, VerifyArgs};

/// A live market may be read in the middle of a step: what was missing is looked for again after this.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Looks in all. Rows come to the ledger and to peers' stores within a second. A trader that is cut off from the warehouse,
/// though, is in office with an old cache until it is deposed: after a heartbeat, `--suspect-after` and an election, which
/// is 11 s by default.
const LOOKS_MAX: u32 = 20;
/// Examples kept while a second look may still clear some.
const EXAMPLES_LIVE_MAX: usize = 10_000;

/// Checks the invariants.
///
/// # Errors
/// A store cannot be read, or a node does not answer.
pub fn verify(args: &VerifyArgs, global: &Global) -> Result<u8, Failure> {
    let asking = Asking::new(global, false)?;
    let sources = match args.stores.target() {
        Target::Node(addr) => asking.market(&addr.to_string())?,
        Target::Dirs(dirs) => asking.stores(&dirs, args.stores.archives())?,
    };
    run(args, global, sources, &mut stdout())
}

/// Checks `sources` and prints the verdict. Gives the exit code.
fn run(
    args: &VerifyArgs,
    global: &Global,
    mut sources: Vec<Source>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let live = sources.iter().any(|source| source.meta().live);
    let examples_max = if live { EXAMPLES_LIVE_MAX } else { args.max_examples };
    let resume = args.resume.as_ref().map(|path| Resume::read(path, &mut sources)).transpose()?;
    let mut look = || {
        let before = resume.as_ref().and_then(Resume::verified);
        audit_from(before, resume.is_some(), &mut sources, examples_max)
    };
    let mut found = look()?;
    if live {
        look_again(&mut found, LOOK_AGAIN_AFTER, look)?;
    }
    let wanted: Vec<Check> = Check::ALL.into_iter().filter(|check| args.wants(check.number())).collect();
    report::print(&found, &wanted, args, global, resume.as_ref(), out).map_err(Failure::writing)?;
    if let (Some(resume), Some(verified)) = (&resume, found.verified()) {
        resume.write(verified)?;
    }
    Ok(code(&found, &wanted, args.require_all))
}

/// Keeps of what was found what is found again, each time `after` so long.
fn look_again(
    found: &mut Audit,
    after: Duration,
    mut look: impl FnMut() -> Result<Audit, SourceError>,
) -> Result<(), SourceError> {
    let mut looks = 1;
    while looks == 1 && found.may_be_underway() || looks < LOOKS_MAX && found.lacks_a_push() {
        thread::sleep(after);
        let again = look()?;
        found.confirm(&again);
        found.keep_of(again);
        looks += 1;
    }
    Ok(())
}

fn code(found: &Audit, wanted: &[Check], require_all: bool) -> u8 {
    let broken = wanted.iter().any(|check| found.of(*check).failed > 0);
    let lacking = wanted.iter().any(|check| !found.lacks(*check).is_empty());
    match (broken, lacking && require_all) {
        (true, _) => exit::BROKEN,
        (false, true) => exit::UNDETERMINED,
        (false, false) => exit::DONE,
    }
}

#[cfg(test)]
mod tests;
