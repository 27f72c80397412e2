//! The desk of a peer in office: trade streams of others, admission, settling with the warehouse, answers.
//!
//! Journaling an accepted order and forwarding it start together: if this process dies, the warehouse has the outcome
//! or the peer asks again. An outcome is told as soon as it comes, since the warehouse has journaled it.

use super::*;
use crate::limits::BATCH_ORDERS_MAX;
use crate::model::market::NotTaken;
use crate::model::trader::Admitted;
use crate::types::Order;

/// A stream on which a peer trades here.
struct TradeStream {
    outbox: Outbox<TradeAnswer>,
    hello: Option<Hello>,
    verified: bool,
    /// Orders that came before the peer was verified.
    early: Vec<Order>,
    /// Nothing above this number is taken before it comes again.
    blocked: Option<Number>,
}

/// See the module's text.
pub(super) struct Desk {
    pub(super) trader: Trader,
    trades: BTreeMap<u64, TradeStream>,
    /// The newest verified stream of each peer: where its outcomes go.
    by_peer: BTreeMap<PeerId, u64>,
    submits: BTreeMap<OrderId, Reply<Outcome>>,
    /// Unary orders that wait for their peer's session to be known.
    early_submits: Vec<(Hello, Order, Reply<Outcome>)>,
    fetching: BTreeSet<PeerId>,
    /// Since when there has been something to settle.
    busy_since: Option<Now>,
    pub(super) duplicates: u64,
    /// What this peer had seen of the ledger when it dialed the settle stream.
    shown: Seq,
}

impl Desk {
    pub(super) fn new(trader: Trader) -> Desk {
        Desk {
            trader,
            trades: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            submits: BTreeMap::new(),
            early_submits: Vec::new(),
            fetching: BTreeSet::new(),
            busy_since: None,
            duplicates: 0,
            shown: Seq(0),
        }
    }

    pub(super) fn waiting_ms(&self, now: Now) -> u64 {
        self.busy_since.map_or(0, |since| now.ms_since(since))
    }
}

impl Loop {
    // ---- streams

    pub(super) fn market(&mut self, call: MarketCall) {
        match call {
            MarketCall::Opened(conn, outbox) => {
                let stream =
                    TradeStream { outbox, hello: None, verified: false, early: Vec::new(), blocked: None };
                self.desk.trades.insert(conn, stream);
            }
            MarketCall::Asked(conn, ask) => self.asked(conn, ask),
            MarketCall::Closed(conn) => self.trade_closed(conn),
            MarketCall::Submit(hello, order, reply) => self.submit(hello, order, reply),
        }
    }

    fn trade_closed(&mut self, conn: u64) {
        self.desk.trades.remove(&conn);
        self.desk.by_peer.retain(|_, newest| *newest != conn);
    }

    fn asked(&mut self, conn: u64, ask: TradeAsk) {
        if let Some(hello) = ask.hello {
            self.greet(conn, *hello);
        }
        let Some(stream) = self.desk.trades.get_mut(&conn) else { return };
        match &stream.hello {
            // Only who is known moves the clock.
            Some(hello) if stream.verified => {
                let peer = hello.peer;
                match self.hear_orderer(peer, ask.clock) {
                    true => self.admit_all(conn, peer, ask.orders),
                    false => self.trade_closed(conn),
                }
            }
            Some(_) if stream.early.len() + ask.orders.len() <= SESSION_WINDOW as usize => {
                stream.early.extend(ask.orders);
            }
            // No hello, or more than a peer may have open.
            _ => self.trade_closed(conn),
        }
    }

    fn greet(&mut self, conn: u64, hello: Hello) {
        let peer = hello.peer;
        let known = self.vouch(&hello);
        if let Some(stream) = self.desk.trades.get_mut(&conn) {
            stream.hello = Some(hello);
        }
        if known { self.welcome(conn) } else { self.fetch_session(peer) }
    }

    /// Whether the hello's token is that of the peer's present store, as the warehouse told us.
    pub(super) fn vouch(&self, hello: &Hello) -> bool {
        let known = self.state.known.get(&hello.peer);
        let store = hello.token.map(|token| token.store_id());
        known.is_some_and(|(epoch, id)| *epoch == hello.epoch && Some(*id) == store)
    }

