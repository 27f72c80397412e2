//! The load of a soak: orders that are due at a rate, whatever the answers do, placed by clients of its own over Trade.
//!
//! In: the market's nodes. Out: what was told, to be compared with the ledger, and figures. Latency counts from when an
//! order was due: a market that stands still for a second is a second late for all orders of that second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::client::Client;
use super::count::Count;
use crate::limits::{
    CALL_DEADLINE, INBOX_MAX, SOAK_CLIENTS_MAX, SOAK_CLIENTS_MIN, SOAK_DRAIN_MAX, SOAK_EXAMPLES_MAX,
    SOAK_ORDERS_PER_CLIENT,
};
use crate::model::call::CallError;
use crate::model::clock::Clock;
use crate::model::hello::Hello;
use crate::model::message::{Message, TradeAnswer};
use crate::model::offices::Roster;
use crate::model::peer::entry::Told;
use crate::model::row::{Outcome, OutcomeKind};
use crate::model::step::ConnId;
use crate::model::tentative::{Tentative, agrees};
use crate::node::boot::new_token;
use crate::ops::market;
use crate::ops::output::{Failure, exit};
use crate::types::{Generation, Order, OrderId, OrderKind, PeerId, ProcessId, ProductId, Quantity};
use crate::wire::arrival::Arrival;
use crate::wire::client::Node;
use crate::wire::client::dial::Dialer;

/// How often a client without a trader looks for one.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node that is asked for the offices and does not answer is given up.
const ASK_MAX: Duration = Duration::from_secs(1);
/// Arrivals that are taken at once.
const ARRIVALS_AT_ONCE: usize = 256;

/// See the module's text.
pub(in crate::ops) struct Load {
    clients: Vec<Client>,
    by_conn: BTreeMap<ConnId, usize>,
    conns: u64,
    turn: usize,
    products: u16,
    rate: u32,
    clock: Clock,
    roster: Roster,
    dialer: Dialer,
    inbox: mpsc::Receiver<Arrival>,
    rosters: (mpsc::Sender<Roster>, mpsc::Receiver<Roster>),
    looked_at: Instant,
    /// Where nodes listen, whoever is cut off from whom.
    nodes: Vec<String>,
    began: Instant,
    count: Count,
    /// The earliest, over all clients, of the latest due times that were answered.
    floor: watch::Sender<Instant>,
}

fn refused(error: &CallError) -> Failure {
    Failure::new(exit::UNDETERMINED, error.to_string())
}

async fn session(warehouse: &Node, cluster: &str) -> Result<(Hello, Clock), Failure> {
    let token = new_token().map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
    let opened = warehouse.open(PeerId(0), token.store_id(), cluster, Generation::default()).await;
    let answer = opened.map_err(|error| refused(&error))?;
    let (peer, epoch) = (answer.opened.peer, answer.opened.epoch);
    let process = ProcessId { epoch, starts: 1, random: fastrand::u64(..) };
    let (token, cluster, generation) = (Some(token), cluster.to_owned(), answer.generation);
    let hello = Hello { peer, epoch, token, process, cluster, generation, ..Hello::default() };
    Ok((hello, Clock::starting_at(answer.clock)))
}

impl Load {
    /// Opens the clients' sessions. `warehouse` is where its nodes listen, and `nodes` where all do.
    pub(in crate::ops) async fn open(
        warehouse: &str,
        nodes: Vec<String>,
        rate: u32,
    ) -> Result<Load, Failure> {
        let node = Node::connect(warehouse, CALL_DEADLINE).await.map_err(|error| refused(&error))?;
        let catalogue = node.catalogue().await.map_err(|error| refused(&error))?;
        let count = (rate / SOAK_ORDERS_PER_CLIENT).clamp(SOAK_CLIENTS_MIN, SOAK_CLIENTS_MAX);
        let (mut clients, mut clock, now) = (Vec::new(), Clock::starting_at(catalogue.clock), Instant::now());
        for _ in 0..count {
            let (hello, at) = session(&node, &catalogue.cluster).await?;
            clock.adopt(at.now());
            clients.push(Client::new(hello, now));
        }
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let wire = tokio::runtime::Handle::current();
        Ok(Load {
            clients,
            by_conn: BTreeMap::new(),
            conns: 0,
            turn: 0,
            products: catalogue.goods.len() as u16,
            rate,
            clock,
            roster: Roster::default(),
            dialer: Dialer { wire, inbox: sender, deadline: CALL_DEADLINE },
            inbox,
            rosters: mpsc::channel(nodes.len().max(1)),
            looked_at: now,
            nodes,
            began: now,
            count: Count::new(),
            floor: watch::Sender::new(now),
        })
    }

    /// The figures, for others to look at.
    pub(in crate::ops) fn count(&self) -> Count {
        self.count.clone()
    }

