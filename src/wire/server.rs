//! The serving side: each call becomes one value in the node's inbox, each answer comes back through an outbox or a
//! reply slot. Nothing here decides anything.
//!
//! Waiting for room in the inbox happens in the task of the connection that sent too much, so that HTTP/2 flow control
//! slows that sender and nobody else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Error, Server};
use tonic::{Request, Response, Status, Streaming};

use super::convert::{self, Odd};
use super::messages::*;
use super::outbox::{Outbox, Outgoing, Weigh, outbox};
use super::proto;
use super::serve::dump::dump;
pub use super::serve::dump::{BlockReader, DumpHead};
pub use super::serve::{ServeError, listen};
use crate::limits::{
    BATCH_ORDERS_MAX, CALL_DEADLINE, CONNECTION_STREAMS_MAX, KEEPALIVE_ANSWER_MAX, KEEPALIVE_EVERY,
    MESSAGE_BYTES_MAX,
};
pub use crate::model::happening::{Happening, Replayed, What};
use crate::model::warehouse::GivenUp;
use crate::types::{Hash, PeerId, Quantity, Stamp};

/// What a server stream carries.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

static CONNS: AtomicU64 = AtomicU64::new(1);

/// A number for a stream, never used twice in one process.
pub fn next_conn() -> u64 {
    CONNS.fetch_add(1, Ordering::Relaxed)
}

/// A node's inbox as the services see it.
#[derive(Debug)]
pub struct Inbox<I>(pub mpsc::Sender<I>);

impl<I> Clone for Inbox<I> {
    fn clone(&self) -> Self {
        Inbox(self.0.clone())
    }
}

fn closing<E>(_: E) -> Status {
    Refusal::Unavailable("the node is stopping".to_owned()).into()
}

impl<I: Send + 'static> Inbox<I> {
    async fn put(&self, input: impl Into<I>) -> Result<(), Status> {
        self.0.send(input.into()).await.map_err(closing)
    }

    /// One question, one answer, within the deadline of a call.
    async fn ask<T, C: Into<I>>(&self, call: impl FnOnce(Reply<T>) -> C) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        self.put(call(reply)).await?;
        match tokio::time::timeout(CALL_DEADLINE, answer).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(closed)) => Err(closing(closed)),
            Err(_) => Err(Status::deadline_exceeded("no answer in time; asking again is safe")),
        }
    }

    /// Reads a stream into the inbox until it ends or says something odd.
    fn pump<P, M, C>(&self, mut stream: Streaming<P>, said: impl Fn(M) -> C + Send + 'static, closed: C)
    where
        P: Send + 'static,
        M: TryFrom<P, Error = Odd> + Send,
        C: Into<I> + Send + 'static,
    {
        let inbox = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                let Ok(message) = M::try_from(message) else { break };
                if inbox.put(said(message)).await.is_err() {
                    return;
                }
            }
            // Closing: nobody is left to tell.
            let _ = inbox.put(closed).await;
        });
    }
}

fn answers<T, P>(outgoing: Outgoing<T>) -> Response<Answers<P>>
where
    T: Weigh + Into<P> + Send + 'static,
    P: Send + 'static,
{
    Response::new(Box::pin(outgoing.map(|message| Ok(message.into()))))
}

fn stream<T>() -> (u64, Outbox<T>, Outgoing<T>) {
    let (outbox, outgoing) = outbox();
    (next_conn(), outbox, outgoing)
}

fn hello(hello: Option<proto::Hello>) -> Result<crate::model::hello::Hello, Status> {
    Ok(convert::hello_in(hello.ok_or(Odd("hello"))?))
}

// ---- services

struct Market<I>(Inbox<I>);

#[tonic::async_trait]
impl<I: From<MarketCall> + Send + 'static> proto::market_server::Market for Market<I> {
    type TradeStream = Answers<proto::TradeReply>;

    async fn trade(
        &self,
        request: Request<Streaming<proto::TradeRequest>>,
    ) -> Result<Response<Self::TradeStream>, Status> {
        let (conn, outbox, outgoing) = stream();
        self.0.put(MarketCall::Opened(conn, outbox)).await?;
        self.0.pump(request.into_inner(), move |ask| MarketCall::Asked(conn, ask), MarketCall::Closed(conn));
        Ok(answers(outgoing))
    }

    async fn submit(
        &self,
        request: Request<proto::SubmitRequest>,
    ) -> Result<Response<proto::SubmitReply>, Status> {
        let request = request.into_inner();
        let order = convert::order_in(&request.order.ok_or(Odd("order"))?)?;
        let hello = hello(request.hello)?;
        let outcome = self.0.ask(|reply| MarketCall::Submit(hello, order, reply)).await?;
        Ok(Response::new(proto::SubmitReply { clock: 0, outcome: Some(convert::outcome_out(&outcome)) }))
    }
}