    /// The peer is who it says: what it says of the clock, and if it is no client of the offices, counts from here on.
    fn welcome(&mut self, conn: u64) {
        let Some(Some(theirs)) = self.desk.trades.get(&conn).map(|stream| stream.hello.clone()) else {
            return;
        };
        let peer = theirs.peer;
        if !self.hear_orderer(peer, theirs.clock) {
            return self.trade_closed(conn);
        }
        // Anybody may become a client.
        if !peer.is_client() {
            self.adopt_roster(theirs.roster);
        }
        let (hello, clock, roster) = (self.hello(false), self.clock.tick(), self.roster.clone());
        let Some(stream) = self.desk.trades.get_mut(&conn) else { return };
        stream.verified = true;
        let early = std::mem::take(&mut stream.early);
        let answer = TradeAnswer {
            clock,
            hello: Some(Box::new(hello)),
            roster: Some(Box::new(roster)),
            ..TradeAnswer::default()
        };
        stream.outbox.send(answer);
        self.desk.by_peer.insert(peer, conn);
        self.admit_all(conn, peer, early);
    }

    /// Asks the warehouse for a peer's session, once at a time.
    pub(super) fn fetch_session(&mut self, peer: PeerId) {
        if !self.desk.fetching.insert(peer) {
            return;
        }
        let (addr, deadline) = (self.warehouse.clone(), self.dialer.deadline);
        let fetch =
            async move { crate::wire::client::Node::connect(&addr, deadline).await?.session(peer).await };
        self.call(fetch, move |result| Came::Session(peer, result));
    }

    pub(super) fn session_came(&mut self, peer: PeerId, result: Result<Option<SessionInfo>, CallError>) {
        self.desk.fetching.remove(&peer);
        match result {
            Ok(Some(session)) => self.know(session),
            Ok(None) => {}
            Err(error) => tracing::warn!(%peer, %error, "the session of a peer is not to be had"),
        }
        self.settle_strangers(peer);
        self.meet_or_cut(peer);
    }

    /// A session as the warehouse told it. Journaled: a restarted trader knows whom to serve.
    pub(super) fn know(&mut self, session: SessionInfo) {
        let SessionInfo { peer, epoch, store } = session;
        if self.state.known.get(&peer) != Some(&(epoch, store)) {
            self.record(Entry::Known { peer, epoch, store });
        }
    }

    /// Welcomes or turns away the streams and calls of a peer whose session was asked for.
    fn settle_strangers(&mut self, peer: PeerId) {
        let waiting: Vec<(u64, Hello)> = self
            .desk
            .trades
            .iter()
            .filter(|(_, stream)| !stream.verified)
            .filter_map(|(conn, stream)| Some((*conn, stream.hello.clone().filter(|it| it.peer == peer)?)))
            .collect();
        for (conn, hello) in waiting {
            if self.vouch(&hello) { self.welcome(conn) } else { self.turn_away(conn) }
        }
        let (ready, rest) = std::mem::take(&mut self.desk.early_submits)
            .into_iter()
            .partition(|(hello, _, _)| hello.peer == peer);
        self.desk.early_submits = rest;
        for (hello, order, reply) in ready {
            if self.vouch(&hello) {
                self.submit_vouched(&hello, order, reply);
            } else {
                let roster = self.roster.clone();
                self.reply(reply, Err(Refusal::NotTaken(NotTaken::NoSession, Box::new(roster))));
            }
        }
    }

    fn turn_away(&mut self, conn: u64) {
        if let Some(stream) = self.desk.trades.get(&conn) {
            let peer = stream.hello.as_ref().map_or(PeerId(0), |hello| hello.peer);
            tracing::warn!(%peer, "turned away: its token is not that of the peer's store");
            let not_taken = stream.early.iter().map(|order| (order.id, NotTaken::NoSession)).collect();
            stream.outbox.send(TradeAnswer { not_taken, ..TradeAnswer::default() });
        }
        self.trade_closed(conn);
    }

    // ---- admission

    /// Why nothing of this peer is taken here now.
    fn closed_to(&self, peer: PeerId) -> Option<NotTaken> {
        let home = self.roster.home(peer).is_some_and(|seat| seat.peer == self.me.id);
        if self.term().is_none() || !home {
            return Some(NotTaken::NotHome);
        }
        if self.office.is_leaving() {
            return Some(NotTaken::Busy);
        }
        self.journal.disk_low().then_some(NotTaken::DiskFull)
    }

    /// Takes an order in and journals it, unless it must stay with its sender.
    pub(super) fn admit(&mut self, order: Order) -> Result<(), NotTaken> {
        if let Some(why) = self.closed_to(order.id.peer) {
            return Err(why);
        }
        let Some(term) = self.term() else { return Err(NotTaken::NotHome) };
        // A stamp from too far ahead would stand last in every queue, and drag all clocks along.
        if !self.hear_orderer(order.id.peer, order.stamp) {
            return Err(NotTaken::Clock);
        }
        match self.desk.trader.admit(order)? {
            Admitted::New => {
                // A void takes the place of the order that it gives up, here and in the partner's mirror.
                if self.state.accepted.get(&order.id).is_some_and(|it| it.term == term) {
                    self.settled_in_chunk(order.id);
                }
                self.record(Entry::Accepted { term, order });
                self.replicate(order);
            }
            Admitted::Attached => self.desk.duplicates += 1,
        }
        self.desk.busy_since.get_or_insert(self.now);
        Ok(())
    }

