//! The calling side: unary calls with a deadline, and streams that report to the node's inbox.
//!
//! Each stream has a connection of its own: HTTP/2's windows are shared within a connection, and one unread stream
//! would starve the others. A stream is a task; dropping its [`Dialed`] ends it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use super::convert::{self, Odd};
use super::messages::*;
use super::outbox::{Outbox, Outgoing, Weigh, outbox};
use super::proto::{
    self, admin_client::AdminClient, cluster_client::ClusterClient, market_client::MarketClient,
    replica_client::ReplicaClient, warehouse_client::WarehouseClient,
};
use super::report::Report;
use super::server::{DumpHead, Happening, next_conn};
use crate::limits::{CONNECT_MAX, KEEPALIVE_ANSWER_MAX, KEEPALIVE_EVERY, MESSAGE_BYTES_MAX};
pub use crate::model::call::{CallError, Probe};
use crate::model::hello::Hello;
use crate::model::offices::Roster;
use crate::model::row::Outcome;
use crate::model::warehouse::GivenUp;
use crate::types::{Hash, Office, Order, OrderKind, PeerId, Quantity, Seq, Term};

fn endpoint(addr: &str) -> Result<Endpoint, CallError> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|error| {
        CallError::Unreachable { addr: addr.to_owned(), why: error.to_string(), refused: false }
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .initial_stream_window_size(MESSAGE_BYTES_MAX as u32)
        .initial_connection_window_size(2 * MESSAGE_BYTES_MAX as u32)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_ANSWER_MAX))
}

/// Connects, or says that nothing was sent.
async fn connect(addr: &str, within: Duration) -> Result<Channel, CallError> {
    let unreachable = |why, refused| CallError::Unreachable { addr: addr.to_owned(), why, refused };
    match tokio::time::timeout(within, endpoint(addr)?.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => {
            let cause = root_cause(&error);
            let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            Err(unreachable(cause.to_string(), io == Some(std::io::ErrorKind::ConnectionRefused)))
        }
        Err(_) => Err(unreachable(format!("no connection within {within:?}"), false)),
    }
}

fn root_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// A unary call: connected, sent, answered within the deadline.
async fn call<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CallError::from_status(&status)),
        Err(_) => Err(CallError::Unknown(format!("no answer within {deadline:?}"))),
    }
}

fn odd(odd: Odd) -> CallError {
    CallError::Unknown(odd.to_string())
}

/// A node at an address, for unary calls. Each call makes its own connection unless one is up.
#[derive(Clone, Debug)]
pub struct Node {
    addr: String,
    channel: Channel,
    deadline: Duration,
}