    /// All clients have been answered an order that was due at that time, or later ones.
    pub(in crate::ops) fn floor(&self) -> watch::Receiver<Instant> {
        self.floor.subscribe()
    }

    /// The ids of its clients.
    pub(in crate::ops) fn ids(&self) -> Vec<PeerId> {
        self.clients.iter().map(Client::id).collect()
    }

    /// Places orders until told to stop; then waits for those that are open, for a while.
    pub(in crate::ops) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        self.began = Instant::now();
        self.count.look().began = self.began;
        let mut ends: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if ends.is_none() && *stop.borrow_and_update() {
                ends = Some(now + SOAK_DRAIN_MAX);
            }
            if ends.is_none() {
                self.place(now);
            }
            self.go_home(now);
            self.note();
            let open: usize = self.clients.iter().map(Client::open).sum();
            if ends.is_some_and(|ends| open == 0 || now >= ends) {
                return;
            }
            let wake = if ends.is_some() { now + LOOK_EVERY } else { self.next_due().min(now + LOOK_EVERY) };
            tokio::select! {
                arrival = self.inbox.recv() => self.hear(arrival),
                roster = self.rosters.1.recv() => self.told_roster(roster.unwrap_or_default()),
                () = tokio::time::sleep_until(wake.into()) => {}
                _ = stop.changed() => {}
            }
        }
    }

    fn next_due(&self) -> Instant {
        let due = self.count.look().due;
        self.began + Duration::from_secs_f64(due as f64 / f64::from(self.rate))
    }

    /// What is due by now. If no client has room it is placed later, and is late then.
    fn place(&mut self, now: Instant) {
        loop {
            let due = self.next_due();
            let turns = (0..self.clients.len()).map(|ahead| (self.turn + ahead) % self.clients.len());
            let Some(at) = turns.into_iter().find(|at| self.clients[*at].has_room()) else { return };
            if due > now {
                return;
            }
            self.turn = at + 1;
            // As many pieces come in as go out, so that the stock lasts.
            let kind =
                if fastrand::bool() { OrderKind::Sell } else { OrderKind::Buy { partial: fastrand::bool() } };
            let (product, quantity) =
                (ProductId(fastrand::u16(..self.products)), Quantity(fastrand::u64(1..=3)));
            self.clients[at].place(due, &mut self.clock, (kind, product, quantity));
            self.count.look().due += 1;
        }
    }

    fn go_home(&mut self, now: Instant) {
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            let seat = self.roster.home(client.id()).filter(|seat| !seat.addr.is_empty());
            if let Some(seat) = seat {
                let before = client.conn();
                let home = ((seat.peer, seat.term), seat.addr.as_str());
                if client.go_to(home, ConnId(self.conns + 1), &self.dialer, &mut self.clock, now) {
                    self.conns += 1;
                    before.map(|before| self.by_conn.remove(&before));
                    self.by_conn.insert(ConnId(self.conns), at);
                }
            }
            self.clients[at].send(&mut self.clock, now);
        }
        if self.clients.iter().any(|client| !client.is_served(now)) && now >= self.looked_at {
            self.looked_at = now + LOOK_EVERY;
            self.ask_for_roster();
        }
    }

    /// Asks a node who holds the offices.
    fn ask_for_roster(&self) {
        let addr = self.nodes[fastrand::usize(..self.nodes.len())].clone();
        let sender = self.rosters.0.clone();
        tokio::spawn(async move {
            // A node that is away has nothing to tell; another one is asked soon.
            if let Ok(report) = market::report(&addr, ASK_MAX).await {
                let _ = sender.try_send(report.roster);
            }
        });
    }

    fn told_roster(&mut self, roster: Roster) {
        let order = |roster: &Roster| (roster.generation.count, roster.seq, roster.version);
        if order(&roster) > order(&self.roster) {
            self.roster = roster;
            self.count.look().roster = self.roster.clone();
        }
    }

    fn hear(&mut self, first: Option<Arrival>) {
        let mut next = first;
        for _ in 0..ARRIVALS_AT_ONCE {
            match next.take() {
                Some(Arrival::Said(conn, Message::TradeAnswer(answer))) => self.answered(conn, answer),
                Some(Arrival::Ended(conn, _)) => {
                    if let Some(at) = self.by_conn.remove(&conn) {
                        self.clients[at].lost(Instant::now());
                    }
                }
                _ => {}
            }
            next = self.inbox.try_recv().ok();
            if next.is_none() {
                return;
            }
        }
    }

    fn answered(&mut self, conn: ConnId, answer: TradeAnswer) {
        let Some(at) = self.by_conn.get(&conn).copied() else { return };
        // A clock too far ahead would show in the next stamp, which is refused then.
        let _ = self.clock.receive(answer.clock);
        if let Some(hello) = answer.hello {
            self.clients[at].came_up();
            self.told_roster(hello.roster);
        }
        if let Some(roster) = answer.roster {
            self.told_roster(*roster);
        }
        for outcome in &answer.outcomes {
            self.told(at, outcome);
        }
        for early in &answer.early {
            self.told_early(at, early);
        }
        let never = self.clients[at].not_taken(&answer.not_taken, Instant::now());
        if self.clients[at].conn() != Some(conn) {
            self.by_conn.remove(&conn);
        }
        never.iter().for_each(|id| self.wrong(format!("order {id} is open, and no trader answers it")));
    }

    fn told(&mut self, at: usize, outcome: &Outcome) {
        let Some((order, answered)) = self.clients[at].told(outcome) else { return };
        let mut count = self.count.look();
        count.told += 1;
        count.resolved += u64::from(answered.was_unsure);
        count.taken_back += u64::from(outcome.kind == OutcomeKind::Reversed);
        if answered.early.is_none() {
            count.answered(answered.due);
        }
        let Outcome { kind, reason, filled, amount, seq, .. } = *outcome;
        let told = Told { number: order.id.number, kind, reason, filled, amount, seq };
        count.to_compare.push((order.id.peer, told));
        drop(count);
        let early = answered.early.map(|it| it.filled).filter(|early| !agrees(*early, kind, filled));
        if let Some(early) = early {
            let kind = kind.name();
            self.wrong(format!(
                "order {} was told early of {early} pieces, and then {kind} {filled}",
                order.id
            ));
        }
        if let Some(why) = implausible(&order, &told) {
            self.wrong(format!("order {} {why}", order.id));
        }
        self.raise_floor();
    }

    /// An answer from a trader's cache: the client has it, though it may be taken back.
    fn told_early(&mut self, at: usize, answer: &Tentative) {
        let Some(due) = self.clients[at].told_early(answer) else { return };
        let mut count = self.count.look();
        count.early += 1;
        count.answered(due);
        drop(count);
        self.raise_floor();
    }

    fn raise_floor(&self) {
        if let Some(floor) = self.clients.iter().map(|client| client.told_due).min() {
            self.floor.send_replace(floor);
        }
    }

    fn wrong(&self, what: String) {
        let mut count = self.count.look();
        if count.wrong.len() < SOAK_EXAMPLES_MAX {
            count.wrong.push(what);
        }
    }

    fn note(&self) {
        let (open, unsure) = self
            .clients
            .iter()
            .fold((0, 0), |(open, unsure), client| (open + client.open(), unsure + client.unsure()));
        let mut count = self.count.look();
        (count.open, count.unsure) = (open as u64, unsure as u64);
    }
}

