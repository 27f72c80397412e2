//! Offices: V09, every write's term is the present grant at its place in the ledger, and an office has one holder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::audit::{Alarms, Check, Example};
use crate::model::row::{Place, Record};
use crate::types::{Office, PeerId, Seq, Term};

/// The holder of an office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The peer.
    pub(crate) trader: PeerId,
    /// Under which grant.
    pub(crate) term: Term,
    /// The grant's row.
    pub(crate) since: Seq,
}

/// Both offices.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Offices {
    primary: Option<Holder>,
    secondary: Option<Holder>,
    /// They are partners.
    pub(crate) paired: bool,
    terms: Term,
    /// The terms that have goods set aside, or had when they ended: who held them, and their last partners.
    holders: BTreeMap<Term, (PeerId, PeerId)>,
}

impl Offices {
    /// The holder of an office.
    pub(crate) fn holder(&self, office: Office) -> Option<Holder> {
        match office {
            Office::Primary => self.primary,
            Office::Secondary => self.secondary,
        }
    }

    /// Whether a term is a present grant.
    pub(in crate::audit) fn is_present_term(&self, term: Term) -> bool {
        Office::BOTH.into_iter().any(|office| self.holder(office).is_some_and(|holder| holder.term == term))
    }

    /// A term that gave all back before it ended has nothing to report. `holds`: it has an allotment.
    pub(super) fn forget_empty_handed(&mut self, holds: impl Fn(Term) -> bool) {
        let present = [self.primary, self.secondary].map(|holder| holder.map(|holder| holder.term));
        self.holders.retain(|term, _| present.contains(&Some(*term)) || holds(*term));
    }

    pub(super) fn apply(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) {
        match record {
            Record::Office { office, trader, term, .. } => self.grant(place, *office, *trader, *term, alarms),
            Record::Fence { office, trader, term, .. } => self.fence(place, *office, *trader, *term, alarms),
            Record::Paired { trader, term, partner, partner_term, .. } => {
                let holds = self.is(Office::Primary, *trader, *term)
                    && self.is(Office::Secondary, *partner, *partner_term)
                    && trader != partner;
                alarms.check(Check::Fencing, holds, || {
                    Example::row(place, "paired are not the present traders")
                });
                self.paired = holds;
                self.are_partners(*term, *partner);
                self.are_partners(*partner_term, *trader);
            }
            // No grant of the lost part is held any more, and its terms are never granted again.
            Record::Restored { generation, .. } => {
                let terms = self.terms.max(generation.before_first_term());
                *self = Offices { terms, ..Offices::default() };
            }
            // What was decided in a term is judged by the term's mode.
            Record::Mode { .. } => {
                let vacant = Office::BOTH.into_iter().all(|office| self.holder(office).is_none());
                alarms.check(Check::Fencing, vacant, || {
                    Example::row(place, "the mode was changed during a term")
                });
            }
            Record::Allotment { trader, term, .. } => {
                let other = |office: Office| self.holder(office).filter(|it| it.term != *term);
                let partner = Office::BOTH.into_iter().find_map(other).map_or(*trader, |it| it.trader);
                self.holders.entry(*term).or_insert((*trader, partner));
                let pair = self.paired && self.is_present(*trader, *term);
                alarms.check(Check::Fencing, pair, || {
                    Example::row(place, "goods were set aside for a term that is none of a pair's")
                });
            }
            Record::Returned { trader, term, .. } => {
                alarms.check(Check::Fencing, self.is_present(*trader, *term), || {
                    Example::row(place, "goods were given back under a term that is no present grant")
                });
            }
            Record::Adopt { decision, of, .. } => self.ended(place, Some(decision.trader), *of, alarms),
            Record::Complete { trader, of, .. } => {
                let has_it =
                    self.holders.get(of).is_none_or(|(held, partner)| [held, partner].contains(&trader));
                alarms.check(Check::Fencing, has_it, || {
                    Example::row(place, format!("{trader} has no copy of what term {of} had sold"))
                });
                self.ends(place, *of, alarms);
            }
            Record::Released { term, .. } => self.ends(place, *term, alarms),
            _ => self.written(place, record, alarms),
        }
    }

    fn is_present(&self, trader: PeerId, term: Term) -> bool {
        Office::BOTH.into_iter().any(|office| self.is(office, trader, term))
    }

    fn are_partners(&mut self, term: Term, partner: PeerId) {
        if let Some((_, its)) = self.holders.get_mut(&term) {
            *its = partner;
        }
    }

    /// What was set aside for a term is booked by others only when the term has ended, and before its last word.
    fn ended(&self, place: &Place, trader: Option<PeerId>, term: Term, alarms: &mut Alarms) {
        let held = self.holders.get(&term).map(|(held, _)| *held);
        let ended = held.is_some() && trader.is_none_or(|it| held == Some(it)) && !self.is_present_term(term);
        alarms.check(Check::Fencing, ended, || {
            Example::row(place, format!("term {term} did not end with goods set aside"))
        });
    }

    fn ends(&mut self, place: &Place, term: Term, alarms: &mut Alarms) {
        self.ended(place, None, term, alarms);
        self.holders.remove(&term);
    }

    fn slot(&mut self, office: Office) -> &mut Option<Holder> {
        match office {
            Office::Primary => &mut self.primary,
            Office::Secondary => &mut self.secondary,
        }
    }

    fn is(&self, office: Office, trader: PeerId, term: Term) -> bool {
        self.holder(office).is_some_and(|holder| holder.trader == trader && holder.term == term)
    }

    /// One counter numbers all grants; the holder's other office is vacated.
    fn grant(&mut self, place: &Place, office: Office, trader: PeerId, term: Term, alarms: &mut Alarms) {
        let due = self.terms.0 + 1;
        alarms.check(Check::Fencing, term.0 == due, || {
            Example::row(place, format!("term {term} was granted, {due} was next"))
        });
        let may = (1..=PeerId::PEER_MAX.0).contains(&trader.0);
        alarms.check(Check::Fencing, may, || Example::row(place, format!("{trader} cannot hold an office")));
        self.terms = self.terms.max(term);
        if self.holder(office.other()).is_some_and(|holder| holder.trader == trader) {
            *self.slot(office.other()) = None;
        }
        *self.slot(office) = Some(Holder { trader, term, since: place.seq });
        self.paired = false;
    }

    fn fence(&mut self, place: &Place, office: Office, trader: PeerId, term: Term, alarms: &mut Alarms) {
        let holds = self.is(office, trader, term);
        alarms.check(Check::Fencing, holds, || {
            Example::row(
                place,
                format!("term {term} of {trader} was fenced and is not the present {office}'s"),
            )
        });
        if holds {
            *self.slot(office) = None;
        }
        self.paired = false;
    }

    /// Only a void may come from the warehouse itself, without a term.
    fn written(&self, place: &Place, record: &Record, alarms: &mut Alarms) {
        let Some(decision) = record.decision() else { return };
        let (trader, term) = (decision.trader, decision.term);
        let own = matches!(record, Record::Void { .. }) && term == Term(0) && trader == PeerId::WAREHOUSE;
        let granted = self.is_present(trader, term);
        alarms.check(Check::Fencing, own || granted, || {
            Example::row(place, format!("settled by {trader} under term {term}, which is no present grant"))
        });
    }
}
