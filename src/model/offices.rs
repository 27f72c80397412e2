//! The two offices: grants, terms, fences, pairs, and each peer's home.
//!
//! Bully finds a candidate; what makes it a trader is a grant of the warehouse. A write is admitted iff its term equals
//! the present grant, so a trader that was replaced without knowing can do no harm. `Offices` is the fold of the
//! ledger's office, fence, paired, restored and mode rows; `Roster` is what others are told of it, and of which holders are
//! seen alive.

use serde::{Deserialize, Serialize};

use super::evidence::Licence;
use super::row::Record;
use crate::types::{Consistency, Generation, Office, PeerId, ProcessId, Seq, Term};

/// One grant of an office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Which post.
    pub office: Office,
    /// The peer that holds it.
    pub peer: PeerId,
    /// In which life.
    pub process: ProcessId,
    /// The number of the grant.
    pub term: Term,
}

/// The present grants and the counter of all grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offices {
    /// The last grant's number.
    pub last_term: Term,
    /// The grant of the first post.
    pub primary: Option<Grant>,
    /// The grant of the second.
    pub secondary: Option<Grant>,
    /// The two are journaled as partners.
    pub paired: bool,
    /// Sequence of the last row that changed any of this.
    pub seq: Seq,
}

impl Offices {
    /// The grant of an office.
    pub(crate) fn get(&self, office: Office) -> Option<&Grant> {
        match office {
            Office::Primary => self.primary.as_ref(),
            Office::Secondary => self.secondary.as_ref(),
        }
    }

    fn slot(&mut self, office: Office) -> &mut Option<Grant> {
        match office {
            Office::Primary => &mut self.primary,
            Office::Secondary => &mut self.secondary,
        }
    }

    /// The grants there are.
    pub(crate) fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.primary.iter().chain(&self.secondary)
    }

    /// The present grant with this number: what a write under `term` needs.
    pub(crate) fn present(&self, term: Term) -> Option<&Grant> {
        self.grants().find(|grant| grant.term == term)
    }

    /// The grant that a peer holds.
    pub(crate) fn held_by(&self, peer: PeerId) -> Option<&Grant> {
        self.grants().find(|grant| grant.peer == peer)
    }

    /// Each office has its own grant, of another peer than the other's, and no term is above the counter.
    ///
    /// # Errors
    /// Says what does not hold.
    pub(crate) fn invariants(&self) -> Result<(), String> {
        for office in Office::BOTH {
            if self.get(office).is_some_and(|grant| grant.office != office || grant.term > self.last_term) {
                return Err(format!("V09: {:?} stands for the {office} office", self.get(office)));
            }
        }
        match (&self.primary, &self.secondary) {
            (Some(one), Some(other)) if one.peer == other.peer || one.term == other.term => {
                Err(format!("V09: {one:?} and {other:?} hold both offices"))
            }
            (None, _) | (_, None) if self.paired => Err("V09: a pair of which one is missing".to_owned()),
            _ => Ok(()),
        }
    }

    /// Takes an office, fence, paired, restored or mode row in; other rows change nothing.
    pub(crate) fn apply(&mut self, seq: Seq, record: &Record) {
        match record {
            Record::Office { office, trader, process, term, .. } => {
                let other = self.slot(office.other());
                if other.is_some_and(|grant| grant.peer == *trader) {
                    *other = None;
                }
                *self.slot(*office) =
                    Some(Grant { office: *office, peer: *trader, process: *process, term: *term });
                self.last_term = *term;
                self.paired = false;
            }
            Record::Fence { term, .. } => {
                for office in Office::BOTH {
                    let slot = self.slot(office);
                    if slot.is_some_and(|grant| grant.term == *term) {
                        *slot = None;
                    }
                }
                self.paired = false;
            }
            Record::Paired { .. } => self.paired = true,
            Record::Restored { generation, .. } => {
                (self.primary, self.secondary, self.paired) = (None, None, false);
                // Terms of the part that was lost are never granted again.
                self.last_term = self.last_term.max(generation.before_first_term());
            }
            // The terms that were of another mode are fenced by then.
            Record::Mode { .. } => {}
            _ => return,
        }
        self.seq = seq;
    }
}

