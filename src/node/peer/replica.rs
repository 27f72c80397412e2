//! Replication between the two traders: what one has accepted stands on the other's disk, too.
//!
//! A trader sends what it accepts in chunks, one per step, encoded once; the partner stores the bytes as they are and
//! acknowledges what is durable. A new stream begins with all that is unsettled, so that the mirror is whole; when the
//! secondary has acknowledged that, the primary has the warehouse journal the pair. A chunk is forgotten when all its
//! orders are settled. When the partner's term is over its mirror is adopted: the orders become accepted ones of that
//! term here, and go the way of all orders of ended terms (`offices::hand_over`), duplicates being harmless.

use super::*;
use crate::journal::{decode, encode};
use crate::limits::{ORDER_BYTES_MAX, REPLICA_CHUNK_ORDERS_MAX, REPLICA_PARTS_IN_FLIGHT_MAX};
use crate::model::market::NotTaken;
use crate::model::row::Outcome;
use crate::types::Order;
use crate::wire::client::Node;

/// Orders of one chunk that are not settled yet.
struct Chunk {
    last: Seq,
    open: u64,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Replica {
    line: Line<ReplicaAsk>,
    /// The trader and term that the line was dialed for.
    seat: Option<(PeerId, Term)>,
    /// Accepted in this step.
    fresh: Vec<Order>,
    chunks: VecDeque<Chunk>,
    trimmed: Seq,
    /// Above the last chunk that held orders.
    chunk_end: Seq,
    /// Messages sent on this line and acknowledged there, each once and in order; since when one is not.
    sent: u64,
    acked: u64,
    asked: Option<Now>,
    /// What of the snapshot is still to be sent, a part after each acknowledgement.
    snapshot: VecDeque<Vec<Order>>,
    pairing: bool,
    pair_backoff_ms: u64,
    /// The secondary's term that is being brought up to date, and when that last went on.
    syncing: Option<(Term, Now)>,
    /// Streams of the other trader.
    incoming: BTreeMap<u64, (Option<PeerId>, Outbox<ReplicaAnswer>)>,
    /// Orders of a dead trader that are not settled here yet, and what became of the others.
    adopted: BTreeSet<OrderId>,
    counted: Replayed,
}

impl Replica {
    /// Counts what was adopted as it is settled, for the failover's figures.
    pub(super) fn count_replayed(&mut self, outcomes: &[Outcome], not_taken: &[(OrderId, NotTaken)]) {
        if self.adopted.is_empty() {
            return;
        }
        for outcome in outcomes.iter().filter(|outcome| self.adopted.remove(&outcome.id)) {
            self.counted.settled += 1;
            self.counted.duplicates += u64::from(outcome.repeated);
        }
        for (_, why) in not_taken.iter().filter(|(id, _)| self.adopted.remove(id)) {
            // Stale: it was decided long ago, and its peer knows how.
            self.counted.lost += u64::from(*why != NotTaken::Stale);
        }
    }

    /// An adopted order went to another home.
    pub(super) fn adopted_left(&mut self, id: OrderId) {
        self.adopted.remove(&id);
    }

    pub(super) fn adopted_are_settled(&self) -> bool {
        self.adopted.is_empty()
    }

    pub(super) fn replayed(&self) -> Replayed {
        self.counted
    }

    /// Since when the other trader owes an acknowledgement.
    pub(super) fn waiting_since(&self) -> Option<Now> {
        self.asked.filter(|_| self.line.up)
    }

    /// What the other trader owes an answer to counts from now.
    pub(super) fn restart_waiting(&mut self, now: Now) {
        self.asked = self.asked.map(|_| now);
        self.syncing = self.syncing.map(|(term, _)| (term, now));
    }
}

impl Loop {
    // ---- sending

    /// Dials the other trader, whom the roster names, if this one has something to keep there: the primary always, the
    /// secondary once they are paired.
    pub(super) fn dial_replica(&mut self) {
        let seat = match self.state.grant {
            Some((Office::Primary, _)) => self.roster.secondary.as_ref(),
            Some((Office::Secondary, _)) if self.roster.paired => self.roster.primary.as_ref(),
            _ => None,
        };
        let seat = seat.filter(|seat| !seat.addr.is_empty() && seat.present).cloned();
        let Some((seat, term)) = seat.zip(self.term()) else {
            self.replica.line = Line::default();
            self.replica.seat = None;
            self.replica.asked = None;
            return;
        };
        if self.replica.syncing.is_none_or(|(syncing, _)| syncing != seat.term) {
            self.syncing_went_on(seat.term);
        }
        let target = (seat.peer, seat.term);
        if self.replica.seat == Some(target) && self.replica.line.dialed.is_some() {
            return;
        }
        let (addr, clock, hello) = (seat.addr.clone(), self.clock.tick(), Some(self.hello(true)));
        let line = self.dialer.replicate(
            &addr,
            ReplicaAsk { clock, hello: hello.map(Box::new), term, ..ReplicaAsk::default() },
        );
        self.replica.line.set(line);
        (self.replica.seat, self.replica.pairing) = (Some(target), false);
        (self.replica.sent, self.replica.acked, self.replica.asked) = (0, 0, Some(self.now));
        self.replica.snapshot.clear();
    }