impl Node {
    /// Connects within [`CONNECT_MAX`]; calls take at most `deadline` each.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn connect(addr: &str, deadline: Duration) -> Result<Node, CallError> {
        let channel = connect(addr, CONNECT_MAX.min(deadline)).await?;
        Ok(Node { addr: addr.to_owned(), channel, deadline })
    }

    /// Where it is.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    fn warehouse(&self) -> WarehouseClient<Channel> {
        WarehouseClient::new(self.channel.clone())
    }

    fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The warehouse's catalogue.
    ///
    /// # Errors
    /// See [`CallError`]; this holds for all calls below.
    pub async fn catalogue(&self) -> Result<Catalogue, CallError> {
        let reply = call(self.deadline, self.warehouse().catalogue(proto::CatalogueRequest {})).await?;
        Ok(reply.into())
    }

    /// Opens the session of a store, whose last one is of `generation`.
    #[allow(clippy::missing_errors_doc)]
    pub async fn open(
        &self,
        peer: PeerId,
        store: Hash,
        cluster: &str,
        generation: u64,
    ) -> Result<OpenAnswer, CallError> {
        let (store, cluster) = (store.0.to_vec(), cluster.to_owned());
        let request = proto::OpenRequest { peer: peer.0, store, cluster, generation };
        Ok(call(self.deadline, self.warehouse().open(request)).await?.into())
    }

    /// The session of a peer.
    #[allow(clippy::missing_errors_doc)]
    pub async fn session(&self, peer: PeerId) -> Result<Option<SessionInfo>, CallError> {
        let reply =
            call(self.deadline, self.warehouse().session(proto::SessionRequest { peer: peer.0 })).await?;
        reply.session.as_ref().map(convert::session_in).transpose().map_err(odd)
    }

    /// Asks for an office.
    #[allow(clippy::missing_errors_doc)]
    pub async fn claim(&self, hello: &Hello, office: Office) -> Result<Roster, CallError> {
        let hello = Some(convert::hello_out(hello));
        let request = proto::ClaimRequest { hello, office: convert::office_out(office) };
        roster(call(self.deadline, self.warehouse().claim(request)).await?)
    }

    /// Ends a term.
    #[allow(clippy::missing_errors_doc)]
    pub async fn fence(&self, hello: &Hello, term: Term) -> Result<Roster, CallError> {
        let request = proto::FenceRequest { hello: Some(convert::hello_out(hello)), term: term.0 };
        roster(call(self.deadline, self.warehouse().fence(request)).await?)
    }

    /// Makes the two traders partners: the primary's word that the secondary is up to date.
    #[allow(clippy::missing_errors_doc)]
    pub async fn pair(&self, hello: &Hello, term: Term, partner: Term) -> Result<Roster, CallError> {
        let hello = Some(convert::hello_out(hello));
        let request = proto::PairRequest { hello, term: term.0, partner_term: partner.0 };
        roster(call(self.deadline, self.warehouse().pair(request)).await?)
    }

    /// Gives an office up.
    #[allow(clippy::missing_errors_doc)]
    pub async fn resign(&self, hello: &Hello, given_up: GivenUp) -> Result<Roster, CallError> {
        let (hello, GivenUp { term, to, pass_over }) = (Some(convert::hello_out(hello)), given_up);
        let request = proto::ResignRequest { hello, term: term.0, successor: to.0, pass_over };
        roster(call(self.deadline, self.warehouse().resign(request)).await?)
    }

    /// One order, answered when it is decided.
    #[allow(clippy::missing_errors_doc)]
    pub async fn submit(&self, hello: &Hello, order: &Order) -> Result<Outcome, CallError> {
        let mut client = MarketClient::new(self.channel.clone());
        let (hello, order) = (Some(convert::hello_out(hello)), Some(convert::order_out(order)));
        let reply = call(self.deadline, client.submit(proto::SubmitRequest { hello, order })).await?;
        convert::outcome_in(&reply.outcome.ok_or(odd(Odd("outcome")))?).map_err(odd)
    }

    /// Hands accepted orders over; how many, from the first, the home has durably.
    #[allow(clippy::missing_errors_doc)]
    pub async fn hand_over(&self, hello: &Hello, orders: &[Order]) -> Result<u32, CallError> {
        let mut client = ClusterClient::new(self.channel.clone());
        let hello = Some(convert::hello_out(hello));
        let orders = orders.iter().map(convert::order_out).collect();
        Ok(call(self.deadline, client.hand_over(proto::HandOverRequest { hello, orders })).await?.taken)
    }

    /// Everything about the node.
    #[allow(clippy::missing_errors_doc)]
    pub async fn status(&self) -> Result<Report, CallError> {
        Ok(call(self.deadline, self.admin().status(proto::StatusRequest {})).await?.into())
    }

    /// The peer places an order of its own.
    #[allow(clippy::missing_errors_doc)]
    pub async fn place(&self, good: &str, quantity: Quantity, kind: OrderKind) -> Result<Outcome, CallError> {
        let (good, quantity, kind) = (good.to_owned(), quantity.0, convert::kind_out(kind));
        let request = proto::PlaceRequest { good, quantity, kind, number: 0 };
        let reply = call(self.deadline, self.admin().place(request)).await?;
        convert::outcome_in(&reply.outcome.ok_or(odd(Odd("outcome")))?).map_err(odd)
    }

    /// The shopper places no more; how many of its orders are open.
    #[allow(clippy::missing_errors_doc)]
    pub async fn quiesce(&self) -> Result<u64, CallError> {
        Ok(call(self.deadline, self.admin().quiesce(proto::QuiesceRequest {})).await?.open)
    }

    /// The peer goes for good; answered when it has done all that it owes.
    #[allow(clippy::missing_errors_doc)]
    pub async fn leave(&self) -> Result<Farewell, CallError> {
        Ok(call(self.deadline, self.admin().leave(proto::LeaveRequest {})).await?.into())
    }

    /// The trader settles what it has and gives its office up, to a peer or (0) to nobody; which office it was, if it
    /// had one.
    #[allow(clippy::missing_errors_doc)]
    pub async fn resign_by_hand(&self, to: PeerId) -> Result<Option<(Office, Term)>, CallError> {
        let request = proto::ResignByHandRequest { to: to.0 };
        let reply = call(self.deadline, self.admin().resign(request)).await?;
        Ok(convert::office_in(reply.office).map(|office| (office, Term(reply.term))))
    }

    /// What happens at the node from now on.
    #[allow(clippy::missing_errors_doc)]
    pub async fn events(&self) -> Result<Happenings, CallError> {
        Ok(Happenings(call(self.deadline, self.admin().events(proto::EventsRequest {})).await?))
    }

    /// The blocks of the node's log.
    #[allow(clippy::missing_errors_doc)]
    pub async fn dump(&self, from: Seq, to: Seq, follow: bool) -> Result<Dumped, CallError> {
        let request = proto::DumpRequest { from_seq: from.0, to_seq: to.0, follow };
        Ok(Dumped { stream: call(self.deadline, self.admin().dump(request)).await?, head: None })
    }
}