/// A holder as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The peer.
    pub peer: PeerId,
    /// In which life.
    pub process: ProcessId,
    /// Under which grant.
    pub term: Term,
    /// The warehouse sees it alive. If not, the office can be claimed.
    pub present: bool,
    /// Where it listens; empty if the warehouse was not told.
    pub addr: String,
    /// The warehouse's word of the grant, for the holder to keep.
    pub licence: Option<Box<Licence>>,
}

/// A term that ended with goods set aside, which are free when it is reported what it sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The term.
    pub term: Term,
    /// Who held it.
    pub trader: PeerId,
    /// Its partner; 0 if it had none.
    pub partner: PeerId,
}

/// Who holds the offices, as told to everyone. The higher (`generation`, `seq`, `version`) wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Of the ledger: a restored one goes on from an earlier sequence.
    pub generation: Generation,
    /// Sequence of the last office, fence, paired, restored or mode row; 0: no office was ever granted.
    pub seq: Seq,
    /// Counts changes of presence and address under one sequence (per life of the warehouse).
    pub version: u64,
    /// The first post.
    pub primary: Option<Seat>,
    /// The second.
    pub secondary: Option<Seat>,
    /// They share the peers.
    pub paired: bool,
    /// When they answer.
    pub mode: Consistency,
    /// Peers that are not to stand for an office now.
    pub passed_over: Vec<PeerId>,
    /// Terms whose stores are to report.
    pub frozen: Vec<Frozen>,
}

impl Roster {
    /// Upper estimate of its bytes in memory.
    pub(crate) fn weight(&self) -> usize {
        let addrs: usize = self.seats().map(|seat| seat.addr.len()).sum();
        let frozen = self.frozen.len() * size_of::<Frozen>();
        size_of::<Roster>() + addrs + frozen + self.passed_over.len() * size_of::<PeerId>()
    }

    /// The seat of an office.
    pub fn get(&self, office: Office) -> Option<&Seat> {
        match office {
            Office::Primary => self.primary.as_ref(),
            Office::Secondary => self.secondary.as_ref(),
        }
    }

