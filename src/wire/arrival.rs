//! What the wire's tasks put into a node's inbox, before the node's loop has filed outboxes and given replies their
//! numbers.
//!
//! Holds: of each stream first `Opened` (if another node dialed it), then `Said`, then `Ended`, once; none of another
//! stream's. A stream that says too much waits for room in the inbox in its own task, so that HTTP/2 flow control slows
//! that sender and nobody else.

use std::convert::Infallible;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream as Flow, StreamExt as _};
use tonic::Status;

use super::convert::Odd;
use super::outbox::Outbox;
use crate::model::call::{Answer, Ask, CallError, Refusal};
use crate::model::message::{Message, Stream};
use crate::model::step::{CallId, ConnId, Lost};

/// See the module's text.
#[derive(Debug)]
pub enum Arrival {
    /// Another node dialed this one; what is to be said there goes into the outbox.
    Opened(ConnId, Stream, Outbox<Message>),
    /// A message on a stream, whoever dialed it.
    Said(ConnId, Message),
    /// A stream ended, or never came up.
    Ended(ConnId, Lost),
    /// A unary call to this node, with the place for its answer.
    Asked(Ask, oneshot::Sender<Result<Answer, Refusal>>),
    /// A unary call of this node came back.
    Came(CallId, Result<Answer, CallError>),
}

/// A pair: the first half lives as long as something can be said on a stream; the second resolves when the first is
/// dropped.
pub(super) fn lifetime() -> (oneshot::Sender<Infallible>, impl Future<Output = ()> + Send + 'static) {
    let (alive, over) = oneshot::channel();
    let over = async move {
        // Nothing is ever sent: it ends when the other half is dropped.
        let _ = over.await;
    };
    (alive, over)
}

/// Reads a stream into the inbox until it is over; tells why, or what odd thing it said.
pub(super) async fn hear<P>(
    conn: ConnId,
    mut said: impl Flow<Item = Result<P, Status>> + Unpin,
    over: impl Future<Output = ()>,
    inbox: &mpsc::Sender<Arrival>,
) -> Result<String, Odd>
where
    Message: TryFrom<P, Error = Odd>,
{
    tokio::pin!(over);
    loop {
        let next = tokio::select! {
            // What was said before the end is heard.
            biased;
            next = said.next() => next,
            () = &mut over => return Ok("cut, or left by the other side".to_owned()),
        };
        let message = match next {
            Some(Ok(it)) => Message::try_from(it),
            Some(Err(status)) => return Ok(format!("{:?}: {}", status.code(), status.message())),
            None => return Ok("ended by the other side".to_owned()),
        };
        let message = message.inspect_err(|odd| tracing::warn!(%conn, %odd, "a stream is cut"))?;
        if inbox.send(Arrival::Said(conn, message)).await.is_err() {
            return Ok("the node is stopping".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_small() {
        assert!(size_of::<Arrival>() <= 160, "{}", size_of::<Arrival>());
    }
}
