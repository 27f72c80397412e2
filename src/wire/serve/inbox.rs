//! A node's inbox as its services see it: a unary call becomes an [`Ask`] and waits for the answer, a stream reports what
//! it says. Nothing here decides anything.

use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream as Flow, StreamExt as _};
use tonic::{Request, Response, Status};

use super::places::Caller;
use crate::limits::{CALL_DEADLINE, FIRST_WORD_MAX};
use crate::model::call::{Answer, Ask, Refusal};
use crate::model::message::{Message, Stream};
use crate::model::step::{ConnId, Lost, Numbers};
use crate::wire::arrival::{Arrival, hear, lifetime};
use crate::wire::convert::Odd;
use crate::wire::outbox::{Outbox, outbox};

/// What a server stream carries.
pub(super) type Answers<T> = Pin<Box<dyn Flow<Item = Result<T, Status>> + Send>>;

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    arrivals: mpsc::Sender<Arrival>,
    numbers: Numbers,
}

fn says_nothing() -> Status {
    Status::deadline_exceeded(format!("a stream says its first word within {FIRST_WORD_MAX:?}"))
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
        Caller::of(request.extensions()).spoke();
        let answer = self.ask(Ask::try_from(request.into_inner())?).await?;
        Ok(Response::new(R::try_from(answer).map_err(internal)?))
    }

    /// A question of the wire itself.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, Status> {
        let (reply, answer) = oneshot::channel();
        self.put(Arrival::Asked(ask, reply)).await?;
        match tokio::time::timeout(CALL_DEADLINE, answer).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(closed)) => Err(stopping(closed)),
            Err(_) => Err(Status::deadline_exceeded("no answer in time; asking again is safe")),
        }
    }

    /// A stream of another node: gives it its number, and reports it from its first word until it ends. Nothing is kept
    /// for one that says nothing: it is over after [`FIRST_WORD_MAX`].
    pub(super) async fn open<P, R, S>(
        &self,
        stream: Stream,
        caller: Caller,
        said: S,
    ) -> Result<Response<Answers<R>>, Status>
    where
        P: Send + 'static,
        Message: TryFrom<P, Error = Odd>,
        R: TryFrom<Message, Error = Odd> + Send + 'static,
        S: Flow<Item = Result<P, Status>> + Send + Unpin + 'static,
    {
        let (outbox, outgoing) = outbox();
        let ((alive, over), inbox) = (lifetime(), self.clone());
        // Behind all that was said to it, a node that is not understood is told why. Otherwise it only sees that the
        // stream is over, and its log does not say which mend it needs.
        let (refuse, refused) = mpsc::channel::<Status>(1);
        tokio::spawn(async move {
            if let Err(status) = inbox.hear_out(stream, caller, said, outbox, over).await {
                // There is room, and nobody to read it if the stream is gone.
                let _ = refuse.try_send(status);
            }
        });
        let answers = outgoing.map(move |message| {
            let _alive = &alive;
            R::try_from(message).map_err(internal)
        });
        let answers = answers.chain(ReceiverStream::new(refused).map(Err));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn hear_out<P: Send + 'static>(
        &self,
        stream: Stream,
        caller: Caller,
        mut said: impl Flow<Item = Result<P, Status>> + Send + Unpin,
        outbox: Outbox<Message>,
        over: impl Future<Output = ()> + Send,
    ) -> Result<(), Status>
    where
        Message: TryFrom<P, Error = Odd>,
    {
        let first = tokio::time::timeout(FIRST_WORD_MAX, said.next()).await.map_err(|_| says_nothing())?;
        // A stream that ends, or breaks, before its first word is nobody's.
        let first = Message::try_from(first.transpose()?.ok_or_else(says_nothing)?);
        let first = first.inspect_err(|odd| tracing::warn!(?stream, %odd, "a stream is cut"))?;
        caller.spoke();
        let conn = ConnId(self.numbers.next());
        self.put(Arrival::Opened(conn, stream, outbox)).await?;
        self.put(Arrival::Said(conn, first)).await?;
        let heard = hear(conn, said, over, &self.arrivals).await;
        let why = heard.clone().unwrap_or_else(|odd| odd.to_string());
        // If nobody takes it the node is stopping.
        let _ = self.arrivals.send(Arrival::Ended(conn, Lost { refused: false, why })).await;
        heard.map(drop).map_err(Status::from)
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
        let said =
            [Ok(proto::TradeRequest::default()), Ok(proto::TradeRequest { hello, ..Default::default() })];
        let said = tokio_stream::iter(said);
        let caller = Caller::default();
        let opened = service.open::<_, proto::TradeReply, _>(Stream::Trade, caller, said).await.unwrap();
        let Some(Arrival::Opened(_, _, outbox)) = inbox.recv().await else { panic!("not opened") };
        let Some(Arrival::Said(..)) = inbox.recv().await else { panic!("not heard") };
        let Some(Arrival::Ended(_, lost)) = inbox.recv().await else { panic!("not ended") };
        assert!(lost.why.contains("version 1"), "{}", lost.why);
        drop(outbox);
        refused(opened.into_inner()).await;
    }

    /// The same where it is the first word: the node's loop never hears of the stream.
    #[tokio::test]
    async fn a_stream_that_begins_in_another_version_is_told_the_reason() {
        let (arrivals, mut inbox) = mpsc::channel(8);
        let service = Inbox::new(arrivals, Numbers::default());
        let hello = Some(proto::Hello::default());
        let said = tokio_stream::iter([Ok(proto::TradeRequest { hello, ..Default::default() })]);
        let caller = Caller::default();
        let opened = service.open::<_, proto::TradeReply, _>(Stream::Trade, caller.clone(), said).await;
        refused(opened.unwrap().into_inner()).await;
        drop(service);
        assert!(inbox.recv().await.is_none() && !caller.has_spoken());
    }

    async fn refused(mut answers: Answers<proto::TradeReply>) {
        let status = answers.next().await.unwrap().unwrap_err();
        let CallError::Refused { cause: Cause::OtherVersion, text } = CallError::from_status(&status) else {
            panic!("{status}")
        };
        assert!(text.contains("run the same build on both sides"), "{text}");
        assert!(answers.next().await.is_none());
    }
}
