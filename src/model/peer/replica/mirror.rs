//! The receiving side: the other trader's accepted orders on this disk, and what becomes of them when its term is over.

use std::collections::VecDeque;

use super::{Incoming, Replica};
use crate::limits::{ORDER_BYTES_MAX, REPLICA_CHUNK_ORDERS_MAX};
use crate::model::chunk;
use crate::model::happening::Replayed;
use crate::model::hello::Hello;
use crate::model::message::{Message, ReplicaAnswer, ReplicaAsk};
use crate::model::peer::entry::Entry;
use crate::model::peer::facts::Cx;
use crate::model::peer::shop::TOLD_PER_ENTRY;
use crate::model::step::{Because, ConnId, Effect};
use crate::model::tentative::Tentative;
use crate::types::{Order, PeerId, Term};

impl Replica {
    /// A trader's proven hello on a stream of its own.
    pub(in crate::model::peer) fn greeted(&mut self, cx: &mut Cx<'_>, conn: ConnId, hello: &Hello) {
        let later = |it: &Incoming| it.peer == hello.peer && hello.was_dialed_before(it.dialed);
        if self.incoming.values().any(later) {
            return cx.hang_up(conn);
        }
        // What an older stream still brings would come behind the copy of everything that this one begins with.
        let older = self.incoming.iter().filter(|(_, it)| it.peer == hello.peer).map(|(conn, _)| *conn);
        for older in older.collect::<Vec<ConnId>>() {
            self.incoming.remove(&older);
            cx.hang_up(older);
        }
        cx.hear_peer(hello.peer, hello.clock);
        cx.hinted_by(hello);
        self.incoming.insert(conn, Incoming { peer: hello.peer, dialed: hello.dialed(), greeted: false });
        self.greet_partner(cx);
    }

    /// Answers streams of the other trader once the warehouse has said that both are in office. The other one sends
    /// nothing before. Without the wait: its stream overtakes the word of the grant, its first chunks are copies of a term
    /// that is not known yet, they are never acknowledged, and the secondary is passed over.
    pub(in crate::model::peer) fn greet_partner(&mut self, cx: &mut Cx<'_>) {
        if cx.term().is_none() {
            return;
        }
        for (conn, stream) in self.incoming.iter_mut().filter(|(_, stream)| !stream.greeted) {
            let seat = cx.roster.held_by(stream.peer).map(|(_, seat)| seat.process);
            if seat == Some(stream.dialed.0) {
                stream.greeted = true;
                let (clock, hello) = (cx.clock.tick(), Some(Box::new(cx.hello())));
                let answer = ReplicaAnswer { clock, hello, ..ReplicaAnswer::default() };
                cx.send(Because::TellsNothing, *conn, Message::ReplicaAnswer(answer));
            }
        }
    }

    /// A copy of what the other trader has accepted; acknowledged when it is durable here.
    pub(in crate::model::peer) fn mirror(&mut self, cx: &mut Cx<'_>, conn: ConnId, ask: ReplicaAsk) {
        let Some((trader, greeted)) = self.incoming.get(&conn).map(|it| (it.peer, it.greeted)) else {
            return;
        };
        let too_long = ask.orders.len() > REPLICA_CHUNK_ORDERS_MAX * ORDER_BYTES_MAX;
        if ask.hello.is_some() || !greeted || too_long {
            self.incoming.remove(&conn);
            return cx.hang_up(conn);
        }
        let ReplicaAsk { clock, term, chunk, orders, settled_below, .. } = ask;
        cx.hear_peer(trader, clock);
        let theirs = cx.roster.held_by(trader).is_some_and(|(_, seat)| seat.term == term);
        let Some(own) = cx.term().filter(|_| theirs) else { return };
        if !orders.is_empty() {
            cx.record(Entry::Mirrored { trader, term, chunk, orders });
        }
        let first = cx.state.mirrors.get(&(trader, term)).and_then(VecDeque::front);
        if first.is_some_and(|(first, _)| *first < settled_below) {
            cx.record(Entry::Trimmed { trader, term, below: settled_below });
        }
        let answer = ReplicaAnswer { clock: cx.clock.tick(), hello: None, term: own, chunk };
        cx.turn.hold(Effect::Send(conn, Message::ReplicaAnswer(answer)));
    }

    // ---- adopting

    /// Mirrors of terms that are over become accepted orders of those terms, to be handed to their present homes.
    pub(in crate::model::peer) fn adopt_mirrors(&mut self, cx: &mut Cx<'_>) {
        let over = |(trader, term): &(PeerId, Term)| {
            cx.roster.held_by(*trader).is_none_or(|(_, seat)| seat.term != *term)
        };
        let over: Vec<(PeerId, Term)> = cx.state.mirrors.keys().filter(|key| over(key)).copied().collect();
        for (trader, from) in over {
            self.adopt_mirror(cx, trader, from);
        }
    }

    fn adopt_mirror(&mut self, cx: &mut Cx<'_>, trader: PeerId, from: Term) {
        let chunks = cx.state.mirrors.get(&(trader, from)).cloned().unwrap_or_default();
        let (mut orders, mut told): (Vec<Order>, Vec<Tentative>) = Default::default();
        for (at, bytes) in &chunks {
            match chunk::decode(bytes) {
                Ok((part, answers)) => {
                    orders.extend(part);
                    told.extend(answers);
                }
                // The hashes of its blocks were right, so the partner sent it like this. The peers ask again.
                Err(error) => {
                    tracing::error!(%trader, chunk = %at, %error, "a mirrored chunk does not decode")
                }
            }
        }
        tracing::info!(%trader, %from, orders = orders.len(), "adopted what a trader had accepted");
        self.counted = Replayed::default();
        for order in orders {
            if !cx.state.accepted.contains_key(&order.id) {
                cx.record(Entry::Accepted { term: from, order });
                self.adopted.insert(order.id);
            }
        }
        // What this store knows better of an order of its own stays.
        told.retain(|it| cx.state.accepted.get(&it.id).is_some_and(|held| held.told.is_none()));
        // An entry is never split over blocks, and a mirror may hold more than a block does.
        for told in told.chunks(TOLD_PER_ENTRY) {
            cx.record(Entry::Tentative(told.to_vec()));
        }
        cx.record(Entry::Adopted { trader, from });
    }
}
