//! Bully for one office (H. Garcia-Molina, *Elections in a Distributed Computing System*, IEEE ToC C-31, 1982): finds
//! the highest live id that may stand.
//!
//! In: that the office is vacant or filled, messages, peers that cannot be reached, timers, the warehouse's word. Out:
//! [`Effect`]s. A peer runs two of these, one per office. What differs from the paper:
//! - winning is not holding. The winner claims the office at the warehouse, which grants it once; COORDINATOR is told
//!   only after the grant. So a wrong winner (lost or late messages) costs an answer, never a second holder;
//! - COORDINATOR only holds the next round off; what ends a round is the roster, by [`Election::filled`]. A late
//!   COORDINATOR of a trader that died since could otherwise end the round that was to replace it;
//! - a round is about one *vacancy*. Where the office was filled and has become vacant again meanwhile, the round
//!   begins anew: higher ids kept silent to its ELECTION because they knew the holder, not because they are gone;
//! - a peer whose connection is refused is not waited for.
//!
//! Invariants: at most one round runs; it claims at most once, and sends at most one ELECTION to each higher id and none
//! to lower ones; every phase but a claim ends by a timer, and every change of phase makes older
//! timers stale.

use std::collections::BTreeSet;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, ELECTION_COORDINATOR_MS, ELECTION_OK_MS};
use crate::types::{Now, PeerId, Seq};

/// What peers tell each other in the election of one office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// To higher ids: is one of you there to take the office?
    Election,
    /// To the lower id that asked: yes, leave it to me.
    Ok,
    /// To everyone: the warehouse granted it to me.
    Coordinator,
}

/// What the node has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Tell a peer; if it cannot be reached, say so with [`Election::unreachable`].
    Send {
        /// The peer.
        to: PeerId,
        /// What it is told.
        message: Message,
    },
    /// Call [`Election::timer`] with the token, not before the time. It replaces any earlier timer of this office.
    SetTimer {
        /// When.
        at: Now,
        /// What tells it from stale ones.
        token: u64,
    },
    /// Claim the office at the warehouse, and answer with [`Election::granted`] or [`Election::refused`].
    Claim,
}

/// An office that can be claimed and that this peer may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vacancy {
    /// The roster's sequence: it tells this vacancy from those before the office was last filled.
    pub since: Seq,
    /// The other peers that may stand: no clients, none that left, for the secondary not the primary.
    pub rivals: BTreeSet<PeerId>,
}

/// How far the round is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// No round runs.
    Resting,
    /// ELECTION was sent; these have neither answered nor turned out unreachable. Never empty.
    Asking { silent: BTreeSet<PeerId> },
    /// These said that they go on with the election. Never empty.
    Awaiting { promised: BTreeSet<PeerId> },
    /// The warehouse has the claim.
    Claiming,
    /// The claim failed; the next round begins with the timer.
    BackingOff,
}

/// The election of one office at one peer.
#[derive(Clone, Debug)]
pub struct Election {
    me: PeerId,
    phase: Phase,
    vacancy: Vacancy,
    token: u64,
    backoff_ms: u64,
    rounds: u64,
}

impl Election {
    /// No round runs yet.
    pub(crate) fn new(me: PeerId) -> Election {
        let vacancy = Vacancy { since: Seq(0), rivals: BTreeSet::new() };
        Election { me, phase: Phase::Resting, vacancy, token: 0, backoff_ms: backoff_min_ms(), rounds: 0 }
    }

    /// Elections started, for `status`.
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The office can be claimed and this peer may stand: starts a round unless one runs for this vacancy. To be called
    /// when the roster or the membership changes and this holds; calling it more often does no harm.
    pub(crate) fn vacant(&mut self, now: Now, vacancy: Vacancy) -> Vec<Effect> {
        let earlier = std::mem::replace(&mut self.vacancy, vacancy).since;
        match self.phase {
            Phase::Resting => self.start(now),
            Phase::Asking { .. } | Phase::Awaiting { .. } if earlier != self.vacancy.since => self.start(now),
            _ => Vec::new(),
        }
    }

    /// A peer's message. `vacancy`: if by the newest roster, the message's own included, the office can be claimed and
    /// this peer may hold it. Then ELECTION from a lower id is answered, and this peer starts a round, too: the lower
    /// id may have seen the vacancy first. Otherwise ELECTION is ignored, and the lower id learns from the warehouse
    /// what is wrong with its claim.
    pub(crate) fn received(
        &mut self,
        now: Now,
        from: PeerId,
        message: Message,
        vacancy: Option<Vacancy>,
    ) -> Vec<Effect> {
        match (message, vacancy) {
            (Message::Election, Some(vacancy)) if from < self.me => {
                let mut effects = vec![Effect::Send { to: from, message: Message::Ok }];
                effects.extend(self.vacant(now, vacancy));
                effects
            }
            (Message::Ok, _) if from > self.me => self.promised(now, from),
            (Message::Coordinator, _) if from != self.me => self.promised(now, from),
            (Message::Election | Message::Ok | Message::Coordinator, _) => Vec::new(),
        }
    }

