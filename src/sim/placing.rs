//! In whose name things are done: what each peer and client placed, and to whom nodes show their tokens.
//!
//! In: what peers hold after each turn, what clients say that they order, and what nodes say to whom. Out: failures of
//! the checks `name` (the ledger has an order that its peer never placed) and `token` (a node showed its token to
//! somebody who is neither the warehouse nor a peer of which the warehouse has said that it holds an office).

use std::collections::{BTreeMap, BTreeSet};

use super::check::Failure;
use super::network::Process;
use super::node::node_at;
use super::people::is_person;
use crate::model::call::{Answer, Ask};
use crate::model::hello::Hello;
use crate::model::message::{Message, PeerWord};
use crate::model::offices::Roster;
use crate::model::peer::PeerState;
use crate::model::row::Record;
use crate::model::step::{ConnId, Effect};
use crate::types::{Number, Order, OrderId, OrderKind, PeerId, node_name};

/// See the module's text.
#[derive(Default)]
pub(super) struct Placing {
    /// A number may have several contents: one that was never sent is given once more after a crash.
    placed: BTreeMap<OrderId, Vec<Order>>,
    /// Up to which number each process was looked at.
    seen: BTreeMap<Process, Number>,
    /// Peers that the warehouse has said to hold an office.
    traders: BTreeSet<PeerId>,
    /// Where the streams that nodes dialed lead.
    lead: BTreeMap<(Process, ConnId), String>,
    /// The first token that was shown to somebody who is not to see it; a stranger comes before a peer.
    shown: Option<(bool, String)>,
}

impl Placing {
    /// An order that somebody placed in its own name.
    pub(crate) fn add(&mut self, order: Order) {
        let contents = self.placed.entry(order.id).or_default();
        if !contents.contains(&order) {
            contents.push(order);
        }
    }

    /// What a peer has placed since it was last looked at.
    pub(crate) fn look(&mut self, process: Process, state: &PeerState) {
        let seen = self.seen.entry(process).or_default();
        if state.last == *seen {
            return;
        }
        let from = Number(std::mem::replace(seen, state.last).0 + 1);
        let fresh: Vec<Order> =
            state.open.range(from..).map(|(_, placed)| state.order(process.node, placed)).collect();
        fresh.into_iter().for_each(|order| self.add(order));
    }

    /// The orders that a peer has placed, in all its lives, and whether it has given the number once.
    pub(crate) fn given_by(&self, peer: PeerId) -> impl Iterator<Item = (OrderId, bool)> {
        let (first, last) = (Number(0), Number(u64::MAX));
        let given = self.placed.range(OrderId { peer, number: first }..=OrderId { peer, number: last });
        given.map(|(id, contents)| (*id, contents.len() == 1))
    }

    /// # Errors
    /// The record decides an order that nobody placed in that name.
    /// An id that a restored ledger does not know is given to another client again: of `restored` ones that is no failure.
    pub(crate) fn was_placed(&self, record: &Record, restored: bool) -> Result<(), Failure> {
        let Some(decision) = record.decision() else { return Ok(()) };
        let order = decision.order;
        if restored && order.id.peer.is_client() {
            return Ok(());
        }
        let contents = self.placed.get(&order.id).map(Vec::as_slice).unwrap_or_default();
        // What a void says of goods counts for nothing, and the wire bounds it.
        // A peer gives a number up with the goods of the order that has it.
        let voids = |placed: &Order| {
            let given_up = Order { kind: placed.kind, ..order } == *placed;
            order.kind == OrderKind::Void && (placed.kind == OrderKind::Void || given_up)
        };
        if contents.contains(&order) || contents.iter().any(voids) {
            return Ok(());
        }
        let why = match contents.first() {
            Some(placed) => format!("the ledger has {order:?}, and peer {} placed {placed:?}", order.id.peer),
            None => format!("the ledger has {order:?}, and peer {} never placed it", order.id.peer),
        };
        Err(Failure::new("name", why))
    }

    // ---- tokens

