//! What an effect says of the peer, and to whom.

use crate::model::call::{Answer, Ask};
use crate::model::evidence::Seen;
use crate::model::hello::Hello;
use crate::model::message::{Message, PeerMessage, PeerWord};
use crate::model::step::Effect;
use crate::types::Stamp;

/// Where this effect shows the token, if it does.
pub(super) fn shows_token_at(effect: &Effect) -> Option<&str> {
    let (addr, hello) = match effect {
        Effect::Dial { addr, first, .. } => (addr.as_str(), hello_of(first)),
        Effect::Send(_, message) => ("whoever dialed", hello_of(message)),
        Effect::Call { addr, ask, .. } => (addr.as_str(), ask_hello(ask)),
        _ => return None,
    };
    hello.is_some_and(|hello| hello.token.is_some()).then_some(addr)
}

pub(super) fn hello_of(message: &Message) -> Option<&Hello> {
    match message {
        Message::TradeAsk(it) => it.hello.as_deref(),
        Message::TradeAnswer(it) => it.hello.as_deref(),
        Message::SettleAsk(it) => it.hello.as_deref(),
        Message::ControlUp(it) => it.hello.as_deref(),
        Message::ReplicaAsk(it) => it.hello.as_deref(),
        Message::ReplicaAnswer(it) => it.hello.as_deref(),
        Message::Peer(PeerMessage { word: PeerWord::Hello(hello), .. }) => Some(hello),
        _ => None,
    }
}

fn ask_hello(ask: &Ask) -> Option<&Hello> {
    match ask {
        Ask::Claim(hello, _) | Ask::Fence(hello, _) | Ask::Pair(hello, ..) | Ask::Resign(hello, _) => {
            Some(hello)
        }
        Ask::Submit(hello, _) | Ask::HandOver(hello, ..) => Some(hello),
        _ => None,
    }
}

/// Whether what is said shows the peer's clock, as all but the first word on `Watch` does.
pub(super) fn shows_clock(effect: &Effect, own: Stamp) -> bool {
    let (Effect::Dial { first: message, .. } | Effect::Send(_, message)) = effect else { return true };
    let clock = match message {
        Message::TradeAsk(it) => it.clock,
        Message::TradeAnswer(it) => it.clock,
        Message::SettleAsk(it) => it.clock,
        Message::SettleAnswer(it) => it.clock,
        Message::ControlUp(it) => it.clock,
        Message::ControlDown(it) => it.clock,
        Message::Stock(it) => it.clock,
        Message::ReplicaAsk(it) => it.clock,
        Message::ReplicaAnswer(it) => it.clock,
        Message::Peer(it) => it.clock,
        Message::Watch => return true,
    };
    Stamp(0) < clock && clock <= own
}

/// What of the ledger goes with an answer to orders; `None`: this is no such answer.
pub(super) fn seen_with_answer(effect: &Effect) -> Option<Option<Seen>> {
    let seen = match effect {
        Effect::Reply(_, Ok(Answer::Outcome(_, seen))) => seen,
        Effect::Send(_, Message::TradeAnswer(answer)) => &answer.seen,
        _ => return None,
    };
    Some(seen.as_deref().copied())
}
