//! Control streams: who is present, who answers, and who may be replaced.

use std::collections::{BTreeMap, BTreeSet};

use super::{Conn, Denied, Warehouse};
use crate::limits::{ADDR_BYTES_MAX, CLOCK_LEAD_MAX, CLOCK_LEAP_MAX};
use crate::model::hello::{Dialed, Hello};
use crate::model::link::LinkKey;
use crate::model::membership::Member;
use crate::model::message::{ControlUp, Introduction};
use crate::model::offices::{Grant, Offices};
use crate::model::passed_over::PassedOver;
use crate::model::row::Record;
use crate::model::step::{At, ConnId, Turn};
use crate::types::{Now, PeerId, ProcessId, Stamp, Term, Token};

/// The peers that are seen, in this life of the warehouse.
pub(super) struct Presence {
    /// When this life began, or went on after a pause: holders have suspect-after from then to come.
    since: Now,
    suspect_after_ms: u64,
    present: BTreeMap<PeerId, Present>,
    /// Terms whose control stream was seen in this life and closed, of those that were granted when a stream closed last.
    lost: BTreeSet<Term>,
    passed_over: PassedOver,
}

struct Present {
    conn: ConnId,
    process: ProcessId,
    dialed: Dialed,
    addr: String,
    /// As shown: its keys for others are made of it.
    token: Token,
    /// It has said that it goes for good.
    left: bool,
    /// When the oldest unanswered heartbeat was sent.
    asked: Option<Now>,
    /// Nothing came on the stream since this process was paused: perhaps the peer has given it up meanwhile.
    doubtful: bool,
}

impl Present {
    fn member(&self, id: PeerId) -> Member {
        Member { id, addr: self.addr.clone(), process: self.process, left: self.left }
    }
}

impl Presence {
    pub(super) fn new(since: Now, suspect_after_ms: u64) -> Presence {
        Presence {
            since,
            suspect_after_ms,
            present: BTreeMap::new(),
            lost: BTreeSet::new(),
            passed_over: PassedOver::default(),
        }
    }

    /// The warehouse serves from now on.
    pub(super) fn serves_from(&mut self, now: Now) {
        self.since = now;
    }

    /// A control stream is up. It proves that the term which its process holds is alive. Gives the one by which the peer
    /// was seen until now, if any.
    fn came(&mut self, hello: &Hello, conn: ConnId, held: Option<Term>) -> Option<ConnId> {
        if let Some(term) = held {
            self.lost.remove(&term);
        }
        let Hello { process, addr, token, .. } = hello.clone();
        let (dialed, token) = (hello.dialed(), token.unwrap_or(Token([0; 32])));
        let present =
            Present { conn, process, dialed, addr, token, left: false, asked: None, doubtful: false };
        self.present.insert(hello.peer, present).map(|before| before.conn)
    }

    /// A control stream ended: an office that its peer holds can be claimed now. If the peer may have given the stream
    /// up because this process was paused, it has the time of a start to come back.
    pub(super) fn closed(&mut self, conn: ConnId, offices: &Offices) {
        let found = self.present.iter().find(|(_, present)| present.conn == conn);
        let Some(peer) = found.map(|(peer, _)| *peer) else { return };
        let doubtful = self.present.remove(&peer).is_some_and(|present| present.doubtful);
        // A term that is over is never granted again.
        self.lost.retain(|term| offices.grants().any(|grant| grant.term == *term));
        if let Some(grant) = offices.held_by(peer).filter(|_| !doubtful) {
            self.lost.insert(grant.term);
        }
    }

    /// How many terms are kept as lost.
    pub(super) fn lost_terms(&self) -> usize {
        self.lost.len()
    }

    /// The process whose control stream is up.
    pub(super) fn process_of(&self, peer: PeerId) -> Option<ProcessId> {
        self.present.get(&peer).map(|present| present.process)
    }

