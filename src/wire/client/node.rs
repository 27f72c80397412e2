//! A node's unary calls: the one place that knows which method an [`Ask`] goes to.

use std::time::Duration;

use tonic::transport::Channel;

use super::connect::{connect, odd, within};
use super::flow::{Dumped, Happenings};
use crate::limits::{CONNECT_MAX, MESSAGE_BYTES_MAX, PROBE_MAX};
use crate::model::call::{Answer, Ask, CallError, Catalogue, Farewell, OpenAnswer, Opening};
use crate::model::evidence::Seen;
use crate::model::hello::Hello;
use crate::model::lookup::Found;
use crate::model::offices::Roster;
use crate::model::report::Report;
use crate::model::row::Outcome;
use crate::model::traced::{Traced, Wanted};
use crate::model::warehouse::GivenUp;
use crate::types::{
    Consistency, Generation, Hash, Number, Office, Order, OrderKind, PeerId, ProductId, Quantity, Seq, Term,
};
use crate::wire::proto::{
    self, admin_client::AdminClient, cluster_client::ClusterClient, market_client::MarketClient,
    warehouse_client::WarehouseClient,
};

/// A node at an address, for unary calls over one connection.
#[derive(Clone, Debug)]
pub struct Node {
    channel: Channel,
    deadline: Duration,
}

/// Asks a node over a connection of its own: connecting and the answer take at most `deadline` each. A probe takes at
/// most [`PROBE_MAX`] for either.
///
/// # Errors
/// See [`CallError`].
pub(crate) async fn call(addr: &str, deadline: Duration, ask: Ask) -> Result<Answer, CallError> {
    let deadline = if matches!(ask, Ask::Probe) { PROBE_MAX } else { deadline };
    Node::connect(addr, deadline).await?.ask(ask).await
}

/// One method: the ask becomes its proto, the reply an answer.
macro_rules! method {
    ($node:ident.$client:ident().$method:ident(proto::$proto:ident::from($ask:ident))) => {{
        let request = proto::$proto::try_from($ask).map_err(odd)?;
        Answer::try_from(within($node.deadline, $node.$client().$method(request)).await?).map_err(odd)
    }};
}

/// A call whose answer is of one kind only.
macro_rules! answer {
    ($node:ident.ask($ask:expr), $answer:pat => $out:expr) => {
        match $node.ask($ask).await? {
            $answer => Ok($out),
            other => unreachable!("the method's reply is no {other:?}"),
        }
    };
}

