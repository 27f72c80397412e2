//! The events that a node remembers, for `Admin.Trace`: read past the node's loop.

use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::Status;

use crate::limits::TRACE_EVENTS_PER_MESSAGE;
use crate::model::traced::{Traced, Wanted};
use crate::wire::proto;

/// What a node remembers of its messages.
pub(crate) trait TraceReader: Send + Sync + 'static {
    /// How many events it keeps.
    fn kept(&self) -> u64;
    /// The first `max` of the events that are wanted, by number.
    fn events(&self, wanted: &Wanted, max: usize) -> Vec<Traced>;
}

/// Sends what is wanted. A node that keeps no events says so in its only message.
pub(super) async fn trace(
    reader: Option<Arc<dyn TraceReader>>,
    mut wanted: Wanted,
    sender: mpsc::Sender<Result<proto::TraceReply, Status>>,
) {
    let kept = reader.as_ref().map_or(0, |reader| reader.kept());
    loop {
        let events =
            reader.as_ref().map(|it| it.events(&wanted, TRACE_EVENTS_PER_MESSAGE)).unwrap_or_default();
        let last = events.last().map(|event| event.number);
        let events = events.into_iter().map(proto::TraceEvent::from).collect();
        // Nobody reads any more: nobody is told.
        if sender.send(Ok(proto::TraceReply { kept, events })).await.is_err() {
            return;
        }
        match last {
            Some(last) => wanted.after = last,
            None => return,
        }
    }
}
