//! Bully for one office (H. Garcia-Molina, *Elections in a Distributed Computing System*, IEEE ToC C-31, 1982): finds
//! the highest live id that may stand.
//!
//! In: that the office is vacant or filled, messages, peers that cannot be reached, timers, the warehouse's word. Out:
//! [`Effect`]s. A peer runs two of these, one per office. What differs from the paper:
//! - winning is not holding. The winner claims the office at the warehouse, which grants it once; COORDINATOR is told
//!   only after the grant. So a wrong winner (lost or late messages) costs an answer, never a second holder;
//! - COORDINATOR does not end a round, it only holds the next one off: the roster does, by [`Election::filled`]. A late
//!   COORDINATOR of a trader that died since could otherwise end the round that was to replace it;
//! - a peer whose connection is refused is not waited for.
//!
//! Invariants: at most one round runs and at most one claim is open; each round sends at most one ELECTION to each
//! higher id and none to lower ones; every phase but a claim ends by a timer, and every change of phase makes older
//! timers stale.

use std::collections::BTreeSet;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, ELECTION_COORDINATOR_MS, ELECTION_OK_MS};
use crate::types::{Now, Office, PeerId};

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
        /// Whom.
        to: PeerId,
        /// What.
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

/// How far the round is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// No round runs.
    Resting,
    /// ELECTION was sent; these have neither answered nor turned out unreachable. Never empty.
    Asking { silent: BTreeSet<PeerId> },
    /// These said that they take it from here. Never empty.
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
    office: Office,
    phase: Phase,
    others: BTreeSet<PeerId>,
    token: u64,
    backoff_ms: u64,
    rounds: u64,
}

impl Election {
    /// No round runs yet.
    pub fn new(me: PeerId, office: Office) -> Election {
        let (phase, others) = (Phase::Resting, BTreeSet::new());
        Election { me, office, phase, others, token: 0, backoff_ms: backoff_min_ms(), rounds: 0 }
    }

    /// Which office this is about.
    pub fn office(&self) -> Office {
        self.office
    }

    /// Elections started, for `status`.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The office can be claimed and this peer may stand: starts a round unless one runs. `others` are the other peers
    /// that may stand: no clients, none that left, for the secondary not the primary. To be called whenever the roster
    /// or the membership changes and this holds.
    pub fn vacant(&mut self, now: Now, others: &BTreeSet<PeerId>) -> Vec<Effect> {
        self.others.clone_from(others);
        match self.phase {
            Phase::Resting => self.start(now),
            _ => Vec::new(),
        }
    }

    /// A peer's message. `may_stand`: this peer could take the office. ELECTION from a lower id is answered and starts
    /// an own round, since that peer may have seen the vacancy first; if the office is held after all, the warehouse
    /// refuses the claim.
    pub fn received(
        &mut self,
        now: Now,
        from: PeerId,
        message: Message,
        may_stand: bool,
        others: &BTreeSet<PeerId>,
    ) -> Vec<Effect> {
        match message {
            Message::Election if from < self.me && may_stand => {
                let mut effects = vec![Effect::Send { to: from, message: Message::Ok }];
                effects.extend(self.vacant(now, others));
                effects
            }
            Message::Ok if from > self.me => self.promised(now, from),
            Message::Coordinator if from != self.me => self.promised(now, from),
            Message::Election | Message::Ok | Message::Coordinator => Vec::new(),
        }
    }

    /// The connection to a peer is refused or broken: it does not answer this round. If no other higher id is left to
    /// wait for, claims at once; if it had promised to take over, and nobody else had, starts a new round.
    pub fn unreachable(&mut self, now: Now, peer: PeerId) -> Vec<Effect> {
        let (Phase::Asking { silent: open } | Phase::Awaiting { promised: open }) = &mut self.phase else {
            return Vec::new();
        };
        if !open.remove(&peer) || !open.is_empty() {
            return Vec::new();
        }
        match self.phase {
            Phase::Asking { .. } => self.claim(),
            _ => self.start(now),
        }
    }

    /// A timer went off. Stale ones do nothing.
    pub fn timer(&mut self, now: Now, token: u64) -> Vec<Effect> {
        if token != self.token {
            return Vec::new();
        }
        match self.phase {
            Phase::Asking { .. } => self.claim(),
            Phase::Awaiting { .. } | Phase::BackingOff => self.start(now),
            Phase::Resting | Phase::Claiming => Vec::new(),
        }
    }

    /// The roster shows a holder, or this peer may not stand any more: the round is over.
    pub fn filled(&mut self) {
        self.backoff_ms = backoff_min_ms();
        self.enter(Phase::Resting);
    }

    /// The warehouse granted our claim: COORDINATOR to everyone else. Announces even if the roster came before the
    /// answer and ended the round.
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
        let silent: BTreeSet<PeerId> = self.others.iter().copied().filter(|&peer| peer > self.me).collect();
        if silent.is_empty() {
            return self.claim();
        }
        let send = |&to| Effect::Send { to, message: Message::Election };
        let mut effects: Vec<Effect> = silent.iter().map(send).collect();
        self.enter(Phase::Asking { silent });
        effects.push(self.timer_in(now, ELECTION_OK_MS));
        effects
    }

    /// Somebody takes it from here, or has it. The first such word starts the wait for the roster; later ones do not
    /// prolong it, so that a stream of them cannot hold a round off for ever.
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