fn roster(reply: proto::RosterReply) -> Result<Roster, CallError> {
    reply.roster.map(convert::roster_in).ok_or(odd(Odd("roster")))
}

/// A running stream of [`Happening`]s.
#[derive(Debug)]
pub struct Happenings(Streaming<proto::Event>);

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

    /// Who is dumped; known after the first `next`.
    pub fn head(&self) -> Option<&DumpHead> {
        self.head.as_ref()
    }
}

// ---- streams

/// A stream of this node to another: what it says goes into the outbox, what it hears into the inbox. Dropping it
/// ends the stream.
#[derive(Debug)]
pub struct Dialed<T> {
    /// The number that its events carry.
    pub conn: u64,
    /// Where to put what is to be said.
    pub outbox: Outbox<T>,
    task: JoinHandle<()>,
}

impl<T> Drop for Dialed<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes a node's outgoing streams: which runtime they run on, and which inbox they report to.
#[derive(Debug)]
pub struct Dialer<I> {
    /// The runtime of the wire.
    pub wire: tokio::runtime::Handle,
    /// The node's inbox.
    pub inbox: mpsc::Sender<I>,
    /// Bound of opening a stream.
    pub deadline: Duration,
}

impl<I> Clone for Dialer<I> {
    fn clone(&self) -> Self {
        Dialer { wire: self.wire.clone(), inbox: self.inbox.clone(), deadline: self.deadline }
    }
}

