//! Offices as this peer sees them: elections, claims, preemption, and giving an office up.
//!
//! Bully finds candidates; only the warehouse's grant makes a trader. What follows from a grant or its end is in
//! [`super::follow`].

use std::collections::BTreeSet;

use super::facts::{Cx, Facts, Purpose};
use crate::limits::{DRAIN_MAX, MEMBERSHIP_QUIET_MS, PREEMPT_QUIET_MS, STANDING_WAIT_MAX_MS, STOP_ALONE_MAX};
use crate::model::call::{Answer, Ask, CallError, Refusal, why_not};
use crate::model::election::{self, Election, Message, Vacancy};
use crate::model::message::PeerWord;
use crate::model::step::ReplyId;
use crate::model::warehouse::GivenUp;
use crate::types::{Now, Office, PeerId, Seq, Term};

/// The election of one office.
struct Race {
    election: Election,
    timer: Option<(Now, u64)>,
    /// The warehouse is being asked for the office.
    claiming: bool,
}

/// The office is being given up: nothing more is taken, and it goes once the desk is empty.
struct GivingUp {
    /// The peer that it goes to; 0: nobody.
    to: PeerId,
    /// What is still at the desk then is left to the next holder. None: the warehouse is being told.
    until: Option<Now>,
    /// This process stops and will be started again, and the warehouse does not see it: then what is at the desk is left
    /// to that start, since without the warehouse nothing is settled.
    alone_until: Option<Now>,
}

impl GivingUp {
    fn due(&self) -> Option<Now> {
        let until = self.until?;
        Some(self.alone_until.map_or(until, |alone| alone.min(until)))
    }

    /// Who goes for good waits for the warehouse as long as for anything else: nothing of it comes back later.
    fn note_alone(&mut self, facts: &Facts) {
        let alone = facts.stopping && !facts.leaving && !facts.present;
        let until = || facts.now().after_ms(STOP_ALONE_MAX.as_millis() as u64);
        self.alone_until = alone.then(|| self.alone_until.unwrap_or_else(until));
    }
}

/// See the module's text.
pub(super) struct Offices {
    races: [Race; 2],
    no_preempt: bool,
    /// When to look at the offices again.
    consider_at: Option<Now>,
    /// When the highest id last asked for the primary office.
    preempt_at: Now,
    giving_up: Option<GivingUp>,
    /// People who have asked this trader to resign: it is not to be elected again for a while.
    resign_replies: Vec<ReplyId>,
    /// A term that this process was told to end with, and that the warehouse did not take back.
    ended_early: Option<Term>,
    /// The other trader, if its office is being claimed because it fell silent.
    claimed_from: Option<PeerId>,
}

fn index(office: Office) -> usize {
    usize::from(office == Office::Secondary)
}

impl Offices {
    pub(super) fn new(me: PeerId, no_preempt: bool) -> Offices {
        let race = |_| Race { election: Election::new(me), timer: None, claiming: false };
        Offices {
            races: Office::BOTH.map(race),
            no_preempt,
            consider_at: None,
            preempt_at: Now(0),
            giving_up: None,
            resign_replies: Vec::new(),
            ended_early: None,
            claimed_from: None,
        }
    }

    // ---- turns

    pub(super) fn due(&self) -> Option<Now> {
        let timers = self.races.iter().filter_map(|race| race.timer).map(|(at, _)| at);
        timers.chain(self.consider_at).chain(self.giving_up.as_ref().and_then(GivingUp::due)).min()
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        for office in Office::BOTH {
            let due = self.races[index(office)].timer.take_if(|(at, _)| *at <= cx.now());
            if let Some((_, token)) = due {
                let may_stand = may_stand(cx, office);
                let effects = self.races[index(office)].election.timer(cx.now(), token, may_stand);
                self.elect(cx, office, effects);
            }
        }
        if self.consider_at.take_if(|at| *at <= cx.now()).is_some() {
            self.consider(cx);
        }
    }

    /// Looks at the offices in this turn.
    pub(super) fn reconsider(&mut self, now: Now) {
        self.consider_in(now, 0);
    }

    fn consider_in(&mut self, now: Now, ms: u64) {
        let at = now.after_ms(ms);
        self.consider_at = Some(self.consider_at.map_or(at, |before| before.min(at)));
    }

    // ---- elections

    /// Stands where an office is vacant and this peer may; ends rounds of offices that are held.
    pub(super) fn consider(&mut self, cx: &mut Cx<'_>) {
        let wait = standing_wait_ms(cx);
        if wait > 0 {
            return self.consider_in(cx.now(), wait);
        }
        for office in Office::BOTH {
            if let Some(vacancy) = vacancy(cx, office) {
                let effects = self.races[index(office)].election.vacant(cx.now(), vacancy);
                self.elect(cx, office, effects);
            } else if !cx.roster.claimable(office) {
                self.races[index(office)].election.filled();
            }
        }
        self.consider_preempt(cx);
    }

