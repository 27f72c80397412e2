//! Metrics and health over HTTP, on an address of their own: `--http`.
//!
//! | path | what it says |
//! | --- | --- |
//! | `/metrics` | what the node counts and knows, as Prometheus reads it |
//! | `/healthz` | 200 while the node's loop answers |
//! | `/readyz` | 200 while the node is well: what `status` says; else 503 and what is wrong |
//!
//! Nothing here acts on the node. Connections have a number and a time: who holds them without asking takes nothing from
//! other nodes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::meter::Counts;
use crate::journal::Stats;
use crate::limits::{ACCEPT_REST, CALL_DEADLINE, HTTP_CONNECTION_MAX, HTTP_CONNECTIONS_MAX, HTTP_HEAD_MAX};
use crate::model::call::{Answer, Ask};
use crate::model::report::Report;
use crate::wire::arrival::Arrival;

/// What is served.
pub(crate) struct Source {
    /// The node, which is asked for its report.
    pub node: mpsc::Sender<Arrival>,
    /// What it counts.
    pub counts: Arc<Counts>,
    /// What its journal has done.
    pub stats: Box<dyn Fn() -> Stats + Send + Sync>,
    /// Its directory.
    pub dir: PathBuf,
}

/// Prometheus's own text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Source {
    /// What the node says of itself, or why it does not.
    async fn report(&self) -> Result<Box<Report>, String> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.node.send(Arrival::Asked(Ask::Status, reply)).await.map_err(|_| "the node is stopping")?;
            answer.await.map_err(|_| "the node is stopping")
        };
        match tokio::time::timeout(CALL_DEADLINE, asked).await {
            Ok(Ok(Ok(Answer::Status(report)))) => Ok(report),
            Ok(Ok(Ok(other))) => Err(format!("the node answered something else: {other:?}")),
            Ok(Ok(Err(refusal))) => Err(refusal.to_string()),
            Ok(Err(stopping)) => Err(stopping.to_owned()),
            Err(_) => Err(format!("the node's loop did not answer within {CALL_DEADLINE:?}")),
        }
    }
}

fn unavailable(why: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response()
}

async fn metrics(State(source): State<Arc<Source>>) -> Response {
    let report = match source.report().await {
        Ok(report) => report,
        Err(why) => return unavailable(why),
    };
    // Sizes of files are asked for: that may wait for a disk.
    let scraped =
        tokio::task::spawn_blocking(move || source.counts.scrape(&report, &(source.stats)(), &source.dir));
    match scraped.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => unavailable(error.to_string()),
    }
}

async fn healthz(State(source): State<Arc<Source>>) -> Response {
    source.report().await.map_or_else(unavailable, |_| "ok\n".into_response())
}

async fn readyz(State(source): State<Arc<Source>>) -> Response {
    match source.report().await {
        Ok(report) if report.health == "ok" => "ok\n".into_response(),
        Ok(report) => unavailable(report.health),
        Err(why) => unavailable(why),
    }
}

async fn elsewhere() -> Response {
    (StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n").into_response()
}

/// What a node serves.
pub(crate) fn router(source: Source) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(elsewhere)
        .with_state(Arc::new(source))
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// How many there are at once.
    pub(crate) connections: usize,
    /// After which time one is over.
    pub(crate) lasts: Duration,
}

impl Room {
    /// A node's.
    pub(crate) const NODE: Room = Room { connections: HTTP_CONNECTIONS_MAX, lasts: HTTP_CONNECTION_MAX };
}

/// Serves until `closed` resolves.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    room: Room,
    closed: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(room.connections));
    let serving = async {
        loop {
            // Who comes while all places are taken waits in the system's queue.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let service = TowerToHyperService::new(router.clone());
                    tokio::spawn(async move {
                        let _place = place;
                        let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
                        builder.http1().timer(TokioTimer::new()).header_read_timeout(HTTP_HEAD_MAX);
                        let connection = builder.serve_connection(TokioIo::new(stream), service);
                        // A caller that breaks off, or takes too long, is served when it comes again.
                        let _ = tokio::time::timeout(room.lasts, connection).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no HTTP connection was accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    };
    tokio::select! { () = serving => {}, () = closed => {} }
}

/// Where it serves, for people.
pub(crate) fn said(addr: SocketAddr) -> String {
    format!("metrics at http://{addr}/metrics")
}

#[cfg(test)]
mod tests;
