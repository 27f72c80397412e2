//! How heavy a message is on the wire, as upper estimates for outboxes.

use super::Outcome;
use crate::limits::INTRODUCTION_BYTES_MAX;
use crate::model::message::{
    ControlDown, ControlUp, Message, PeerMessage, PeerWord, ReplicaAnswer, ReplicaAsk, SettleAnswer,
    SettleAsk, StockPush, TradeAnswer, TradeAsk,
};
use crate::wire::outbox::Weigh;

const ORDER_BYTES: usize = 40;
/// A tentative answer: tags and a length, an id, pieces, and its draw.
const TOLD_BYTES: usize = 56;
/// A good that is wanted, set aside or recalled.
const WANT_BYTES: usize = 24;
const OUTCOME_BYTES: usize = 64;
const SHARE_BYTES: usize = 24;
const HELLO_BYTES: usize = 512;
const MESSAGE_BYTES: usize = 64;

/// Upper estimate of an outcome's bytes on the wire.
pub(crate) fn outcome_weight(outcome: &Outcome) -> usize {
    OUTCOME_BYTES + SHARE_BYTES * outcome.shares.len()
}

fn answers_weight(outcomes: &[Outcome], not_taken: usize) -> usize {
    MESSAGE_BYTES + OUTCOME_BYTES * not_taken + outcomes.iter().map(outcome_weight).sum::<usize>()
}

impl Weigh for Message {
    fn weigh(&self) -> usize {
        match self {
            Message::TradeAsk(it) => it.weigh(),
            Message::TradeAnswer(it) => it.weigh(),
            Message::SettleAsk(it) => it.weigh(),
            Message::SettleAnswer(it) => it.weigh(),
            Message::ControlUp(it) => it.weigh(),
            Message::ControlDown(it) => it.weigh(),
            Message::Watch => MESSAGE_BYTES,
            Message::Stock(it) => it.weigh(),
            Message::ReplicaAsk(it) => it.weigh(),
            Message::ReplicaAnswer(it) => it.weigh(),
            Message::Peer(it) => it.weigh(),
        }
    }
}

impl Weigh for TradeAsk {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES
            + HELLO_BYTES * usize::from(self.hello.is_some())
            + (ORDER_BYTES + TOLD_BYTES) * self.orders.len()
    }
}

impl Weigh for TradeAnswer {
    fn weigh(&self) -> usize {
        TOLD_BYTES * self.early.len() + answers_weight(&self.outcomes, self.not_taken.len())
    }
}

impl Weigh for SettleAsk {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES
            + HELLO_BYTES * usize::from(self.hello.is_some())
            + (ORDER_BYTES + TOLD_BYTES) * self.orders.len()
            + WANT_BYTES * self.wants.len()
    }
}

impl Weigh for SettleAnswer {
    fn weigh(&self) -> usize {
        let goods = self.goods.as_ref().map_or(0, |word| word.allotted.len() + word.recall.len());
        WANT_BYTES * goods + answers_weight(&self.outcomes, self.not_taken.len())
    }
}

impl Weigh for ControlUp {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES
    }
}

impl Weigh for ControlDown {
    fn weigh(&self) -> usize {
        let introduced = INTRODUCTION_BYTES_MAX * self.introduced.len();
        HELLO_BYTES + MESSAGE_BYTES * self.sessions.len() + introduced
    }
}

impl Weigh for StockPush {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES + 16 * self.levels.len()
    }
}

impl Weigh for ReplicaAsk {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES + HELLO_BYTES * usize::from(self.hello.is_some()) + self.orders.len()
    }
}

impl Weigh for ReplicaAnswer {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES + HELLO_BYTES * usize::from(self.hello.is_some())
    }
}

impl Weigh for PeerMessage {
    fn weigh(&self) -> usize {
        const ID_BYTES: usize = 8;
        let more = match &self.word {
            PeerWord::Members(members) => MESSAGE_BYTES * members.len(),
            PeerWord::Lookup(lookup) => ID_BYTES * lookup.path.len(),
            PeerWord::LookupAnswer(answer) => {
                let ways = answer.found.sellers.iter().map(|way| way.len() + 1).sum::<usize>();
                ID_BYTES * (answer.found.reached.len() + ways)
            }
            _ => 0,
        };
        HELLO_BYTES + more
    }
}
