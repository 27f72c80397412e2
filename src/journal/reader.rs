//! Reading the log of a running node: durable blocks only, as bytes, from any thread.

use std::sync::Arc;

use tokio::sync::watch;

use super::Durable;
use super::block::{BlockError, BlockHeader, stored_hash};
use super::store::{StoreError, StoreRead};
use crate::model::fold::Tree;
use crate::types::{Hash, Seq};

/// A handle that is cheap to copy.
#[derive(Clone)]
pub struct Reader {
    pub(super) store: Arc<dyn StoreRead>,
    pub(super) log: Tree,
    pub(super) durable: watch::Receiver<Durable>,
}

/// The log could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store gave is no block.
    #[error(transparent)]
    Block(#[from] BlockError),
}

impl Reader {
    /// Raw durable blocks from the one that contains `from`, up to about `bytes_max`; the first always. Empty if
    /// nothing from there on is durable.
    pub fn blocks(&self, from: Seq, bytes_max: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let durable = self.durable().seq;
        let from = Seq(from.0.max(1));
        if from > durable {
            return Ok(Vec::new());
        }
        let key = from.0.to_be_bytes();
        let start = self.store.floor(self.log, &key)?.map_or(key.to_vec(), |(key, _)| key);
        let mut blocks = Vec::new();
        for (_, block) in self.store.scan(self.log, &start, bytes_max)? {
            if BlockHeader::peek(&block)?.last() > durable {
                break;
            }
            blocks.push(block);
        }
        Ok(blocks)
    }

    /// Whether a durable block with that hash ends with record `seq`; `None` if the log is pruned there. Whoever was shown
    /// an end of this log was shown that of a block, so a record within one is no end. Without this: an older copy of a
    /// ledger goes on in other steps, and takes the end of a lost block for its own, since none of its blocks ends there.
    pub(crate) fn has_end(&self, seq: Seq, hash: Hash) -> Result<Option<bool>, ReadError> {
        if seq > self.durable().seq {
            return Ok(Some(false));
        }
        let blocks = self.blocks(seq, 1)?;
        let Some(block) = blocks.first() else { return Ok(None) };
        let header = BlockHeader::peek(block)?;
        if header.first > seq {
            return Ok(None);
        }
        Ok(Some(header.last() == seq && stored_hash(block)? == hash))
    }

    /// Up to where the log is durable.
    pub fn durable(&self) -> Durable {
        *self.durable.borrow()
    }

    /// Tells when more becomes durable.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Durable> {
        self.durable.clone()
    }
}