    fn admit_all(&mut self, conn: u64, peer: PeerId, orders: Vec<Order>) {
        let mut blocked = self.desk.trades.get(&conn).and_then(|stream| stream.blocked);
        let mut not_taken = Vec::new();
        for order in orders {
            let skipped = blocked.is_some_and(|number| order.id.number > number);
            let taken = match order.id.peer == peer {
                false => Err(NotTaken::NoSession),
                true if skipped => Err(NotTaken::Window),
                true => self.admit(order),
            };
            match taken {
                Ok(()) => blocked = None,
                Err(why) => {
                    blocked = Some(blocked.map_or(order.id.number, |first| first.min(order.id.number)));
                    not_taken.push((order.id, why));
                }
            }
        }
        let roster = (!not_taken.is_empty()).then(|| self.roster.clone());
        if let Some(stream) = self.desk.trades.get_mut(&conn) {
            stream.blocked = blocked;
        }
        if roster.is_some() {
            self.answer_on(
                conn,
                TradeAnswer { not_taken, roster: roster.map(Box::new), ..TradeAnswer::default() },
            );
        }
    }

    fn answer_on(&mut self, conn: u64, answer: TradeAnswer) {
        let clock = self.clock.tick();
        self.sent += 1;
        if let Some(stream) = self.desk.trades.get(&conn) {
            stream.outbox.send(TradeAnswer { clock, ..answer });
        }
    }

    fn submit(&mut self, hello: Hello, order: Order, reply: Reply<Outcome>) {
        if order.id.peer != hello.peer {
            let roster = self.roster.clone();
            return self.reply(reply, Err(Refusal::NotTaken(NotTaken::NoSession, Box::new(roster))));
        }
        if self.vouch(&hello) {
            return self.submit_vouched(&hello, order, reply);
        }
        if self.desk.early_submits.len() >= BATCH_ORDERS_MAX {
            let roster = self.roster.clone();
            return self.reply(reply, Err(Refusal::NotTaken(NotTaken::Busy, Box::new(roster))));
        }
        let peer = hello.peer;
        self.desk.early_submits.push((hello, order, reply));
        self.fetch_session(peer);
    }

    fn submit_vouched(&mut self, hello: &Hello, order: Order, reply: Reply<Outcome>) {
        let believed = order.stamp <= hello.clock && self.hear_orderer(hello.peer, hello.clock);
        let admitted = if believed { self.admit(order) } else { Err(NotTaken::Clock) };
        match admitted {
            // One open order per peer this way: an earlier asker of the same order has given up.
            Ok(()) => drop(self.desk.submits.insert(order.id, reply)),
            Err(why) => {
                let roster = self.roster.clone();
                self.reply(reply, Err(Refusal::NotTaken(why, Box::new(roster))));
            }
        }
    }

    // ---- settling

    pub(super) fn dial_settle(&mut self) {
        let Some(term) = self.term().filter(|_| self.settle.dialed.is_none()) else { return };
        let (clock, hello) = (self.clock.tick(), Some(self.hello(false)));
        let addr = self.warehouse.clone();
        self.desk.shown = self.ledger_seen.1;
        self.settle.set(
            self.dialer
                .settle(&addr, SettleAsk { clock, hello: hello.map(Box::new), term, ..SettleAsk::default() }),
        );
    }

    pub(super) fn settle_event(&mut self, event: StreamEvent<SettleAnswer>) {
        match event {
            StreamEvent::Up(_) => {}
            StreamEvent::Message(conn, answer) if self.settle.is(conn) => self.heard_settle(answer),
            StreamEvent::Lost { conn, why, .. } if self.settle.is(conn) => {
                tracing::info!(why, "the settle stream broke");
                self.lost_settle();
            }
            StreamEvent::Message(..) | StreamEvent::Lost { .. } => {}
        }
    }

    fn lost_settle(&mut self) {
        self.desk.trader.stream_lost();
        let wait = self.settle.lost();
        self.timer(wait, Timer::Settle);
    }

    /// Sends what waits, in queue order, as long as the warehouse keeps up.
    pub(super) fn drain_desk(&mut self) {
        if self.desk.trader.depth() == 0 {
            self.desk.busy_since = None;
        }
        let Some(term) = self.term().filter(|_| self.settle.up) else { return };
        while let Some((batch, orders)) = self.desk.trader.next_batch() {
            let clock = self.clock.tick();
            self.sent += 1;
            if let Some(outbox) = self.settle.outbox() {
                outbox.send(SettleAsk { clock, hello: None, term, batch, orders });
            }
        }
    }

