//! What a store holds that follows from the rest of it: sled's snapshot, which it makes from its log, and `conf`, which
//! says what this program says at each opening.
//!
//! Damage to one of them loses nothing, and sled opens no store with one: it makes both anew if they are absent. So they
//! are looked at first, and what is damaged goes. The log is read from its beginning then, where otherwise only its end
//! was read; should it be damaged as well, sled would overwrite what it cannot read, and what is left of it is the only
//! copy. So the owner tries it on a copy, up to the mark, before anything is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::OpenError;
use super::dir::{NodeDir, make_private, sync_dir};
use super::look::{self, snapshots};
use super::mark::Mark;
use super::recover::meets_mark;
use super::sealed::Tiered;
use super::sled_store::SledStore;
use super::store::trees_of;
use crate::model::fold::Fold;

/// A snapshot ends in its length, eight bytes, and its checksum.
const SNAPSHOT_END: usize = 12;
const CHECKSUM: usize = 4;
/// sled takes a shorter `conf` for none, and writes it again.
const CONF_MIN: usize = 8;

/// The derived files that are to be made anew. Of several snapshots the newest counts; is it damaged, the log may have
/// taken the place of what an older one points to, so that all go.
pub(super) fn damaged(store: &Path) -> io::Result<Vec<PathBuf>> {
    let (conf, mut found) = (store.join("conf"), Vec::new());
    if look::kind(&conf)? == look::Kind::File && !is_whole_conf(&fs::read(&conf)?) {
        found.push(conf);
    }
    let snapshots = snapshots(store)?;
    if let Some(newest) = snapshots.last()
        && !is_whole_snapshot(&fs::read(newest)?)
    {
        found.extend(snapshots);
    }
    Ok(found)
}

fn is_whole_snapshot(bytes: &[u8]) -> bool {
    bytes.len() > SNAPSHOT_END && is_whole(bytes, SNAPSHOT_END)
}

fn is_whole_conf(bytes: &[u8]) -> bool {
    bytes.len() <= CONF_MIN || is_whole(bytes, CHECKSUM)
}

/// The last four bytes are the checksum of all but the last `end`.
fn is_whole(bytes: &[u8], end: usize) -> bool {
    let (content, check) = (&bytes[..bytes.len() - end], &bytes[bytes.len() - CHECKSUM..]);
    crc32fast::hash(content).to_le_bytes() == check
}

/// Removes what is damaged from a store that nobody else has open, and says so.
pub(super) fn remove(store: &Path, damaged: &[PathBuf]) -> io::Result<()> {
    for path in damaged {
        tracing::warn!("{} is damaged: it is made anew from the log, and nothing is lost", path.display());
        fs::remove_file(path)?;
    }
    sync_dir(store)
}

/// See the module's text. The caller has the store locked.
///
/// # Errors
/// Without these files the store does not come up to its mark, or its trees do not hang together, or there is no room to
/// try it. Nothing was changed.
pub(super) fn rebuild<F: Fold>(node: &NodeDir, mark: Option<Mark>) -> Result<(), OpenError> {
    let store = node.store();
    let damaged = damaged(&store).map_err(OpenError::io(&store))?;
    if damaged.is_empty() {
        return Ok(());
    }
    let copy = Trial(node.store_tmp());
    copy.clear().map_err(OpenError::io(&copy.0))?;
    try_on_copy::<F>(node, &copy.0, &damaged, mark)?;
    drop(copy);
    remove(&store, &damaged).map_err(OpenError::io(&store))
}

/// A copy that goes however its trial ends: sled may panic over it. What a kill leaves of it is removed before the next.
struct Trial(PathBuf);

impl Trial {
    fn clear(&self) -> io::Result<()> {
        if self.0.exists() { fs::remove_dir_all(&self.0) } else { Ok(()) }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Files that cannot be removed do no harm: they are no store.
        let _ = self.clear();
    }
}

fn try_on_copy<F: Fold>(
    node: &NodeDir,
    copy: &Path,
    damaged: &[PathBuf],
    mark: Option<Mark>,
) -> Result<(), OpenError> {
    let store = node.store();
    make_private(copy).map_err(OpenError::io(copy))?;
    for name in ["db", "conf"] {
        let from = store.join(name);
        if from.exists() && !damaged.contains(&from) {
            fs::copy(&from, copy.join(name)).map_err(OpenError::io(copy))?;
        }
    }
    for snapshot in snapshots(&store).map_err(OpenError::io(&store))? {
        if let (false, Some(name)) = (damaged.contains(&snapshot), snapshot.file_name()) {
            fs::copy(&snapshot, copy.join(name)).map_err(OpenError::io(copy))?;
        }
    }
    let at = OpenError::store(&node.db());
    let opened = SledStore::open_copy(copy, &store, trees_of(F::LOG)).map_err(&at)?;
    opened.hangs_together().map_err(&at)?;
    let mut opened = Tiered::open(Box::new(opened), F::LOG).map_err(&at)?;
    meets_mark::<F>(&mut opened, node.path(), mark.map(|mark| (mark.seq, mark.hash)))
}
