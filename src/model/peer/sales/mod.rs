//! The report of what a term that ended had sold (`escrow` mode): by its trader, or by the partner that has a copy.
//!
//! The goods of such a term are frozen until the warehouse knows of all that was told: then the rest is free. What was told
//! in the term is reported before anything of it goes to another home, or the report would lack it. It is sent in the order
//! of the decisions, in parts; what the ledger has already does no harm, so a report that broke off begins again.

use std::collections::BTreeMap;

use super::facts::{Cx, Facts, Purpose};
use crate::limits::SALES_REPORT_ORDERS_MAX;
use crate::model::backoff::Backoff;
use crate::model::call::{Answer, Ask, CallError, SalesReport, why_not};
use crate::model::offices::Frozen;
use crate::model::tentative::Tentative;
use crate::types::{Now, Order, Term};

/// See the module's text.
#[derive(Default)]
pub(super) struct Sales {
    /// A part is under way, and which decision its last one is.
    calling: Option<u64>,
    /// Up to which decision the term was reported by this process.
    reported: Option<(Term, u64)>,
    backoff: Backoff,
    due: Option<Now>,
    /// Reports that were not taken, with when they go again.
    later: BTreeMap<Term, Now>,
}

impl Sales {
    pub(super) fn due(&self) -> Option<Now> {
        self.due
    }

    /// Looks for such terms in this turn.
    pub(super) fn soon(&mut self, now: Now) {
        self.due = Some(now);
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        if self.due.take_if(|at| *at <= cx.now()).is_some() {
            self.report(cx);
        }
    }

    fn report(&mut self, cx: &mut Cx<'_>) {
        if self.calling.is_some() || !cx.session_open {
            return;
        }
        let now = cx.now();
        self.later.retain(|term, at| *at > now && to_report(cx).any(|other| other == *term));
        let Some(term) = to_report(cx).find(|term| !self.later.contains_key(term)) else {
            self.due = self.later.values().min().copied();
            return;
        };
        let done = self.reported.filter(|(of, _)| *of == term).map_or(0, |(_, nth)| nth);
        let mut sold = sold_in(cx, term, done);
        let last = sold.len() <= SALES_REPORT_ORDERS_MAX;
        sold.truncate(SALES_REPORT_ORDERS_MAX);
        tracing::info!(%term, orders = sold.len(), last, "what a term had sold is reported");
        self.calling = Some(sold.last().map_or(done, |(nth, ..)| *nth));
        let (orders, told) = sold.into_iter().map(|(_, order, told)| (order, told)).unzip();
        let report = Box::new(SalesReport { term, orders, told, last });
        cx.demand(Purpose::Complete(term), |hello| Ask::Complete(hello, report));
    }

    pub(super) fn reported(&mut self, cx: &mut Cx<'_>, term: Term, result: Result<Answer, CallError>) {
        let upto = self.calling.take();
        match result {
            Ok(Answer::Roster(_, roster)) => {
                self.backoff.reset();
                self.reported = upto.map(|nth| (term, nth));
                cx.told_roster(*roster);
                self.soon(cx.now());
            }
            other => {
                tracing::info!(%term, why = why_not(&other), "the report of a term was not taken");
                self.reported = None;
                self.later.insert(term, cx.now().after_ms(self.backoff.next_ms()));
                self.soon(cx.now());
            }
        }
    }
}

/// The terms whose sales this store may have all of.
fn to_report(facts: &Facts) -> impl Iterator<Item = Term> + '_ {
    let me = facts.me.id;
    let mine = move |it: &&Frozen| it.trader == me || it.partner == me;
    facts.roster.frozen.iter().filter(mine).map(|it| it.term)
}

/// What was told in a term and is not settled as far as this store knows, behind a decision, in the order of decisions.
fn sold_in(facts: &Facts, term: Term, behind: u64) -> Vec<(u64, Order, Tentative)> {
    let held = facts.state.accepted.values();
    let told = held.filter_map(|it| {
        let told = it.told?;
        let draw = told.draw.filter(|draw| draw.term == term && draw.nth > behind)?;
        Some((draw.nth, it.order, told))
    });
    let mut sold: Vec<(u64, Order, Tentative)> = told.collect();
    sold.sort_unstable_by_key(|(nth, ..)| *nth);
    sold
}

/// It is reported before it goes anywhere else.
pub(super) fn is_to_be_reported(facts: &Facts, told: Option<Tentative>) -> bool {
    let draw = told.and_then(|told| told.draw);
    draw.is_some_and(|draw| to_report(facts).any(|term| term == draw.term))
}

#[cfg(test)]
mod tests;