/// What an order cannot come to, whatever the ledger says.
fn implausible(order: &Order, told: &Told) -> Option<String> {
    let fits = match (order.kind, told.kind) {
        (OrderKind::Buy { .. }, OutcomeKind::Bought) => told.filled == order.quantity,
        (OrderKind::Buy { partial: true }, OutcomeKind::PartlyBought) => {
            told.filled < order.quantity && told.filled.0 > 0
        }
        (OrderKind::Sell, OutcomeKind::Deposited) => told.filled == order.quantity,
        (OrderKind::Buy { .. }, OutcomeKind::SoldOut) => told.filled.0 == 0,
        (_, OutcomeKind::Refused | OutcomeKind::Reversed) => told.filled.0 == 0,
        _ => false,
    };
    (!fits).then(|| format!("of {} was told {} {}", order.quantity, told.kind.name(), told.filled))
}

/// An order by its peer and number.
pub(in crate::ops) fn id_of(peer: PeerId, told: &Told) -> OrderId {
    OrderId { peer, number: told.number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Money, Number, Seq, Stamp};

    #[test]
    fn what_no_order_comes_to_is_seen() {
        let id = OrderId { peer: PeerId(1_001), number: Number(1) };
        let order = |kind| Order { id, stamp: Stamp(1), kind, product: ProductId(0), quantity: Quantity(3) };
        let told = |kind, filled| Told {
            number: Number(1),
            kind,
            reason: None,
            filled: Quantity(filled),
            amount: Money(0),
            seq: Seq(9),
        };
        let buy = order(OrderKind::Buy { partial: false });
        assert_eq!(implausible(&buy, &told(OutcomeKind::Bought, 3)), None);
        assert_eq!(implausible(&buy, &told(OutcomeKind::SoldOut, 0)), None);
        for (kind, filled) in
            [(OutcomeKind::Bought, 2), (OutcomeKind::PartlyBought, 2), (OutcomeKind::Deposited, 3)]
        {
            assert!(implausible(&buy, &told(kind, filled)).is_some(), "{kind:?} {filled}");
        }
        assert_eq!(implausible(&order(OrderKind::Sell), &told(OutcomeKind::Deposited, 3)), None);
    }
}
