//! Messages of the streams: trade, settle, control, watch, replicate, and words between peers.

use super::{
    Checked, Odd, PeerId, ProductId, Quantity, Seq, Stamp, Term, caller_in, found_in, found_out, goods_in,
    goods_out, hash_in, hash_out, hello_in, hello_out, introduction_in, introduction_out, member_in,
    member_out, not_taken_in, not_taken_out, office_in, office_out, order_out, orders_in, outcome_out,
    outcomes_in, proof_in, proof_out, proto, roster_in, roster_out, seen_in, seen_out, session_in,
    session_out, told_in, told_out, wants_in, wants_out, why_in, why_out,
};
use crate::model::lookup::{Lookup, LookupAnswer};
use crate::model::message::{
    ControlDown, ControlUp, PeerMessage, PeerWord, ReplicaAnswer, ReplicaAsk, SettleAnswer, SettleAsk,
    StockPush, TradeAnswer, TradeAsk,
};
use crate::types::{Batch, Number};

impl From<TradeAsk> for proto::TradeRequest {
    fn from(ask: TradeAsk) -> Self {
        proto::TradeRequest {
            clock: ask.clock.0,
            hello: ask.hello.as_deref().map(hello_out),
            orders: ask.orders.iter().map(order_out).collect(),
            told: told_out(&ask.told),
            again: ask.again.0,
        }
    }
}

impl TryFrom<proto::TradeRequest> for TradeAsk {
    type Error = Odd;
    fn try_from(it: proto::TradeRequest) -> Checked<Self> {
        let (orders, told) = (orders_in(&it.orders)?, told_in(&it.told, it.orders.len())?);
        let (clock, hello, again) = (Stamp(it.clock), hello_in(it.hello)?, Number(it.again));
        Ok(TradeAsk { clock, hello, orders, told, again })
    }
}

impl From<TradeAnswer> for proto::TradeReply {
    fn from(answer: TradeAnswer) -> Self {
        proto::TradeReply {
            clock: answer.clock.0,
            hello: answer.hello.as_deref().map(hello_out),
            outcomes: answer.outcomes.iter().map(outcome_out).collect(),
            not_taken: not_taken_out(&answer.not_taken),
            roster: answer.roster.as_deref().map(roster_out),
            seen: answer.seen.as_deref().map(seen_out),
            early: told_out(&answer.early),
        }
    }
}

impl TryFrom<proto::TradeReply> for TradeAnswer {
    type Error = Odd;
    fn try_from(it: proto::TradeReply) -> Checked<Self> {
        Ok(TradeAnswer {
            clock: Stamp(it.clock),
            hello: hello_in(it.hello)?,
            outcomes: outcomes_in(&it.outcomes)?,
            not_taken: not_taken_in(&it.not_taken)?,
            roster: it.roster.map(|roster| Box::new(roster_in(roster))),
            seen: it.seen.map(|seen| Box::new(seen_in(seen))),
            early: told_in(&it.early, usize::MAX)?,
        })
    }
}

impl From<SettleAsk> for proto::SettleRequest {
    fn from(ask: SettleAsk) -> Self {
        proto::SettleRequest {
            clock: ask.clock.0,
            hello: ask.hello.as_deref().map(hello_out),
            term: ask.term.0,
            batch: ask.batch.0,
            orders: ask.orders.iter().map(order_out).collect(),
            told: told_out(&ask.told),
            wants: ask.wants.iter().map(wants_out).collect(),
        }
    }
}

impl TryFrom<proto::SettleRequest> for SettleAsk {
    type Error = Odd;
    fn try_from(it: proto::SettleRequest) -> Checked<Self> {
        Ok(SettleAsk {
            clock: Stamp(it.clock),
            hello: hello_in(it.hello)?,
            term: Term(it.term),
            batch: Batch(it.batch),
            orders: orders_in(&it.orders)?,
            told: told_in(&it.told, it.orders.len())?,
            wants: it.wants.iter().map(wants_in).collect::<Checked<_>>()?,
        })
    }
}

impl From<SettleAnswer> for proto::SettleReply {
    fn from(answer: SettleAnswer) -> Self {
        proto::SettleReply {
            clock: answer.clock.0,
            hello: answer.hello.as_deref().map(hello_out),
            batch: answer.batch.0,
            outcomes: answer.outcomes.iter().map(outcome_out).collect(),
            not_taken: not_taken_out(&answer.not_taken),
            refused: answer.refused.map_or(0, |why| why_out(why) as i32),
            roster: answer.roster.as_deref().map(roster_out),
            ledger_seq: answer.ledger.0.0,
            ledger_hash: hash_out(answer.ledger.1),
            proof: answer.proof.map(|proof| proof_out(*proof)),
            goods: answer.goods.as_deref().map(goods_out),
        }
    }
}