    /// The peer's process has dialed a later control stream, which is here already.
    fn has_later(&self, hello: &Hello) -> bool {
        let present = self.present.get(&hello.peer).filter(|present| present.process == hello.process);
        present.is_some_and(|present| hello.was_dialed_before(present.dialed))
    }

    /// Where a present peer listens; empty for any other.
    pub(super) fn addr_of(&self, peer: PeerId) -> String {
        self.present.get(&peer).map_or(String::new(), |present| present.addr.clone())
    }

    /// The control streams that are up, by peer.
    pub(super) fn streams(&self) -> impl Iterator<Item = (PeerId, ConnId)> {
        self.present.iter().map(|(peer, present)| (*peer, present.conn))
    }

    /// The peers whose control stream is up, by id.
    pub(super) fn members(&self) -> Vec<Member> {
        self.present.iter().map(|(id, present)| present.member(*id)).collect()
    }

    /// A peer whose control stream is up.
    pub(super) fn member(&self, peer: PeerId) -> Option<Member> {
        self.present.get(&peer).map(|present| present.member(peer))
    }

    /// A present peer, as it is told to another one.
    pub(super) fn introduction(&self, peer: PeerId, to: PeerId) -> Option<Introduction> {
        let present = self.present.get(&peer)?;
        Some(Introduction { member: present.member(peer), key: LinkKey::new(&present.token, to) })
    }

    /// The peer says that it goes for good.
    fn leaves(&mut self, conn: ConnId) {
        if let Some(present) = self.present.values_mut().find(|present| present.conn == conn) {
            present.left = true;
        }
    }

    /// A heartbeat goes out to everyone: a peer that has not answered the last one is waited for since that one.
    pub(super) fn ask(&mut self, now: Now) {
        for present in self.present.values_mut() {
            present.asked.get_or_insert(now);
        }
    }

    /// Any message on a peer's control stream is a sign of life.
    fn alive(&mut self, conn: ConnId) {
        if let Some(present) = self.present.values_mut().find(|present| present.conn == conn) {
            (present.asked, present.doubtful) = (None, false);
        }
    }

    /// This process was paused: what is unanswered counts from now, or everybody would seem silent; and who gave a
    /// stream up meanwhile may come back.
    pub(super) fn was_away(&mut self, now: Now) {
        self.since = now;
        for present in self.present.values_mut() {
            present.asked = present.asked.map(|_| now);
            present.doubtful = true;
        }
    }

    /// When the roster changes by itself: a holder that stays silent can be replaced, or somebody may stand again.
    pub(super) fn next_change(&self, now: Now, offices: &Offices) -> Option<Now> {
        let asked = offices.grants().filter_map(|grant| self.present.get(&grant.peer)?.asked);
        let grace = offices.grants().next().is_some().then_some(self.since);
        let due = asked.chain(grace).map(|since| since.after_ms(self.suspect_after_ms));
        let due = due.chain(self.passed_over.next_end(now));
        due.filter(|due| *due > now).min()
    }

    /// Whether the holder of an office is seen alive.
    pub(super) fn sees(&self, grant: &Grant, now: Now) -> bool {
        match self.present.get(&grant.peer).filter(|present| present.process == grant.process) {
            Some(present) => self.answers(present, now),
            None => !self.lost.contains(&grant.term) && now.ms_since(self.since) < self.suspect_after_ms,
        }
    }

    fn answers(&self, present: &Present, now: Now) -> bool {
        present.asked.is_none_or(|since| now.ms_since(since) < self.suspect_after_ms)
    }

    /// The holder is not to be elected again for a while.
    pub(super) fn pass_over(&mut self, now: Now, grant: &Grant) {
        self.passed_over.add(now, grant.peer, grant.process);
    }

    /// Those that are not to be elected now.
    pub(super) fn passed_over(&self, now: Now) -> Vec<PeerId> {
        let present = self.present.iter();
        let present = present.map(|(peer, it)| (*peer, it.process, self.answers(it, now)));
        self.passed_over.among(now, present)
    }
}

