//! Room on the disk: how much is left, and the ballast that is given up when there is none.
//!
//! A full disk keeps sled from opening, and its first ENOSPC ends it for that process. So a node asks before each group
//! and refuses orders in time; if it was too late all the same, the next start frees the ballast and can open.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::limits::{BALLAST_BYTES, LOW_WATER_BYTES};

/// Bytes that this process may still use on the disk that holds `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// How many nodes' directories there are beside `dir` on the same disk, itself included.
pub(crate) fn nodes_beside(dir: &Path) -> u64 {
    let disk = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_dir).map(|at| at.dev());
    let own = disk(dir);
    let entries = dir.parent().and_then(|market| fs::read_dir(market).ok());
    let stores = entries.into_iter().flatten().flatten().map(|entry| entry.path().join("store"));
    (stores.filter(|store| own.is_some() && disk(store) == own).count() as u64).max(1)
}

/// Before the store is opened: below the low-water mark the ballast goes. Says whether it went.
pub(crate) fn give_up_ballast(dir: &Path, ballast: &Path) -> io::Result<bool> {
    if free_bytes(dir)? >= LOW_WATER_BYTES || !ballast.exists() {
        return Ok(false);
    }
    fs::remove_file(ballast)?;
    File::open(dir)?.sync_all()?;
    Ok(true)
}

/// After the store was opened: sets the ballast aside when there is room for it above the low-water mark.
pub(crate) fn take_ballast(dir: &Path, ballast: &Path) -> io::Result<bool> {
    let whole = fs::metadata(ballast).is_ok_and(|file| file.len() == BALLAST_BYTES);
    if whole || free_bytes(dir)? < LOW_WATER_BYTES + BALLAST_BYTES {
        return Ok(false);
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(ballast)?;
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES)?;
    file.sync_all()?;
    Ok(true)
}
