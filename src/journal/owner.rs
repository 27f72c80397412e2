//! Who owns a directory, where locks cannot be trusted: some file systems take them and do nothing.
//!
//! The lock is what keeps a second process out. Where it does not, each owner writes a number of its own, drawn at its
//! start, into `node.json` before it opens the store, and looks again whether it is still there: around every sync, before
//! anything of it is published, with every mark, and each second while nothing is written. The one whose number is not
//! there any more ends. So of what it said everything was in the store when the other one opened that, and the other one
//! waits, if it sees the process before it alive, until that has had the time to see it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::OpenError;
use super::dir::{NodeDir, NodeJson};
use super::open::in_use;
use super::store::StoreError;
use crate::limits::{OWNER_GONE_MAX, OWNER_LOOK_EVERY};

/// This process, as the owner of a directory.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    node: NodeDir,
    nonce: String,
    /// The file that was looked at last: it is replaced, never written over, so that the same one says the same.
    seen: Arc<AtomicU64>,
}

impl Owner {
    /// Draws a number. It is the owner's once `node.json` has it.
    pub(super) fn new(node: &NodeDir) -> Result<Owner, OpenError> {
        let drawn = getrandom::u64().map_err(std::io::Error::other);
        let nonce = format!("{:016x}", drawn.map_err(OpenError::io(node.path()))?);
        Ok(Owner { node: node.clone(), nonce, seen: Arc::default() })
    }

    pub(super) fn nonce(&self) -> String {
        self.nonce.clone()
    }

    /// Puts the number there before the store is opened, and waits for an owner that the lock should have kept out.
    /// Without a whole `node.json` there is nobody to tell from.
    pub(super) fn claim(&self) -> Result<(), OpenError> {
        let Some(before) = self.node.read_node_json() else { return Ok(()) };
        let pid = before.pid;
        let json = NodeJson { pid: std::process::id(), nonce: self.nonce(), ..before };
        self.node.write_node_json(&json).map_err(OpenError::io(&self.node.node_json()))?;
        let mut waited = std::time::Duration::ZERO;
        while pid != std::process::id() && is_node(pid) && waited < OWNER_GONE_MAX {
            thread::sleep(OWNER_LOOK_EVERY / 4);
            waited += OWNER_LOOK_EVERY / 4;
        }
        self.look().map_err(|_| in_use(&self.node))
    }

    /// Looks whether the directory is still this process's. A `node.json` that is gone, or not whole, is nobody's.
    pub(super) fn look(&self) -> Result<(), StoreError> {
        let path = self.node.node_json();
        let Ok(found) = fs::metadata(&path).map(|found| found.ino()) else { return Ok(()) };
        if found == self.seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.node.read_node_json() {
            Some(json) if json.nonce != self.nonce => Err(StoreError::Taken(self.node.owner())),
            Some(_) => {
                self.seen.store(found, Ordering::Relaxed);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A process of that id runs this program; where that cannot be told, none does.
fn is_node(pid: u32) -> bool {
    let program = |pid: &str| fs::read_link(Path::new("/proc").join(pid).join("exe")).ok();
    let own = program("self");
    own.is_some() && program(&pid.to_string()) == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_is_the_owners() {
        let dir = tempfile::tempdir().unwrap();
        let node = NodeDir::new(dir.path());
        let (first, second) = (Owner::new(&node).unwrap(), Owner::new(&node).unwrap());
        first.claim().unwrap();
        assert_eq!(first.look(), Ok(()), "nobody is named yet");
        node.write_node_json(&NodeJson { nonce: first.nonce(), ..NodeJson::default() }).unwrap();
        assert_eq!((first.look(), second.look().is_err()), (Ok(()), true));
        second.claim().unwrap();
        assert!(matches!(first.look(), Err(StoreError::Taken(_))));
        assert_eq!(second.look(), Ok(()));
        fs::remove_file(node.node_json()).unwrap();
        assert_eq!(second.look(), Ok(()), "a file that is gone names no other owner");
    }
}
