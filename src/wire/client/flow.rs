//! What people watch and read at a node: what happens there, and its log.

use tonic::Streaming;

use crate::model::call::CallError;
use crate::model::happening::Happening;
use crate::wire::proto;

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
pub(crate) struct Dumped {
    stream: Streaming<proto::DumpReply>,
}

impl Dumped {
    pub(super) fn new(stream: Streaming<proto::DumpReply>) -> Dumped {
        Dumped { stream }
    }

    /// The next blocks; `None` at the end.
    ///
    /// # Errors
    /// The node went away or cannot read its store.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, CallError> {
        let reply = self.stream.message().await.map_err(|status| CallError::from_status(&status))?;
        Ok(reply.map(|reply| reply.blocks))
    }
}