    /// What a node says, and to whom.
    pub(crate) fn shows(&mut self, from: Process, effect: &Effect) {
        if from.node == PeerId::WAREHOUSE {
            self.traders.extend(rosters_in(effect).into_iter().flat_map(Roster::seats).map(|seat| seat.peer));
        }
        match effect {
            Effect::Dial { conn, addr, first } => {
                self.lead.insert((from, *conn), addr.clone());
                self.shows_hello(from, addr, hello_in(first));
            }
            Effect::Send(conn, message) => {
                let hello = hello_in(message).filter(|hello| hello.token.is_some());
                if hello.is_some() {
                    let addr = self.lead.get(&(from, *conn)).cloned().unwrap_or_default();
                    self.shows_hello(from, &addr, hello);
                }
            }
            Effect::HangUp(conn) => drop(self.lead.remove(&(from, *conn))),
            Effect::Call { addr, ask, .. } => self.shows_hello(from, addr, hello_of(ask)),
            _ => {}
        }
    }

    fn shows_hello(&mut self, from: Process, addr: &str, hello: Option<&Hello>) {
        if hello.is_none_or(|hello| hello.token.is_none()) {
            return;
        }
        let to = node_at(addr);
        let may_see = |node: PeerId| node == PeerId::WAREHOUSE || self.traders.contains(&node);
        if to.is_some_and(may_see) {
            return;
        }
        let stranger = to.is_none_or(is_person);
        if self.shown.as_ref().is_none_or(|(worse, _)| stranger && !worse) {
            let whom = match to {
                Some(peer) if !stranger => format!("{}, which never held an office", node_name(peer)),
                _ => format!("a stranger at {addr}"),
            };
            self.shown = Some((stranger, format!("{} showed its token to {whom}", node_name(from.node))));
        }
    }

    /// # Errors
    /// A node showed its token to somebody who is not to see it.
    pub(crate) fn tokens(&self) -> Result<(), Failure> {
        match &self.shown {
            Some((_, why)) => Err(Failure::new("token", why.clone())),
            None => Ok(()),
        }
    }
}

/// What the warehouse says of the offices. What it holds after a turn is not enough: of several claims in one turn each is
/// granted and told, and the next one may end the grant, since a holder that has not answered is taken for absent.
fn rosters_in(effect: &Effect) -> Vec<&Roster> {
    let (hello, roster) = match effect {
        Effect::Reply(_, Ok(Answer::Roster(_, roster))) => (None, Some(&**roster)),
        Effect::Reply(_, Ok(Answer::Opened(answer))) => (None, Some(&answer.roster)),
        Effect::Send(_, Message::ControlDown(down)) => (down.hello.as_deref(), down.roster.as_deref()),
        Effect::Send(_, Message::SettleAnswer(answer)) => (answer.hello.as_deref(), answer.roster.as_deref()),
        _ => (None, None),
    };
    hello.map(|hello| &hello.roster).into_iter().chain(roster).collect()
}

/// The hello that a message begins with, if it has one.
pub(super) fn hello_in(message: &Message) -> Option<&Hello> {
    match message {
        Message::TradeAsk(ask) => ask.hello.as_deref(),
        Message::SettleAsk(ask) => ask.hello.as_deref(),
        Message::ControlUp(up) => up.hello.as_deref(),
        Message::ReplicaAsk(ask) => ask.hello.as_deref(),
        Message::Peer(said) => match &said.word {
            PeerWord::Hello(hello) => Some(hello),
            _ => None,
        },
        _ => None,
    }
}

