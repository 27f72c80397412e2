//! The older part of a log, in compressed files that never change: *segments*.
//!
//! What a checkpoint covers is read seldom, and sled takes many times a block's bytes to keep it. So, when enough blocks
//! lie behind the checkpoint, they are moved:
//!
//! ```text
//! sled: blocks, checkpoint --read, check, compress--> segment (written aside, synced, renamed, directory synced)
//!       `meta` names the log's sealed part <---------- then
//!       blocks of that part are removed, a few with each group, once the name is synced
//! ```
//!
//! Holds at any crash: a block is in a named segment or in sled. A segment that is not named is removed at the next start,
//! and so are blocks that a named one has. For whoever reads, the log is whole: [`tiered`] gives the blocks of both.
//!
//! A journal is *pruned* behind that: of a segment that is old, or where they take too much room, only the records that
//! stay are left, and what the chain needs. Such a segment has a name of its own, and takes the whole one's place.
//!
//! A segment ends where a checkpoint stood when that was the one it was made behind, and has the state of that moment, so
//! that the state at an earlier row is found without a fold from the first.

mod archive;
mod directory;
mod files;
mod filling;
mod mover;
mod pruner;
mod segment;
mod tiered;

#[cfg(test)]
mod tests;

pub(crate) use archive::Archive;
pub(super) use archive::write as write_archive;
pub(crate) use directory::Directory;
pub(super) use directory::base_name;
pub(super) use files::DirFiles;
#[allow(unreachable_pub, reason = "a door's type: `StoreRead` is one")]
pub use files::Files;
pub(super) use filling::{Carried, Filling};
pub(super) use mover::Mover;
pub(super) use segment::Builder;
pub(crate) use segment::State;
pub(super) use segment::{parts_of, state_of};
pub(super) use tiered::Tiered;
pub(crate) use tiered::{TieredRead, whole};
pub(super) use tiered::{join, sealed_part};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::block::Tip;
use crate::limits::SEAL_BYTES;
use crate::types::Seq;

/// How much of a log that is pruned is kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// What is older than this, by the wall clock of the newest segment, is pruned.
    pub age: Duration,
    /// So is the oldest, while the segments take more bytes than this.
    pub bytes: u64,
}

/// When the older part of a log moves into segments, and what stays in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Blocks of so many bytes behind the checkpoint become a segment.
    pub bytes: u64,
    /// What of a peer's log is kept whole; all of it, if nothing is said.
    pub keep: Option<Keep>,
}

impl Default for Sealing {
    fn default() -> Sealing {
        Sealing { bytes: SEAL_BYTES, keep: None }
    }
}

impl Sealing {
    /// Nothing moves.
    pub fn never() -> Sealing {
        Sealing { bytes: u64::MAX, keep: None }
    }
}

/// Which part of the log is in segments: the `meta` value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedPart {
    /// First row.
    pub first: Seq,
    /// The end.
    pub end: Tip,
}
