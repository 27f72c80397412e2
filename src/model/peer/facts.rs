//! What every room of a peer may read, and the few ways to change it: recording, hearing a clock, saying something.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};

use super::PeerState;
use crate::limits::CLIENT_CLOCK_LEAD_MAX;
use crate::model::call::{Answer, Ask, Refusal, SessionInfo};
use crate::model::clock::Clock;
use crate::model::fold::Fold as _;
use crate::model::happening::What;
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::membership::Membership;
use crate::model::message::{Message, PeerWord};
use crate::model::offices::Roster;
use crate::model::peer::entry::Entry;
use crate::model::step::{At, Because, CallId, ConnId, Effect, ReplyId, Turn};
use crate::types::{
    Epoch, Generation, Hash, Money, Now, Office, OrderId, PeerId, ProcessId, Role, Seq, Stamp, Term, Token,
};

/// A peer's identity and timers.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    /// Its id.
    pub id: PeerId,
    /// The market's.
    pub cluster: String,
    /// Epoch of its store, once its session is open.
    pub epoch: Epoch,
    /// The secret of its store.
    pub token: Token,
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
}

/// See the module's text.
pub(super) struct Facts {
    pub(super) me: Me,
    pub(super) state: PeerState,
    pub(super) clock: Clock,
    /// The highest clock that nodes have said, not clients.
    trusted_clock: Stamp,
    pub(super) roster: Roster,
    pub(super) membership: Membership,
    /// Generation, sequence and block hash of the ledger as last heard of; the journal learns it later. The generation
    /// is that of the peer's session.
    pub(super) ledger_seen: (Generation, Seq, Hash),
    /// When the journal last learned it.
    pub(super) ledger_kept: Now,
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
            trusted_clock: clock.now(),
            ledger_seen: state.ledger_seen,
            ledger_kept: now,
            me,
            state,
            clock,
            roster: Roster::default(),
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

    pub(super) fn hello(&self, prove: bool) -> Box<Hello> {
        Box::new(Hello {
            peer: self.me.id,
            epoch: self.me.epoch,
            token: prove.then_some(self.me.token),
            process: self.me.process,
            clock: self.clock.now(),
            roster: self.roster.clone(),
            generation: self.ledger_seen.0,
            ledger: (self.ledger_seen.1, self.ledger_seen.2),
            cluster: self.me.cluster.clone(),
            addr: self.me.addr.clone(),
            stream: 0,
        })
    }

    /// The hello of a stream that is dialed now.
    pub(super) fn first_hello(&mut self, prove: bool) -> Box<Hello> {
        self.dialed += 1;
        Box::new(Hello { stream: self.dialed, ..*self.hello(prove) })
    }

    /// Whether the warehouse's ledger goes on from what this peer had seen when it dialed, which was up to `shown`. If
    /// not, nothing is said or heard on that stream.
    pub(super) fn trusts(&self, hello: &Hello, shown: Seq) -> bool {
        let (own, theirs) = (self.ledger_seen.0, hello.generation);
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
    pub(super) fn saw_ledger(&mut self, ledger: (Seq, Hash)) {
        if ledger.0 > self.ledger_seen.1 {
            (self.ledger_seen.1, self.ledger_seen.2) = ledger;
        }
    }

    /// Takes a roster in if it is news. What follows from it happens at the end of the step.
    pub(super) fn hear_roster(&mut self, roster: Roster) {
        // Of another restore with the same count, whoever told it: its terms are not this ledger's.
        if roster.generation.rivals(self.ledger_seen.0) {
            return;
        }
        if roster.newer_than(&self.roster) {
            let before = std::mem::replace(&mut self.roster, roster);
            self.news.roster.get_or_insert(before);
        }
    }

    /// Takes in the clock of a node. A leap is ignored.
    pub(super) fn hear(&mut self, clock: Stamp) {
        match self.clock.receive(clock) {
            Ok(_) => self.trusted_clock = self.trusted_clock.max(clock),
            Err(leap) => tracing::warn!(%leap, "a clock was not believed"),
        }
    }

    /// Takes in the clock of a peer or client that trades here; false if it is too far ahead. Anybody may become a
    /// client. So a client's clock must be near to what nodes have said: otherwise a few hellos would carry this peer's
    /// clock so far ahead that the warehouse never believes it again.
    pub(super) fn hear_orderer(&mut self, from: PeerId, clock: Stamp) -> bool {
        if from.is_client() {
            let near = clock.0 <= self.trusted_clock.0.saturating_add(CLIENT_CLOCK_LEAD_MAX);
            return near && self.clock.receive(clock).is_ok();
        }
        let believed = self.clock.receive(clock).is_ok();
        if believed {
            self.trusted_clock = self.trusted_clock.max(clock);
        }
        believed
    }

    /// The first clock of a process, which the warehouse gives without a bound.
    pub(super) fn adopt_clock(&mut self, clock: Stamp) {
        self.clock.adopt(clock);
        self.trusted_clock = self.clock.now();
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

/// One step's view: the facts, and where records and effects go.
pub(super) struct Cx<'a> {
    pub(super) facts: &'a mut Facts,
    pub(super) turn: &'a mut Turn<Entry>,
}

impl Deref for Cx<'_> {
    type Target = Facts;
    fn deref(&self) -> &Facts {
        self.facts
    }
}

impl DerefMut for Cx<'_> {
    fn deref_mut(&mut self) -> &mut Facts {
        self.facts
    }
}

