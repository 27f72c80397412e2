//! Offices as this peer sees them: the roster, its own grant, elections, claims, fences, preemption, handing over.
//!
//! Everything follows from the newest roster: `adopt_roster` compares it with what this process holds and starts or
//! ends what must. Bully finds candidates; only the warehouse's grant makes a trader.

use super::*;
use crate::limits::{
    BATCH_ORDERS_MAX, DRAIN_MAX, MEMBERSHIP_QUIET_MS, PREEMPT_QUIET_MS, STANDING_WAIT_MAX_MS,
};
use crate::model::election::Effect;
use crate::model::warehouse::GivenUp;
use crate::types::Order;
use crate::wire::client::Node;

/// How the office is led: leaving, replacing, watching the partner.
pub(super) struct Conduct {
    no_preempt: bool,
    /// To whom the office goes once the desk is empty (0: nobody).
    leaving: Option<PeerId>,
    /// By a person's word, who waits for it: this one is not to be elected again for a while.
    resign_replies: Vec<Reply<Option<(Office, Term)>>>,
    resigning: bool,
    pub(super) drain_overdue: bool,
    /// The trader whose duties this one took over, until a first outcome shows that trade goes on.
    replaced: Option<PeerId>,
    /// The same, until it was announced: trade may go on before this one has the other's office.
    unannounced: Option<PeerId>,
    /// The same, until all is settled that was adopted of it.
    settling_for: Option<PeerId>,
    /// Whose office is being claimed, if it is the other trader's that fell silent.
    claimed_from: Option<PeerId>,
    /// A hand-over is under way.
    handing_over: bool,
    hand_over_backoff_ms: u64,
    /// A fence or probe of the partner is under way.
    pub(super) checking: bool,
    fencing: bool,
    /// When the highest id last asked for the primary office.
    preempt_at: Now,
    ended_early: Option<Term>,
}

impl Conduct {
    pub(super) fn new(no_preempt: bool) -> Conduct {
        Conduct {
            no_preempt,
            leaving: None,
            resign_replies: Vec::new(),
            resigning: false,
            drain_overdue: false,
            replaced: None,
            unannounced: None,
            settling_for: None,
            claimed_from: None,
            handing_over: false,
            hand_over_backoff_ms: 0,
            checking: false,
            fencing: false,
            preempt_at: Now(0),
            ended_early: None,
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }
}

fn index(office: Office) -> usize {
    usize::from(office == Office::Secondary)
}

impl Loop {
    // ---- the roster

    /// Takes a roster in if it is news, and does what follows from it.
    pub(super) fn adopt_roster(&mut self, roster: Roster) {
        if !roster.newer_than(&self.roster) {
            return;
        }
        let before = std::mem::replace(&mut self.roster, roster);
        let held = self.roster.held_by(self.me.id).filter(|(_, seat)| seat.process == self.me.process);
        let held = held.map(|(office, seat)| (office, seat.term));
        if held != self.state.grant {
            self.change_office(held);
        }
        if (&before.primary, &before.secondary, before.paired)
            != (&self.roster.primary, &self.roster.secondary, self.roster.paired)
        {
            self.happen(What::Roster(self.roster.clone()));
        }
        self.go_home();
        self.watch_partner();
        self.dial_replica();
        self.adopt_mirrors();
        self.timer(0, Timer::Offices);
        self.timer(0, Timer::HandOver);
    }

    fn change_office(&mut self, held: Option<(Office, Term)>) {
        if let Some((office, term)) = self.state.grant {
            tracing::info!(%office, %term, "term ended");
            self.record(Entry::Ended { term });
            self.close_desk();
            for reply in std::mem::take(&mut self.office.resign_replies) {
                self.reply(reply, Ok(Some((office, term))));
            }
        }
        self.office.leaving = None;
        self.office.resigning = false;
        match held {
            Some((office, term)) => self.take_office(office, term),
            None => self.shopper.resume(),
        }
    }

    fn take_office(&mut self, office: Office, term: Term) {
        self.record(Entry::Granted { office, term });
        self.shopper.pause();
        self.desk.trader.begin();
        self.dial_settle();
        self.dial_watch();
        self.say(format!(
            "Dear buyers and sellers, my ID is {} and I am the {office} trader (term {term})",
            self.me.id
        ));
        if self.stopping {
            self.leave_office(PeerId(0));
        }
    }

    // ---- elections