impl TryFrom<proto::SettleReply> for SettleAnswer {
    type Error = Odd;
    fn try_from(it: proto::SettleReply) -> Checked<Self> {
        Ok(SettleAnswer {
            clock: Stamp(it.clock),
            hello: hello_in(it.hello)?,
            batch: Batch(it.batch),
            outcomes: outcomes_in(&it.outcomes)?,
            not_taken: not_taken_in(&it.not_taken)?,
            refused: why_in(it.refused),
            roster: it.roster.map(|roster| Box::new(roster_in(roster))),
            ledger: (Seq(it.ledger_seq), hash_in(&it.ledger_hash)),
            proof: proof_in(it.proof).map(Box::new),
            goods: it.goods.as_ref().map(goods_in).transpose()?.map(Box::new),
        })
    }
}

impl From<ControlUp> for proto::ControlUp {
    fn from(up: ControlUp) -> Self {
        let hello = up.hello.as_deref().map(hello_out);
        let ControlUp { clock, heartbeat_answer, leaving, .. } = up;
        proto::ControlUp { clock: clock.0, hello, heartbeat_answer, leaving }
    }
}

impl TryFrom<proto::ControlUp> for ControlUp {
    type Error = Odd;
    fn try_from(it: proto::ControlUp) -> Checked<Self> {
        let hello = hello_in(it.hello)?;
        let proto::ControlUp { clock, heartbeat_answer, leaving, .. } = it;
        Ok(ControlUp { clock: Stamp(clock), hello, heartbeat_answer, leaving })
    }
}

impl From<ControlDown> for proto::ControlDown {
    fn from(down: ControlDown) -> Self {
        proto::ControlDown {
            clock: down.clock.0,
            hello: down.hello.as_deref().map(hello_out),
            roster: down.roster.as_deref().map(roster_out),
            sessions: down.sessions.iter().map(session_out).collect(),
            seen: down.seen.as_deref().map(seen_out),
            heartbeat: down.heartbeat,
            introduced: down.introduced.iter().map(introduction_out).collect(),
        }
    }
}

impl TryFrom<proto::ControlDown> for ControlDown {
    type Error = Odd;
    fn try_from(it: proto::ControlDown) -> Checked<Self> {
        Ok(ControlDown {
            clock: Stamp(it.clock),
            hello: hello_in(it.hello)?,
            roster: it.roster.map(|roster| Box::new(roster_in(roster))),
            sessions: it.sessions.iter().map(session_in).collect::<Checked<_>>()?,
            heartbeat: it.heartbeat,
            introduced: it.introduced.into_iter().map(introduction_in).collect::<Checked<_>>()?,
            seen: it.seen.map(|seen| Box::new(seen_in(seen))),
        })
    }
}

impl From<StockPush> for proto::StockPush {
    fn from(push: StockPush) -> Self {
        let level = |(product, quantity): &(ProductId, Quantity)| proto::StockLevel {
            product: u32::from(product.0),
            quantity: quantity.0,
        };
        proto::StockPush {
            clock: push.clock.0,
            seq: push.seq.0,
            levels: push.levels.iter().map(level).collect(),
        }
    }
}

impl TryFrom<proto::StockPush> for StockPush {
    type Error = Odd;
    fn try_from(it: proto::StockPush) -> Checked<Self> {
        let level = |level: &proto::StockLevel| {
            let product = u16::try_from(level.product).map_err(|_| Odd::Field("level.product"))?;
            Ok((ProductId(product), Quantity(level.quantity)))
        };
        let levels = it.levels.iter().map(level).collect::<Checked<_>>()?;
        Ok(StockPush { clock: Stamp(it.clock), seq: Seq(it.seq), levels })
    }
}

impl From<PeerMessage> for proto::ClusterMessage {
    fn from(message: PeerMessage) -> Self {
        let mut it = proto::ClusterMessage { clock: message.clock.0, ..Default::default() };
        match message.word {
            PeerWord::Hello(hello) => it.hello = Some(hello_out(&hello)),
            PeerWord::Members(members) => it.members = members.iter().map(member_out).collect(),
            PeerWord::Roster(roster) => it.roster = Some(roster_out(&roster)),
            PeerWord::Heartbeat(number) => it.heartbeat = number,
            PeerWord::HeartbeatAnswer(number) => it.heartbeat_answer = number,
            PeerWord::Election(office) => it.election = office_out(office),
            PeerWord::Ok(office) => it.ok = office_out(office),
            PeerWord::Coordinator(office) => it.coordinator = office_out(office),
            PeerWord::Preempt => it.preempt = true,
            PeerWord::TookOver(from) => it.took_over_from = from.0,
            PeerWord::Lookup(lookup) => it.lookup = Some(lookup_out(*lookup)),
            PeerWord::LookupAnswer(answer) => {
                let LookupAnswer { token, found } = *answer;
                it.lookup_answer = Some(proto::LookupAnswer { token, found: Some(found_out(found)) });
            }
        }
        it
    }
}

