//! The sending side: the stream to the other trader, the snapshot, the chunks, and the pair.

use std::collections::VecDeque;

use super::{Chunk, Replica};
use crate::limits::{REPLICA_CHUNK_ORDERS_MAX, REPLICA_PARTS_IN_FLIGHT_MAX};
use crate::model::call::{Answer, Ask, CallError, why_not};
use crate::model::chunk;
use crate::model::message::{Message, ReplicaAnswer, ReplicaAsk};
use crate::model::peer::facts::{Cx, Facts, Purpose};
use crate::model::step::{Because, ConnId};
use crate::types::{Now, Office, Order, PeerId, Seq, Term};

impl Replica {
    // ---- turns

    pub(in crate::model::peer) fn due(&self) -> Option<Now> {
        self.line.due().into_iter().chain(self.pair_at).min()
    }

    pub(in crate::model::peer) fn wake(&mut self, cx: &mut Cx<'_>) {
        if self.line.is_due(cx.now()) {
            self.dial(cx);
        }
        if self.pair_at.take_if(|at| *at <= cx.now()).is_some() {
            self.pair_when_synced(cx);
        }
    }

    // ---- the stream

    /// Dials the other trader, whom the roster names, if this one has something to keep there: the primary always, the
    /// secondary once they are paired.
    pub(in crate::model::peer) fn dial(&mut self, cx: &mut Cx<'_>) {
        let seat = match cx.state.grant {
            Some((Office::Primary, _)) => cx.roster.secondary.as_ref(),
            Some((Office::Secondary, _)) if cx.roster.paired => cx.roster.primary.as_ref(),
            _ => None,
        };
        let seat = seat.filter(|seat| !seat.addr.is_empty() && seat.present).cloned();
        let Some((seat, term)) = seat.zip(cx.term()) else {
            self.line.close(cx);
            (self.seat, self.asked) = (None, None);
            return;
        };
        if self.syncing.is_none_or(|(syncing, _)| syncing != seat.term) {
            self.syncing = Some((seat.term, cx.now()));
        }
        let target = (seat.peer, seat.term);
        if self.seat == Some(target) && self.line.is_dialed() {
            return;
        }
        let Some(addr) = cx.at_trader(seat.peer) else { return };
        self.line.dial_proven(cx, &addr, |cx, hello| {
            let (clock, hello) = (cx.clock.tick(), Some(hello));
            Message::ReplicaAsk(ReplicaAsk { clock, hello, term, ..ReplicaAsk::default() })
        });
        (self.seat, self.pairing) = (Some(target), false);
        self.streams += 1;
        (self.sent, self.acked, self.asked) = (0, 0, Some(cx.now()));
        self.snapshot.clear();
    }

    pub(in crate::model::peer) fn is(&self, conn: ConnId) -> bool {
        self.line.is(conn)
    }

    /// One of its streams ended.
    pub(in crate::model::peer) fn ended(&mut self, cx: &mut Cx<'_>, conn: ConnId, why: &str) -> bool {
        if !self.line.is(conn) {
            return self.incoming.remove(&conn).is_some();
        }
        tracing::info!(why, "the replicate stream broke");
        if self.is_up_to_date() {
            // However long the warehouse has not journaled the pair: only from now on does the secondary lag behind.
            self.syncing = self.syncing.map(|(term, _)| (term, cx.now()));
        }
        self.line.ended(cx.now());
        (self.seat, self.asked) = (None, None);
        true
    }

    pub(in crate::model::peer) fn answered(&mut self, cx: &mut Cx<'_>, answer: ReplicaAnswer) {
        if let Some((trader, _)) = self.seat {
            cx.hear_peer(trader, answer.clock);
        }
        if answer.hello.is_some() {
            if !self.line.came_up() {
                (self.seat, self.asked) = (None, None);
                return self.line.cut(cx);
            }
            return self.send_snapshot(cx);
        }
        // An acknowledgement that no chunk waits for is ignored.
        if self.seat.is_none_or(|(_, term)| term != answer.term) || self.acked == self.sent {
            return;
        }
        self.line.works();
        self.syncing = Some((answer.term, cx.now()));
        self.acked += 1;
        self.asked = (self.acked < self.sent).then_some(cx.now());
        self.go_on_with_snapshot(cx);
        self.pair_when_synced(cx);
    }