    fn elect(&mut self, cx: &mut Cx<'_>, office: Office, effects: Vec<election::Effect>) {
        for effect in effects {
            match effect {
                election::Effect::Send { to, message } => {
                    let word = match message {
                        Message::Election => PeerWord::Election(office),
                        Message::Ok => PeerWord::Ok(office),
                        Message::Coordinator => PeerWord::Coordinator(office),
                    };
                    cx.tell(to, word);
                }
                election::Effect::SetTimer { at, token } => {
                    self.races[index(office)].timer = Some((at, token));
                }
                election::Effect::Claim => self.claim(cx, office),
            }
        }
    }

    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, from: PeerId, office: Office, message: Message) {
        let vacancy = vacancy(cx, office);
        let effects = self.races[index(office)].election.received(cx.now(), from, message, vacancy);
        self.elect(cx, office, effects);
    }

    /// A peer cannot be reached: elections do not wait for it.
    pub(super) fn unreachable(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        for office in Office::BOTH {
            let may_stand = may_stand(cx, office);
            let effects = self.races[index(office)].election.unreachable(cx.now(), peer, may_stand);
            self.elect(cx, office, effects);
        }
    }

    fn claim(&mut self, cx: &mut Cx<'_>, office: Office) {
        if !std::mem::replace(&mut self.races[index(office)].claiming, true) {
            self.claimed_from = silent_partner(cx, office);
            cx.demand(Purpose::Claim(office), |hello| Ask::Claim(hello, office));
        }
    }

    /// The other trader's term was fenced. The fence tells of its death, so the claim need not.
    pub(super) fn partner_fenced(&mut self) {
        self.claimed_from = None;
    }

    /// The warehouse's answer to a claim. `None`: this process does not hold the office. Otherwise gives the silent
    /// trader whose office it took, if it took one.
    pub(super) fn claimed(
        &mut self,
        cx: &mut Cx<'_>,
        office: Office,
        result: Result<Answer, CallError>,
    ) -> Option<Option<PeerId>> {
        self.races[index(office)].claiming = false;
        let silent = self.claimed_from.take();
        match result {
            Ok(Answer::Roster(_, roster)) => cx.told_roster(*roster),
            other => tracing::info!(%office, why = why_not(&other), "claim not granted"),
        }
        let holds = cx.granted().is_some_and(|(held, _)| held == office);
        let everyone = cx.membership.others();
        let election = &mut self.races[index(office)].election;
        // If a newer roster shows that the grant is over already, the round goes on; otherwise nobody would elect.
        let effects = if holds { election.granted(&everyone) } else { election.refused(cx.now()) };
        self.elect(cx, office, effects);
        if !holds && !cx.roster.claimable(office) {
            self.races[index(office)].election.filled();
        }
        holds.then_some(silent)
    }

    pub(super) fn rounds(&self) -> u64 {
        self.races.iter().map(|race| race.election.rounds()).sum()
    }

    // ---- preemption

    /// The highest id asks for the primary office once the membership has been quiet for a while.
    fn consider_preempt(&mut self, cx: &mut Cx<'_>) {
        let Some(primary) = cx.roster.primary.as_ref().filter(|seat| seat.present) else { return };
        let highest = cx.membership.others().last().is_none_or(|other| *other < cx.me.id);
        let may = !self.no_preempt && may_hold_office(cx);
        if !may || primary.peer >= cx.me.id || !highest {
            return;
        }
        let primary = primary.peer;
        let quiet = cx.membership.quiet_for_ms(cx.now()).min(cx.now().ms_since(self.preempt_at));
        if quiet < PREEMPT_QUIET_MS {
            return self.consider_in(cx.now(), PREEMPT_QUIET_MS - quiet);
        }
        self.preempt_at = cx.now();
        cx.tell(primary, PeerWord::Preempt);
        self.consider_in(cx.now(), PREEMPT_QUIET_MS);
    }

    // ---- giving up

    /// Nothing more is taken, also where the warehouse did not take the office back.
    pub(super) fn is_giving_up(&self) -> bool {
        self.giving_up.is_some() || self.ended_early.is_some()
    }

    /// The trader takes no more orders. Once its desk is empty the office goes to a successor (0: to nobody).
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>, to: PeerId) {
        if cx.term().is_some() && self.giving_up.is_none() {
            let until = Some(cx.now().after_ms(DRAIN_MAX.as_millis() as u64));
            self.giving_up = Some(GivingUp { to, until, alone_until: None });
        }
    }

    /// Tells the warehouse once the desk is empty, or has had its time.
    pub(super) fn resign_when_drained(&mut self, cx: &mut Cx<'_>, desk_is_empty: bool) {
        let (Some(giving_up), Some(term)) = (&mut self.giving_up, cx.term()) else { return };
        giving_up.note_alone(cx.facts);
        let Some(due) = giving_up.due() else { return };
        if !desk_is_empty && due > cx.facts.at.now {
            return;
        }
        giving_up.until = None;
        let given_up = GivenUp { term, to: giving_up.to, pass_over: !self.resign_replies.is_empty() };
        cx.demand(Purpose::Resign(term), |hello| Ask::Resign(hello, given_up));
    }

    pub(super) fn resigned(&mut self, cx: &mut Cx<'_>, term: Term, result: Result<Answer, CallError>) {
        let error = match result {
            Ok(Answer::Roster(_, roster)) => {
                cx.told_roster(*roster);
                // Then the term ends at the end of this step.
                if cx.news.roster.is_some() && cx.granted() != cx.state.grant {
                    return;
                }
                "it shows the office as it was".to_owned()
            }
            other => why_not(&other),
        };
        // The term ended meanwhile: what is given up now is another one.
        if cx.term() != Some(term) {
            return;
        }
        tracing::warn!(%term, error, "the office could not be given up; the warehouse will find it vacant");
        // Only a peer that stops ends while the warehouse still counts its office as held; any other may give the
        // office up later.
        self.ended_early = cx.stopping.then_some(term);
        self.giving_up = None;
        self.refuse_to_resign(cx, &format!("the warehouse did not take the office back: {error}"));
    }

    /// People who have asked this trader to resign are told why it does not.
    pub(super) fn refuse_to_resign(&mut self, cx: &mut Cx<'_>, why: &str) {
        for reply in std::mem::take(&mut self.resign_replies) {
            cx.reply(reply, Err(Refusal::Unavailable(why.to_owned())));
        }
    }

    /// A person wants another trader: what is here is settled first.
    pub(super) fn resign_by_hand(&mut self, cx: &mut Cx<'_>, to: PeerId, reply: ReplyId) {
        if cx.term().is_none() {
            return cx.reply(reply, Ok(Answer::Resigned(None)));
        }
        self.resign_replies.push(reply);
        self.give_up(cx, to);
    }

    /// The term is over: the people who asked for that are told.
    pub(super) fn term_ended(&mut self, cx: &mut Cx<'_>, office: Office, term: Term) {
        self.giving_up = None;
        for reply in std::mem::take(&mut self.resign_replies) {
            cx.reply(reply, Ok(Answer::Resigned(Some((office, term)))));
        }
    }

    /// Out of office, or the warehouse could not be told.
    pub(super) fn is_out(&self, facts: &Facts) -> bool {
        facts.term().is_none() || self.is_out_unheard(facts)
    }

    /// The warehouse could not be told, so that what was accepted under the present term has no other home.
    pub(super) fn is_out_unheard(&self, facts: &Facts) -> bool {
        self.ended_early.is_some() && self.ended_early == facts.term()
    }

    #[cfg(test)]
    pub(super) fn replies(&self) -> impl Iterator<Item = ReplyId> {
        self.resign_replies.iter().copied()
    }
}

