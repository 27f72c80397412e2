//! The other trader of the pair: heartbeats, suspicion, probes.
//!
//! Each word of the partner on a link is a sign of life, and clears a heartbeat that it owes. On Replicate only an
//! acknowledgement clears what is owed there. An answer that is overdue by `suspect-after` counts as death. A broken
//! stream is a reason to probe; a refused connection, or another process at its address, is proof of death.

use super::facts::{Cx, Purpose};
use super::replica::Replica;
use super::rooms::Rooms;
use crate::model::call::{Answer, Ask, CallError, Probe};
use crate::model::membership::Member;
use crate::model::message::PeerWord;
use crate::types::{Now, PeerId};

/// See the module's text.
pub(super) struct Partner {
    who: Option<PeerId>,
    /// Since when it owes an answer.
    asked: Option<Now>,
    heard: Now,
    /// Number of the last heartbeat.
    beat: u64,
    /// A probe is under way.
    probing: bool,
    /// When the next heartbeat is considered.
    beat_at: Now,
    /// When an answer that is owed is overdue: looked at then, not at the next heartbeat.
    overdue_at: Option<Now>,
}

impl Partner {
    pub(super) fn new(now: Now) -> Partner {
        Partner {
            who: None,
            asked: None,
            heard: Now(0),
            beat: 0,
            probing: false,
            beat_at: now,
            overdue_at: None,
        }
    }

    pub(super) fn who(&self) -> Option<PeerId> {
        self.who
    }

    pub(super) fn due(&self) -> Option<Now> {
        [Some(self.beat_at), self.overdue_at].into_iter().flatten().min()
    }

    /// Follows the roster: the other trader of the pair is watched, nobody else.
    pub(super) fn watch(&mut self, cx: &mut Cx<'_>) {
        let office = cx.state.grant.map(|(office, _)| office);
        let seat = office.filter(|_| cx.roster.paired).and_then(|office| cx.roster.get(office.other()));
        let who = seat.map(|seat| seat.peer);
        if who == self.who {
            return;
        }
        (self.who, self.asked, self.heard) = (who, None, cx.now());
        self.beat(cx);
    }

    pub(super) fn sign_of_life(&mut self, now: Now, from: PeerId) {
        if self.who == Some(from) {
            (self.asked, self.heard) = (None, now);
        }
    }

    /// Asks the partner for a sign of life.
    fn beat(&mut self, cx: &mut Cx<'_>) {
        let Some(peer) = self.who else { return };
        self.asked.get_or_insert(cx.now());
        let number = self.next_beat();
        cx.tell(peer, PeerWord::Heartbeat(number));
    }

    /// A number for a heartbeat, to whomever it goes.
    pub(super) fn next_beat(&mut self) -> u64 {
        self.beat += 1;
        self.beat
    }

    /// What the partner owes an answer to counts from now.
    pub(super) fn restart_waiting(&mut self, now: Now) {
        self.asked = self.asked.map(|_| now);
    }

    pub(super) fn heard_ms(&self, now: Now) -> u64 {
        self.who.map_or(0, |_| now.ms_since(self.heard))
    }

    /// Asks whether the other trader lives, and in which life.
    pub(super) fn probe(&mut self, cx: &mut Cx<'_>, peer: PeerId, addr: Option<String>) {
        let Some(addr) = addr else { return };
        if !std::mem::replace(&mut self.probing, true) {
            cx.call(Purpose::Probe(peer), addr, Ask::Probe);
        }
    }

    /// When the oldest answer that is owed will be overdue; what is overdue already is looked at with each heartbeat.
    pub(super) fn expect(&mut self, cx: &Cx<'_>, replica: &Replica) {
        let since = [self.asked, replica.waiting_since(), replica.syncing_since(cx)].into_iter().flatten();
        let due = since.map(|since| since.after_ms(cx.me.suspect_after_ms));
        self.overdue_at = due.filter(|due| *due > cx.now()).min();
    }
}

impl Rooms {
    /// Once per heartbeat the partner is asked, if nothing was heard of it meanwhile. An answer that is overdue counts
    /// as death.
    pub(super) fn watch_partner_when_due(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        if self.partner.overdue_at.take_if(|at| *at <= now).is_some() {
            self.check_overdue(cx);
        }
        if self.partner.beat_at > now {
            return;
        }
        self.check_overdue(cx);
        let quiet = now.ms_since(self.partner.heard) >= cx.me.heartbeat_ms;
        if self.partner.asked.is_none() && quiet {
            self.partner.beat(cx);
        }
        self.links.sweep(cx, self.partner.who);
        self.partner.beat_at = now.after_ms(cx.me.heartbeat_ms);
    }

    fn check_overdue(&mut self, cx: &mut Cx<'_>) {
        let suspect_after_ms = cx.me.suspect_after_ms;
        let overdue = self.partner.asked.is_some_and(|at| cx.now().ms_since(at) >= suspect_after_ms);
        if let Some(peer) = self.partner.who.filter(|_| overdue).or_else(|| self.replica.silent(cx)) {
            self.takeover.fence_partner(cx, peer);
        }
        if let Some((peer, term)) = self.replica.stuck_secondary(cx) {
            self.takeover.drop_secondary(cx, peer, term);
        }
    }

    pub(super) fn probe_partner(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        let addr = self.links.addr_of(cx, peer);
        self.partner.probe(cx, peer, addr);
    }

    pub(super) fn probed(&mut self, cx: &mut Cx<'_>, peer: PeerId, result: &Result<Answer, CallError>) {
        self.partner.probing = false;
        let process = cx.roster.held_by(peer).map(|(_, seat)| seat.process);
        match Probe::found(result) {
            Probe::Dead => self.takeover.fence_partner(cx, peer),
            Probe::Alive(found) if Some(found) != process => self.takeover.fence_partner(cx, peer),
            // Alive after all, or silent: an unanswered heartbeat decides.
            Probe::Alive(_) | Probe::Silent => self.partner.beat(cx),
        }
    }

    /// News of another process of the partner would mean that the one which holds the term is dead. It is hearsay, so
    /// the partner is probed.
    pub(super) fn check_partner_process(&mut self, cx: &mut Cx<'_>, member: &Member) {
        let held = cx.roster.held_by(member.id).map(|(_, seat)| seat.process);
        if self.partner.who == Some(member.id) && held.is_some_and(|process| process < member.process) {
            self.probe_partner(cx, member.id);
        }
    }
}

#[cfg(test)]
mod tests;
