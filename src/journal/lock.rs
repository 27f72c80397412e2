//! A lock on a directory says which process may use it: one owner, or offline readers while they copy it.
//!
//! The owner holds a lock on the directory itself from before birth to its end, and sled holds one on `store/db` while
//! it is open. Readers take a shared lock on `store/db`, which keeps sled out and which sled's keeps out. Left-over
//! files of a killed recovery are removed only under the exclusive lock, since a recovery that runs still needs them.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

const RETRY_EVERY: Duration = Duration::from_millis(20);

/// Takes the lock for as long as the file is open; false if another has it.
pub(super) fn try_lock(file: &File, shared: bool) -> io::Result<bool> {
    let operation =
        if shared { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens and locks, again and again until `deadline`; `None` if another has the lock all the time. The file that is locked
/// has that name then: an owner may put another one in its place, and would not be kept out by a lock on the old one.
pub(super) fn lock_until(path: &Path, shared: bool, deadline: Instant) -> io::Result<Option<File>> {
    loop {
        let file = File::open(path)?;
        if try_lock(&file, shared)? && is_named(&file, path)? {
            return Ok(Some(file));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(RETRY_EVERY);
    }
}

/// Whether the path leads to this file.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let (open, named) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_on_the_file_that_has_the_name() {
        let dir = tempfile::TempDir::new().unwrap();
        let (db, copy) = (dir.path().join("db"), dir.path().join("copy"));
        std::fs::write(&db, "1").unwrap();
        std::fs::write(&copy, "1").unwrap();
        let old = File::open(&db).unwrap();
        assert!(try_lock(&old, false).unwrap() && is_named(&old, &db).unwrap());
        std::fs::rename(&copy, &db).unwrap();
        assert!(!is_named(&old, &db).unwrap());
        let new = lock_until(&db, true, Instant::now()).unwrap().expect("nobody has the new file");
        assert!(is_named(&new, &db).unwrap());
    }
}
