//! What a node remembers of the messages that it sent and got, for a space-time diagram: see `node::tracing`.

use super::hello::Hello;
use super::message::{Message, PeerWord};
use crate::types::{OrderId, PeerId};

/// One event at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Counts the events of this process, from 1.
    pub number: u64,
    /// Unix microseconds.
    pub time: u64,
    /// What it was.
    pub deed: Deed,
    /// The other end, where it is known.
    pub other: Option<PeerId>,
    /// Number of the stream or call at this node; 0: of none.
    pub line: u64,
    /// What was said. The first word is its kind.
    pub text: String,
}

impl Traced {
    /// A message arrived. What is sent at the microsecond in which it comes was sent before.
    pub(crate) fn came(&self) -> bool {
        self.deed == Deed::Came
    }
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The process began.
    Started,
    /// A message left.
    Sent,
    /// A message arrived.
    Came,
    /// A stream ended, by either end or between them.
    Broke,
    /// What the node had written is durable.
    Synced,
    /// A peer was told of its order.
    Told,
    /// The warehouse ended a term.
    Fence,
    /// The offices changed.
    Office,
}

impl Deed {
    /// What was under way to or from the node when it happened has hardly come.
    pub(crate) fn ends_streams(self) -> bool {
        matches!(self, Deed::Started | Deed::Broke)
    }

    /// All of them, by their number on the wire.
    pub(crate) const ALL: [Deed; 8] = [
        Deed::Started,
        Deed::Sent,
        Deed::Came,
        Deed::Broke,
        Deed::Synced,
        Deed::Told,
        Deed::Fence,
        Deed::Office,
    ];
}

/// Which events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Those with a higher number.
    pub after: u64,
    /// Unix microseconds, both included.
    pub from: u64,
    /// See `from`.
    pub to: u64,
    /// Only messages that carry this order, or tell of it, and what ended streams.
    pub order: Option<OrderId>,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { after: 0, from: 0, to: u64::MAX, order: None }
    }
}

impl Message {
    /// Who says it, where that is in it.
    pub(crate) fn hello(&self) -> Option<&Hello> {
        match self {
            Message::TradeAsk(it) => it.hello.as_deref(),
            Message::TradeAnswer(it) => it.hello.as_deref(),
            Message::SettleAsk(it) => it.hello.as_deref(),
            Message::SettleAnswer(it) => it.hello.as_deref(),
            Message::ControlUp(it) => it.hello.as_deref(),
            Message::ControlDown(it) => it.hello.as_deref(),
            Message::ReplicaAsk(it) => it.hello.as_deref(),
            Message::ReplicaAnswer(it) => it.hello.as_deref(),
            Message::Peer(it) => match &it.word {
                PeerWord::Hello(hello) => Some(hello),
                _ => None,
            },
            Message::Watch | Message::Stock(_) => None,
        }
    }

    /// Gives the id of each order that it carries or tells of. Copies for a partner are bytes here, and give none.
    pub(crate) fn each_order(&self, see: &mut dyn FnMut(OrderId)) {
        match self {
            Message::TradeAsk(it) => it.orders.iter().for_each(|order| see(order.id)),
            Message::SettleAsk(it) => it.orders.iter().for_each(|order| see(order.id)),
            Message::TradeAnswer(it) => {
                it.outcomes.iter().for_each(|outcome| see(outcome.id));
                it.early.iter().for_each(|told| see(told.id));
                it.not_taken.iter().for_each(|(id, _)| see(*id));
            }
            Message::SettleAnswer(it) => {
                it.outcomes.iter().for_each(|outcome| see(outcome.id));
                it.not_taken.iter().for_each(|(id, _)| see(*id));
            }
            _ => {}
        }
    }
}