impl Node {
    /// Connects within [`CONNECT_MAX`]; calls take at most `deadline` each.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn connect(addr: &str, deadline: Duration) -> Result<Node, CallError> {
        let channel = connect(addr, CONNECT_MAX.min(deadline)).await?;
        Ok(Node { channel, deadline })
    }

    /// The same connection, for calls that take at most `deadline` each.
    #[must_use]
    pub(crate) fn with_deadline(&self, deadline: Duration) -> Node {
        Node { channel: self.channel.clone(), deadline }
    }

    fn market(&self) -> MarketClient<Channel> {
        MarketClient::new(self.channel.clone())
    }

    fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    fn warehouse(&self) -> WarehouseClient<Channel> {
        WarehouseClient::new(self.channel.clone())
    }

    fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// See [`CallError`]; this holds for all calls below.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, CallError> {
        match ask {
            Ask::Catalogue => method!(self.warehouse().catalogue(proto::CatalogueRequest::from(ask))),
            Ask::Open(_) => method!(self.warehouse().open(proto::OpenRequest::from(ask))),
            Ask::Session(_) => method!(self.warehouse().session(proto::SessionRequest::from(ask))),
            Ask::Claim(..) => method!(self.warehouse().claim(proto::ClaimRequest::from(ask))),
            Ask::Fence(..) => method!(self.warehouse().fence(proto::FenceRequest::from(ask))),
            Ask::Pair(..) => method!(self.warehouse().pair(proto::PairRequest::from(ask))),
            Ask::Resign(..) => method!(self.warehouse().resign(proto::ResignRequest::from(ask))),
            Ask::Submit(..) => method!(self.market().submit(proto::SubmitRequest::from(ask))),
            Ask::HandOver(..) => method!(self.cluster().hand_over(proto::HandOverRequest::from(ask))),
            Ask::Probe => self.status().await.map(|report| Answer::Alive(report.process)),
            Ask::Status => method!(self.admin().status(proto::StatusRequest::from(ask))),
            Ask::Place(..) => method!(self.admin().place(proto::PlaceRequest::from(ask))),
            Ask::Quiesce => method!(self.admin().quiesce(proto::QuiesceRequest::from(ask))),
            Ask::Leave => method!(self.admin().leave(proto::LeaveRequest::from(ask))),
            Ask::ResignByHand(_) => method!(self.admin().resign(proto::ResignByHandRequest::from(ask))),
            Ask::Find(..) => method!(self.admin().find(proto::FindRequest::from(ask))),
            Ask::Mode(_) => method!(self.admin().mode(proto::ModeRequest::from(ask))),
            Ask::Complete(..) => method!(self.warehouse().complete(proto::CompleteRequest::from(ask))),
            Ask::Release(_) => method!(self.admin().release(proto::ReleaseRequest::from(ask))),
        }
    }

    /// The warehouse's catalogue.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn catalogue(&self) -> Result<Catalogue, CallError> {
        answer!(self.ask(Ask::Catalogue), Answer::Catalogue(catalogue) => *catalogue)
    }

    /// Opens the session of a store that has seen nothing of the ledger, and whose last session is of `generation`.
    #[allow(clippy::missing_errors_doc)]
    pub async fn open(
        &self,
        peer: PeerId,
        store: Hash,
        cluster: &str,
        generation: Generation,
    ) -> Result<OpenAnswer, CallError> {
        let cluster = cluster.to_owned();
        self.open_with(Opening { peer, store, cluster, generation, seen: None, licence: None }).await
    }

    /// Opens the session of a store.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn open_with(&self, opening: Opening) -> Result<OpenAnswer, CallError> {
        answer!(self.ask(Ask::Open(opening)), Answer::Opened(opened) => *opened)
    }

    /// Asks for an office.
    #[allow(clippy::missing_errors_doc)]
    pub async fn claim(&self, hello: &Hello, office: Office) -> Result<Roster, CallError> {
        self.roster(Ask::Claim(Box::new(hello.clone()), office)).await
    }

    /// Ends a term.
    #[allow(clippy::missing_errors_doc)]
    pub async fn fence(&self, hello: &Hello, term: Term) -> Result<Roster, CallError> {
        self.roster(Ask::Fence(Box::new(hello.clone()), term)).await
    }

    /// Gives an office up.
    #[allow(clippy::missing_errors_doc)]
    pub async fn resign(&self, hello: &Hello, given_up: GivenUp) -> Result<Roster, CallError> {
        self.roster(Ask::Resign(Box::new(hello.clone()), given_up)).await
    }

    async fn roster(&self, ask: Ask) -> Result<Roster, CallError> {
        answer!(self.ask(ask), Answer::Roster(_, roster) => *roster)
    }

    /// One order, answered when it is decided; with the ledger that holds the outcome.
    #[allow(clippy::missing_errors_doc)]
    pub async fn submit(
        &self,
        hello: &Hello,
        order: &Order,
    ) -> Result<(Outcome, Option<Box<Seen>>), CallError> {
        let ask = Ask::Submit(Box::new(hello.clone()), *order);
        answer!(self.ask(ask), Answer::Outcome(outcome, seen) => (*outcome, seen))
    }

    /// Hands accepted orders over; how many, from the first, the home has durably.
    #[allow(clippy::missing_errors_doc)]
    pub async fn hand_over(&self, hello: &Hello, orders: &[Order]) -> Result<u32, CallError> {
        let ask = Ask::HandOver(Box::new(hello.clone()), orders.to_vec(), Vec::new());
        answer!(self.ask(ask), Answer::Taken(taken) => taken)
    }

    /// Everything about the node.
    #[allow(clippy::missing_errors_doc)]
    pub async fn status(&self) -> Result<Report, CallError> {
        let ask = Ask::Status;
        match method!(self.admin().status(proto::StatusRequest::from(ask)))? {
            Answer::Status(report) => Ok(*report),
            other => unreachable!("the method's reply is no {other:?}"),
        }
    }

    /// The peer places an order of its own.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn place(
        &self,
        good: &str,
        quantity: Quantity,
        kind: OrderKind,
    ) -> Result<Outcome, CallError> {
        let ask = Ask::Place(good.to_owned(), quantity, kind, Number(0));
        answer!(self.ask(ask), Answer::Outcome(outcome, _) => *outcome)
    }

    /// The shopper places no more; how many of its orders are open.
    #[allow(clippy::missing_errors_doc)]
    pub async fn quiesce(&self) -> Result<u64, CallError> {
        answer!(self.ask(Ask::Quiesce), Answer::Open(open) => open)
    }

    /// The peer goes for good; answered when it has done all that it owes.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn leave(&self) -> Result<Farewell, CallError> {
        answer!(self.ask(Ask::Leave), Answer::Left(farewell) => farewell)
    }

    /// The trader settles what it has and gives its office up, to a peer or (0) to nobody; which office it was, if it
    /// had one.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn resign_by_hand(&self, to: PeerId) -> Result<Option<(Office, Term)>, CallError> {
        answer!(self.ask(Ask::ResignByHand(to)), Answer::Resigned(office) => office)
    }

    /// Who sells a good within so many hops of the peer.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn find(&self, good: &str, hops: u32) -> Result<Found, CallError> {
        answer!(self.ask(Ask::Find(good.to_owned(), hops)), Answer::Found(found) => *found)
    }

    /// Traders answer in this mode from now on; the mode before, and the row of the change, if it is one.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn mode(&self, mode: Consistency) -> Result<(Consistency, Option<Seq>), CallError> {
        answer!(self.ask(Ask::Mode(mode)), Answer::Mode(before, row) => (before, row))
    }

    /// What an ended term had sold is accepted to be lost. Gives the pieces that are free again, by product.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn release(&self, term: Term) -> Result<Vec<(ProductId, Quantity)>, CallError> {
        answer!(self.ask(Ask::Release(term)), Answer::Released(freed) => freed)
    }

    /// What happens at the node from now on.
    #[allow(clippy::missing_errors_doc)]
    pub async fn events(&self) -> Result<Happenings, CallError> {
        Ok(Happenings(within(self.deadline, self.admin().events(proto::EventsRequest {})).await?))
    }

    /// What the node remembers of its messages: how many events it keeps, and those that are wanted.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn trace(&self, wanted: Wanted) -> Result<(u64, Vec<Traced>), CallError> {
        let request = proto::TraceRequest::from(wanted);
        let mut stream = within(self.deadline, self.admin().trace(request)).await?;
        let (mut kept, mut events) = (0, Vec::new());
        while let Some(reply) = within(self.deadline, next(&mut stream)).await? {
            kept = reply.kept;
            // An event that makes no sense is of a later version.
            events.extend(reply.events.into_iter().filter_map(|event| Traced::try_from(event).ok()));
        }
        Ok((kept, events))
    }

    /// The blocks of the node's log.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) async fn dump(&self, from: Seq, to: Seq, follow: bool) -> Result<Dumped, CallError> {
        let request = proto::DumpRequest { from_seq: from.0, to_seq: to.0, follow };
        Ok(Dumped::new(within(self.deadline, self.admin().dump(request)).await?))
    }
}

async fn next<T>(stream: &mut tonic::Streaming<T>) -> Result<tonic::Response<Option<T>>, tonic::Status> {
    stream.message().await.map(tonic::Response::new)
}