    fn heard_settle(&mut self, answer: SettleAnswer) {
        // Another ledger than the session's: what it decides would be undone when it is found out.
        if answer.hello.as_ref().is_some_and(|hello| !self.trusts(hello, self.desk.shown)) {
            tracing::warn!("the settle stream leads to another ledger");
            return self.lost_settle();
        }
        self.hear(answer.clock);
        if answer.hello.is_some() {
            self.settle.came_up();
            self.desk.trader.stream_up();
            return;
        }
        self.saw_ledger(answer.ledger);
        if let Some(roster) = answer.roster {
            self.adopt_roster(*roster);
        }
        if let Some(why) = answer.refused {
            tracing::warn!(%why, batch = %answer.batch, "a batch was not taken");
            return self.lost_settle();
        }
        self.settle.works();
        self.desk.duplicates += answer.outcomes.iter().filter(|outcome| outcome.repeated).count() as u64;
        self.replica.count_replayed(&answer.outcomes, &answer.not_taken);
        let settled = self.desk.trader.settled(answer.batch, answer.outcomes, answer.not_taken);
        settled.outcomes.iter().for_each(|outcome| self.settled_in_chunk(outcome.id));
        settled.not_taken.iter().for_each(|(id, _)| self.settled_in_chunk(*id));
        settled.entries.into_iter().for_each(|entry| self.record(entry));
        self.desk.busy_since = (self.desk.trader.depth() > 0).then_some(self.now);
        self.office_worked(!settled.outcomes.is_empty());
        self.answer(settled.outcomes, settled.not_taken);
    }

    /// Each outcome goes to whoever asks for it now: a stream of its peer, a unary call, or nobody.
    fn answer(&mut self, outcomes: Vec<Outcome>, not_taken: Vec<(OrderId, NotTaken)>) {
        let mut answers: BTreeMap<u64, TradeAnswer> = BTreeMap::new();
        for outcome in outcomes {
            if let Some(reply) = self.desk.submits.remove(&outcome.id) {
                // An asker that has gone needs no answer.
                drop(reply.send(Ok(outcome.clone())));
            }
            if let Some(conn) = self.desk.by_peer.get(&outcome.id.peer) {
                answers.entry(*conn).or_default().outcomes.push(outcome);
            }
        }
        for (id, why) in not_taken {
            if let Some(reply) = self.desk.submits.remove(&id) {
                drop(reply.send(Err(Refusal::NotTaken(why, Box::new(self.roster.clone())))));
            }
            if let Some(conn) = self.desk.by_peer.get(&id.peer) {
                answers.entry(*conn).or_default().not_taken.push((id, why));
            }
        }
        for (conn, answer) in answers {
            self.answer_on(conn, answer);
        }
    }

    // ---- the cache

    pub(super) fn dial_watch(&mut self) {
        if self.term().is_some() && self.watching.dialed.is_none() {
            let addr = self.warehouse.clone();
            self.watching.set(self.dialer.watch(&addr));
        }
    }

    pub(super) fn stock_event(&mut self, event: StreamEvent<StockPush>) {
        match event {
            StreamEvent::Up(_) => self.watching.came_up(),
            StreamEvent::Message(conn, push) if self.watching.is(conn) => {
                self.watching.works();
                self.cache_stock(&push);
            }
            StreamEvent::Lost { conn, .. } if self.watching.is(conn) => {
                let wait = self.watching.lost();
                self.timer(wait, Timer::Watch);
            }
            StreamEvent::Message(..) | StreamEvent::Lost { .. } => {}
        }
    }

    /// An older push never overwrites a newer entry.
    fn cache_stock(&mut self, push: &StockPush) {
        self.hear(push.clock);
        self.cache_at = self.now;
        for (product, quantity) in &push.levels {
            if let Some(entry) = self.cache.get_mut(product.0 as usize)
                && entry.1 <= push.seq
            {
                *entry = (*quantity, push.seq);
            }
        }
    }

    // ---- leaving office

    /// The term is over: nothing is settled here any more, and whoever waits asks at the new home.
    pub(super) fn close_desk(&mut self) {
        self.settle = Line::default();
        self.watching = Line::default();
        self.desk.trader.close();
        let roster = Some(self.roster.clone());
        for conn in self.desk.by_peer.values().copied().collect::<Vec<_>>() {
            self.answer_on(
                conn,
                TradeAnswer { roster: roster.clone().map(Box::new), ..TradeAnswer::default() },
            );
        }
        for (_, reply) in std::mem::take(&mut self.desk.submits) {
            drop(reply.send(Err(Refusal::NotTaken(NotTaken::NotHome, Box::new(self.roster.clone())))));
        }
    }
}

#[cfg(test)]
mod tests;
