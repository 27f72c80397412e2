//! `bazaar archive`: the older part of a stopped warehouse's ledger goes into a file, which `dump`, `verify` and `backup` read
//! beside the rest.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use super::backup::warehouse_dir;
use super::output::{Failure, exit, json_line};
use crate::cli::{ArchiveArgs, Global};
use crate::journal::{self, mend};
use crate::model::market::Market;

/// Moves what can be moved.
///
/// # Errors
/// The store is in use or damaged, the file is there, or there is no segment that ends before that row.
pub fn archive(args: &ArchiveArgs, global: &Global) -> Result<u8, Failure> {
    refuse_taken(&args.out, args)?;
    let dir = warehouse_dir(&args.data_dir)?;
    let archived = journal::archive::<Market>(&dir, args.before, &args.out)?;
    let Some(archived) = archived else {
        let what = format!("{}: no segment of the ledger ends before row {}", dir.display(), args.before);
        return Err(Failure::new(exit::NO, what).hint(format!(
            "name a later row; what is in segments, bazaar dump meta --data-dir {} says",
            mend::word(&dir)
        )));
    };
    let rows = archived.to.0 - archived.from.0 + 1;
    let (out, bytes) = (args.out.display().to_string(), archived.bytes);
    let object = json!({
        "from": archived.from.0, "to": archived.to.0, "rows": rows, "bytes": bytes, "out": out,
    });
    let line = format!("rows {} to {} are in {out} ({bytes} bytes)", archived.from, archived.to);
    let text = if global.json { json_line(object) } else { line };
    writeln!(std::io::stdout(), "{text}").map_err(Failure::writing)?;
    Ok(exit::DONE)
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