macro_rules! dial {
    ($(#[$doc:meta])* $name:ident, $client:ident . $method:ident, $ask:ty => $asked:ty, $answer:ty) => {
        impl<I: From<StreamEvent<$answer>> + Send + 'static> Dialer<I> {
            $(#[$doc])*
            pub fn $name(&self, addr: &str, first: $ask) -> Dialed<$ask> {
                self.dial(addr, first, |channel, asks: Outgoing<$ask>| async move {
                    let mut client = $client::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
                    client.$method(asks.map(<$asked>::from)).await
                })
            }
        }
    };
}

dial!(
    /// Orders to a trader.
    trade, MarketClient.trade, TradeAsk => proto::TradeRequest, TradeAnswer
);
dial!(
    /// Batches to the warehouse.
    settle, WarehouseClient.settle, SettleAsk => proto::SettleRequest, SettleAnswer
);
dial!(
    /// Presence at the warehouse.
    control, WarehouseClient.control, ControlUp => proto::ControlUp, ControlDown
);
dial!(
    /// Accepted orders to the partner.
    replicate, ReplicaClient.replicate, ReplicaAsk => proto::ReplicateRequest, ReplicaAnswer
);
dial!(
    /// Words to another peer.
    link, ClusterClient.control, PeerMessage => proto::ClusterMessage, PeerMessage
);

impl<I: From<StreamEvent<StockPush>> + Send + 'static> Dialer<I> {
    /// Stock pushes from the warehouse. Nothing is said after the request.
    pub fn watch(&self, addr: &str) -> Dialed<StockPush> {
        self.dial(addr, StockPush::default(), |channel, _: Outgoing<StockPush>| async move {
            WarehouseClient::new(channel).watch(proto::WatchRequest { from_seq: 0 }).await
        })
    }
}

impl<I: Send + 'static> Dialer<I> {
    /// The common part of the streams: connect, open, report, read until the end, report.
    fn dial<T, P, M, F, R>(&self, addr: &str, first: T, open: F) -> Dialed<T>
    where
        I: From<StreamEvent<M>>,
        T: Weigh + Send + 'static,
        P: Send + 'static,
        M: TryFrom<P, Error = Odd> + Send + 'static,
        F: FnOnce(Channel, Outgoing<T>) -> R + Send + 'static,
        R: Future<Output = Result<Response<Streaming<P>>, Status>> + Send + 'static,
    {
        let conn = next_conn();
        let (outbox, outgoing) = outbox();
        outbox.send(first);
        let (addr, inbox, deadline) = (addr.to_owned(), self.inbox.clone(), self.deadline);
        let task = self.wire.spawn(async move {
            let lost = |refused: bool, why: String| StreamEvent::Lost { conn, refused, why };
            let end = match connect(&addr, CONNECT_MAX.min(deadline)).await {
                Err(error) => lost(is_refused(&error), error.to_string()),
                Ok(channel) => match call(deadline, open(channel, outgoing)).await {
                    Err(error) => lost(false, error.to_string()),
                    Ok(stream) => lost(false, read(conn, stream, &inbox).await),
                },
            };
            // The node is stopping if nobody takes it.
            let _ = inbox.send(end.into()).await;
        });
        Dialed { conn, outbox, task }
    }
}

fn is_refused(error: &CallError) -> bool {
    matches!(error, CallError::Unreachable { refused: true, .. })
}

/// Reads a stream into the inbox; says why it ended.
async fn read<I, P, M>(conn: u64, mut stream: Streaming<P>, inbox: &mpsc::Sender<I>) -> String
where
    I: From<StreamEvent<M>>,
    M: TryFrom<P, Error = Odd>,
{
    if inbox.send(StreamEvent::Up(conn).into()).await.is_err() {
        return "stopping".to_owned();
    }
    loop {
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return "ended by the other side".to_owned(),
            Err(status) => return format!("{:?}: {}", status.code(), status.message()),
        };
        match M::try_from(message) {
            Err(odd) => return odd.to_string(),
            Ok(message) => {
                if inbox.send(StreamEvent::Message(conn, message).into()).await.is_err() {
                    return "stopping".to_owned();
                }
            }
        }
    }
}

/// Whether a process listens at an address: what a probe of a suspect finds.
pub async fn probe(addr: &str) -> Probe {
    match connect(addr, crate::limits::PROBE_MAX).await {
        Ok(channel) => {
            let node = Node { addr: addr.to_owned(), channel, deadline: crate::limits::PROBE_MAX };
            match node.status().await {
                Ok(report) => Probe::Alive(report.process),
                Err(_) => Probe::Silent,
            }
        }
        Err(error) if is_refused(&error) => Probe::Dead,
        Err(_) => Probe::Silent,
    }
}
