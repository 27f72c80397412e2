//! The other trader of the pair: heartbeats, suspicion, probes.
//!
//! Any message is a sign of life. What was sent and is unanswered for `suspect-after` is death, a broken stream a reason
//! to ask at once, a refused connection or another process a proof.

use super::*;

impl Loop {
    /// Follows the roster: the other trader of the pair is watched, nobody else.
    pub(super) fn watch_partner(&mut self) {
        let office = self.state.grant.map(|(office, _)| office);
        let partner =
            office.filter(|_| self.roster.paired).and_then(|office| self.roster.get(office.other()));
        let partner = partner.map(|seat| seat.peer);
        if partner == self.links.partner {
            return;
        }
        self.links.partner = partner;
        (self.links.asked, self.links.heard) = (None, self.now);
        if partner.is_some() {
            self.beat();
        }
    }

    pub(super) fn sign_of_life(&mut self, from: PeerId) {
        if self.links.partner == Some(from) {
            (self.links.asked, self.links.heard) = (None, self.now);
        }
    }

    /// Asks the partner for a sign of life.
    pub(super) fn beat(&mut self) {
        let Some(peer) = self.links.partner else { return };
        self.links.beat += 1;
        self.links.asked.get_or_insert(self.now);
        self.watch_for_answer();
        self.tell_peer(peer, PeerWord::Heartbeat(self.links.beat));
    }

    /// Something was sent that must be answered: it is looked at when the answer is overdue, not at the next heartbeat.
    pub(super) fn watch_for_answer(&mut self) {
        if !std::mem::replace(&mut self.links.overdue_armed, true) {
            self.timer(self.me.settings.suspect_after_ms, Timer::Overdue);
        }
    }

    /// What was unanswered when the timer was set may have been answered, and something else been sent since: that has
    /// its own time.
    pub(super) fn overdue(&mut self) {
        self.links.overdue_armed = false;
        self.check_overdue();
        let since = self.links.asked.into_iter().chain(self.replica.waiting_since()).min();
        let due = since.map(|since| since.after_ms(self.me.settings.suspect_after_ms));
        if let Some(due) = due.filter(|due| *due > self.now) {
            self.links.overdue_armed = true;
            self.timers.insert((due, Timer::Overdue));
        }
    }

    /// Every heartbeat: makes sure that something is sent.
    pub(super) fn heartbeat(&mut self) {
        self.check_overdue();
        let quiet = self.now.ms_since(self.links.heard) >= self.me.settings.heartbeat_ms;
        if self.links.asked.is_none() && quiet {
            self.beat();
        }
        self.sweep_links();
        self.timer(self.me.settings.heartbeat_ms, Timer::Heartbeat);
    }

    /// An answer that is overdue is death.
    pub(super) fn check_overdue(&mut self) {
        let suspect_after_ms = self.me.settings.suspect_after_ms;
        let overdue = self.links.asked.is_some_and(|at| self.now.ms_since(at) >= suspect_after_ms);
        if let Some(peer) = self.links.partner.filter(|_| overdue).or_else(|| self.silent_replica()) {
            self.fence_partner(peer);
        }
        if let Some((peer, term)) = self.stuck_secondary() {
            self.drop_secondary(peer, term);
        }
    }

    pub(super) fn probe_partner(&mut self, peer: PeerId) {
        let Some(addr) = self.addr_of(peer) else { return };
        if std::mem::replace(&mut self.office.checking, true) {
            return;
        }
        let probe = async move { Ok(crate::wire::client::probe(&addr).await) };
        self.call(probe, move |result| Came::Probed(peer, result.unwrap_or(Probe::Silent)));
    }

    pub(super) fn probed(&mut self, peer: PeerId, probe: Probe) {
        self.office.checking = false;
        let process = self.roster.held_by(peer).map(|(_, seat)| seat.process);
        match probe {
            Probe::Dead => self.fence_partner(peer),
            Probe::Alive(found) if Some(found) != process => self.fence_partner(peer),
            // Alive after all, or silent: an unanswered heartbeat decides.
            Probe::Alive(_) | Probe::Silent => self.beat(),
        }
    }

    /// Another process of the partner is the death of the one that holds the term: hearsay, so it is asked.
    pub(super) fn check_partner_process(&mut self, member: &Member) {
        let seat = self.roster.held_by(member.id).map(|(_, seat)| seat.process);
        if self.links.partner == Some(member.id) && seat.is_some_and(|process| process < member.process) {
            self.probe_partner(member.id);
        }
    }
}
