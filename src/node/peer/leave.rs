//! Going for good: own orders are finished, the office is given up, what is held is handed over, and the others told.
//!
//! In: a person's word. Out: what was done, answered when it is durable, and the end of the loop. Each part has a bound,
//! so that it ends also in a market without traders; what is not done then stays in the store, for the day that the peer
//! is started again. The others are told last: who still holds orders must be asked for them.

use super::*;
use crate::limits::{DRAIN_MAX, FAREWELL_MAX};

/// See the module's text.
pub(super) struct Leaving {
    reply: Reply<Farewell>,
    /// The present part must end by then.
    until: Now,
    office: Option<(Office, Term)>,
    handed_over: u64,
    /// Who has not confirmed yet that it knows, with the heartbeat that it has to answer. None: nobody was told yet.
    untold: Option<BTreeMap<PeerId, u64>>,
    told: u32,
}

impl Loop {
    /// Places nothing more, and goes when everything is done.
    pub(super) fn leave(&mut self, reply: Reply<Farewell>) {
        if self.is_going() {
            let text = format!("peer {} is leaving or stopping already", self.me.id);
            return self.reply(reply, Err(Refusal::Invalid(text)));
        }
        tracing::info!(open = self.state.open.len(), "leaving the market");
        self.shopper.stop();
        let until = self.now.after_ms(DRAIN_MAX.as_millis() as u64);
        self.timers.insert((until, Timer::Leave));
        self.leaving = Some(Leaving { reply, until, office: None, handed_over: 0, untold: None, told: 0 });
    }

    /// It takes on nothing more: no office, no order of its own.
    pub(super) fn is_going(&self) -> bool {
        self.stopping || self.leaving.is_some()
    }

    /// Own orders have their outcomes, or had time enough: the rest is what every stopping peer does.
    pub(super) fn stop_when_finished(&mut self) {
        let Some(leaving) = self.leaving.as_mut().filter(|_| !self.stopping) else { return };
        if self.state.open.is_empty() || self.now >= leaving.until {
            leaving.office = self.state.grant;
            self.begin_stop();
        }
    }

    pub(super) fn note_handed_over(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.handed_over += 1;
        }
    }

    // ---- telling the others

    /// Nobody has to be told, or whoever can be told knows. A heartbeat behind the news shows, when it is answered, that
    /// the news has arrived: a stream that ends with its process may lose what was said last.
    pub(super) fn has_said_farewell(&mut self) -> bool {
        if self.leaving.as_ref().is_some_and(|leaving| leaving.untold.is_none()) {
            self.say_farewell();
        }
        let Some(leaving) = &self.leaving else { return true };
        self.now >= leaving.until || leaving.untold.as_ref().is_some_and(BTreeMap::is_empty)
    }

    fn say_farewell(&mut self) {
        let gone = self.membership.leave(self.now);
        let present = self.membership.others();
        let traders = Office::BOTH.into_iter().filter_map(|office| self.roster.get(office)).map(|it| it.peer);
        let to: BTreeSet<PeerId> = self.links.gossip.iter().copied().chain(traders).collect();
        let until = self.now.after_ms(FAREWELL_MAX.as_millis() as u64);
        self.timers.insert((until, Timer::Leave));
        if let Some(leaving) = &mut self.leaving {
            (leaving.until, leaving.untold) = (until, Some(BTreeMap::new()));
        }
        for peer in to.intersection(&present) {
            self.links.beat += 1;
            if let Some(untold) = self.leaving.as_mut().and_then(|leaving| leaving.untold.as_mut()) {
                untold.insert(*peer, self.links.beat);
            }
            self.tell_peer(*peer, PeerWord::Members(vec![gone.clone()]));
            self.tell_peer(*peer, PeerWord::Heartbeat(self.links.beat));
        }
    }

    pub(super) fn knows_of_farewell(&mut self, peer: PeerId, beat: u64) {
        let Some(leaving) = &mut self.leaving else { return };
        let Some(untold) = &mut leaving.untold else { return };
        if untold.get(&peer) == Some(&beat) {
            untold.remove(&peer);
            leaving.told += 1;
        }
    }

    pub(super) fn cannot_be_told(&mut self, peer: PeerId) {
        if let Some(untold) = self.leaving.as_mut().and_then(|leaving| leaving.untold.as_mut()) {
            untold.remove(&peer);
        }
    }

    /// What to answer, and to whom, once the journal is closed.
    pub(super) fn farewell(&mut self) -> Option<(Reply<Farewell>, Farewell)> {
        let Leaving { reply, office, handed_over, told, .. } = self.leaving.take()?;
        let (open, pending) = (self.state.open.len() as u64, self.state.accepted.len() as u64);
        let farewell = Farewell { peer: self.me.id, office, handed_over, open, pending, told };
        tracing::info!(?farewell, "has left the market");
        Some((reply, farewell))
    }
}
