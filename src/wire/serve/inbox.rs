//! A node's inbox as its services see it: a unary call becomes an [`Ask`] and waits for the answer, a stream reports what
//! it says. Nothing here decides anything.

use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream as Flow, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::limits::CALL_DEADLINE;
use crate::model::call::{Answer, Ask, Refusal};
use crate::model::message::{Message, Stream};
use crate::model::step::{ConnId, Lost, Numbers};
use crate::wire::arrival::{Arrival, hear, lifetime};
use crate::wire::convert::Odd;
use crate::wire::outbox::outbox;

/// What a server stream carries.
pub(super) type Answers<T> = Pin<Box<dyn Flow<Item = Result<T, Status>> + Send>>;

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    arrivals: mpsc::Sender<Arrival>,
    numbers: Numbers,
}

fn stopping<E>(_: E) -> Status {
    Refusal::Unavailable("the node is stopping".to_owned()).into()
}

/// A machine's bug, not the caller's.
fn internal(odd: Odd) -> Status {
    tracing::error!(%odd, "not sent");
    Status::internal(odd.to_string())
}

impl Inbox {
    pub(super) fn new(arrivals: mpsc::Sender<Arrival>, numbers: Numbers) -> Inbox {
        Inbox { arrivals, numbers }
    }

    async fn put(&self, arrival: Arrival) -> Result<(), Status> {
        self.arrivals.send(arrival).await.map_err(stopping)
    }

    /// One question, one answer, within the deadline of a call.
    pub(super) async fn call<P, R>(&self, request: Request<P>) -> Result<Response<R>, Status>
    where
        Ask: TryFrom<P, Error = Odd>,
        R: TryFrom<Answer, Error = Odd>,
    {
        let ask = Ask::try_from(request.into_inner())?;
        let (reply, answer) = oneshot::channel();
        self.put(Arrival::Asked(ask, reply)).await?;
        match tokio::time::timeout(CALL_DEADLINE, answer).await {
            Ok(Ok(answer)) => Ok(Response::new(R::try_from(answer?).map_err(internal)?)),
            Ok(Err(closed)) => Err(stopping(closed)),
            Err(_) => Err(Status::deadline_exceeded("no answer in time; asking again is safe")),
        }
    }

    /// A stream of another node: gives it its number, and reports it until it ends.
    pub(super) async fn open<P, R, S>(&self, stream: Stream, said: S) -> Result<Response<Answers<R>>, Status>
    where
        P: Send + 'static,
        Message: TryFrom<P, Error = Odd>,
        R: TryFrom<Message, Error = Odd> + Send + 'static,
        S: Flow<Item = Result<P, Status>> + Send + Unpin + 'static,
    {
        let (conn, (outbox, outgoing)) = (ConnId(self.numbers.next()), outbox());
        self.put(Arrival::Opened(conn, stream, outbox)).await?;
        let ((alive, over), inbox) = (lifetime(), self.arrivals.clone());
        // Behind all that was said to it, a node that is not understood is told why. Otherwise it only sees that the
        // stream is over, and its log does not say which mend it needs.
        let (refuse, refused) = mpsc::channel::<Status>(1);
        tokio::spawn(async move {
            let why = match hear(conn, said, over, &inbox).await {
                Ok(why) => why,
                Err(odd) => {
                    // There is room, and nobody to read it if the stream is gone.
                    let _ = refuse.try_send(odd.into());
                    odd.to_string()
                }
            };
            // If nobody takes it the node is stopping.
            let _ = inbox.send(Arrival::Ended(conn, Lost { refused: false, why })).await;
        });
        let answers = outgoing.map(move |message| {
            let _alive = &alive;
            R::try_from(message).map_err(internal)
        });
        let answers = answers.chain(ReceiverStream::new(refused).map(Err));
        Ok(Response::new(Box::pin(answers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::call::{CallError, Cause};
    use crate::wire::proto;

    /// A node of another build must read in its own log what is wrong. That its stream is over says nothing.
    #[tokio::test]
    async fn a_stream_of_another_version_ends_with_the_reason() {
        let (arrivals, mut inbox) = mpsc::channel(8);
        let service = Inbox::new(arrivals, Numbers::default());
        let hello = Some(proto::Hello::default());
        let said = tokio_stream::iter([Ok(proto::TradeRequest { hello, ..Default::default() })]);
        let opened = service.open::<_, proto::TradeReply, _>(Stream::Trade, said).await.unwrap();
        let Some(Arrival::Opened(_, _, outbox)) = inbox.recv().await else { panic!("not opened") };
        let Some(Arrival::Ended(_, lost)) = inbox.recv().await else { panic!("not ended") };
        assert!(lost.why.contains("version 1"), "{}", lost.why);
        drop(outbox);
        let mut answers = opened.into_inner();
        let status = answers.next().await.unwrap().unwrap_err();
        let CallError::Refused { cause: Cause::OtherVersion, text } = CallError::from_status(&status) else {
            panic!("{status}")
        };
        assert!(text.contains("run the same build on both sides"), "{text}");
        assert!(answers.next().await.is_none());
    }
}