fn lookup_out(lookup: Lookup) -> proto::Lookup {
    let Lookup { token, nonce, product, hops, path } = lookup;
    let path = path.into_iter().map(|peer| peer.0).collect();
    proto::Lookup { token, nonce, product: u32::from(product.0), hops, path }
}

fn lookup_in(it: proto::Lookup) -> Checked<Lookup> {
    let product = u16::try_from(it.product).map_err(|_| Odd::Field("lookup.product"))?;
    let proto::Lookup { token, nonce, hops, path, .. } = it;
    let path = path.into_iter().map(PeerId).collect();
    Ok(Lookup { token, nonce, product: ProductId(product), hops, path })
}

/// A second word would go unheard.
fn words(it: &proto::ClusterMessage) -> usize {
    let said = [
        it.hello.is_some(),
        !it.members.is_empty(),
        it.roster.is_some(),
        it.heartbeat != 0,
        it.heartbeat_answer != 0,
        it.election != 0,
        it.ok != 0,
        it.coordinator != 0,
        it.preempt,
        it.took_over_from != 0,
        it.lookup.is_some(),
        it.lookup_answer.is_some(),
    ];
    said.into_iter().filter(|said| *said).count()
}

impl TryFrom<proto::ClusterMessage> for PeerMessage {
    type Error = Odd;
    fn try_from(it: proto::ClusterMessage) -> Checked<Self> {
        let office = |office| office_in(office).ok_or(Odd::Field("office"));
        if words(&it) > 1 {
            return Err(Odd::Field("message, of more than one word,"));
        }
        let word = if let Some(hello) = it.hello {
            PeerWord::Hello(caller_in(Some(hello))?)
        } else if !it.members.is_empty() {
            PeerWord::Members(it.members.into_iter().map(member_in).collect())
        } else if let Some(roster) = it.roster {
            PeerWord::Roster(Box::new(roster_in(roster)))
        } else if it.heartbeat != 0 {
            PeerWord::Heartbeat(it.heartbeat)
        } else if it.heartbeat_answer != 0 {
            PeerWord::HeartbeatAnswer(it.heartbeat_answer)
        } else if it.election != 0 {
            PeerWord::Election(office(it.election)?)
        } else if it.ok != 0 {
            PeerWord::Ok(office(it.ok)?)
        } else if it.coordinator != 0 {
            PeerWord::Coordinator(office(it.coordinator)?)
        } else if it.preempt {
            PeerWord::Preempt
        } else if it.took_over_from != 0 {
            PeerWord::TookOver(PeerId(it.took_over_from))
        } else if let Some(lookup) = it.lookup {
            PeerWord::Lookup(Box::new(lookup_in(lookup)?))
        } else if let Some(proto::LookupAnswer { token, found }) = it.lookup_answer {
            PeerWord::LookupAnswer(Box::new(LookupAnswer { token, found: found_in(found)? }))
        } else {
            return Err(Odd::Field("message"));
        };
        Ok(PeerMessage { clock: Stamp(it.clock), word })
    }
}

impl From<ReplicaAsk> for proto::ReplicateRequest {
    fn from(ask: ReplicaAsk) -> Self {
        proto::ReplicateRequest {
            clock: ask.clock.0,
            hello: ask.hello.as_deref().map(hello_out),
            term: ask.term.0,
            seq: ask.chunk.0,
            orders: ask.orders,
            settled_below: ask.settled_below.0,
        }
    }
}

impl TryFrom<proto::ReplicateRequest> for ReplicaAsk {
    type Error = Odd;
    fn try_from(it: proto::ReplicateRequest) -> Checked<Self> {
        Ok(ReplicaAsk {
            clock: Stamp(it.clock),
            hello: hello_in(it.hello)?,
            term: Term(it.term),
            chunk: Seq(it.seq),
            orders: it.orders,
            settled_below: Seq(it.settled_below),
        })
    }
}

impl From<ReplicaAnswer> for proto::ReplicateReply {
    fn from(answer: ReplicaAnswer) -> Self {
        let hello = answer.hello.as_deref().map(hello_out);
        proto::ReplicateReply { clock: answer.clock.0, hello, term: answer.term.0, seq: answer.chunk.0 }
    }
}

impl TryFrom<proto::ReplicateReply> for ReplicaAnswer {
    type Error = Odd;
    fn try_from(it: proto::ReplicateReply) -> Checked<Self> {
        let hello = hello_in(it.hello)?;
        Ok(ReplicaAnswer { clock: Stamp(it.clock), hello, term: Term(it.term), chunk: Seq(it.seq) })
    }
}
