//! The phases of a run, and how long each may last.
//!
//! 1. *faults*: until all that were drawn have come about and the orders are placed, or time is up;
//! 2. *orders*: nothing goes wrong any more, everyone is started again, and what is missing of the orders is placed;
//! 3. *answers*: shoppers place no more, and everything that is open is answered;
//! 4. *offices*: both offices are held by traders that are paired; then a moment of rest.
//!
//! Phases 2 to 4 have bounds. A bound that is reached is a failure that says what was waited for.

use std::collections::BTreeSet;

use super::{Event, World};
use crate::limits::PASS_OVER_MS;
use crate::model::call::Ask;
use crate::model::market::Market;
use crate::sim::check::Failure;
use crate::sim::engine::View;
use crate::sim::node::Node;
use crate::sim::queue::{MS, SECOND};
use crate::types::{Epoch, OrderId, PeerId, Term, node_name};

/// If faults are still to come by then, they do not come any more.
pub(super) const FAULTS_MAX: u64 = 120 * SECOND;
/// All orders are placed this long after the last fault.
const ORDERS_MAX: u64 = 300 * SECOND;
/// All orders are answered this long after the last was placed.
const ANSWERS_MAX: u64 = 30 * SECOND;
/// The offices are held by paired traders this long after that: a peer that is passed over may be needed again.
const OFFICES_MAX: u64 = PASS_OVER_MS * MS + 30 * SECOND;
/// How long the rest lasts: what is written lazily gets to the disks meanwhile.
const REST: u64 = 2 * SECOND;
/// How often somebody looks for goods that no store can report.
const RELEASE_EVERY: u64 = 3 * SECOND;
/// What was open when everything healed is answered this long after.
const HEALED_MAX: u64 = 15 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Faults,
    Orders,
    Answers,
    Offices,
    Rest,
}

impl Phase {
    /// The phase after it, and how long it lasts at most.
    fn next(self) -> Option<(Phase, u64)> {
        match self {
            Phase::Faults => Some((Phase::Orders, ORDERS_MAX)),
            Phase::Orders => Some((Phase::Answers, ANSWERS_MAX)),
            Phase::Answers => Some((Phase::Offices, OFFICES_MAX)),
            Phase::Offices => Some((Phase::Rest, REST)),
            Phase::Rest => None,
        }
    }
}

impl World {
    pub(super) fn phase_is_over(&self) -> bool {
        match self.phase {
            Phase::Faults => self.faults_left == 0 && self.all_placed(),
            Phase::Orders => self.all_placed() && self.all_serve(),
            Phase::Answers => self.open().is_none() && self.person_waits_for().is_none(),
            Phase::Offices => self.are_paired(),
            Phase::Rest => self.queue.now() > self.phase_ends,
        }
    }

    /// Goes on to the next phase; false if there is none.
    pub(super) fn next_phase(&mut self) -> bool {
        let Some((next, lasts)) = self.phase.next() else { return false };
        (self.phase, self.phase_ends) = (next, self.queue.now().after(lasts));
        match next {
            Phase::Orders => self.heal(),
            Phase::Answers => self.quiesce(),
            _ => {}
        }
        true
    }

    /// Nothing goes wrong any more, and everyone is started.
    fn heal(&mut self) {
        let now = self.queue.now();
        self.network.heal(&mut self.queue);
        self.strangers_go();
        // Its watchdog would end it; then it is started again.
        let stuck: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].is_stuck(now)).collect();
        stuck.into_iter().for_each(|at| self.kill(at, 0));
        for node in &mut self.nodes {
            node.go_on(now);
            node.disk.heal();
            if !node.is_alive() {
                self.queue.put(now, Event::Start(node.id));
            }
        }
        self.put_ledger_back();
        let open = self.nodes.iter().filter_map(open_orders).flatten().collect();
        self.open_when_healed = open;
        self.queue.put(now.after(HEALED_MAX), Event::Answered);
        self.queue.put(now.after(RELEASE_EVERY), Event::Release);
    }

    /// A person looks at goods that nobody reports the sales of: both stores that had them are lost.
    pub(super) fn release_lost(&mut self) {
        let terms = match self.nodes[0].view() {
            Some(View::Market(market)) => lost_terms(market),
            _ => Vec::new(),
        };
        for term in terms {
            self.nodes[0].ask(Ask::Release(term), &mut self.queue);
        }
        if self.phase < Phase::Rest {
            self.queue.put(self.queue.now().after(RELEASE_EVERY), Event::Release);
        }
    }

    /// # Errors
    /// An order that was open when everything healed still is.
    pub(super) fn healed_are_answered(&self) -> Result<(), Failure> {
        let open: BTreeSet<OrderId> = self.nodes.iter().filter_map(open_orders).flatten().collect();
        match self.open_when_healed.intersection(&open).next() {
            None => Ok(()),
            Some(id) => Err(Failure::new(
                "liveness",
                format!("order {id} is open {} s after everything healed", HEALED_MAX / SECOND),
            )),
        }
    }

    fn quiesce(&mut self) {
        self.load.over = true;
        for node in self.nodes.iter_mut().filter(|node| node.id != PeerId::WAREHOUSE) {
            node.ask(Ask::Quiesce, &mut self.queue);
        }
    }

    fn all_placed(&self) -> bool {
        self.orders() >= self.load.orders
    }

    fn all_serve(&self) -> bool {
        self.nodes.iter().all(Node::is_serving)
    }

    /// The first peer that has something open: an order of its own, or one that it took for another.
    fn open(&self) -> Option<String> {
        self.nodes.iter().find_map(|node| match node.view()? {
            View::Peer(state) => {
                let (own, others) = (state.open.len(), state.accepted.len());
                let what = || format!("{} has {own} open orders and {others} of others", node_name(node.id));
                (own + others > 0).then(what)
            }
            View::Market(_) => None,
        })
    }

    fn are_paired(&self) -> bool {
        matches!(self.nodes[0].view(), Some(View::Market(market)) if market.offices.paired)
    }

    pub(super) fn waits_for(&self) -> String {
        let what = match self.phase {
            Phase::Faults | Phase::Orders if !self.all_serve() => "not all nodes serve".to_owned(),
            Phase::Faults | Phase::Orders => {
                format!("{} of {} orders were placed", self.orders(), self.load.orders)
            }
            Phase::Answers => self.open().or_else(|| self.person_waits_for()).unwrap_or_default(),
            Phase::Offices | Phase::Rest => "the offices are not held by a pair of traders".to_owned(),
        };
        format!("{what} at {} s", self.queue.now().0 / SECOND)
    }
}

/// Terms whose trader and partner both have other stores by now.
fn lost_terms(market: &Market) -> Vec<Term> {
    let is_gone = |(peer, epoch): (PeerId, Epoch)| {
        market.sessions.get(&peer).is_none_or(|session| session.epoch != epoch)
    };
    let lost = market.frozen().filter(|(_, holder)| is_gone(holder.trader) && is_gone(holder.partner));
    lost.map(|(term, _)| term).collect()
}

/// The orders of a running peer's own that are open.
fn open_orders(node: &Node) -> Option<Vec<OrderId>> {
    match node.view()? {
        View::Peer(state) => {
            Some(state.open.keys().map(|number| OrderId { peer: node.id, number: *number }).collect())
        }
        View::Market(_) => None,
    }
}