struct Cluster<I>(Inbox<I>);

#[tonic::async_trait]
impl<I: From<ClusterCall> + Send + 'static> proto::cluster_server::Cluster for Cluster<I> {
    type ControlStream = Answers<proto::ClusterMessage>;

    async fn control(
        &self,
        request: Request<Streaming<proto::ClusterMessage>>,
    ) -> Result<Response<Self::ControlStream>, Status> {
        let (conn, outbox, outgoing) = stream();
        self.0.put(ClusterCall::Opened(conn, outbox)).await?;
        self.0.pump(
            request.into_inner(),
            move |said| ClusterCall::Said(conn, said),
            ClusterCall::Closed(conn),
        );
        Ok(answers(outgoing))
    }

    async fn hand_over(
        &self,
        request: Request<proto::HandOverRequest>,
    ) -> Result<Response<proto::HandOverReply>, Status> {
        let request = request.into_inner();
        let orders = convert::orders_in(&request.orders)?;
        if orders.len() > BATCH_ORDERS_MAX {
            return Err(
                Refusal::Invalid(format!("at most {BATCH_ORDERS_MAX} orders in one hand-over")).into()
            );
        }
        let hello = hello(request.hello)?;
        let taken = self.0.ask(|reply| ClusterCall::HandOver(hello, orders, reply)).await?;
        Ok(Response::new(proto::HandOverReply { clock: 0, taken, roster: None }))
    }
}

struct Replica<I>(Inbox<I>);

#[tonic::async_trait]
impl<I: From<ReplicaCall> + Send + 'static> proto::replica_server::Replica for Replica<I> {
    type ReplicateStream = Answers<proto::ReplicateReply>;

    async fn replicate(
        &self,
        request: Request<Streaming<proto::ReplicateRequest>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let (conn, outbox, outgoing) = stream();
        self.0.put(ReplicaCall::Opened(conn, outbox)).await?;
        self.0.pump(
            request.into_inner(),
            move |ask| ReplicaCall::Asked(conn, Box::new(ask)),
            ReplicaCall::Closed(conn),
        );
        Ok(answers(outgoing))
    }
}

struct Warehouse<I>(Inbox<I>);

fn roster_reply((clock, roster): (Stamp, crate::model::offices::Roster)) -> Response<proto::RosterReply> {
    Response::new(proto::RosterReply { clock: clock.0, roster: Some(convert::roster_out(&roster)) })
}