impl Warehouse {
    pub(super) fn control(&mut self, at: At, conn: ConnId, up: ControlUp, turn: &mut Turn<Record>) {
        let greeted = match self.conns.get(&conn) {
            Some(Conn::Control(peer)) => *peer,
            _ => None,
        };
        match (&up.hello, greeted) {
            (Some(hello), None) => self.greet(at, conn, hello, up.clock, turn),
            (None, Some(peer)) => self.heard_control(conn, peer, &up, turn),
            (Some(_), Some(_)) => self.hang_up(conn, "it says a second hello", turn),
            (None, None) => self.hang_up(conn, "it says no hello", turn),
        }
    }

    fn heard_control(&mut self, conn: ConnId, peer: PeerId, up: &ControlUp, turn: &mut Turn<Record>) {
        let process = self.presence.process_of(peer).unwrap_or_default();
        if !self.hear(peer, process, up.clock) {
            return self.hang_up(conn, "its clock is too far ahead", turn);
        }
        self.presence.alive(conn);
        if up.leaving {
            self.presence.leaves(conn);
        }
    }

    /// A control stream begins. What is turned away changes nothing.
    fn greet(&mut self, at: At, conn: ConnId, hello: &Hello, clock: Stamp, turn: &mut Turn<Record>) {
        if self.claims_more(hello, turn.past()) {
            return self.hang_up(conn, "it says, without proof, that it has seen another ledger", turn);
        }
        if self.presence.has_later(hello) {
            return self.hang_up(conn, "a stream that its process dialed later is here", turn);
        }
        if let Err(denied) = self.may_come(hello) {
            return self.hang_up(conn, &denied.to_string(), turn);
        }
        if hello.addr.len() > ADDR_BYTES_MAX {
            return self.hang_up(conn, "its address is too long", turn);
        }
        if !self.hear(hello.peer, hello.process, clock) {
            return self.hang_up(conn, "its clock is too far ahead", turn);
        }
        self.come(at, conn, hello, turn);
        self.tell_greeting(at.now, conn, hello.peer, turn);
    }

    fn may_come(&self, hello: &Hello) -> Result<(), Denied> {
        let peer = self.authenticate(hello)?;
        if peer.is_client() {
            return Err(Denied::NotEligible(peer));
        }
        if self.presence.process_of(peer).is_some_and(|process| process > hello.process) {
            return Err(Denied::StoreAlive(peer));
        }
        Ok(())
    }

    /// A peer's control stream is up, in the place of the one that it had. A term that an earlier process of it held ends
    /// here: a term lives in one process.
    fn come(&mut self, at: At, conn: ConnId, hello: &Hello, turn: &mut Turn<Record>) {
        let peer = hello.peer;
        let grant = self.market.offices.held_by(peer).copied();
        if let Some(grant) = grant.filter(|grant| grant.process != hello.process) {
            self.end_term(at.time, &grant, peer, turn);
        }
        let held = self.market.offices.held_by(peer).map(|grant| grant.term);
        let before = self.presence.came(hello, conn, held);
        self.conns.insert(conn, Conn::Control(Some(peer)));
        if let Some(before) = before {
            self.hang_up(before, "its peer has dialed another one", turn);
        }
    }

    /// Takes in the clock of a proven peer, if it leads by no more than its peer's may: else one of them drags all clocks
    /// along. The stream stays, since after an outage of days every peer may lead by more, and the holders of terms bring
    /// the warehouse up to them. False: it leads by more than any clock may.
    fn hear(&mut self, peer: PeerId, process: ProcessId, clock: Stamp) -> bool {
        let lead = clock.0.saturating_sub(self.clock.now().0);
        let holds = self.market.offices.held_by(peer).is_some_and(|grant| grant.process == process);
        if lead <= if holds { CLOCK_LEAP_MAX } else { CLOCK_LEAD_MAX } {
            self.clock.adopt(clock);
        }
        lead <= CLOCK_LEAP_MAX
    }
}
