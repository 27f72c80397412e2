//! The streams of the loops that are about to go.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::call;
use super::connect::{connect, within};
use crate::limits::{CONNECT_MAX, MESSAGE_BYTES_MAX, PROBE_MAX};
use crate::model::call::{Ask, CallError, Probe};
use crate::wire::convert::Odd;
use crate::wire::messages::{
    ControlDown, ControlUp, PeerMessage, ReplicaAnswer, ReplicaAsk, SettleAnswer, SettleAsk, StockPush,
    StreamEvent, TradeAnswer, TradeAsk,
};
use crate::wire::outbox::{Outbox, Outgoing, Weigh, outbox};
use crate::wire::proto::{
    self, cluster_client::ClusterClient, market_client::MarketClient, replica_client::ReplicaClient,
    warehouse_client::WarehouseClient,
};
use crate::wire::server::next_conn;

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
                Ok(channel) => match within(deadline, open(channel, outgoing)).await {
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
    Probe::found(&call(addr, PROBE_MAX, Ask::Probe).await)
}
