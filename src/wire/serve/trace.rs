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

#[cfg(test)]
pub(in crate::wire) mod tests {
    use super::*;
    use crate::model::traced::Deed;
    use crate::types::{Number, OrderId, PeerId};

    /// Remembers one event with every number, and of each tells what was asked for.
    struct Every;

    impl TraceReader for Every {
        fn kept(&self) -> u64 {
            77
        }

        fn events(&self, wanted: &Wanted, max: usize) -> Vec<Traced> {
            let text = format!("{} {} {:?}", wanted.from, wanted.to, wanted.order.map(|it| it.to_string()));
            let event = |number| Traced {
                number,
                time: 5,
                deed: Deed::Broke,
                other: Some(PeerId::WAREHOUSE),
                line: 8,
                text: text.clone(),
            };
            (wanted.after + 1..=2_500).take(max).map(event).collect()
        }
    }

    fn sent(reader: Option<Arc<dyn TraceReader>>, wanted: Wanted) -> Vec<proto::TraceReply> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, mut receiver) = mpsc::channel(16);
            let asked = Wanted::from(proto::TraceRequest::from(wanted));
            trace(reader, asked, sender).await;
            let mut replies = Vec::new();
            while let Some(reply) = receiver.recv().await {
                replies.push(reply.unwrap());
            }
            replies
        })
    }

    #[test]
    pub(in crate::wire) fn what_is_wanted_is_sent_in_parts() {
        let order = Some(OrderId { peer: PeerId(4), number: Number(9) });
        let replies = sent(Some(Arc::new(Every)), Wanted { after: 300, from: 3, to: 6, order });
        let counts: Vec<usize> = replies.iter().map(|reply| reply.events.len()).collect();
        assert_eq!((counts, replies[0].kept), (vec![1_000, 1_000, 200, 0], 77));
        let event = Traced::try_from(replies[0].events[0].clone()).unwrap();
        let text = "3 6 Some(\"4-9\")".to_owned();
        let (deed, other) = (Deed::Broke, Some(PeerId::WAREHOUSE));
        assert_eq!(event, Traced { number: 301, time: 5, deed, other, line: 8, text });
    }

    #[test]
    fn a_node_that_remembers_nothing_says_so() {
        let replies = sent(None, Wanted::default());
        assert_eq!((replies.len(), replies[0].kept, replies[0].events.len()), (1, 0, 0));
    }
}
