//! [`Message`]s as the protos of their streams, and back.

use super::{Checked, Odd, proto};
use crate::model::message::Message;

/// A message was put on another stream than its own: a bug of the machine that sent it.
const OTHER_STREAM: Odd = Odd::Field("message, of another stream");

macro_rules! carried {
    ($($variant:ident as $proto:ident),*) => {$(
        impl TryFrom<Message> for proto::$proto {
            type Error = Odd;
            fn try_from(message: Message) -> Checked<Self> {
                match message {
                    Message::$variant(it) => Ok(it.into()),
                    _ => Err(OTHER_STREAM),
                }
            }
        }

        impl TryFrom<proto::$proto> for Message {
            type Error = Odd;
            fn try_from(it: proto::$proto) -> Checked<Self> {
                Ok(Message::$variant(it.try_into()?))
            }
        }
    )*};
}

carried!(
    TradeAsk as TradeRequest,
    TradeAnswer as TradeReply,
    SettleAsk as SettleRequest,
    SettleAnswer as SettleReply,
    ControlUp as ControlUp,
    ControlDown as ControlDown,
    Stock as StockPush,
    ReplicaAsk as ReplicateRequest,
    ReplicaAnswer as ReplicateReply,
    Peer as ClusterMessage
);

impl TryFrom<Message> for proto::WatchRequest {
    type Error = Odd;
    fn try_from(message: Message) -> Checked<Self> {
        match message {
            Message::Watch => Ok(proto::WatchRequest {}),
            _ => Err(OTHER_STREAM),
        }
    }
}

impl TryFrom<proto::WatchRequest> for Message {
    type Error = Odd;
    fn try_from(_: proto::WatchRequest) -> Checked<Self> {
        Ok(Message::Watch)
    }
}
