//! Ending. The peer does what it owes, gives its office up, and hands over what it holds. When it goes for good it
//! finishes its own orders first, and tells the others last.
//!
//! In: a person's word, or the process's end. Out: what was done, answered when it is durable, and the end of the machine.
//! Each part has a bound, so that it ends also in a market without traders; what is not done then stays in the store, for
//! the day that the peer is started again. The others are told last: as long as the peer holds orders they must be able
//! to ask it for them.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Cx, Facts};
use super::rooms::Rooms;
use crate::limits::{DRAIN_MAX, FAREWELL_MAX, HAND_OVER_MAX};
use crate::model::call::{Answer, Farewell, Refusal};
use crate::model::market::NotTaken;
use crate::model::message::PeerWord;
use crate::model::step::ReplyId;
use crate::types::{Now, Office, PeerId, Term};

/// A peer that goes for good.
struct Leaving {
    reply: ReplyId,
    /// The present part must end by then.
    until: Now,
    office: Option<(Office, Term)>,
    handed_over: u64,
    /// The peers that have not confirmed yet that they know, each with the heartbeat that it has to answer. None:
    /// nobody was told yet.
    untold: Option<BTreeMap<PeerId, u64>>,
    told: u32,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Leave {
    leaving: Option<Leaving>,
    /// It stops, and what is not handed over by then stays.
    stop_until: Option<Now>,
    ended: bool,
}

impl Leave {
    pub(super) fn due(&self, now: Now) -> Option<Now> {
        let part = self.leaving.as_ref().map(|leaving| leaving.until);
        part.into_iter().chain(self.stop_until).filter(|at| *at > now).min()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn note_handed_over(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.handed_over += 1;
        }
    }

    /// A peer has answered the heartbeat behind the news.
    pub(super) fn knows_of_farewell(&mut self, peer: PeerId, beat: u64) {
        let Some(leaving) = &mut self.leaving else { return };
        let Some(untold) = &mut leaving.untold else { return };
        if untold.get(&peer) == Some(&beat) {
            untold.remove(&peer);
            leaving.told += 1;
        }
    }

    /// The warehouse tells of this peer's leave.
    pub(super) fn is_announced(&mut self) {
        self.cannot_be_told(PeerId::WAREHOUSE);
    }

    /// A peer is not waited for any more.
    pub(super) fn cannot_be_told(&mut self, peer: PeerId) {
        if let Some(untold) = self.leaving.as_mut().and_then(|leaving| leaving.untold.as_mut()) {
            untold.remove(&peer);
        }
    }

    /// The office is given up: what its desk did not settle in its time has a home now, and gets the time to go there.
    /// Otherwise a trader that the warehouse has no room for ends with orders that only its own store has.
    pub(super) fn out_of_office(&mut self, now: Now) {
        let until = now.after_ms(HAND_OVER_MAX.as_millis() as u64);
        self.stop_until = self.stop_until.map(|before| before.max(until));
    }

    fn is_overdue(&self, facts: &Facts) -> bool {
        self.stop_until.is_some_and(|until| facts.now() >= until)
    }

    #[cfg(test)]
    pub(super) fn replies(&self) -> impl Iterator<Item = ReplyId> {
        self.leaving.as_ref().map(|leaving| leaving.reply).into_iter()
    }
}

impl Rooms {
    /// Places nothing more, and goes when everything is done.
    pub(super) fn leave(&mut self, cx: &mut Cx<'_>, reply: ReplyId) {
        if cx.is_going() {
            let text = format!("peer {} is leaving or stopping already", cx.me.id);
            return cx.reply(reply, Err(Refusal::Invalid(text)));
        }
        tracing::info!(open = cx.state.open.len(), "leaving the market");
        self.shop.stop();
        cx.leaving = true;
        let until = cx.now().after_ms(DRAIN_MAX.as_millis() as u64);
        self.leave.leaving =
            Some(Leaving { reply, until, office: None, handed_over: 0, untold: None, told: 0 });
    }

    /// The process is told to end.
    pub(super) fn begin_stop(&mut self, cx: &mut Cx<'_>) {
        if std::mem::replace(&mut cx.stopping, true) {
            return;
        }
        tracing::info!("stopping");
        cx.keep_ledger_seen();
        self.shop.stop();
        self.leave.stop_until = Some(cx.now().after_ms(DRAIN_MAX.as_millis() as u64));
        self.give_up_office(cx, PeerId(0));
    }