    /// The connection to a peer is refused or broken: it does not answer this round. If no other higher id is left to
    /// wait for, claims at once; if only this peer had promised to take over, starts a new round. `may_stand`: whether there
    /// is a vacancy for it, as in `received`; if not, the round is over.
    pub fn unreachable(&mut self, now: Now, peer: PeerId, may_stand: bool) -> Vec<Effect> {
        let (Phase::Asking { silent: open } | Phase::Awaiting { promised: open }) = &mut self.phase else {
            return Vec::new();
        };
        if !open.remove(&peer) || !open.is_empty() {
            return Vec::new();
        }
        self.go_on(now, may_stand)
    }

    /// A timer went off. Stale ones do nothing. `may_stand` as in `unreachable`: if not, the round is over. Else
    /// a peer would go on to claim an office that it may not hold, or that another one is to fill.
    pub fn timer(&mut self, now: Now, token: u64, may_stand: bool) -> Vec<Effect> {
        if token == self.token { self.go_on(now, may_stand) } else { Vec::new() }
    }

    /// Nobody is waited for any more in this phase.
    fn go_on(&mut self, now: Now, may_stand: bool) -> Vec<Effect> {
        match self.phase {
            Phase::Resting | Phase::Claiming => Vec::new(),
            _ if !may_stand => {
                self.filled();
                Vec::new()
            }
            Phase::Asking { .. } => self.claim(),
            Phase::Awaiting { .. } | Phase::BackingOff => self.start(now),
        }
    }

    /// The roster shows a holder, or this peer may not stand any more: the round is over.
    pub fn filled(&mut self) {
        self.backoff_ms = backoff_min_ms();
        self.enter(Phase::Resting);
    }

    /// The warehouse granted our claim: COORDINATOR to everyone else. Announces even if the roster came before the
    /// answer and ended the round. If a still newer roster shows that the grant has ended by now, call
    /// [`Election::refused`] instead: no round was begun for that vacancy, since the claim was still open.
    pub fn granted(&mut self, everyone: &BTreeSet<PeerId>) -> Vec<Effect> {
        self.filled();
        let send = |&to| Effect::Send { to, message: Message::Coordinator };
        everyone.iter().filter(|&&peer| peer != self.me).map(send).collect()
    }

    /// The warehouse refused our claim or could not be reached: a new round after a pause, which doubles from
    /// [`BACKOFF_MIN`] to [`BACKOFF_MAX`] until the office is filled. Call [`Election::filled`] after it if the roster
    /// that came with the refusal shows a holder.
    pub fn refused(&mut self, now: Now) -> Vec<Effect> {
        if self.phase != Phase::Claiming {
            return Vec::new();
        }
        let pause_ms = self.backoff_ms;
        self.backoff_ms = (pause_ms * 2).min(BACKOFF_MAX.as_millis() as u64);
        self.enter(Phase::BackingOff);
        vec![self.timer_in(now, pause_ms)]
    }

    fn start(&mut self, now: Now) -> Vec<Effect> {
        self.rounds += 1;
        let higher = self.vacancy.rivals.iter().copied().filter(|&peer| peer > self.me);
        let silent: BTreeSet<PeerId> = higher.collect();
        if silent.is_empty() {
            return self.claim();
        }
        let send = |&to| Effect::Send { to, message: Message::Election };
        let mut effects: Vec<Effect> = silent.iter().map(send).collect();
        self.enter(Phase::Asking { silent });
        effects.push(self.timer_in(now, ELECTION_OK_MS));
        effects
    }

    /// Another peer goes on with the election, or holds the office. The first such word starts the wait for the roster;
    /// later ones do not prolong it, so that a stream of them cannot hold a round off for ever.
    fn promised(&mut self, now: Now, from: PeerId) -> Vec<Effect> {
        match &mut self.phase {
            Phase::Asking { .. } => {
                self.enter(Phase::Awaiting { promised: BTreeSet::from([from]) });
                vec![self.timer_in(now, ELECTION_COORDINATOR_MS)]
            }
            Phase::Awaiting { promised } => {
                promised.insert(from);
                Vec::new()
            }
            Phase::Resting | Phase::Claiming | Phase::BackingOff => Vec::new(),
        }
    }