impl Cx<'_> {
    /// Applies an entry now; it becomes durable with this turn, or later if nobody waits for it.
    pub(super) fn record(&mut self, entry: Entry) {
        let (seq, time) = (self.state.seq.next(), self.at.time);
        self.facts.state.apply(seq, time, &entry);
        match entry {
            Entry::Answered { .. }
            | Entry::Settled { .. }
            | Entry::HandedOver { .. }
            | Entry::LedgerSeen { .. }
            | Entry::Trimmed { .. }
            | Entry::AskedAgain { .. } => self.turn.record_lazily(entry),
            entry => self.turn.record(entry),
        }
    }

    /// A session as the warehouse told it. It is journaled, so that a restarted trader knows the peers that it serves.
    pub(super) fn know(&mut self, session: SessionInfo) {
        let SessionInfo { peer, epoch, store } = session;
        if self.state.known.get(&peer) != Some(&(epoch, store)) {
            self.record(Entry::Known { peer, epoch, store });
        }
    }

    /// The journal learns what the ledger held. The state changes with the journal, never before it: a checkpoint is
    /// the fold of what was journaled.
    pub(super) fn keep_ledger_seen(&mut self) {
        self.ledger_kept = self.now();
        if self.ledger_seen != self.state.ledger_seen {
            let (generation, seq, hash) = self.ledger_seen;
            self.record(Entry::LedgerSeen { generation, seq, hash, proof: None });
        }
    }

    // ---- effects

    pub(super) fn dial(&mut self, addr: &str, first: Message) -> ConnId {
        let conn = self.turn.conn();
        let addr = addr.to_owned();
        self.turn.at_once(Because::TellsNothing, Effect::Dial { conn, addr, first });
        conn
    }

    pub(super) fn send(&mut self, because: Because, conn: ConnId, message: Message) {
        self.turn.at_once(because, Effect::Send(conn, message));
    }

    pub(super) fn hang_up(&mut self, conn: ConnId) {
        self.turn.at_once(Because::TellsNothing, Effect::HangUp(conn));
    }

    /// Calls the warehouse; `purpose` says which room gets the answer.
    pub(super) fn call_warehouse(&mut self, purpose: Purpose, ask: Ask) {
        let addr = self.warehouse.clone();
        self.call(purpose, addr, ask);
    }

    pub(super) fn call(&mut self, purpose: Purpose, addr: String, ask: Ask) {
        let call = self.turn.call();
        self.calls.insert(call, purpose);
        self.turn.at_once(Because::TellsNothing, Effect::Call { call, addr, ask });
    }

    /// Answers when what was recorded before is durable.
    pub(super) fn reply(&mut self, reply: ReplyId, answer: Result<Answer, Refusal>) {
        self.turn.hold(Effect::Reply(reply, answer));
    }

    /// Tells what the warehouse has journaled.
    pub(super) fn reply_at_once(&mut self, reply: ReplyId, answer: Result<Answer, Refusal>) {
        self.turn.at_once(Because::Journaled, Effect::Reply(reply, answer));
    }

    pub(super) fn happen(&mut self, what: What) {
        self.turn.at_once(Because::TellsNothing, Effect::Happen(what));
    }

    pub(super) fn say(&mut self, line: String) {
        tracing::info!("{line}");
        self.happen(What::Line(line));
    }
}
