//! Durable logs: the only place that knows the store and the encoding of what is stored.
//!
//! A node's loop *stages* the records of a step and goes on; one writer thread packs all that is staged into hashed,
//! linked blocks, writes, flushes and syncs them as one group, and publishes what is durable; the loop then lets go of the
//! effects that waited for it. [`open`](fn@open) gives a [`Journal`] and the state that its records fold to.
//!
//! ```text
//! loop --stage(Step)--> Staging --take--> Writer --blocks, chunks--> Store (sled | memory) --sync--> disk
//!   ^                                       |  \--(seq, hash)------> mark
//!   '------------- watch<Durable> ----------'        segments <-- blocks behind a checkpoint      offline readers: a copy
//! ```
//!
//! The older part of a log moves into segments ([`Sealing`]); whoever reads sees one log. A node that is closed leaves what
//! its trees hold in one more file (`closed`), for readers alone.
//!
//! A simulation has no writer thread: [`start_by_hand`] gives a [`Pump`] instead, which works when it is told to, by the
//! [`Time`] that it is given, over a [`MemoryDisk`].
//!
//! Holds: what is published survives kill -9 and power cuts; a failed write or sync ends the process; recovery gives the
//! fold of a prefix of what was staged that includes everything published; the chain of hashes has no gap.

mod archive;
mod block;
mod checkpoint;
mod closed;
mod copy;
mod derived;
mod dir;
mod error;
mod guard;
mod handle;
mod identity;
mod lock;
mod look;
mod mark;
mod memory_store;
pub(crate) mod mend;
mod meta;
mod offline;
mod open;
mod owner;
mod page_cache;
mod pump;
mod reader;
mod recover;
mod restore_memory;
mod sealed;
mod sled_store;
mod space;
mod staging;
mod store;
mod time;
mod watchdog;
mod writer;

pub use crate::codec::CodecError;
pub(crate) use crate::codec::{decode, decode_whole, encode};
pub(crate) use archive::{NoSegment, archive};
pub use block::{Block, BlockHeader, ChainWriter, Seal, Summary, Tip};
pub(crate) use block::{BlockError, Sealed};
pub(crate) use copy::{CopyError, StoreCopy};
pub(crate) use dir::{NodeDir, NodeJson, exists, is_nodes};
pub use error::OpenError;
pub(crate) use handle::Durable;
pub use handle::{CloseError, Fatal, Fault, Journal, exit_on_failure};
pub(crate) use look::{is_file_or_absent, read_file};
pub(crate) use mark::Mark;
pub use mark::MarkKeeper;
pub use memory_store::{DiskEvent, MemoryDisk, Survive};
pub(crate) use meta::BACKUP;
pub use meta::Birth;
pub(crate) use meta::Meta;
pub use offline::Folded;
pub(crate) use offline::{Offline, open_as_closed, open_copy, open_with_archives};
pub use open::{open, open_sealing};
pub use pump::Pump;
pub(crate) use reader::{ReadError, Reader};
pub(crate) use recover::Recovery;
pub use recover::start_by_hand;
pub use recover::{Recovered, Setup, start};
pub(crate) use restore_memory::restore_by_hand;
pub(crate) use sealed::{Archive, State, whole};
pub use sealed::{Keep, Sealing};
pub(crate) use staging::SYNC_BOUNDS_US;
pub use staging::{Stats, Step, Ticket, Urgency};
pub use store::Store;
pub(crate) use store::{StoreError, StoreRead};
pub(crate) use time::HandTime;
pub use time::RealTime;
pub use time::{Time, wall_now};

use crate::codec;
use crate::types::Seq;

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
