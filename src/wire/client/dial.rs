//! Streams of this node to others: what it says goes into an outbox, what it hears into its inbox.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::{Stream as Flow, StreamExt as _};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::connect::{connect, within};
use crate::limits::{CONNECT_MAX, MESSAGE_BYTES_MAX};
use crate::model::call::CallError;
use crate::model::message::{Message, Stream};
use crate::model::step::{ConnId, Lost};
use crate::wire::arrival::{Arrival, hear, lifetime};
use crate::wire::convert::Odd;
use crate::wire::outbox::{Outbox, Outgoing, outbox};
use crate::wire::proto::{
    self, cluster_client::ClusterClient, market_client::MarketClient, replica_client::ReplicaClient,
    warehouse_client::WarehouseClient,
};

/// Makes a node's outgoing streams: which runtime they run on, and which inbox they report to.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// The runtime of the wire.
    pub wire: tokio::runtime::Handle,
    /// The node's inbox.
    pub inbox: mpsc::Sender<Arrival>,
    /// Bound of opening a stream, and of a unary call.
    pub deadline: Duration,
}

/// The task of a stream. Dropping it ends the stream; what was said last may be lost.
#[derive(Debug)]
pub struct Dialed(AbortHandle);

impl Drop for Dialed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Dialer {
    /// Opens a stream; `first` tells which, and is said first on it. Then come an [`Arrival::Said`] for each message,
    /// and one [`Arrival::Ended`] at the end, or if the stream never comes up.
    pub fn dial(&self, conn: ConnId, addr: String, first: Message) -> (Outbox<Message>, Dialed) {
        let (stream, (outbox, out)) = (first.stream(), outbox());
        outbox.send(first);
        macro_rules! run {
            ($client:ident.$method:ident(out as $proto:ident)) => {{
                let (said, over) = requests::<proto::$proto>(out);
                self.run(conn, addr, over, |channel| async move {
                    let client = $client::new(channel);
                    client.max_decoding_message_size(MESSAGE_BYTES_MAX).$method(said).await
                })
            }};
        }
        let task = match stream {
            Stream::Trade => run!(MarketClient.trade(out as TradeRequest)),
            Stream::Settle => run!(WarehouseClient.settle(out as SettleRequest)),
            Stream::Control => run!(WarehouseClient.control(out as ControlUp)),
            Stream::Replicate => run!(ReplicaClient.replicate(out as ReplicateRequest)),
            Stream::Link => run!(ClusterClient.control(out as ClusterMessage)),
            // A watch says nothing after its request.
            Stream::Watch => self.run(conn, addr, std::future::pending(), |channel| async move {
                WarehouseClient::new(channel).watch(proto::WatchRequest {}).await
            }),
        };
        (outbox, task)
    }

    /// The common part of the streams: connect, open, read until the end, report.
    fn run<P, O, R, V>(&self, conn: ConnId, addr: String, over: V, open: O) -> Dialed
    where
        P: Send + 'static,
        Message: TryFrom<P, Error = Odd>,
        O: FnOnce(Channel) -> R + Send + 'static,
        R: Future<Output = Result<Response<Streaming<P>>, Status>> + Send + 'static,
        V: Future<Output = ()> + Send + 'static,
    {
        let (inbox, deadline) = (self.inbox.clone(), self.deadline);
        let task = self.wire.spawn(async move {
            let opened = async {
                let channel = connect(&addr, CONNECT_MAX.min(deadline)).await?;
                within(deadline, open(channel)).await
            };
            let lost = match opened.await {
                Ok(said) => {
                    let why = hear(conn, said, over, &inbox).await.unwrap_or_else(|odd| odd.to_string());
                    Lost { refused: false, why }
                }
                Err(error) => lost(&error),
            };
            // The node is stopping if nobody takes it.
            let _ = inbox.send(Arrival::Ended(conn, lost)).await;
        });
        Dialed(task.abort_handle())
    }
}

fn lost(error: &CallError) -> Lost {
    let refused = matches!(error, CallError::Unreachable { refused: true, .. });
    Lost { refused, why: error.to_string() }
}

/// What is said on a stream, as its protos, and a future that resolves when the stream is cut.
fn requests<P>(
    outgoing: Outgoing<Message>,
) -> (impl Flow<Item = P> + Send + 'static, impl Future<Output = ()>)
where
    P: TryFrom<Message, Error = Odd> + 'static,
{
    let (alive, over) = lifetime();
    let said = outgoing.map_while(move |message| {
        let _alive = &alive;
        // Only a machine with a bug says a message of another kind of stream here: the stream ends, and the log says
        // why.
        P::try_from(message).inspect_err(|odd| tracing::error!(%odd, "not sent")).ok()
    });
    (said, over)
}