    // ---- what is sent

    /// All that is unsettled, as one chunk in parts. The partner keeps what it has until the last part is there: a
    /// snapshot never replaces a mirror before it is whole.
    fn send_snapshot(&mut self, cx: &mut Cx<'_>) {
        self.fresh.clear();
        let term = cx.term();
        let accepted = cx.state.accepted.values().filter(|it| Some(it.term) == term);
        let orders: Vec<Order> = accepted.map(|it| it.order).collect();
        let last = Seq(cx.state.seq.0.max(1));
        self.chunks = VecDeque::from([Chunk { last, open: orders.len() as u64 }]);
        self.trimmed = Seq(0);
        // The last part is empty: its acknowledgement says that all before it is durable.
        let parts = orders.chunks(REPLICA_CHUNK_ORDERS_MAX).map(<[Order]>::to_vec).chain([Vec::new()]);
        self.snapshot = parts.collect();
        self.go_on_with_snapshot(cx);
    }

    /// Sends parts of the snapshot as long as not too many are unacknowledged, then what was accepted meanwhile.
    fn go_on_with_snapshot(&mut self, cx: &mut Cx<'_>) {
        while self.sent - self.acked < REPLICA_PARTS_IN_FLIGHT_MAX
            && let Some(part) = self.snapshot.pop_front()
        {
            let first = self.chunks.front().map_or(cx.state.seq, |chunk| chunk.last);
            let below = if self.snapshot.is_empty() { first } else { Seq(0) };
            self.send_chunk(cx, first, &part, below);
        }
    }

    fn send_chunk(&mut self, cx: &mut Cx<'_>, at: Seq, orders: &[Order], settled_below: Seq) {
        let Some(term) = cx.term() else { return };
        let orders = chunk::encode(orders, |id| cx.told_of(id));
        let clock = cx.clock.tick();
        self.trimmed = self.trimmed.max(settled_below);
        if !orders.is_empty() {
            self.chunk_end = at.next();
        }
        self.sent += 1;
        self.asked.get_or_insert(cx.now());
        let ask = ReplicaAsk { clock, hello: None, term, chunk: at, orders, settled_below };
        self.line.send(cx, Because::OnItsWay, Message::ReplicaAsk(ask));
    }

    fn settled_below(&self, facts: &Facts) -> Seq {
        self.chunks.front().map_or(facts.state.seq.next(), |chunk| chunk.last)
    }

    /// An order was accepted in this turn: it goes to the partner with the others of the turn.
    pub(in crate::model::peer) fn accepted(&mut self, order: Order) {
        if self.line.is_up() {
            self.fresh.push(order);
        }
    }

    /// Orders that were accepted in this turn, and of which no copy was sent.
    pub(in crate::model::peer) fn unsent(&self) -> impl Iterator<Item = &Order> {
        self.fresh.iter()
    }

    /// The turn's accepted orders, as one chunk, or several if they are many. While a snapshot is under way they wait.
    pub(in crate::model::peer) fn send(&mut self, cx: &mut Cx<'_>, desk_is_empty: bool) {
        if !self.line.is_up() || !self.snapshot.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        // An order that was settled, or given up by a void, while it waited would hold its chunk open for ever.
        fresh.retain(|order| cx.state.accepted.get(&order.id).is_some_and(|it| it.order == *order));
        if fresh.is_empty() {
            return self.tell_trim(cx, desk_is_empty);
        }
        let last = cx.state.seq;
        self.chunks.push_back(Chunk { last, open: fresh.len() as u64 });
        for orders in fresh.chunks(REPLICA_CHUNK_ORDERS_MAX) {
            let below = self.settled_below(cx);
            self.send_chunk(cx, last, orders, below);
        }
    }

    /// Everything is settled and nothing is left to send: the partner may forget it all.
    fn tell_trim(&mut self, cx: &mut Cx<'_>, desk_is_empty: bool) {
        let idle = self.chunks.is_empty() && desk_is_empty;
        if idle && self.sent > 0 && self.trimmed < self.chunk_end {
            let all = cx.state.seq.next();
            self.trimmed = all;
            self.send_chunk(cx, cx.state.seq, &[], all);
        }
    }

