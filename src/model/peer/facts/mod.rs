//! What every room of a peer may read, and the few ways to change it: recording, hearing a clock, saying something.

mod cx;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;

pub(super) use self::cx::Cx;

use super::PeerState;
use super::secret::Secret;
use crate::limits::{CLOCK_LEAD_MAX, CLOCK_LEAP_MAX};
use crate::model::call::Refusal;
use crate::model::clock::Clock;
use crate::model::evidence::Seen;
use crate::model::hello::{Dialed, Hello};
use crate::model::link::LinkKey;
use crate::model::market::NotTaken;
use crate::model::membership::Membership;
use crate::model::message::{Introduction, PeerWord};
use crate::model::offices::Roster;
use crate::model::step::{At, CallId};
use crate::model::tentative::Tentative;
use crate::types::{Epoch, Hash, Money, Now, Office, OrderId, PeerId, ProcessId, Role, Seq, Stamp, Term};

/// A peer's identity and timers.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    /// Its id.
    pub id: PeerId,
    /// The market's.
    pub cluster: String,
    /// Epoch of its store, once its session is open.
    pub epoch: Epoch,
    /// The token of its store.
    pub secret: Secret,
    /// This life.
    pub process: ProcessId,
    /// Where it listens.
    pub addr: String,
    /// What it does for itself.
    pub role: Role,
    /// Of the operating system, for people.
    pub pid: u32,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
    /// Milliseconds of silence before suspicion.
    pub suspect_after_ms: u64,
}

/// What a call of this peer was for: its answer goes to the room that asked.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// The peer's own session.
    Open,
    /// An office.
    Claim(Office),
    /// The end of the other trader's term.
    Fence(PeerId),
    /// The end of the term of a secondary that did not come up to date.
    DropSecondary,
    /// The end of the peer's own term.
    Resign(Term),
    /// Another peer's session.
    Session(PeerId),
    /// The secondary is up to date.
    Pair,
    /// These orders go to their home.
    HandOver(Vec<OrderId>),
    /// Whether the other trader lives.
    Probe(PeerId),
    /// What a term that ended had sold.
    Complete(Term),
}

/// What an input changed that other rooms follow: see [`super::follow`].
#[derive(Default)]
pub(super) struct News {
    /// The roster before it changed.
    pub(super) roster: Option<Roster>,
    /// The session was opened, perhaps once more.
    pub(super) session: bool,
    /// The warehouse was restored: what was seen of its ledger before is gone.
    pub(super) generation: bool,
    /// The warehouse gave this store another epoch: this process has another name.
    pub(super) process: bool,
    /// The membership or presence changed in a way that bears on the offices.
    pub(super) offices: bool,
    /// Another node shows newer offices than the warehouse has told this one.
    pub(super) hinted: bool,
    /// Peers that the warehouse has told of.
    pub(super) introduced: Vec<Introduction>,
}

/// The offices as the warehouse has said them to this peer: only this file makes one.
pub(super) struct Told(Roster);

impl Deref for Told {
    type Target = Roster;
    fn deref(&self) -> &Roster {
        &self.0
    }
}

/// See the module's text.
pub(super) struct Facts {
    pub(super) me: Me,
    pub(super) state: PeerState,
    /// Something is told, or was, of orders before they are settled: without that nobody looks for it.
    pub(super) tells_early: bool,
    pub(super) clock: Clock,
    /// The highest clock that the warehouse has said.
    said: Stamp,
    pub(super) roster: Told,
    /// What other peers prove themselves with to this one on a link.
    link_keys: BTreeMap<PeerId, LinkKey>,
    /// The peers that held an office, as far as the warehouse has told us.
    holders: BTreeSet<PeerId>,
    pub(super) membership: Membership,
    /// Generation, sequence and block hash of the ledger as last heard of; the journal learns it later. The generation
    /// is that of the peer's session.
    pub(super) ledger_seen: Seen,
    /// When the journal last learned it.
    pub(super) ledger_kept: Now,
    /// What others have shown of that ledger beyond it, with what should prove it: for the warehouse to judge.
    pub(super) others_seen: Option<Seen>,
    pub(super) goods: Vec<(String, Money)>,
    /// Where the warehouse listens.
    pub(super) warehouse: String,
    pub(super) session_open: bool,
    /// The control stream is up: the warehouse sees this peer.
    pub(super) present: bool,
    /// This process was told to end: it takes on nothing more.
    pub(super) stopping: bool,
    /// This peer goes for good: it takes on nothing more.
    pub(super) leaving: bool,
    /// Of the present step.
    pub(super) at: At,
    pub(super) started: Now,
    pub(super) news: News,
    /// Words to other peers that the links are to carry at the end of the step.
    pub(super) words: VecDeque<(PeerId, PeerWord)>,
    calls: BTreeMap<CallId, Purpose>,
    /// Streams that this process has dialed.
    dialed: u64,
}