    pub(super) fn replica_event(&mut self, event: StreamEvent<ReplicaAnswer>) {
        match event {
            StreamEvent::Up(_) => {}
            StreamEvent::Message(conn, answer) if self.replica.line.is(conn) => self.replica_answered(answer),
            StreamEvent::Lost { conn, why, .. } if self.replica.line.is(conn) => {
                tracing::info!(why, "the replicate stream broke");
                let wait = self.replica.line.lost();
                (self.replica.seat, self.replica.asked) = (None, None);
                self.timer(wait, Timer::Replica);
            }
            StreamEvent::Message(..) | StreamEvent::Lost { .. } => {}
        }
    }

    fn replica_answered(&mut self, answer: ReplicaAnswer) {
        self.hear(answer.clock);
        if answer.hello.is_some() {
            self.replica.line.came_up();
            return self.send_snapshot();
        }
        let answer_term = answer.term;
        if self.replica.seat.is_none_or(|(_, term)| term != answer_term) {
            return;
        }
        self.replica.line.works();
        self.syncing_went_on(answer_term);
        self.replica.acked += 1;
        self.replica.asked = (self.replica.acked < self.replica.sent).then_some(self.now);
        self.go_on_with_snapshot();
        self.pair_when_synced();
    }

    /// All that is unsettled, as one chunk in parts. The partner keeps what it has until the last part is there: a
    /// snapshot never replaces a mirror before it is whole.
    fn send_snapshot(&mut self) {
        self.replica.fresh.clear();
        let term = self.term();
        let accepted = self.state.accepted.values().filter(|it| Some(it.term) == term);
        let orders: Vec<Order> = accepted.map(|it| it.order).collect();
        let last = Seq(self.state.seq.0.max(1));
        self.replica.chunks = VecDeque::from([Chunk { last, open: orders.len() as u64 }]);
        self.replica.trimmed = Seq(0);
        // The last part is empty: its acknowledgement says that all before it is durable.
        let parts = orders.chunks(REPLICA_CHUNK_ORDERS_MAX).map(<[Order]>::to_vec).chain([Vec::new()]);
        self.replica.snapshot = parts.collect();
        self.go_on_with_snapshot();
    }

    /// Sends parts of the snapshot as long as not too many are unacknowledged, then what was accepted meanwhile.
    fn go_on_with_snapshot(&mut self) {
        while self.replica.sent - self.replica.acked < REPLICA_PARTS_IN_FLIGHT_MAX
            && let Some(part) = self.replica.snapshot.pop_front()
        {
            let first = self.replica.chunks.front().map_or(self.state.seq, |chunk| chunk.last);
            let below = if self.replica.snapshot.is_empty() { first } else { Seq(0) };
            self.send_chunk(first, &part, below);
        }
    }

    fn send_chunk(&mut self, chunk: Seq, orders: &[Order], settled_below: Seq) {
        let Some(term) = self.term() else { return };
        let (orders, clock) = (encode_orders(orders), self.clock.tick());
        self.replica.trimmed = self.replica.trimmed.max(settled_below);
        if !orders.is_empty() {
            self.replica.chunk_end = chunk.next();
        }
        self.replica.sent += 1;
        self.replica.asked.get_or_insert(self.now);
        self.watch_for_answer();
        self.sent += 1;
        if let Some(outbox) = self.replica.line.outbox() {
            outbox.send(ReplicaAsk { clock, hello: None, term, chunk, orders, settled_below });
        }
    }

    fn settled_below(&self) -> Seq {
        self.replica.chunks.front().map_or(self.state.seq.next(), |chunk| chunk.last)
    }

    /// An order was accepted in this step: it goes to the partner with the others of the step.
    pub(super) fn replicate(&mut self, order: Order) {
        if self.replica.line.up {
            self.replica.fresh.push(order);
        }
    }

