//! What people watch and read at a node: what happens there, and its log.

use tonic::Streaming;

use crate::model::call::CallError;
use crate::model::happening::Happening;
use crate::types::{PeerId, Seq};
use crate::wire::serve::dump::DumpHead;
use crate::wire::{convert, proto};

/// A running stream of [`Happening`]s.
#[derive(Debug)]
pub struct Happenings(pub(super) Streaming<proto::Event>);

impl Happenings {
    /// The next one; `None` when the node is gone.
    pub async fn next(&mut self) -> Option<Happening> {
        loop {
            let event = self.0.message().await.ok()??;
            if let Ok(happening) = Happening::try_from(event) {
                return Some(happening);
            }
        }
    }
}

/// A running dump.
#[derive(Debug)]
pub struct Dumped {
    stream: Streaming<proto::DumpReply>,
    head: Option<DumpHead>,
}

impl Dumped {
    pub(super) fn new(stream: Streaming<proto::DumpReply>) -> Dumped {
        Dumped { stream, head: None }
    }

    /// The next blocks; `None` at the end.
    ///
    /// # Errors
    /// The node went away or cannot read its store.
    pub async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, CallError> {
        let reply = self.stream.message().await.map_err(|status| CallError::from_status(&status))?;
        let Some(reply) = reply else { return Ok(None) };
        if self.head.is_none() {
            let mark = (Seq(reply.mark_seq), convert::hash_in(&reply.mark_hash));
            self.head = Some(DumpHead { peer: PeerId(reply.peer), cluster: reply.cluster, mark });
        }
        Ok(Some(reply.blocks))
    }

    /// The node that is dumped; known after the first `next`.
    pub fn head(&self) -> Option<&DumpHead> {
        self.head.as_ref()
    }
}