    /// Other peers that may stand for this office.
    fn rivals(&self, office: Office) -> BTreeSet<PeerId> {
        let primary = self.roster.primary.as_ref().map(|seat| seat.peer);
        let secondary = self.roster.secondary.as_ref().filter(|seat| seat.present).map(|seat| seat.peer);
        let mut others = self.membership.others();
        others.retain(|peer| !self.roster.passed_over.contains(peer));
        match office {
            // The vacancy of the primary is the secondary's to fill, while it lives.
            Office::Primary => others.retain(|peer| secondary.is_none_or(|secondary| secondary == *peer)),
            Office::Secondary => others.retain(|peer| Some(*peer) != primary),
        }
        others
    }

    fn may_stand(&self, office: Office) -> bool {
        let me = Some(self.me.id);
        let primary = self.roster.primary.as_ref().filter(|seat| seat.present).map(|seat| seat.peer);
        let secondary = self.roster.secondary.as_ref().filter(|seat| seat.present).map(|seat| seat.peer);
        let fits = match office {
            Office::Primary => secondary.is_none() || secondary == me,
            Office::Secondary => primary.is_some() && primary != me,
        };
        fits && self.may_hold_office() && self.control.up && self.roster.claimable(office)
    }

    fn may_hold_office(&self) -> bool {
        !self.is_going() && !self.roster.passed_over.contains(&self.me.id)
    }

    /// In a fresh market nobody stands before its membership is complete, as far as anyone can tell; a peer that was just
    /// started waits for that, too, but not for ever: others may come and go all the time.
    fn standing_wait_ms(&self) -> u64 {
        let up = self.now.ms_since(self.started);
        let quiet = MEMBERSHIP_QUIET_MS.saturating_sub(self.membership.quiet_for_ms(self.now));
        if self.roster.seq == Seq(0) { quiet } else { quiet.min(STANDING_WAIT_MAX_MS.saturating_sub(up)) }
    }

    /// Stands where an office is vacant and this peer may; ends rounds of offices that are held.
    pub(super) fn consider_offices(&mut self) {
        if self.standing_wait_ms() > 0 {
            return self.timer(self.standing_wait_ms(), Timer::Offices);
        }
        for office in Office::BOTH {
            if self.may_stand(office) {
                let rivals = self.rivals(office);
                let effects = self.elections[index(office)].vacant(self.now, &rivals);
                self.elect(office, effects);
            } else if !self.roster.claimable(office) {
                self.elections[index(office)].filled();
            }
        }
        self.consider_preempt();
    }

