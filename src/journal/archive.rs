//! Takes the older segments out of a stopped ledger's store, into an archive.
//!
//! Order, and the crash that would break it otherwise: the blocks are read and checked, and folded to the state at their
//! end; the archive is written and synced under its name; the state is written beside the segments that stay; `meta` says
//! where the log begins now, synced; then the segments go. Whatever is left over of it goes at the next start.

use std::path::Path;
use std::time::Instant;

use super::block::{Block, BlockHeader, Tip};
use super::checkpoint::Checkpoint;
use super::dir::{Life, NodeDir};
use super::lock::lock_until;
use super::open::{in_use, open_store, refuse_unopened};
use super::sealed::{
    Archive, Builder, Directory, SealedPart, Tiered, base_name, parts_of, state_of, write_archive,
};
use super::store::{Store as _, StoreError, StoreRead as _};
use super::{OpenError, look, meta};
use crate::limits::{GROUP_BYTES_MAX, LOCK_RETRY_MAX};
use crate::model::fold::Fold;
use crate::types::Seq;

/// What went into an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Archived {
    /// First row.
    pub from: Seq,
    /// Last row.
    pub to: Seq,
    /// Size of the archive.
    pub bytes: u64,
}

/// No segment ends before the row that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSegment {
    /// The lowest row that one ends before which may go; none if there is none.
    pub from: Option<Seq>,
}

/// Moves the segments whose rows are all before `before`, and before the rows that checkpoint and mark name, from the
/// stopped store in `dir` to a new file `out`. `checked_to` is told how far its rows were read.
///
/// # Errors
/// The store is in use, damaged or of another log; `out` is there; the disk fails. The store is as it was, but for a full
/// archive that may be left.
pub(crate) fn archive<F: Fold>(
    dir: &Path,
    before: Seq,
    out: &Path,
    checked_to: &dyn Fn(Seq),
) -> Result<Result<Archived, NoSegment>, OpenError> {
    let node = NodeDir::new(dir);
    let deadline = Instant::now() + LOCK_RETRY_MAX;
    let (lock, mark) = match node.life()? {
        Life::Unborn => return Err(OpenError::Absent(dir.to_owned())),
        Life::Born(mark) => {
            let lock = lock_until(dir, false, deadline).map_err(OpenError::io(dir))?;
            refuse_unopened(&node, mark, None)?;
            (lock.ok_or_else(|| in_use(&node))?, mark)
        }
    };
    look::at_owners_names(&node)?;
    let store = open_store::<F>(&node, lock, deadline)?;
    let at = OpenError::store(&node.store());
    let meta = meta::load(&*store.reader()).map_err(&at)?;
    if meta.log != F::LOG {
        let (found, expected) = (meta.log.name().into(), F::LOG.name().into());
        return Err(OpenError::OtherLog { dir: dir.to_owned(), found, expected });
    }
    let mut store = Tiered::open(Box::new(store), F::LOG).map_err(&at)?;
    let sealed = store.read().sealed();
    // A start looks for the blocks that these name.
    let checkpoint = Checkpoint::load(&*store.read()).map_err(&at)?.map_or(Seq(0), |named| named.seq);
    let may_go = checkpoint.min(mark.seq);
    let Some((names, end)) = sealed.before(before.min(may_go)).map_err(&at)? else {
        return Ok(Err(NoSegment { from: sealed.behind_first().filter(|from| *from <= may_go) }));
    };
    let state = checked::<F>(&store, &sealed, end, checked_to).map_err(&at)?;
    let part = SealedPart { first: sealed.part().first, end };
    let files = store.read().files();
    let bytes = write_archive(out, &*files, &names, (&meta.cluster, part)).map_err(OpenError::store(out))?;
    read_back(out, part)?;
    let first = end.seq.next();
    let moved = state_of(&state).and_then(|state| {
        files.put(&base_name(first), &Builder::new(end).finish(&state)?)?;
        meta::put_sealed(&mut store, SealedPart { first, end: sealed.part().end })?;
        store.sync()?;
        Directory::open(files, SealedPart { first, end: sealed.part().end })?.sweep()
    });
    moved.map_err(&at)?;
    Ok(Ok(Archived { from: part.first, to: end.seq, bytes }))
}

/// Reads all blocks up to `end`, each of which must follow the one before. Gives what they add up to.
fn checked<F: Fold>(
    store: &Tiered,
    sealed: &Directory,
    end: Tip,
    checked_to: &dyn Fn(Seq),
) -> Result<F, StoreError> {
    let (mut state, mut tip) = (F::default(), Tip::default());
    if let Some((base, chunks)) = sealed.base()? {
        parts_of::<F>(&chunks)?.into_iter().for_each(|(_, part)| state.restore(part));
        tip = base;
    }
    let damaged = |at: Seq, why: String| StoreError::Damaged(format!("the log at row {at}: {why}"));
    while tip != end {
        let from = tip.seq.next();
        let blocks = store.read().scan(F::LOG, &from.0.to_be_bytes(), GROUP_BYTES_MAX)?;
        if blocks.is_empty() || tip.seq > end.seq {
            return Err(damaged(from, "it ends elsewhere than its segments say".to_owned()));
        }
        for (_, bytes) in blocks.iter().take_while(|(_, bytes)| up_to(bytes, end.seq)) {
            let block =
                Block::<F::Record>::decode(bytes).map_err(|error| damaged(from, error.to_string()))?;
            if !tip.links(&block.header, &block.seal) {
                return Err(damaged(
                    block.header.first,
                    "its block does not follow the one before".to_owned(),
                ));
            }
            block.rows().for_each(|(seq, record)| state.apply(seq, block.header.time, record));
            tip = Tip::after(&block.header, &block.seal);
        }
        checked_to(tip.seq);
    }
    Ok(state)
}

fn up_to(block: &[u8], last: Seq) -> bool {
    BlockHeader::peek(block).is_ok_and(|header| header.last() <= last)
}

/// The archive says what it should, and every piece of it can be had back.
fn read_back(out: &Path, part: SealedPart) -> Result<(), OpenError> {
    let archive = Archive::open(out)?;
    let found =
        Directory::of_archive(archive.clone()).and_then(|found| found.read_all().map(|()| found.part()));
    match found.map_err(OpenError::store(out))? {
        found if found == part => Ok(()),
        found => {
            let why = format!(
                "it has rows {} to {} and should have {} to {}",
                found.first, found.end.seq, part.first, part.end.seq
            );
            Err(OpenError::Archive { path: out.to_owned(), why })
        }
    }
}
