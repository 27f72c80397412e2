//! Why a directory could not be opened: what is wrong and why; what mends it; and the exit code that scripts rely on.

use std::io;
use std::path::{Path, PathBuf};

use super::mend;
use super::store::StoreError;
use crate::types::Seq;

/// Nothing of the directory was changed, but for [`OpenError::Damaged`] and later ones: sled was at work by then.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nothing, and nothing is to be made.
    #[error("{} holds no data", .0.display())]
    Absent(PathBuf),
    /// A file stands where the directory should.
    #[error("{} is a file, not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A store is in the directory already.
    #[error("{}: store/ is there", .0.display())]
    Occupied(PathBuf),
    /// The directory holds other things.
    #[error("{} holds '{found}', which is not ours", dir.display())]
    NotOurs {
        /// Which directory.
        dir: PathBuf,
        /// A name in it.
        found: String,
    },
    /// Another process has it open.
    #[error("{} is in use by {by}", dir.display())]
    InUse {
        /// Which directory.
        dir: PathBuf,
        /// The process that has it, as `node.json` says.
        by: String,
    },
    /// It belongs to another market.
    #[error("{} belongs to cluster '{found}', not '{expected}'", dir.display())]
    OtherCluster {
        /// Which directory.
        dir: PathBuf,
        /// The market that it belongs to.
        found: String,
        /// The market that it should belong to.
        expected: String,
    },
    /// A warehouse's directory was given to a peer, or the other way round.
    #[error("{} holds a {found}, not a {expected}", dir.display())]
    OtherLog {
        /// Which directory.
        dir: PathBuf,
        /// The log that it has.
        found: String,
        /// The log that it should have.
        expected: String,
    },
    /// The names, or the files, of a directory belong to different nodes.
    #[error("{} has the store of {found}, and {by} says {expected}", dir.display())]
    OtherNode {
        /// Which directory.
        dir: PathBuf,
        /// Whose store is in it.
        found: String,
        /// Whose it should be.
        expected: String,
        /// What says so.
        by: &'static str,
    },
    /// Something else stands where a file or a directory should.
    #[error("{} is {found}, not {expected}", path.display())]
    WrongKind {
        /// Where.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// It is a backup: what came after it is lost, and a node that starts on it must not go on as if nothing were.
    #[error("{} is a backup, on which no node starts", .0.display())]
    Backup(PathBuf),
    /// A later version of the program wrote it.
    #[error("{} has format {found}, newer than {known}, the newest that this program knows", dir.display())]
    Newer {
        /// Which directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// The store is there and its mark is not.
    #[error("{}: store/ is there without a whole 'mark', so a lost end would go unseen", .0.display())]
    StoreWithoutMark(PathBuf),
    /// The mark says that there was a store.
    #[error("{}: 'mark' says that {seq} records were stored and store/ is gone", dir.display())]
    MarkWithoutStore {
        /// Which directory.
        dir: PathBuf,
        /// Up to here there were records.
        seq: Seq,
    },
    /// The disk or a copy gave back an older state than was once durable.
    #[error("{}: the log ends at {last}, its mark says {mark} was durable", dir.display())]
    BehindMark {
        /// Which directory.
        dir: PathBuf,
        /// What is there.
        last: Seq,
        /// What was.
        mark: Seq,
    },
    /// The chain of blocks breaks where it was durable.
    #[error("{}: the log is broken at {at}, which was durable (mark {mark}): {why}", dir.display())]
    Broken {
        /// Which directory.
        dir: PathBuf,
        /// First sequence that cannot be had.
        at: Seq,
        /// Up to here it was whole.
        mark: Seq,
        /// What is wrong.
        why: String,
    },
    /// What was named as an archive is none, or not one of this log.
    #[error("{}: {why}", path.display())]
    Archive {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The store does not open, or holds what cannot have been written.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Opening took too long; sled loops for ever over some kinds of damage.
    #[error("{}: opening did not end within {seconds} s, most likely it is damaged", path.display())]
    Hung {
        /// The file that was being read.
        path: PathBuf,
        /// How long it was given.
        seconds: u64,
    },
    /// The system may show of it what is not on the disk, and could not be made to stop that.
    #[error("{}: it may not be on the disk as it is shown, and {doing} failed: {source}", path.display())]
    NotOnDisk {
        /// Which file or directory.
        path: PathBuf,
        /// What was done about it.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed while it was opened; a full disk for example.
    #[error("{}: {source}", path.display())]
    Store {
        /// Which store.
        path: PathBuf,
        /// What happened.
        source: StoreError,
    },
}

impl OpenError {
    /// The process's exit code: 2 for a wrong place, 7 for a directory that cannot be used, 1 when the system failed.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            OpenError::Absent(_) | OpenError::NotADirectory(_) => 2,
            OpenError::NotOnDisk { .. } | OpenError::Io { .. } | OpenError::Store { .. } => 1,
            _ => 7,
        }
    }

    /// What mends it.
    pub(crate) fn hint(&self) -> String {
        let text = match self {
            OpenError::Absent(_) => "start the node first, or name another directory with --data-dir",
            OpenError::NotADirectory(_) => "name another place with --data-dir",
            OpenError::Occupied(dir) => return format!("move it away first: {}", mend::move_away(dir).0),
            OpenError::NotOurs { .. } => "name an empty or a new directory with --data-dir",
            OpenError::InUse { .. } => "stop it first, or ask it with --connect",
            OpenError::OtherCluster { .. } => "name that cluster's directory with --data-dir",
            OpenError::OtherLog { .. } => "name the right node's directory with --data-dir",
            OpenError::OtherNode { dir, .. } => return mend::replace(dir),
            OpenError::WrongKind { path, .. } => return mend::clear_place(path),
            OpenError::Archive { .. } => {
                "name files that bazaar archive has made of this ledger, up to its first row: --archive FILE"
            }
            OpenError::Newer { .. } => "use the newer program that wrote it",
            OpenError::NotOnDisk { .. } => {
                "see what the system's log says of that disk; mend it or free space there, then start again"
            }
            OpenError::Io { path, source } => return mend::system(path, source.kind()),
            OpenError::Store { source: StoreError::Full(_), .. } => "free space there, then start again",
            OpenError::Store { .. } => {
                "see what the system's log says of that disk; mend it there, then start again"
            }
            OpenError::StoreWithoutMark(path)
            | OpenError::MarkWithoutStore { dir: path, .. }
            | OpenError::BehindMark { dir: path, .. }
            | OpenError::Broken { dir: path, .. }
            | OpenError::Damaged { path, .. }
            | OpenError::Hung { path, .. } => return mend::replace(path),
            OpenError::Backup(dir) => return format!("restore it: {}", mend::restore_backup(dir)),
        };
        text.to_owned()
    }

    /// Names the path in an I/O error.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    }

    /// Names the path in a store's error.
    pub(super) fn store(path: &Path) -> impl Fn(StoreError) -> OpenError + use<> {
        let path = path.to_owned();
        move |source| match source {
            StoreError::Damaged(why) => OpenError::Damaged { path: path.clone(), why },
            StoreError::Value(error) => {
                OpenError::Damaged { path: path.clone(), why: format!("a value {error}") }
            }
            source => OpenError::Store { path: path.clone(), source },
        }
    }
}