impl Facts {
    pub(super) fn new(
        me: Me,
        state: PeerState,
        clock: Clock,
        membership: Membership,
        goods: Vec<(String, Money)>,
        warehouse: String,
        now: Now,
    ) -> Facts {
        Facts {
            said: Stamp(0),
            ledger_seen: state.ledger_seen,
            tells_early: state.accepted.values().any(|it| it.told.is_some()),
            ledger_kept: now,
            others_seen: None,
            me,
            state,
            clock,
            roster: Told(Roster::default()),
            link_keys: BTreeMap::new(),
            holders: BTreeSet::new(),
            membership,
            goods,
            warehouse,
            session_open: false,
            present: false,
            stopping: false,
            leaving: false,
            at: At { now, ..At::default() },
            started: now,
            news: News::default(),
            words: VecDeque::new(),
            calls: BTreeMap::new(),
            dialed: 0,
        }
    }

    pub(super) fn now(&self) -> Now {
        self.at.now
    }

    /// The grant that this process holds.
    pub(super) fn term(&self) -> Option<Term> {
        self.state.grant.map(|(_, term)| term)
    }

    pub(super) fn is_primary(&self) -> bool {
        self.state.grant.is_some_and(|(office, _)| office == Office::Primary)
    }

    /// The grant that the roster shows for this process.
    pub(super) fn granted(&self) -> Option<(Office, Term)> {
        let held = self.roster.held_by(self.me.id).filter(|(_, seat)| seat.process == self.me.process);
        held.map(|(office, seat)| (office, seat.term))
    }

    /// What is told of an accepted order before it is settled.
    pub(super) fn told_of(&self, id: OrderId) -> Option<Tentative> {
        let accepted = self.tells_early.then(|| self.state.accepted.get(&id)).flatten();
        accepted.and_then(|it| it.told)
    }

    /// The term ended with goods set aside, and has not reported what it sold.
    pub(super) fn is_frozen(&self, term: Term) -> bool {
        self.roster.frozen.iter().any(|it| it.term == term)
    }

    /// It takes on nothing more: no office, no order of its own.
    pub(super) fn is_going(&self) -> bool {
        self.stopping || self.leaving
    }

    /// Whether the hello's token is that of the peer's present store, as the warehouse told us.
    pub(super) fn vouches(&self, hello: &Hello) -> bool {
        let known = self.state.known.get(&hello.peer);
        let store = hello.token.map(|token| token.store_id());
        known.is_some_and(|(epoch, id)| *epoch == hello.epoch && Some(*id) == store)
    }

    /// Whether the hello is of a peer that was granted an office, once, as the warehouse told us: anybody else has orders
    /// of others only if it made them up.
    pub(super) fn is_of_a_holder(&self, hello: &Hello) -> bool {
        self.vouches(hello) && self.holders.contains(&hello.peer)
    }

    /// What this peer says of itself. It proves nothing: see [`super::secret`].
    pub(super) fn hello(&self) -> Hello {
        Hello {
            peer: self.me.id,
            epoch: self.me.epoch,
            token: None,
            process: self.me.process,
            clock: self.clock.now(),
            roster: self.roster.clone(),
            generation: self.ledger_seen.generation,
            ledger: self.ledger_seen.ledger(),
            ledger_proof: self.ledger_seen.proof,
            cluster: self.me.cluster.clone(),
            addr: self.me.addr.clone(),
            stream: 0,
            proof: Hash::default(),
        }
    }

    /// The hello of a stream that is dialed now.
    pub(super) fn first_hello(&mut self) -> Hello {
        self.dialed += 1;
        Hello { stream: self.dialed, ..self.hello() }
    }

    // ---- links

    /// The hello of a link that is dialed now, with the proof for that peer at that address.
    pub(super) fn link_hello(&mut self, to: PeerId, addr: &str) -> Box<Hello> {
        let hello = self.first_hello();
        let proof = self.me.secret.link_key(to).dial(hello.dialed(), addr);
        Box::new(Hello { proof, ..hello })
    }

    /// The hello that answers a link.
    pub(super) fn link_answer(&self, theirs: &Hello) -> Box<Hello> {
        let proof = self.me.secret.link_key(theirs.peer).answer(theirs.dialed());
        Box::new(Hello { proof, ..self.hello() })
    }

    /// Whether a link was dialed by the peer that it names, to this one.
    pub(super) fn is_dialed_by(&self, theirs: &Hello) -> bool {
        let proof = self.link_keys.get(&theirs.peer).map(|key| key.dial(theirs.dialed(), &self.me.addr));
        theirs.stream != 0 && proof == Some(theirs.proof)
    }

    /// Whether the answer on a link that this peer dialed is that peer's.
    pub(super) fn is_answered_by(&self, peer: PeerId, dialed: Dialed, proof: Hash) -> bool {
        self.link_keys.get(&peer).is_some_and(|key| key.answer(dialed) == proof)
    }

    /// The warehouse has told of a peer.
    pub(super) fn keep_link_key(&mut self, peer: PeerId, key: LinkKey) {
        self.link_keys.insert(peer, key);
    }