fn hello_of(ask: &Ask) -> Option<&Hello> {
    match ask {
        Ask::Claim(hello, _)
        | Ask::Fence(hello, _)
        | Ask::Pair(hello, ..)
        | Ask::Resign(hello, _)
        | Ask::Submit(hello, _)
        | Ask::HandOver(hello, ..) => Some(hello),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fold::Fold as _;
    use crate::model::offices::Seat;
    use crate::model::peer::entry::{Entry, Placed};
    use crate::model::row::{Decision, Reason};
    use crate::model::step::{CallId, ReplyId};
    use crate::sim::node::addr;
    use crate::sim::people::place;
    use crate::types::{Batch, ProcessId, ProductId, Quantity, Seq, Stamp, Term, Token, WallMicros};

    const NODE: Process = Process { node: PeerId(4), life: 1 };

    fn placed(k: u64, quantity: u64) -> Placed {
        let (kind, product) = (OrderKind::Sell, ProductId(0));
        Placed { number: Number(k), stamp: Stamp(k), kind, product, quantity: Quantity(quantity) }
    }

    fn state(orders: &[Placed]) -> PeerState {
        let mut state = PeerState::default();
        let place = |placed: &Placed| state.apply(Seq(1), WallMicros(1), &Entry::Placed(*placed));
        orders.iter().for_each(place);
        state
    }

    fn row(placed: &Placed) -> Record {
        let order = PeerState::default().order(NODE.node, placed);
        let (trader, term, batch) = (PeerId(6), Term(1), Batch(1));
        let decision = Decision { order, clock: Stamp(9), stock_after: Quantity(1), trader, term, batch };
        Record::Void { decision, reason: Reason::Closed }
    }

    #[test]
    fn an_order_in_anothers_name_is_seen() {
        let (mut placing, own) = (Placing::default(), placed(1, 3));
        placing.look(NODE, &state(&[own]));
        assert_eq!(placing.was_placed(&row(&own), false), Ok(()));
        let never = placing.was_placed(&row(&placed(2, 3)), false).unwrap_err();
        assert!(never.check == "name" && never.why.contains("peer 4 never placed it"), "{never:?}");
        let other = placing.was_placed(&row(&placed(1, 4)), false).unwrap_err();
        assert!(other.why.contains("and peer 4 placed"), "{other:?}");
    }

    /// A killed process may have numbered an order that was never sent; its successor numbers another one the same.
    #[test]
    fn a_number_that_was_lost_is_given_once_more() {
        let (mut placing, lost, next) = (Placing::default(), placed(1, 3), placed(1, 4));
        placing.look(NODE, &state(&[lost]));
        placing.look(Process { life: 2, ..NODE }, &state(&[next]));
        assert_eq!(placing.was_placed(&row(&next), false), Ok(()));
    }

    fn probing(to: PeerId, token: Option<Token>) -> Effect {
        let hello = Box::new(Hello { peer: NODE.node, token, ..Hello::default() });
        Effect::Call { call: CallId(1), addr: addr(to), ask: Ask::Fence(hello, Term(1)) }
    }

    /// What a process says when it answers a claim.
    fn granting(from: PeerId, to: PeerId) -> (Process, Effect) {
        let seat = Seat {
            peer: to,
            process: ProcessId::default(),
            term: Term(1),
            present: false,
            addr: addr(to),
            licence: None,
        };
        let roster = Box::new(Roster { primary: Some(seat), ..Roster::default() });
        (Process { node: from, life: 1 }, Effect::Reply(ReplyId(1), Ok(Answer::Roster(Stamp(1), roster))))
    }

    /// Of several claims that the warehouse grants in one turn only the last holds afterwards.
    #[test]
    fn a_token_is_for_the_warehouse_and_for_who_was_said_to_be_in_office() {
        let (mut placing, token) = (Placing::default(), Some(Token([7; 32])));
        let said = [(PeerId::WAREHOUSE, PeerId(6)), (PeerId::WAREHOUSE, PeerId(5)), (NODE.node, PeerId(2))];
        for (from, to) in said {
            let (from, effect) = granting(from, to);
            placing.shows(from, &effect);
        }
        for to in [PeerId::WAREHOUSE, PeerId(6), PeerId(5)] {
            placing.shows(NODE, &probing(to, token));
        }
        placing.shows(NODE, &probing(PeerId(2), None));
        assert_eq!(placing.tokens(), Ok(()));
        placing.shows(NODE, &probing(PeerId(2), token));
        let failed = placing.tokens().unwrap_err();
        assert!(failed.why.contains("peer-2, which never held"), "a peer's word is none: {}", failed.why);
        placing.shows(NODE, &probing(place(1), token));
        placing.shows(NODE, &probing(PeerId(3), token));
        let failed = placing.tokens().unwrap_err();
        assert!(failed.why.contains("to a stranger"), "the worst of them: {}", failed.why);
    }
}