#[tonic::async_trait]
impl<I: From<WarehouseCall> + Send + 'static> proto::warehouse_server::Warehouse for Warehouse<I> {
    type ControlStream = Answers<proto::ControlDown>;
    type SettleStream = Answers<proto::SettleReply>;
    type WatchStream = Answers<proto::StockPush>;

    async fn catalogue(
        &self,
        _: Request<proto::CatalogueRequest>,
    ) -> Result<Response<proto::CatalogueReply>, Status> {
        Ok(Response::new(self.0.ask(WarehouseCall::Catalogue).await?.into()))
    }

    async fn open(&self, request: Request<proto::OpenRequest>) -> Result<Response<proto::OpenReply>, Status> {
        let proto::OpenRequest { peer, store, cluster, generation } = request.into_inner();
        let store = Hash::from_slice(&store).ok_or(Odd("store"))?;
        let opening = Opening { peer: PeerId(peer), store, cluster, generation };
        let answer = self.0.ask(|reply| WarehouseCall::Open(opening, reply)).await?;
        Ok(Response::new(answer.into()))
    }

    async fn session(
        &self,
        request: Request<proto::SessionRequest>,
    ) -> Result<Response<proto::SessionReply>, Status> {
        let peer = PeerId(request.into_inner().peer);
        let (clock, session) = self.0.ask(|reply| WarehouseCall::Session(peer, reply)).await?;
        let session = session.as_ref().map(convert::session_out);
        Ok(Response::new(proto::SessionReply { clock: clock.0, session }))
    }

    async fn claim(
        &self,
        request: Request<proto::ClaimRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        let request = request.into_inner();
        let office = convert::office_in(request.office).ok_or(Odd("office"))?;
        let hello = hello(request.hello)?;
        Ok(roster_reply(self.0.ask(|reply| WarehouseCall::Claim(hello, office, reply)).await?))
    }

    async fn fence(
        &self,
        request: Request<proto::FenceRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        let request = request.into_inner();
        let term = crate::types::Term(request.term);
        let hello = hello(request.hello)?;
        Ok(roster_reply(self.0.ask(|reply| WarehouseCall::Fence(hello, term, reply)).await?))
    }

    async fn pair(
        &self,
        request: Request<proto::PairRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        let request = request.into_inner();
        let (term, partner) = (crate::types::Term(request.term), crate::types::Term(request.partner_term));
        let hello = hello(request.hello)?;
        Ok(roster_reply(self.0.ask(|reply| WarehouseCall::Pair(hello, term, partner, reply)).await?))
    }

    async fn resign(
        &self,
        request: Request<proto::ResignRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        let request = request.into_inner();
        let proto::ResignRequest { hello: from, term, successor, pass_over } = request;
        let given_up = GivenUp { term: crate::types::Term(term), to: PeerId(successor), pass_over };
        let hello = hello(from)?;
        Ok(roster_reply(self.0.ask(|reply| WarehouseCall::Resign(hello, given_up, reply)).await?))
    }

    async fn control(
        &self,
        request: Request<Streaming<proto::ControlUp>>,
    ) -> Result<Response<Self::ControlStream>, Status> {
        let (conn, outbox, outgoing) = stream();
        self.0.put(WarehouseCall::ControlOpened(conn, outbox)).await?;
        let said = move |said| WarehouseCall::ControlSaid(conn, said);
        self.0.pump(request.into_inner(), said, WarehouseCall::ControlClosed(conn));
        Ok(answers(outgoing))
    }

    async fn settle(
        &self,
        request: Request<Streaming<proto::SettleRequest>>,
    ) -> Result<Response<Self::SettleStream>, Status> {
        let (conn, outbox, outgoing) = stream();
        self.0.put(WarehouseCall::SettleOpened(conn, outbox)).await?;
        let said = move |said| WarehouseCall::Settle(conn, said);
        self.0.pump(request.into_inner(), said, WarehouseCall::SettleClosed(conn));
        Ok(answers(outgoing))
    }

    async fn watch(&self, _: Request<proto::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (_, outbox, outgoing) = stream();
        self.0.put(WarehouseCall::Watch(outbox)).await?;
        Ok(answers(outgoing))
    }
}

struct Admin<I> {
    inbox: Inbox<I>,
    blocks: Arc<dyn BlockReader>,
    happenings: broadcast::Sender<Happening>,
}