    /// The step's accepted orders, as one chunk, or several if they are many. While a snapshot is under way they wait.
    pub(super) fn send_replica(&mut self) {
        if !self.replica.line.up || !self.replica.snapshot.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.replica.fresh);
        // What was settled while it waited, or given up by a void, would hold its chunk open for ever.
        fresh.retain(|order| self.state.accepted.get(&order.id).is_some_and(|it| it.order == *order));
        if fresh.is_empty() {
            return self.tell_trim();
        }
        let last = self.state.seq;
        self.replica.chunks.push_back(Chunk { last, open: fresh.len() as u64 });
        for orders in fresh.chunks(REPLICA_CHUNK_ORDERS_MAX) {
            self.send_chunk(last, orders, self.settled_below());
        }
    }

    /// Everything is settled and nothing is left to send: the partner may forget it all.
    fn tell_trim(&mut self) {
        let all = self.state.seq.next();
        let idle = self.replica.chunks.is_empty() && self.desk.trader.depth() == 0;
        if idle && self.replica.sent > 0 && self.replica.trimmed < self.replica.chunk_end {
            self.replica.trimmed = all;
            self.send_chunk(self.state.seq, &[], all);
        }
    }

    /// An order is about to leave the queue: its chunk has one less to wait for.
    pub(super) fn settled_in_chunk(&mut self, id: OrderId) {
        let Some(accepted) = self.state.accepted.get(&id) else { return };
        let at = self.replica.chunks.partition_point(|chunk| chunk.last < accepted.seq);
        if let Some(chunk) = self.replica.chunks.get_mut(at) {
            chunk.open = chunk.open.saturating_sub(1);
        }
        while self.replica.chunks.front().is_some_and(|chunk| chunk.open == 0) {
            self.replica.chunks.pop_front();
        }
    }

    /// The secondary has acknowledged all that it was sent: the warehouse may journal the pair.
    pub(super) fn pair_when_synced(&mut self) {
        let (Some((Office::Primary, term)), Some((_, partner))) = (self.state.grant, self.replica.seat)
        else {
            return;
        };
        if self.roster.paired || !self.is_synced() || self.replica.acked == 0 || self.replica.pairing {
            return;
        }
        self.replica.pairing = true;
        let (hello, addr, deadline) = (self.hello(true), self.warehouse.clone(), self.dialer.deadline);
        let pair = async move { Node::connect(&addr, deadline).await?.pair(&hello, term, partner).await };
        self.call(pair, Came::Paired);
    }

    pub(super) fn paired(&mut self, result: Result<Roster, CallError>) {
        self.replica.pairing = false;
        match result {
            Ok(roster) => {
                self.replica.pair_backoff_ms = 0;
                self.adopt_roster(roster);
            }
            Err(error) => {
                tracing::info!(%error, "not paired yet");
                self.replica.pair_backoff_ms = next_backoff(self.replica.pair_backoff_ms);
                self.timer(self.replica.pair_backoff_ms, Timer::Pair);
            }
        }
    }

    fn syncing_went_on(&mut self, term: Term) {
        self.replica.syncing = Some((term, self.now));
        if !self.roster.paired {
            self.timer(self.me.settings.suspect_after_ms, Timer::Overdue);
        }
    }

    /// The secondary that this primary has not been able to bring up to date for `suspect_after`: its stream does not
    /// come up, or nothing is acknowledged on it. That the pair is not journaled is the warehouse's affair, not its.
    pub(super) fn stuck_secondary(&self) -> Option<(PeerId, Term)> {
        let primary = self.state.grant.is_some_and(|(office, _)| office == Office::Primary);
        let seat =
            self.roster.secondary.as_ref().filter(|seat| primary && seat.present && !self.roster.paired)?;
        let (_, since) = self.replica.syncing.filter(|(term, _)| *term == seat.term)?;
        let synced = self.replica.line.up && self.replica.acked > 0 && self.is_synced();
        let stuck = self.now.ms_since(since) >= self.me.settings.suspect_after_ms;
        (stuck && !synced).then_some((seat.peer, seat.term))
    }

    fn is_synced(&self) -> bool {
        self.replica.snapshot.is_empty() && self.replica.acked == self.replica.sent
    }

    /// The other trader that owes an acknowledgement for longer than `suspect_after`, if it does.
    pub(super) fn silent_replica(&self) -> Option<PeerId> {
        let asked = self.replica.waiting_since()?;
        let overdue = self.now.ms_since(asked) >= self.me.settings.suspect_after_ms;
        self.replica.seat.filter(|_| overdue).map(|(peer, _)| peer)
    }