    fn claim(&mut self) -> Vec<Effect> {
        self.enter(Phase::Claiming);
        vec![Effect::Claim]
    }

    fn enter(&mut self, phase: Phase) {
        self.token += 1;
        self.phase = phase;
    }

    fn timer_in(&self, now: Now, ms: u64) -> Effect {
        Effect::SetTimer { at: now.after_ms(ms), token: self.token }
    }
}

fn backoff_min_ms() -> u64 {
    BACKOFF_MIN.as_millis() as u64
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;

    const ME: PeerId = PeerId(4);
    const START: Now = Now(1_000);

    fn peers(ids: &[u32]) -> BTreeSet<PeerId> {
        ids.iter().copied().map(PeerId).collect()
    }

    fn vacancy(rivals: &[u32]) -> Vacancy {
        Vacancy { since: Seq(1), rivals: peers(rivals) }
    }

    fn send(to: u32, message: Message) -> Effect {
        Effect::Send { to: PeerId(to), message }
    }

    fn timer_of(effects: &[Effect]) -> (Now, u64) {
        let timer = |effect: &Effect| match effect {
            Effect::SetTimer { at, token } => Some((*at, *token)),
            _ => None,
        };
        effects.iter().find_map(timer).expect("a timer")
    }

    /// Peer 4 of 2, 4, 6, 8 that has just asked 6 and 8.
    fn asking() -> (Election, Vec<Effect>) {
        let mut election = Election::new(ME);
        let effects = election.vacant(START, vacancy(&[2, 6, 8]));
        (election, effects)
    }

    fn awaiting() -> (Election, (Now, u64)) {
        let (mut election, _) = asking();
        let effects = election.received(START, PeerId(6), Message::Ok, Some(vacancy(&[2, 6, 8])));
        let timer = timer_of(&effects);
        (election, timer)
    }

    #[test]
    fn a_vacancy_asks_higher_ids_only_and_once() {
        let (mut election, effects) = asking();
        let timer = Effect::SetTimer { at: START.after_ms(ELECTION_OK_MS), token: 1 };
        assert_eq!(effects, [send(6, Message::Election), send(8, Message::Election), timer]);
        assert_eq!(election.vacant(START, vacancy(&[2, 6, 8])), []);
        assert_eq!(election.rounds(), 1);
    }

    #[test]
    fn the_highest_claims_without_waiting_for_anybody() {
        let mut election = Election::new(ME);
        assert_eq!(election.vacant(START, vacancy(&[1, 2, 3, 4])), [Effect::Claim]);
        assert_eq!(election.vacant(START, vacancy(&[1, 2, 3])), [], "one claim at a time");
    }

    #[test]
    fn silence_of_all_higher_ids_leads_to_a_claim() {
        let (mut election, effects) = asking();
        let (at, token) = timer_of(&effects);
        assert_eq!(election.timer(at, token, true), [Effect::Claim]);
    }

    #[test]
    fn dead_higher_ids_are_not_waited_for() {
        let (mut election, _) = asking();
        assert_eq!(election.unreachable(START, PeerId(8), true), []);
        assert_eq!(election.unreachable(START, PeerId(8), true), [], "told twice of one peer");
        assert_eq!(election.unreachable(START, PeerId(2), true), [], "a lower id is not waited for");
        assert_eq!(election.unreachable(START, PeerId(6), true), [Effect::Claim]);
    }

    #[test]
    fn after_an_ok_the_old_timer_does_not_claim() {
        let (mut election, effects) = asking();
        let (_, stale) = timer_of(&effects);
        let effects = election.received(START, PeerId(6), Message::Ok, Some(vacancy(&[2, 6, 8])));
        let (at, token) = timer_of(&effects);
        assert_eq!(at, START.after_ms(ELECTION_COORDINATOR_MS));
        assert_eq!(election.timer(at, stale, true), []);
        let again = election.timer(at, token, true);
        assert_eq!(
            again[..2],
            [send(6, Message::Election), send(8, Message::Election)],
            "nobody took it: once more"
        );
        assert_eq!(election.rounds(), 2);
    }

    #[test]
    fn a_promise_of_a_peer_that_broke_off_is_worth_nothing() {
        let (mut election, _) = awaiting();
        assert_eq!(election.received(START, PeerId(8), Message::Ok, Some(vacancy(&[]))), []);
        assert_eq!(election.unreachable(START, PeerId(6), true), [], "8 still stands by its word");
        assert_eq!(election.unreachable(START, PeerId(8), true).len(), 3, "a new round");
    }

    /// The higher ids knew the holder when they were asked, and kept silent. It died; with the old round the lower id
    /// would have taken the office from under them.
    #[test]
    fn a_round_begins_anew_where_the_office_was_filled_meanwhile() {
        for (mut election, (at, stale)) in [(asking().0, timer_of(&asking().1)), awaiting()] {
            let later = Vacancy { since: Seq(2), ..vacancy(&[2, 6, 8]) };
            let effects = election.vacant(at, later.clone());
            assert_eq!(effects[..2], [send(6, Message::Election), send(8, Message::Election)]);
            assert_eq!(election.timer(at, stale, true), []);
            assert_eq!(election.vacant(at, later), [], "once for each vacancy");
        }
    }

    #[test]
    fn a_lower_id_is_told_to_leave_it_to_us() {
        let mut election = Election::new(ME);
        let effects = election.received(START, PeerId(2), Message::Election, Some(vacancy(&[2])));
        assert_eq!(effects, [send(2, Message::Ok), Effect::Claim]);
        let effects = election.received(START, PeerId(3), Message::Election, Some(vacancy(&[2])));
        assert_eq!(effects, [send(3, Message::Ok)], "the round that runs serves both");
    }

    #[test]
    fn who_may_not_stand_keeps_silent() {
        let mut election = Election::new(ME);
        assert_eq!(election.received(START, PeerId(2), Message::Election, None), []);
        assert_eq!(election.received(START, PeerId(6), Message::Election, Some(vacancy(&[2]))), []);
        assert_eq!(
            election.received(START, PeerId(6), Message::Ok, Some(vacancy(&[2]))),
            [],
            "nothing was asked"
        );
        assert_eq!(election.rounds(), 0);
    }

    #[test]
    fn a_lower_id_cannot_say_ok() {
        let (mut election, _) = asking();
        assert_eq!(election.received(START, PeerId(2), Message::Ok, Some(vacancy(&[2, 6, 8]))), []);
    }

    #[test]
    fn a_word_of_its_own_is_no_word_of_another() {
        for message in [Message::Election, Message::Ok, Message::Coordinator] {
            let (mut election, _) = asking();
            assert_eq!(election.received(START, ME, message, Some(vacancy(&[2, 6, 8]))), [], "{message:?}");
        }
    }

    #[test]
    fn a_late_coordinator_holds_a_round_off_but_does_not_end_it() {
        let (mut election, _) = asking();
        let effects = election.received(START, PeerId(2), Message::Coordinator, Some(vacancy(&[2, 6, 8])));
        let (at, token) = timer_of(&effects);
        assert_eq!(at, START.after_ms(ELECTION_COORDINATOR_MS));
        assert_eq!(election.received(at, PeerId(2), Message::Coordinator, Some(vacancy(&[2, 6, 8]))), []);
        assert_eq!(election.timer(at, token, true).len(), 3, "a stream of them does not prolong it");
    }

    #[test]
    fn a_filled_office_ends_the_round_and_its_timer() {
        let (mut election, (at, token)) = awaiting();
        election.filled();
        assert_eq!(election.timer(at, token, true), []);
        assert_eq!(election.unreachable(START, PeerId(6), true), []);
    }

    #[test]
    fn coordinator_is_told_to_everyone_but_ourselves_and_after_the_grant_only() {
        let mut election = Election::new(ME);
        assert_eq!(election.vacant(START, vacancy(&[2])), [Effect::Claim]);
        election.filled(); // the roster overtakes the answer
        let announced = [send(2, Message::Coordinator), send(1_001, Message::Coordinator)];
        assert_eq!(election.granted(&peers(&[2, 4, 1_001])), announced);
    }

    #[test]
    fn refused_claims_are_repeated_ever_more_slowly_up_to_a_bound() {
        let mut election = Election::new(ME);
        let mut now = START;
        assert_eq!(election.vacant(now, vacancy(&[])), [Effect::Claim]);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let effects = election.refused(now);
            let (at, token) = timer_of(&effects);
            pauses.push(at.ms_since(now));
            now = at;
            assert_eq!(election.refused(now), [], "no claim is open");
            assert_eq!(election.vacant(now, vacancy(&[])), [], "the pause holds though the office is vacant");
            assert_eq!(election.timer(now, token, true), [Effect::Claim]);
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        election.filled();
        assert_eq!(election.vacant(now, vacancy(&[])), [Effect::Claim]);
        assert_eq!(timer_of(&election.refused(now)).0, now.after_ms(10), "a new vacancy, a short pause");
    }
}