#[tonic::async_trait]
impl<I: From<AdminCall> + Send + 'static> proto::admin_server::Admin for Admin<I> {
    type DumpStream = Answers<proto::DumpReply>;
    type EventsStream = Answers<proto::Event>;

    async fn status(&self, _: Request<proto::StatusRequest>) -> Result<Response<proto::StatusReply>, Status> {
        let report = self.inbox.ask(AdminCall::Status).await?;
        Ok(Response::new((*report).into()))
    }

    async fn dump(&self, request: Request<proto::DumpRequest>) -> Result<Response<Self::DumpStream>, Status> {
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(dump(Arc::clone(&self.blocks), request.into_inner(), sender));
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }

    async fn events(&self, _: Request<proto::EventsRequest>) -> Result<Response<Self::EventsStream>, Status> {
        let stream = tokio_stream::wrappers::BroadcastStream::new(self.happenings.subscribe());
        let stream = stream.map(|happening| {
            Ok(match happening {
                Ok(happening) => happening.into(),
                Err(missed) => proto::Event { line: missed.to_string(), ..proto::Event::default() },
            })
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn place(
        &self,
        request: Request<proto::PlaceRequest>,
    ) -> Result<Response<proto::PlaceReply>, Status> {
        let request = request.into_inner();
        let (kind, quantity) = (convert::kind_in(request.kind)?, Quantity(request.quantity));
        let outcome = self.inbox.ask(|reply| AdminCall::Place(request.good, quantity, kind, reply)).await?;
        Ok(Response::new(proto::PlaceReply { outcome: Some(convert::outcome_out(&outcome)) }))
    }

    async fn quiesce(
        &self,
        _: Request<proto::QuiesceRequest>,
    ) -> Result<Response<proto::QuiesceReply>, Status> {
        Ok(Response::new(proto::QuiesceReply { open: self.inbox.ask(AdminCall::Quiesce).await? }))
    }

    async fn leave(&self, _: Request<proto::LeaveRequest>) -> Result<Response<proto::LeaveReply>, Status> {
        Ok(Response::new(self.inbox.ask(AdminCall::Leave).await?.into()))
    }

    async fn resign(
        &self,
        request: Request<proto::ResignByHandRequest>,
    ) -> Result<Response<proto::ResignByHandReply>, Status> {
        let to = PeerId(request.into_inner().to);
        let resigned = self.inbox.ask(|reply| AdminCall::Resign(to, reply)).await?;
        let (office, term) = resigned.map_or((0, 0), |(office, term)| (convert::office_out(office), term.0));
        Ok(Response::new(proto::ResignByHandReply { office, term }))
    }
}

// ---- serving

/// What a node serves beside its own services.
pub struct Serving {
    /// Already bound, so that the address is known.
    pub listener: TcpListener,
    /// Ends the server; streams are to be ended before.
    pub shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The log, for dumps.
    pub blocks: Arc<dyn BlockReader>,
    /// Lines for watchers.
    pub happenings: broadcast::Sender<Happening>,
}

/// Serves a peer until shutdown.
///
/// # Errors
/// The transport failed.
pub async fn serve_peer<I>(inbox: mpsc::Sender<I>, serving: Serving) -> Result<(), Error>
where
    I: From<MarketCall> + From<ClusterCall> + From<ReplicaCall> + From<AdminCall> + Send + 'static,
{
    let inbox = Inbox(inbox);
    let (router, incoming, shutdown) = common(&inbox, serving)?;
    let market = proto::market_server::MarketServer::new(Market(inbox.clone()));
    let cluster = proto::cluster_server::ClusterServer::new(Cluster(inbox.clone()));
    let replica = proto::replica_server::ReplicaServer::new(Replica(inbox));
    router
        .add_service(market.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(cluster.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(replica.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
}

/// Serves the warehouse until shutdown.
///
/// # Errors
/// The transport failed.
pub async fn serve_warehouse<I>(inbox: mpsc::Sender<I>, serving: Serving) -> Result<(), Error>
where
    I: From<WarehouseCall> + From<AdminCall> + Send + 'static,
{
    let inbox = Inbox(inbox);
    let (router, incoming, shutdown) = common(&inbox, serving)?;
    let warehouse = proto::warehouse_server::WarehouseServer::new(Warehouse(inbox));
    router
        .add_service(warehouse.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
}

type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Health, reflection and Admin, which every node serves.
fn common<I>(
    inbox: &Inbox<I>,
    serving: Serving,
) -> Result<(tonic::transport::server::Router, TcpIncoming, Shutdown), Error>
where
    I: From<AdminCall> + Send + 'static,
{
    let admin = Admin { inbox: inbox.clone(), blocks: serving.blocks, happenings: serving.happenings };
    // Without a reporter that says otherwise the overall service "" is SERVING.
    let (_, health) = tonic_health::server::health_reporter();
    let mut server = Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(Some(MESSAGE_BYTES_MAX as u32))
        .initial_connection_window_size(Some(2 * MESSAGE_BYTES_MAX as u32))
        .max_concurrent_streams(Some(CONNECTION_STREAMS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER_MAX));
    let mut router = server.add_service(health);
    match tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .build_v1()
    {
        Ok(reflection) => router = router.add_service(reflection),
        Err(error) => tracing::error!(%error, "no reflection"),
    }
    router = router.add_service(proto::admin_server::AdminServer::new(admin));
    let incoming = TcpIncoming::from(serving.listener).with_nodelay(Some(true));
    Ok((router, incoming, serving.shutdown))
}