    // ---- receiving

    pub(super) fn replica_call(&mut self, call: ReplicaCall) {
        match call {
            ReplicaCall::Opened(conn, outbox) => {
                self.replica.incoming.insert(conn, (None, outbox));
            }
            ReplicaCall::Asked(conn, ask) => self.mirror(conn, *ask),
            ReplicaCall::Closed(conn) => {
                self.replica.incoming.remove(&conn);
            }
        }
    }

    fn mirror(&mut self, conn: u64, ask: ReplicaAsk) {
        if let Some(hello) = ask.hello {
            return self.greet_replica(conn, &hello);
        }
        let fits = ask.orders.len() <= REPLICA_CHUNK_ORDERS_MAX * ORDER_BYTES_MAX;
        let Some((Some(trader), outbox)) = self.replica.incoming.get(&conn).filter(|_| fits) else {
            self.replica.incoming.remove(&conn);
            return;
        };
        let (trader, outbox, term) = (*trader, outbox.clone(), ask.term);
        self.hear(ask.clock);
        let theirs = self.roster.held_by(trader).is_some_and(|(_, seat)| seat.term == term);
        let Some(own) = self.term().filter(|_| theirs) else { return };
        if !ask.orders.is_empty() {
            self.record(Entry::Mirrored { trader, term, chunk: ask.chunk, orders: ask.orders });
        }
        let mirrored = self.state.mirrors.get(&(trader, term)).and_then(VecDeque::front);
        if mirrored.is_some_and(|(chunk, _)| *chunk < ask.settled_below) {
            self.record(Entry::Trimmed { trader, term, below: ask.settled_below });
        }
        let answer = ReplicaAnswer { clock: self.clock.tick(), hello: None, term: own, chunk: ask.chunk };
        self.hold(Out::Mirrored(outbox, answer));
    }

    fn greet_replica(&mut self, conn: u64, hello: &Hello) {
        // Anybody may become a client, and none is a trader.
        if hello.peer.is_client() || !self.vouch(hello) {
            self.fetch_session(hello.peer);
            self.replica.incoming.remove(&conn);
            return;
        }
        self.hear(hello.clock);
        self.adopt_roster(hello.roster.clone());
        let answer = ReplicaAnswer {
            clock: self.clock.tick(),
            hello: Some(Box::new(self.hello(false))),
            ..ReplicaAnswer::default()
        };
        if let Some(incoming) = self.replica.incoming.get_mut(&conn) {
            incoming.0 = Some(hello.peer);
            incoming.1.send(answer);
        }
    }

    // ---- adopting

    /// Mirrors of terms that are over become accepted orders of those terms, to be handed to their present homes.
    pub(super) fn adopt_mirrors(&mut self) {
        let over = |(trader, term): &(PeerId, Term)| {
            self.roster.held_by(*trader).is_none_or(|(_, seat)| seat.term != *term)
        };
        let over: Vec<(PeerId, Term)> = self.state.mirrors.keys().filter(|key| over(key)).copied().collect();
        for (trader, from) in over {
            self.adopt_mirror(trader, from);
        }
    }

    fn adopt_mirror(&mut self, trader: PeerId, from: Term) {
        let chunks = self.state.mirrors.get(&(trader, from)).cloned().unwrap_or_default();
        let mut orders: Vec<Order> = Vec::new();
        for (chunk, bytes) in &chunks {
            match decode::<Vec<Order>>(bytes) {
                Ok(part) => orders.extend(part),
                // Its blocks' hashes were right: the partner sent it so. The peers ask again.
                Err(error) => tracing::error!(%trader, %chunk, %error, "a mirrored chunk does not decode"),
            }
        }
        tracing::info!(%trader, %from, orders = orders.len(), "adopted what a trader had accepted");
        self.replica.counted = Replayed::default();
        for order in orders {
            if !self.state.accepted.contains_key(&order.id) {
                self.record(Entry::Accepted { term: from, order });
                self.replica.adopted.insert(order.id);
            }
        }
        self.record(Entry::Adopted { trader, from });
    }
}

/// Orders as bytes; none are none.
fn encode_orders(orders: &[Order]) -> Vec<u8> {
    if orders.is_empty() {
        return Vec::new();
    }
    encode(&orders).unwrap_or_else(|error| unreachable!("orders are plain numbers: {error}"))
}

#[cfg(test)]
mod tests;
