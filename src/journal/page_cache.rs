//! Makes what the kernel shows of a store what its disk has, before anything of it is read.
//!
//! When a write-back fails the kernel counts the pages as clean, and goes on showing them. The process that hears of it
//! ends, as it should. The next one reads those pages; nothing is dirty, so its syncs go well; it builds on them and
//! answers; and a power cut takes away what all of that stands on: the store does not open again. Nobody can say which
//! pages those are: sled uses its segments again, the process may have been killed before it heard of the failure, and a
//! note of it would have to be written to the disk that fails. So it is done at every start and before every copy, under
//! the lock, and needs no memory of what happened before: a kill at any point of it leaves the next start the same work.
//!
//! 1. The directories are synced, so that what is opened is what a power cut leaves under these names.
//! 2. Every file is synced. Until that went well a page may be dirty, and a dirty page cannot be dropped. A failure is an
//!    error: the pages that it was about may lie from now on, and the next start drops them.
//! 3. All pages are dropped, so that reads come from the disk, and the kernel is asked whether any is left.
//! 4. A page may stay that another process maps or is just reading: it is told again. A file of which some stay all the
//!    same is copied, the copy is synced and put in its place: its pages have reached the disk. To write the pages over
//!    themselves would not do: ext4 had marked their blocks as never written, cannot take that back when the write-back
//!    fails, and forgets it; what is written to them later reads as zeros after the next mount.
//!
//! It costs 50 ms for each GB that is in memory, and the reads of what the start needs. A file system in memory has no
//! disk, hence nothing that differs from it: there the files are synced and that is all. Where the kernel cannot say what
//! is in memory all pages count as still there. (It says "everything" to those who may not write a file.)
//!
//! What this cannot reach: the file system's own tables, if their write-back failed. Only another mount reads them again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{Advice, FsWord, fadvise, fstatfs};

use super::OpenError;
use super::dir::{NodeDir, sync_dir};
use super::sled_store::{LEFTOVER, is_leftover};
use crate::limits::{PAGES_DROP_AGAIN_AFTER, PAGES_DROP_TRIES_MAX};

/// File systems whose files are in memory and nowhere else: tmpfs, ramfs.
const IN_MEMORY: [FsWord; 2] = [0x0102_1994, 0x8584_58f6];

/// See the module's text. The caller owns the store, and keeps readers out.
pub(super) fn agree_with_disk(node: &NodeDir) -> Result<(), OpenError> {
    let staying = drop_all(node)?;
    staying.iter().try_for_each(|path| {
        tracing::info!(
            "{}: some of it cannot be dropped from memory: a copy takes its place",
            path.display()
        );
        renew(path).map_err(failed(path, "copying it"))
    })
}

/// The same for a reader, who keeps the store's owner out. It replaces nothing, so it can but warn of what stays.
pub(super) fn agree_with_disk_or_warn(node: &NodeDir) -> Result<(), OpenError> {
    let staying = drop_all(node)?;
    staying.iter().for_each(|path| {
        tracing::warn!(
            "{}: some of it cannot be dropped from memory, and what is shown of it may not be on the disk: \
             end what else uses it, and run this as its owner",
            path.display()
        );
    });
    Ok(())
}

/// Drops the pages of everything that is read at a start; gives the files of which some stay.
fn drop_all(node: &NodeDir) -> Result<Vec<PathBuf>, OpenError> {
    for dir in [node.path(), &node.store()] {
        sync_dir(dir).map_err(failed(dir, "syncing it"))?;
    }
    let files = files(node)?;
    for (path, file) in &files {
        file.sync_data().map_err(failed(path, "syncing it"))?;
    }
    let mut staying = Vec::new();
    for (path, file) in files {
        if !is_dropped(&file).map_err(failed(&path, "dropping it from memory"))? {
            staying.push(path);
        }
    }
    Ok(staying)
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::NotOnDisk { path, doing, source }
}