    /// Whether the warehouse's ledger goes on from what this peer had seen when it dialed, which was up to `shown`. If
    /// not, nothing is said or heard on that stream.
    pub(super) fn trusts(&self, hello: &Hello, shown: Seq) -> bool {
        let (own, theirs) = (self.ledger_seen.generation, hello.generation);
        if theirs.rivals(own) {
            tracing::error!("the warehouse is not believed: {}", theirs.rival(own));
        } else if (theirs.count, hello.ledger.0) < (own.count, shown) {
            tracing::error!(
                generation = %theirs, seq = %hello.ledger.0, seen = %own, %shown,
                "the warehouse's ledger lacks what this peer has seen of it: an older copy"
            );
        }
        theirs == own && hello.ledger.0 >= shown
    }

    /// Remembers what the ledger durably holds: shown in hellos, so that an older copy of it is found out.
    pub(super) fn saw_ledger(&mut self, seen: Seen) {
        self.ledger_seen.learn(&seen);
    }

    // ---- what others say

    /// Takes a roster in that the warehouse said, if it is news. What follows from it happens at the end of the step.
    pub(super) fn told_roster(&mut self, roster: Roster) {
        // Of another restore with the same count, whoever told it: its terms are not this ledger's.
        if roster.generation.rivals(self.ledger_seen.generation) {
            return;
        }
        if roster.newer_than(&self.roster) {
            self.holders.extend(roster.seats().map(|seat| seat.peer));
            let before = std::mem::replace(&mut self.roster, Told(roster));
            self.news.roster.get_or_insert(before.0);
        }
    }

    /// Another node shows its offices. Anybody may show any, and a node that believed them would send its orders and its
    /// token to whom they name; so newer ones are a reason to ask the warehouse, and nothing else. A roster that proves
    /// that the warehouse said it is to be taken in here.
    pub(super) fn hinted_roster(&mut self, roster: &Roster) {
        self.news.hinted |= roster.newer_than(&self.roster);
    }

    /// A peer's proven hello shows its offices, and what it has seen of the ledger. If that is more than this peer has
    /// seen, the warehouse is shown it when it is asked next; a trader asks for that alone, since orders are settled
    /// through it. Without this: the warehouse's directory is put back, and the traders' stores are lost with it; the
    /// others' control streams still look alive, so they do not come to say what is missing. A new trader asks because of
    /// their rosters, again and again, and has nothing to show itself; it settles what was settled. And the others wait
    /// for a roster beyond the one that the ledger has lost, so that nobody stands for its secondary.
    pub(super) fn hinted_by(&mut self, hello: &Hello) {
        self.hinted_roster(&hello.roster);
        let seen = hello.seen();
        let mut known = [self.ledger_seen].into_iter().chain(self.others_seen);
        let more = |known: Seen| seen.generation == known.generation && seen.tells_more_than(&known);
        if seen.proof.is_some() && known.all(more) {
            self.others_seen = Some(seen);
            self.news.hinted |= self.term().is_some();
        }
    }

    /// Takes in a clock of the warehouse. A leap is ignored.
    pub(super) fn hear_warehouse(&mut self, clock: Stamp) {
        match self.clock.receive(clock) {
            Ok(_) => self.said = self.said.max(clock),
            Err(leap) => tracing::warn!(%leap, "a clock was not believed"),
        }
    }

    /// The clock with which the warehouse opens the session, without a bound.
    pub(super) fn adopt_clock(&mut self, clock: Stamp) {
        self.clock.adopt(clock);
        self.said = self.said.max(clock);
    }

    /// Takes in the clock of a peer or client; false, and nothing is changed, if it leads what the warehouse said by too
    /// much. What is not above this peer's own clock leads nobody anywhere. The bound holds from the warehouse's word and
    /// not from this clock: otherwise many small steps carry all clocks as far as one leap.
    pub(super) fn hear_peer(&mut self, from: PeerId, clock: Stamp) -> bool {
        let lead = if self.roster.held_by(from).is_some() { CLOCK_LEAP_MAX } else { CLOCK_LEAD_MAX };
        let believed = clock <= self.clock.now() || clock.0 <= self.said.0.saturating_add(lead);
        if believed {
            self.clock.adopt(clock);
        } else {
            tracing::warn!(%from, %clock, "a clock was not believed");
        }
        believed
    }

    /// Says a word to a peer at the end of the step.
    pub(super) fn tell(&mut self, to: PeerId, word: PeerWord) {
        self.words.push_back((to, word));
    }

    /// A refusal of an order with the present offices as a referral.
    pub(super) fn refusal(&self, why: NotTaken) -> Refusal {
        Refusal::NotTaken(why, Box::new(self.roster.clone()))
    }

    pub(super) fn called_for(&mut self, call: CallId) -> Option<Purpose> {
        self.calls.remove(&call)
    }

    #[cfg(test)]
    pub(super) fn open_calls(&self) -> impl Iterator<Item = CallId> {
        self.calls.keys().copied()
    }
}
