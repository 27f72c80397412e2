//! What a stranger answers to a node that was told to come to its address.

use super::{Hands, Stranger};
use crate::model::call::{Answer, Ask};
use crate::model::market::NotTaken;
use crate::model::message::{Message, PeerMessage, PeerWord, ReplicaAnswer, TradeAnswer};
use crate::model::row::{Outcome, OutcomeKind};
use crate::model::step::{ConnId, Effect, ReplyId};
use crate::types::{Money, Order, ProcessId, Quantity, Seq, Term, WallMicros};

impl Stranger {
    pub(super) fn answer(&mut self, conn: ConnId, message: Message, hands: &mut Hands) {
        let name = self.forger.member();
        let (clock, hello) = (self.forger.clock(), Some(self.forger.hello(name)));
        match message {
            Message::TradeAsk(ask) => {
                let hello = hello.filter(|_| ask.hello.is_some());
                let mut answer = TradeAnswer { clock, hello, ..TradeAnswer::default() };
                for order in ask.orders {
                    match self.forger.chance.one_in(3) {
                        true => answer.not_taken.push((order.id, NotTaken::OtherContent)),
                        false => answer.outcomes.push(self.outcome(&order)),
                    }
                }
                hands.send(conn, Message::TradeAnswer(answer));
            }
            Message::ReplicaAsk(ask) => {
                let hello = hello.filter(|_| ask.hello.is_some());
                let term = Term(self.forger.known.last_term.0);
                let answer = ReplicaAnswer { clock, hello, term, chunk: ask.chunk };
                hands.send(conn, Message::ReplicaAnswer(answer));
            }
            Message::Peer(message) => {
                let word = match message.word {
                    PeerWord::Hello(_) => hello.map(PeerWord::Hello),
                    PeerWord::Heartbeat(number) => Some(PeerWord::HeartbeatAnswer(number)),
                    _ => Some(PeerWord::Members(self.forger.members())),
                };
                let says = |word| hands.send(conn, Message::Peer(PeerMessage { clock, word }));
                word.into_iter().for_each(says);
            }
            _ => {}
        }
    }

    pub(super) fn reply(&mut self, reply: ReplyId, ask: Ask, hands: &mut Hands) {
        let answer = match ask {
            Ask::Submit(_, order) => Answer::Outcome(Box::new(self.outcome(&order)), None),
            Ask::HandOver(_, orders, _) => Answer::Taken(orders.len() as u32),
            _ => {
                let random = self.forger.chance.between(0, u64::MAX);
                Answer::Alive(ProcessId { starts: 1 << 40, random, ..ProcessId::default() })
            }
        };
        hands.effects.push(Effect::Reply(reply, Ok(answer)));
    }

    /// An outcome that never was.
    fn outcome(&mut self, order: &Order) -> Outcome {
        Outcome {
            id: order.id,
            kind: OutcomeKind::Bought,
            reason: None,
            filled: order.quantity,
            amount: Money(1),
            shares: Vec::new(),
            stock_after: Quantity(0),
            seq: Seq(self.forger.chance.between(1, 100_000)),
            time: WallMicros(1),
            trader: self.forger.member(),
            repeated: false,
        }
    }
}
