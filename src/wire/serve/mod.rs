//! The serving side, a file for each service.
//!
//! A unary call becomes an [`Arrival::Asked`] in the node's inbox and waits for its answer; a stream becomes
//! [`Arrival::Opened`], [`Arrival::Said`] and [`Arrival::Ended`], and what comes out of its outbox goes to the caller.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tonic::service::interceptor::InterceptedService;
pub(crate) use tonic::transport::Error as ServeError;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Status};
use tonic_health::pb::health_server::HealthServer;

use self::dump::BlockReader;
use self::inbox::Inbox;
use self::places::{Caller, Places};
use self::trace::TraceReader;
use super::arrival::Arrival;
use super::proto::{
    self, admin_server::AdminServer, cluster_server::ClusterServer, market_server::MarketServer,
    replica_server::ReplicaServer, warehouse_server::WarehouseServer,
};
use crate::limits::{
    CONNECTION_STREAMS_MAX, KEEPALIVE_ANSWER_MAX, KEEPALIVE_EVERY, MESSAGE_BYTES_MAX, REQUEST_MAX,
};
use crate::model::happening::Happening;
use crate::model::step::Numbers;

mod accept;
mod admin;
mod cluster;
pub(crate) mod dump;
mod health;
mod inbox;
mod market;
mod places;
mod replica;
pub(crate) mod trace;
mod warehouse;

/// What a node serves, and where.
pub(crate) struct Serving {
    /// Already bound, so that the address is known.
    pub listener: TcpListener,
    /// Where others find the node, if it is not all addresses.
    pub addr: String,
    /// How many connections may come in.
    pub connections_max: usize,
    /// Ends the server; streams are to be ended before.
    pub shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Numbers of accepted streams: a copy of the driver's.
    pub numbers: Numbers,
    /// The log, for dumps.
    pub blocks: Arc<dyn BlockReader>,
    /// What happens at the node, for watchers.
    pub happenings: broadcast::Sender<Happening>,
    /// What it remembers of its messages, if it does.
    pub trace: Option<Arc<dyn TraceReader>>,
}

/// Serves a peer until shutdown.
///
/// # Errors
/// The transport failed.
pub(crate) async fn serve_peer(arrivals: mpsc::Sender<Arrival>, serving: Serving) -> Result<(), ServeError> {
    let inbox = Inbox::new(arrivals, serving.numbers.clone());
    let market = MarketServer::new(market::Market(inbox.clone()));
    let cluster = ClusterServer::new(cluster::Cluster(inbox.clone()));
    let replica = ReplicaServer::new(replica::Replica(inbox.clone()));
    let router = common(inbox, &serving)
        .add_service(market.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(cluster.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(replica.max_decoding_message_size(MESSAGE_BYTES_MAX));
    run(router, serving).await
}

/// Serves the warehouse until shutdown.
///
/// # Errors
/// The transport failed.
pub(crate) async fn serve_warehouse(
    arrivals: mpsc::Sender<Arrival>,
    serving: Serving,
) -> Result<(), ServeError> {
    let inbox = Inbox::new(arrivals, serving.numbers.clone());
    let warehouse = WarehouseServer::new(warehouse::Warehouse::new(inbox.clone(), &serving.addr));
    let router = common(inbox, &serving).add_service(warehouse.max_decoding_message_size(MESSAGE_BYTES_MAX));
    run(router, serving).await
}

/// Health, reflection and Admin, which every node serves.
fn common(inbox: Inbox, serving: &Serving) -> Router {
    let (blocks, happenings) = (Arc::clone(&serving.blocks), serving.happenings.clone());
    let trace = serving.trace.clone();
    let health = HealthServer::new(health::Health(inbox.clone()));
    let mut server = Server::builder()
        .timeout(REQUEST_MAX)
        .initial_stream_window_size(Some(MESSAGE_BYTES_MAX as u32))
        .initial_connection_window_size(Some(2 * MESSAGE_BYTES_MAX as u32))
        .max_concurrent_streams(Some(CONNECTION_STREAMS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER_MAX));
    let mut router = server.add_service(health);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match reflection().build_v1() {
        Ok(it) => router = router.add_service(InterceptedService::new(it, heard)),
        Err(error) => tracing::error!(%error, "no reflection"),
    }
    // What most clients, Python's among them, still ask for.
    match reflection().build_v1alpha() {
        Ok(it) => router = router.add_service(InterceptedService::new(it, heard)),
        Err(error) => tracing::error!(%error, "no reflection"),
    }
    router.add_service(AdminServer::new(admin::Admin { inbox, blocks, happenings, trace }))
}

/// For services that are not ours: whoever asks for one has begun.
#[allow(clippy::result_large_err, clippy::unnecessary_wraps)]
fn heard(request: Request<()>) -> Result<Request<()>, Status> {
    Caller::of(request.extensions()).spoke();
    Ok(request)
}

async fn run(router: Router, serving: Serving) -> Result<(), ServeError> {
    let connections = accept::connections(serving.listener, Places::new(serving.connections_max));
    router.serve_with_incoming_shutdown(connections, serving.shutdown).await
}

/// Listens at an address.
///
/// # Errors
/// The port is taken, or the address is not ours.
pub(crate) async fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(addr).await
}