    /// The seats that are taken.
    pub(crate) fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.primary.iter().chain(&self.secondary)
    }

    /// The office and seat that a peer holds.
    pub fn held_by(&self, peer: PeerId) -> Option<(Office, &Seat)> {
        Office::BOTH
            .into_iter()
            .find_map(|office| Some((office, self.get(office).filter(|seat| seat.peer == peer)?)))
    }

    /// The one trader that decides this peer's orders: paired, even ids the primary and odd ids the secondary; else
    /// the primary, and without one the secondary.
    pub fn home(&self, peer: PeerId) -> Option<&Seat> {
        match (&self.primary, &self.secondary) {
            (Some(primary), Some(secondary)) if self.paired => {
                Some(if peer.is_even() { primary } else { secondary })
            }
            (Some(primary), _) => Some(primary),
            (None, secondary) => secondary.as_ref(),
        }
    }

    /// Why the market is not healthy, as far as the offices go: one is vacant, or its holder absent. So is a holder that
    /// the warehouse, after its own start, waits for and has not seen.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.primary.is_none() && self.secondary.is_none() {
            return Some("no trader in office".to_owned());
        }
        Office::BOTH.into_iter().find_map(|office| match self.get(office) {
            None => Some(format!("no {office} in office")),
            Some(seat) => {
                let is_seen = seat.present && !seat.addr.is_empty();
                (!is_seen).then(|| format!("the {office}, peer {}, is absent", seat.peer))
            }
        })
    }

    /// Whether this is news to someone who knows `other`.
    pub(crate) fn newer_than(&self, other: &Roster) -> bool {
        let place = |it: &Roster| (it.generation.count, it.seq, it.version);
        place(self) > place(other)
    }

    /// Whether the office can be claimed as far as the warehouse has said: vacant, or its holder is not seen alive.
    pub(crate) fn claimable(&self, office: Office) -> bool {
        self.get(office).is_none_or(|seat| !seat.present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Stamp;

    fn office(office: Office, trader: u32, term: u64) -> Record {
        let process = ProcessId::default();
        Record::Office { office, trader: PeerId(trader), process, term: Term(term), clock: Stamp(1) }
    }

    /// A warehouse that was started again counts holders as present for a while, or anybody could claim their offices. It
    /// said that all was well, with every peer dead.
    #[test]
    fn a_holder_that_is_waited_for_is_not_seen() {
        let seat = |peer, addr: &str| {
            let (peer, process, addr) = (PeerId(peer), ProcessId::default(), addr.to_owned());
            Some(Seat { peer, process, term: Term(1), present: true, addr, licence: None })
        };
        let roster = Roster { primary: seat(6, "here"), secondary: seat(5, "there"), ..Roster::default() };
        assert_eq!(roster.trouble(), None);
        let waited_for = Roster { secondary: seat(5, ""), ..roster };
        assert_eq!(waited_for.trouble().as_deref(), Some("the secondary, peer 5, is absent"));
        assert!(!waited_for.claimable(Office::Secondary));
    }

    #[test]
    fn taking_one_office_vacates_the_other() {
        let mut offices = Offices::default();
        offices.apply(Seq(1), &office(Office::Secondary, 5, 1));
        offices.apply(Seq(2), &office(Office::Primary, 5, 2));
        assert_eq!(offices.secondary, None);
        assert!(offices.present(Term(1)).is_none() && offices.present(Term(2)).is_some());
    }

    #[test]
    fn a_fence_of_an_ended_term_changes_no_grant() {
        let mut offices = Offices::default();
        offices.apply(Seq(1), &office(Office::Primary, 5, 1));
        offices.apply(Seq(2), &office(Office::Primary, 6, 2));
        let by = PeerId(6);
        let fence =
            Record::Fence { office: Office::Primary, trader: PeerId(5), term: Term(1), by, clock: Stamp(3) };
        offices.apply(Seq(3), &fence);
        assert_eq!(offices.primary.map(|grant| grant.peer), Some(PeerId(6)));
    }

    #[test]
    fn a_restore_vacates_both_offices_and_skips_the_terms_that_were_lost() {
        let mut offices = Offices::default();
        offices.apply(Seq(1), &office(Office::Primary, 6, 1));
        offices.apply(Seq(2), &office(Office::Secondary, 5, 2));
        let restored = |count| Record::Restored { generation: Generation::of_test(count), clock: Stamp(3) };
        offices.apply(Seq(3), &restored(2));
        assert_eq!((offices.grants().count(), offices.seq, offices.last_term), (0, Seq(3), Term(2 << 46)));
        offices.apply(Seq(4), &office(Office::Primary, 6, (2 << 46) + 1));
        offices.apply(Seq(5), &restored(1));
        assert_eq!(offices.last_term, Term((2 << 46) + 1), "a term is never given twice");
    }

    #[test]
    fn a_restored_ledger_has_the_newer_roster_though_it_is_shorter() {
        let lost = Roster { seq: Seq(800), version: 9, ..Roster::default() };
        let generation = Generation::of_test(1);
        let restored = Roster { generation, seq: Seq(120), ..Roster::default() };
        assert!(restored.newer_than(&lost) && !lost.newer_than(&restored));
    }

    #[test]
    fn homes_are_shared_only_by_a_pair() {
        let seat = |peer| {
            Some(Seat {
                peer: PeerId(peer),
                process: ProcessId::default(),
                term: Term(1),
                present: true,
                addr: String::new(),
                licence: None,
            })
        };
        let mut roster = Roster { primary: seat(6), secondary: seat(5), ..Roster::default() };
        assert_eq!(roster.home(PeerId(3)).map(|seat| seat.peer), Some(PeerId(6)));
        roster.paired = true;
        assert_eq!(roster.home(PeerId(3)).map(|seat| seat.peer), Some(PeerId(5)));
        assert_eq!(roster.home(PeerId(4)).map(|seat| seat.peer), Some(PeerId(6)));
        roster.primary = None;
        assert_eq!(roster.home(PeerId(4)).map(|seat| seat.peer), Some(PeerId(5)));
    }
}