/// The store's files and the mark.
fn files(node: &NodeDir) -> Result<Vec<(PathBuf, File)>, OpenError> {
    let store = node.store();
    let mut paths = vec![node.mark()];
    for entry in fs::read_dir(&store).map_err(OpenError::io(&store))? {
        let entry = entry.map_err(OpenError::io(&store))?;
        // Left-over files are never opened.
        if entry.file_type().map_err(OpenError::io(&entry.path()))?.is_file() && !is_leftover(&entry) {
            paths.push(entry.path());
        }
    }
    let open = |path: PathBuf| Ok((path.clone(), File::open(&path).map_err(OpenError::io(&path))?));
    paths.into_iter().map(open).collect()
}

/// Whether reads of this file, which is synced, come from the disk from now on.
fn is_dropped(file: &File) -> io::Result<bool> {
    if is_in_memory(file)? {
        return Ok(true);
    }
    for again in 0..PAGES_DROP_TRIES_MAX {
        if again > 0 {
            thread::sleep(PAGES_DROP_AGAIN_AFTER);
        }
        // Advice that is not taken shows in what stays.
        let _ = fadvise(file, 0, None, Advice::DontNeed);
        if pages_cached(file)? == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_in_memory(file: &File) -> io::Result<bool> {
    Ok(IN_MEMORY.contains(&fstatfs(file)?.f_type))
}

/// How many of the file's pages the kernel would show from memory; more than none where it does not say.
fn pages_cached(file: &File) -> io::Result<usize> {
    if file.metadata()?.len() == 0 {
        return Ok(0);
    }
    let pages = mincore::mincore_wrapper(file);
    Ok(pages.map_or(usize::MAX, |pages| pages.iter().filter(|cached| **cached).count()))
}

/// Puts a synced copy in the file's place. A kill leaves a left-over file at most.
fn renew(path: &Path) -> io::Result<()> {
    let mut copy = OsString::from(path);
    copy.push(LEFTOVER);
    fs::copy(path, &copy)?;
    File::open(&copy)?.sync_all()?;
    fs::rename(&copy, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    use tempfile::TempDir;

    /// Where cargo builds: a disk, unlike where temporary files may be.
    fn on_disk(bytes: &[u8]) -> (TempDir, PathBuf) {
        let dir = TempDir::new_in(env!("OUT_DIR")).unwrap();
        let path = dir.path().join("file");
        fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_data().unwrap();
        assert!(!is_in_memory(&file).unwrap(), "these tests want a target directory on a disk");
        (dir, path)
    }

    /// The page cache of a disk as the kernel knows it: what is written is in memory, and no longer once it is dropped.
    #[test]
    fn synced_pages_are_in_memory_until_they_are_dropped() {
        let (_dir, path) = on_disk(&[7; 100_000]);
        let file = File::open(&path).unwrap();
        let pages = 100_000_usize.div_ceil(mincore::page_size());
        assert_eq!(pages_cached(&file).unwrap(), pages);
        assert!(is_dropped(&file).unwrap());
        assert_eq!(pages_cached(&file).unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), [7; 100_000]);
        assert_eq!(pages_cached(&file).unwrap(), pages, "what was read is there again");
    }

    /// A file without a name is in memory alone: no advice drops it, and nothing of it is on a disk.
    #[test]
    fn a_file_that_is_in_memory_alone_has_nothing_to_drop() {
        let memory = rustix::fs::memfd_create("pages", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(memory);
        assert_eq!(pages_cached(&file).unwrap(), 0, "an empty file has no pages");
        file.write_all_at(&[7; 10], 0).unwrap();
        assert!(is_in_memory(&file).unwrap());
        assert!(is_dropped(&file).unwrap());
        assert_eq!(pages_cached(&file).unwrap(), 1);
    }

    #[test]
    fn a_renewed_file_is_another_one_with_the_same_content() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|k| (k / 7) as u8).collect();
        let (dir, path) = on_disk(&bytes);
        let before = fs::metadata(&path).unwrap().ino();
        fs::write(dir.path().join("file.generating"), "a copy that was cut off, longer or shorter").unwrap();
        let held = File::open(&path).unwrap();
        renew(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_ne!(fs::metadata(&path).unwrap().ino(), before);
        assert_eq!(held.metadata().unwrap().ino(), before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no copy is left over");
    }
}