    /// The trader takes no more orders. Once its desk is empty the office goes to `successor` (0: to nobody).
    pub(super) fn give_up_office(&mut self, cx: &mut Cx<'_>, successor: PeerId) {
        self.offices.give_up(cx, successor);
        self.desk.set_closing(self.offices.is_giving_up());
    }

    /// This peer's orders have their outcomes, or had time enough. From here on it does what every stopping peer does.
    pub(super) fn stop_when_finished(&mut self, cx: &mut Cx<'_>) {
        let Some(leaving) = self.leave.leaving.as_mut().filter(|_| !cx.stopping) else { return };
        if cx.state.open.is_empty() || cx.now() >= leaving.until {
            leaving.office = cx.state.grant;
            self.begin_stop(cx);
        }
    }

    /// Out of office, with nothing left that another home could take, or out of time; then the others are told.
    pub(super) fn end_when_done(&mut self, cx: &mut Cx<'_>) {
        if !cx.stopping || self.leave.ended {
            return;
        }
        // A peer that goes for good waits for a successor, too: it will not be there to hand over later.
        let of_this_term = || cx.state.accepted.values().all(|it| Some(it.term) == cx.term());
        let no_home = cx.roster.home(cx.me.id).is_none() || self.offices.is_out_unheard(cx) && of_this_term();
        let nobody = no_home && self.leave.leaving.is_none();
        let handed_over = (cx.state.accepted.is_empty() || nobody) && !self.handover.is_calling();
        let done = self.offices.is_out(cx) && (handed_over || self.leave.is_overdue(cx));
        if done && self.has_said_farewell(cx) {
            self.end(cx);
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        self.shop.close(cx);
        self.desk.refuse_submits(cx);
        self.offices.refuse_to_resign(cx, "the peer is stopping");
        for (_, _, reply) in self.door.close() {
            let refusal = cx.refusal(NotTaken::NotHome);
            cx.reply(reply, Err(refusal));
        }
        if let Some(leaving) = self.leave.leaving.take() {
            let Leaving { reply, office, handed_over, told, .. } = leaving;
            // What the warehouse did not take back is not given up.
            let office = office.filter(|(_, term)| cx.term() != Some(*term));
            let (open, pending) = (cx.state.open.len() as u64, cx.state.accepted.len() as u64);
            let farewell = Farewell { peer: cx.me.id, office, handed_over, open, pending, told };
            let office = office.map(|(office, _)| office.name());
            tracing::info!(office, handed_over, open, pending, told, "has left the market");
            cx.reply(reply, Ok(Answer::Left(farewell)));
        }
        self.leave.ended = true;
    }

    // ---- telling the others

    /// Whether every peer that can be told knows. A stream that ends with its process may lose what was said last; so
    /// each peer is sent a heartbeat behind the news, and its answer shows that the news has arrived.
    fn has_said_farewell(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.leave.leaving.as_ref().is_some_and(|leaving| leaving.untold.is_none()) {
            self.say_farewell(cx);
        }
        let Some(leaving) = &self.leave.leaving else { return true };
        cx.now() >= leaving.until || leaving.untold.as_ref().is_some_and(BTreeMap::is_empty)
    }

    fn say_farewell(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        let gone = cx.membership.leave(now);
        let present = cx.membership.others();
        let traders = Office::BOTH.into_iter().filter_map(|office| cx.roster.get(office)).map(|it| it.peer);
        let to: BTreeSet<PeerId> = self.links.kept().iter().copied().chain(traders).collect();
        let mut untold = BTreeMap::new();
        // The warehouse tells everybody, this peer too: that confirms it.
        if self.session.say_leaving(cx) {
            untold.insert(PeerId::WAREHOUSE, 0);
        }
        for peer in to.intersection(&present) {
            let beat = self.partner.next_beat();
            untold.insert(*peer, beat);
            cx.tell(*peer, PeerWord::Members(vec![gone.clone()]));
            cx.tell(*peer, PeerWord::Heartbeat(beat));
        }
        if let Some(leaving) = &mut self.leave.leaving {
            leaving.until = now.after_ms(FAREWELL_MAX.as_millis() as u64);
            leaving.untold = Some(untold);
        }
    }
}

#[cfg(test)]
mod tests;
