//! `bazaar archive`: the older part of a stopped warehouse's ledger goes into a file, which `dump`, `verify` and `backup` read
//! beside the rest.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use super::backup::warehouse_dir;
use super::output::{Failure, exit, grouped, json_line};
use super::progress::Progress;
use crate::cli::{ArchiveArgs, Global};
use crate::journal::{self, NoSegment, mend};
use crate::limits::SEAL_BYTES;
use crate::model::market::Market;
use crate::types::Seq;

/// Moves what can be moved.
///
/// # Errors
/// The store is in use or damaged, the file is there, or there is no segment that ends before that row.
pub fn archive(args: &ArchiveArgs, global: &Global) -> Result<u8, Failure> {
    refuse_taken(&args.out, args)?;
    let dir = warehouse_dir(&args.data_dir)?;
    let part = Progress::new(global).part("archive", "rows", Some(args.before.0.saturating_sub(1)));
    let checked_to = |seq: Seq| part.done(|| Some(seq.0));
    let archived = journal::archive::<Market>(&dir, args.before, &args.out, &checked_to)?;
    drop(part);
    let archived = archived.map_err(|none| no_segment(&dir, args, none))?;
    let rows = archived.to.0 - archived.from.0 + 1;
    let (out, bytes) = (args.out.display().to_string(), archived.bytes);
    let object = json!({
        "from": archived.from.0, "to": archived.to.0, "rows": rows, "bytes": bytes, "out": out,
    });
    let line = format!("rows {} to {} are in {out} ({} bytes)", archived.from, archived.to, grouped(bytes));
    let text = if global.json { json_line(object) } else { line };
    writeln!(std::io::stdout(), "{text}").map_err(Failure::writing)?;
    Ok(exit::DONE)
}

fn no_segment(dir: &Path, args: &ArchiveArgs, NoSegment { from }: NoSegment) -> Failure {
    let dir_shown = dir.display();
    let Some(from) = from else {
        let what = format!("{dir_shown}: no segment of the ledger may go yet");
        return Failure::new(exit::NO, what).hint(format!(
            "one is made once {} MiB of rows lie behind a checkpoint; the newest one stays",
            SEAL_BYTES >> 20
        ));
    };
    let what = format!("{dir_shown}: no segment of the ledger ends before row {}", args.before);
    let (dir, out) = (mend::word(dir), mend::word(&args.out));
    Failure::new(exit::NO, what).hint(format!(
        "name a row from {from} on: bazaar archive --data-dir {dir} --before {from} --out {out}"
    ))
}

fn refuse_taken(out: &Path, args: &ArchiveArgs) -> Result<(), Failure> {
    if out.symlink_metadata().is_err() {
        return Ok(());
    }
    let hint = format!(
        "name a new file: bazaar archive --before {} --out {} --data-dir {}",
        args.before,
        mend::word(&mend::free(out)),
        mend::word(&args.data_dir)
    );
    Err(Failure::new(exit::USAGE, format!("{} is there already", out.display())).hint(hint))
}

#[cfg(test)]
mod tests;