/// The other trader, if the warehouse shows it silent in the office that this one claims.
fn silent_partner(facts: &Facts, office: Office) -> Option<PeerId> {
    facts.state.grant?;
    let seat = facts.roster.get(office).filter(|seat| !seat.present && seat.peer != facts.me.id);
    seat.map(|seat| seat.peer)
}

/// Other peers that may stand for this office.
fn vacancy(facts: &Facts, office: Office) -> Option<Vacancy> {
    let vacancy = || Vacancy { since: facts.roster.seq, rivals: rivals(facts, office) };
    may_stand(facts, office).then(vacancy)
}

fn rivals(facts: &Facts, office: Office) -> BTreeSet<PeerId> {
    let primary = facts.roster.primary.as_ref().map(|seat| seat.peer);
    let secondary = facts.roster.secondary.as_ref().filter(|seat| seat.present).map(|seat| seat.peer);
    let mut others = facts.membership.others();
    others.retain(|peer| !facts.roster.passed_over.contains(peer));
    match office {
        // The vacancy of the primary is the secondary's to fill, while it lives.
        Office::Primary => others.retain(|peer| secondary.is_none_or(|secondary| secondary == *peer)),
        Office::Secondary => others.retain(|peer| Some(*peer) != primary),
    }
    others
}

fn may_stand(facts: &Facts, office: Office) -> bool {
    let me = Some(facts.me.id);
    let primary = facts.roster.primary.as_ref().filter(|seat| seat.present).map(|seat| seat.peer);
    let secondary = facts.roster.secondary.as_ref().filter(|seat| seat.present).map(|seat| seat.peer);
    let fits = match office {
        Office::Primary => secondary.is_none() || secondary == me,
        Office::Secondary => primary.is_some() && primary != me,
    };
    fits && may_hold_office(facts) && facts.present && facts.roster.claimable(office)
}

fn may_hold_office(facts: &Facts) -> bool {
    !facts.is_going() && !facts.roster.passed_over.contains(&facts.me.id)
}

/// In a fresh market nobody stands before its membership is complete, as far as anyone can tell; a peer that was just
/// started waits for that, too, but not for ever: others may come and go all the time.
fn standing_wait_ms(facts: &Facts) -> u64 {
    let up = facts.now().ms_since(facts.started);
    let quiet = MEMBERSHIP_QUIET_MS.saturating_sub(facts.membership.quiet_for_ms(facts.now()));
    if facts.roster.seq == Seq(0) { quiet } else { quiet.min(STANDING_WAIT_MAX_MS.saturating_sub(up)) }
}

#[cfg(test)]
mod tests;