    /// An order whose acceptance stands at this place of the journal leaves the queue: its chunk has one less to wait
    /// for.
    pub(in crate::model::peer) fn left_queue(&mut self, accepted_at: Seq) {
        let at = self.chunks.partition_point(|chunk| chunk.last < accepted_at);
        if let Some(chunk) = self.chunks.get_mut(at) {
            chunk.open = chunk.open.saturating_sub(1);
        }
        while self.chunks.front().is_some_and(|chunk| chunk.open == 0) {
            self.chunks.pop_front();
        }
    }

    // ---- the pair

    /// The secondary has acknowledged all that it was sent: the warehouse may journal the pair.
    fn pair_when_synced(&mut self, cx: &mut Cx<'_>) {
        let (Some((Office::Primary, term)), Some((_, partner))) = (cx.state.grant, self.seat) else { return };
        if cx.roster.paired || !self.is_synced() || self.acked == 0 || self.pairing {
            return;
        }
        self.pairing = true;
        cx.demand(Purpose::Pair, |hello| Ask::Pair(hello, term, partner));
    }

    pub(in crate::model::peer) fn paired(&mut self, cx: &mut Cx<'_>, result: Result<Answer, CallError>) {
        self.pairing = false;
        match result {
            Ok(Answer::Roster(_, roster)) => {
                self.pair_backoff.reset();
                cx.told_roster(*roster);
            }
            other => {
                tracing::info!(why = why_not(&other), "not paired yet");
                self.pair_at = Some(cx.now().after_ms(self.pair_backoff.next_ms()));
            }
        }
    }

    /// When the secondary last came nearer to being up to date, or last was it; none if it need not.
    pub(in crate::model::peer) fn syncing_since(&self, facts: &Facts) -> Option<Now> {
        let waits = facts.is_primary() && !facts.roster.paired;
        let seat = facts.roster.secondary.as_ref().filter(|seat| waits && seat.present)?;
        self.syncing.filter(|(term, _)| *term == seat.term).map(|(_, since)| since)
    }

    /// The secondary, if this primary could not bring it nearer to being up to date for `suspect_after`: its stream
    /// does not come up, or nothing is acknowledged on it. A secondary that is up to date is not blamed when the
    /// warehouse does not journal the pair.
    pub(in crate::model::peer) fn stuck_secondary(&self, facts: &Facts) -> Option<(PeerId, Term)> {
        let since = self.syncing_since(facts)?;
        let seat = facts.roster.secondary.as_ref()?;
        let stuck = facts.now().ms_since(since) >= facts.me.suspect_after_ms;
        (stuck && !self.is_up_to_date()).then_some((seat.peer, seat.term))
    }

    /// What is accepted now reaches the other trader at once: its stream is up, and all of the snapshot is sent.
    pub(in crate::model::peer) fn follows(&self) -> bool {
        self.line.is_up() && self.snapshot.is_empty()
    }

    /// The stream, and the message that was sent last on it.
    pub(in crate::model::peer) fn sent(&self) -> (u64, u64) {
        (self.streams, self.sent)
    }

    /// The stream that is up, and the message that was acknowledged last on it; stream 0 if none is.
    pub(in crate::model::peer) fn acked(&self) -> (u64, u64) {
        (if self.line.is_up() { self.streams } else { 0 }, self.acked)
    }

    /// The other trader has acknowledged, on a stream that is up, all that it was sent.
    fn is_up_to_date(&self) -> bool {
        self.line.is_up() && self.acked > 0 && self.is_synced()
    }

    fn is_synced(&self) -> bool {
        self.snapshot.is_empty() && self.acked == self.sent
    }

    /// The other trader, if it has owed an acknowledgement for `suspect_after`.
    pub(in crate::model::peer) fn silent(&self, facts: &Facts) -> Option<PeerId> {
        let asked = self.waiting_since()?;
        let overdue = facts.now().ms_since(asked) >= facts.me.suspect_after_ms;
        self.seat.filter(|_| overdue).map(|(peer, _)| peer)
    }
}