    pub(super) fn elect(&mut self, office: Office, effects: Vec<Effect>) {
        use crate::model::election::Message;
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    let word = match message {
                        Message::Election => PeerWord::Election(office),
                        Message::Ok => PeerWord::Ok(office),
                        Message::Coordinator => PeerWord::Coordinator(office),
                    };
                    self.tell_peer(to, word);
                }
                Effect::SetTimer { at, token } => {
                    self.timers.insert((at, Timer::Election(office, token)));
                }
                Effect::Claim => self.claim(office),
            }
        }
    }

    pub(super) fn election_timer(&mut self, office: Office, token: u64) {
        let effects = self.elections[index(office)].timer(self.now, token);
        self.elect(office, effects);
    }

    pub(super) fn election_word(
        &mut self,
        from: PeerId,
        office: Office,
        message: crate::model::election::Message,
    ) {
        let (may_stand, rivals) = (self.may_stand(office), self.rivals(office));
        let effects = self.elections[index(office)].received(self.now, from, message, may_stand, &rivals);
        self.elect(office, effects);
    }

    pub(super) fn unreachable_in_elections(&mut self, peer: PeerId) {
        for office in Office::BOTH {
            let effects = self.elections[index(office)].unreachable(self.now, peer);
            self.elect(office, effects);
        }
    }

    fn claim(&mut self, office: Office) {
        if std::mem::replace(&mut self.claiming[index(office)], true) {
            return;
        }
        self.office.claimed_from = self.silent_partner(office);
        let (hello, addr, deadline) = (self.hello(true), self.warehouse.clone(), self.dialer.deadline);
        let claim = async move { Node::connect(&addr, deadline).await?.claim(&hello, office).await };
        self.call(claim, move |result| Came::Claimed(office, result));
    }

    /// The other trader, if the warehouse found it silent before this one did: taking its office is a takeover, too.
    fn silent_partner(&self, office: Office) -> Option<PeerId> {
        self.state.grant?;
        self.roster.get(office).filter(|seat| !seat.present && seat.peer != self.me.id).map(|seat| seat.peer)
    }

    pub(super) fn claimed(&mut self, office: Office, result: Result<Roster, CallError>) {
        self.claiming[index(office)] = false;
        let silent = self.office.claimed_from.take();
        match result {
            Ok(roster) => self.adopt_roster(roster),
            Err(error) => tracing::info!(%office, %error, "claim not granted"),
        }
        let holds = self.state.grant.is_some_and(|(held, _)| held == office);
        // A fence that is under way tells the same.
        if let Some(dead) = silent.filter(|_| holds && !self.office.fencing) {
            self.happen(What::Suspected(dead));
            (self.office.replaced, self.office.unannounced) = (Some(dead), Some(dead));
        }
        let everyone = self.membership.others();
        let election = &mut self.elections[index(office)];
        // Granted and already over by a newer roster: the round goes on, or nobody would elect.
        let effects = if holds { election.granted(&everyone) } else { election.refused(self.now) };
        self.elect(office, effects);
        if !holds && !self.roster.claimable(office) {
            self.elections[index(office)].filled();
        }
        if holds {
            self.announce_takeover();
        }
    }

    // ---- the partner's death

    /// The partner is dead or silent: its term is ended on this trader's word.
    pub(super) fn fence_partner(&mut self, peer: PeerId) {
        let Some((_, seat)) = self.roster.held_by(peer) else { return };
        if self.term().is_none() || !self.roster.paired || std::mem::replace(&mut self.office.fencing, true) {
            return;
        }
        tracing::warn!(%peer, term = %seat.term, "the other trader is taken for dead");
        self.happen(What::Suspected(peer));
        let term = seat.term;
        let (hello, addr, deadline) = (self.hello(true), self.warehouse.clone(), self.dialer.deadline);
        let fence = async move { Node::connect(&addr, deadline).await?.fence(&hello, term).await };
        self.call(fence, move |result| Came::Fenced(peer, result));
    }

    /// The secondary does not come up to date: it is passed over, and this one goes on alone until there is another.
    pub(super) fn drop_secondary(&mut self, peer: PeerId, term: Term) {
        if std::mem::replace(&mut self.office.fencing, true) {
            return;
        }
        tracing::warn!(%peer, %term, "the secondary does not come up to date: it is passed over");
        let (hello, addr, deadline) = (self.hello(true), self.warehouse.clone(), self.dialer.deadline);
        let fence = async move { Node::connect(&addr, deadline).await?.fence(&hello, term).await };
        self.call(fence, Came::SecondaryDropped);
    }

    pub(super) fn secondary_dropped(&mut self, result: Result<Roster, CallError>) {
        self.office.fencing = false;
        match result {
            Ok(roster) => self.adopt_roster(roster),
            Err(error) => tracing::warn!(%error, "the secondary could not be passed over"),
        }
    }

    pub(super) fn fenced(&mut self, peer: PeerId, result: Result<Roster, CallError>) {
        self.office.fencing = false;
        self.office.claimed_from = None;
        match result {
            Ok(roster) => {
                (self.office.replaced, self.office.unannounced) = (Some(peer), Some(peer));
                self.adopt_roster(roster);
                if self.state.grant.is_some_and(|(office, _)| office == Office::Primary) {
                    self.announce_takeover();
                }
                self.consider_offices();
            }
            Err(error) => tracing::warn!(%peer, %error, "the fence was not granted"),
        }
    }

    fn announce_takeover(&mut self) {
        let Some(dead) = self.office.unannounced.take() else { return };
        self.say(format!(
            "Dear buyers and sellers, my ID is {} and I have taken over the duties of trader {dead}",
            self.me.id
        ));
        for peer in self.membership.others() {
            if peer != dead {
                self.tell_peer(peer, PeerWord::TookOver(dead));
            }
        }
    }

    /// A batch came back: the first one with outcomes after a takeover shows that trade goes on.
    pub(super) fn office_worked(&mut self, decided: bool) {
        if decided && let Some(dead) = self.office.replaced.take() {
            self.happen(What::TookOver(dead));
            self.office.settling_for = Some(dead);
        }
        self.tell_replayed();
    }

    /// Once per takeover: what became of the orders that the other trader had accepted.
    pub(super) fn tell_replayed(&mut self) {
        if let Some(dead) = self.office.settling_for.take_if(|_| self.replica.adopted_are_settled()) {
            let replayed = self.replica.replayed();
            tracing::info!(from = %dead, ?replayed, "all that was adopted is settled");
            self.happen(What::Replayed(dead, replayed));
        }
    }

    // ---- leaving

    /// Admits no more; once the desk is empty the office goes to `successor` (0: nobody).
    pub(super) fn leave_office(&mut self, successor: PeerId) {
        if self.term().is_none() || self.office.is_leaving() {
            return;
        }
        self.office.leaving = Some(successor);
        self.office.drain_overdue = false;
        self.timer(DRAIN_MAX.as_millis() as u64, Timer::Drain);
        self.resign_when_drained();
    }

    pub(super) fn resign_when_drained(&mut self) {
        let (Some(to), Some(term)) = (self.office.leaving, self.term()) else { return };
        let drained = self.desk.trader.depth() == 0 || self.office.drain_overdue;
        if !drained || std::mem::replace(&mut self.office.resigning, true) {
            return;
        }
        let (hello, addr, deadline) = (self.hello(true), self.warehouse.clone(), self.dialer.deadline);
        let given_up = GivenUp { term, to, pass_over: !self.office.resign_replies.is_empty() };
        let resign = async move { Node::connect(&addr, deadline).await?.resign(&hello, given_up).await };
        self.call(resign, move |result| Came::Resigned(term, result));
    }

    pub(super) fn resigned(&mut self, term: Term, result: Result<Roster, CallError>) {
        match result {
            Ok(roster) => self.adopt_roster(roster),
            Err(error) => {
                tracing::warn!(%term, %error, "the office could not be given up; the warehouse will find it vacant");
                // Only who is stopping goes without its office being vacant; another one may give it up later.
                self.office.ended_early = self.stopping.then_some(term);
                self.office.leaving = None;
                self.office.resigning = false;
                for reply in std::mem::take(&mut self.office.resign_replies) {
                    let text = format!("the warehouse did not take the office back: {error}");
                    self.reply(reply, Err(Refusal::Unavailable(text)));
                }
            }
        }
    }

    /// A person wants another trader: what is here is settled first.
    pub(super) fn resign_by_hand(&mut self, to: PeerId, reply: Reply<Option<(Office, Term)>>) {
        if self.term().is_none() {
            return self.reply(reply, Ok(None));
        }
        self.office.resign_replies.push(reply);
        self.leave_office(to);
    }

    /// The highest id asks for the primary office once the membership has been quiet for a while.
    fn consider_preempt(&mut self) {
        let Some(primary) = self.roster.primary.as_ref().filter(|seat| seat.present) else { return };
        let highest = self.membership.others().last().is_none_or(|other| *other < self.me.id);
        let may = !self.office.no_preempt && self.may_hold_office();
        if !may || primary.peer >= self.me.id || !highest {
            return;
        }
        let primary = primary.peer;
        let quiet = self.membership.quiet_for_ms(self.now).min(self.now.ms_since(self.office.preempt_at));
        if quiet < PREEMPT_QUIET_MS {
            return self.timer(PREEMPT_QUIET_MS - quiet, Timer::Offices);
        }
        self.office.preempt_at = self.now;
        self.tell_peer(primary, PeerWord::Preempt);
        self.timer(PREEMPT_QUIET_MS, Timer::Offices);
    }

    pub(super) fn preempted_by(&mut self, peer: PeerId) {
        let primary = self.state.grant.is_some_and(|(office, _)| office == Office::Primary);
        if primary && peer > self.me.id && peer <= PeerId::PEER_MAX {
            tracing::info!(%peer, "a higher id takes the primary office over");
            self.leave_office(peer);
        }
    }

    // ---- orders of terms that ended

    /// What this store took under a term that is over goes to its present home: to this desk, or by a call.
    pub(super) fn hand_over(&mut self) {
        if self.office.handing_over || !self.session_open {
            return;
        }
        let term = self.term();
        let mut left = self.state.accepted.values().filter(|it| Some(it.term) != term);
        let Some(first) = left.next() else { return };
        let Some(home) = self.roster.home(first.order.id.peer).filter(|seat| !seat.addr.is_empty()).cloned()
        else {
            return self.hand_over_later();
        };
        let same_home =
            |order: &Order| self.roster.home(order.id.peer).is_some_and(|seat| seat.peer == home.peer);
        let mut orders: Vec<Order> = self
            .state
            .accepted
            .values()
            .filter(|it| Some(it.term) != term && same_home(&it.order))
            .map(|it| it.order)
            .take(BATCH_ORDERS_MAX)
            .collect();
        orders.sort_unstable_by_key(Order::key);
        if home.peer == self.me.id { self.keep(orders) } else { self.send_over(home.addr, orders) }
    }

    fn keep(&mut self, orders: Vec<Order>) {
        tracing::info!(orders = orders.len(), "pending orders of an earlier term are queued again");
        let kept = orders.into_iter().map(|order| self.admit(order)).filter(Result::is_ok).count();
        if kept == 0 { self.hand_over_later() } else { self.timer(0, Timer::HandOver) }
    }

    fn send_over(&mut self, addr: String, orders: Vec<Order>) {
        self.office.handing_over = true;
        let (hello, deadline) = (self.hello(true), self.dialer.deadline);
        let ids = orders.iter().map(|order| order.id).collect();
        let send = async move { Node::connect(&addr, deadline).await?.hand_over(&hello, &orders).await };
        self.call(send, move |result| Came::HandedOver(ids, result));
    }

    pub(super) fn handed_over(&mut self, ids: &[OrderId], result: Result<u32, CallError>) {
        self.office.handing_over = false;
        match result {
            Ok(taken) if taken > 0 => {
                tracing::info!(orders = taken, "pending orders of an earlier term are at their home");
                let term = self.term();
                for id in ids.iter().take(taken as usize) {
                    // Taken again by this desk meanwhile: it is settled here.
                    if self.state.accepted.get(id).is_none_or(|it| Some(it.term) == term) {
                        continue;
                    }
                    self.record(Entry::HandedOver { peer: id.peer, first: id.number, last: id.number });
                    self.note_handed_over();
                    self.replica.adopted_left(*id);
                }
                self.tell_replayed();
                self.office.hand_over_backoff_ms = 0;
                self.timer(0, Timer::HandOver);
            }
            Ok(_) => self.hand_over_later(),
            Err(error) => {
                tracing::info!(%error, "hand-over not taken");
                self.hand_over_later();
            }
        }
    }

    fn hand_over_later(&mut self) {
        self.office.hand_over_backoff_ms = next_backoff(self.office.hand_over_backoff_ms);
        self.timer(self.office.hand_over_backoff_ms, Timer::HandOver);
    }

    /// Another peer hands over what it took under an ended term: accepted here like any order, answered when durable.
    pub(super) fn take_over(&mut self, hello: Hello, orders: Vec<Order>, reply: Reply<u32>) {
        use crate::model::market::NotTaken;
        // Clients have no queue to hand over, and anybody may become one.
        if hello.peer > PeerId::PEER_MAX || !self.vouch(&hello) {
            self.fetch_session(hello.peer);
            let roster = self.roster.clone();
            return self.reply(reply, Err(Refusal::NotTaken(NotTaken::NoSession, Box::new(roster))));
        }
        self.hear(hello.clock);
        let mut taken = 0;
        for order in orders {
            match self.admit(order) {
                // Decided long ago or a copy of other content: settling it shows which, so it may leave its sender.
                Ok(()) | Err(NotTaken::OtherContent) => taken += 1,
                Err(_) => break,
            }
        }
        self.reply(reply, Ok(taken));
    }

    // ---- stopping

    pub(super) fn begin_stop(&mut self) {
        tracing::info!("stopping");
        self.stopping = true;
        self.keep_ledger_seen();
        self.shopper.stop();
        self.leave_office(PeerId(0));
        self.timer(DRAIN_MAX.as_millis() as u64, Timer::Drain);
        self.office.drain_overdue = false;
    }

    /// Out of office, with nothing left that another home could take, or out of time.
    pub(super) fn may_end(&mut self) -> bool {
        if !self.stopping {
            return false;
        }
        self.resign_when_drained();
        let resigned = self.term().is_none_or(|term| self.office.ended_early == Some(term));
        // Who goes for good waits for a successor, too: it will not be there to hand over later.
        let nobody = self.roster.home(self.me.id).is_none() && self.leaving.is_none();
        let handed_over = (self.state.accepted.is_empty() || nobody) && !self.office.handing_over;
        resigned && (handed_over || self.office.drain_overdue) && self.has_said_farewell()
    }
}

#[cfg(test)]
mod tests;
