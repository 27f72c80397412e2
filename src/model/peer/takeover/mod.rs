//! The other trader is dead, silent, or does not come up to date: its term is ended, and what it had accepted is settled
//! here.

use super::facts::{Cx, Purpose};
use super::replica::Replica;
use crate::model::call::{Answer, Ask, CallError, why_not};
use crate::model::happening::{Replayed, What};
use crate::model::message::PeerWord;
use crate::types::{PeerId, Term};

/// How far a takeover is, from the fence to the last order.
#[derive(Default)]
pub(super) struct Takeover {
    /// A fence is under way.
    fencing: bool,
    /// The trader whose duties this one took over, until that is announced: trade may go on before this one has the
    /// other's office.
    unannounced: Option<PeerId>,
    /// That trader, until a first outcome shows that trade goes on.
    replaced: Option<PeerId>,
    /// That trader, until all that was adopted of it is settled.
    settling_for: Option<PeerId>,
}

impl Takeover {
    /// The partner is dead or silent: its term is ended on this trader's word.
    pub(super) fn fence_partner(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        let Some(term) = cx.roster.held_by(peer).map(|(_, seat)| seat.term) else { return };
        if cx.term().is_none() || !cx.roster.paired || std::mem::replace(&mut self.fencing, true) {
            return;
        }
        tracing::warn!(%peer, %term, "the other trader is taken for dead");
        cx.happen(What::Suspected(peer));
        cx.demand(Purpose::Fence(peer), |hello| Ask::Fence(hello, term));
    }

    pub(super) fn fenced(&mut self, cx: &mut Cx<'_>, peer: PeerId, result: Result<Answer, CallError>) {
        self.fencing = false;
        match result {
            Ok(Answer::Roster(_, roster)) => {
                (self.replaced, self.unannounced) = (Some(peer), Some(peer));
                cx.told_roster(*roster);
                cx.news.offices = true;
            }
            other => tracing::warn!(%peer, why = why_not(&other), "the fence was not granted"),
        }
    }

    /// The secondary does not come up to date: it is passed over, and this one goes on alone until there is another.
    pub(super) fn drop_secondary(&mut self, cx: &mut Cx<'_>, peer: PeerId, term: Term) {
        if std::mem::replace(&mut self.fencing, true) {
            return;
        }
        tracing::warn!(%peer, %term, "the secondary does not come up to date: it is passed over");
        cx.demand(Purpose::DropSecondary, |hello| Ask::Fence(hello, term));
    }

    pub(super) fn secondary_dropped(&mut self, cx: &mut Cx<'_>, result: Result<Answer, CallError>) {
        self.fencing = false;
        match result {
            Ok(Answer::Roster(_, roster)) => cx.told_roster(*roster),
            other => tracing::warn!(why = why_not(&other), "the secondary could not be passed over"),
        }
    }

    /// An office is granted. If its holder was the other trader, and the warehouse had found it silent before this one
    /// did, taking its office is a takeover, too. A fence that is under way tells of the same takeover.
    pub(super) fn granted(&mut self, cx: &mut Cx<'_>, silent: Option<PeerId>) {
        if let Some(dead) = silent.filter(|_| !self.fencing) {
            cx.happen(What::Suspected(dead));
            (self.replaced, self.unannounced) = (Some(dead), Some(dead));
        }
    }

    /// Tells everybody, once this trader is the primary.
    pub(super) fn announce(&mut self, cx: &mut Cx<'_>) {
        self.end_with_office(cx);
        let Some(dead) = self.unannounced.take_if(|_| cx.is_primary()) else { return };
        let me = cx.me.id;
        cx.say(format!(
            "Dear buyers and sellers, my ID is {me} and I have taken over the duties of trader {dead}"
        ));
        for peer in cx.membership.others() {
            if peer != dead {
                cx.tell(peer, PeerWord::TookOver(dead));
            }
        }
    }

    /// A takeover is told of while this trader is in office, and announced unless another became the primary before it.
    fn end_with_office(&mut self, cx: &Cx<'_>) {
        let in_office = cx.term().is_some();
        let primary = cx.roster.primary.as_ref().map(|seat| seat.peer);
        self.replaced.take_if(|_| !in_office);
        self.unannounced.take_if(|_| !in_office || primary.is_some_and(|peer| peer != cx.me.id));
    }

    /// What is to be told of a takeover is told by a trader in office.
    ///
    /// # Errors
    /// Says what does not hold.
    pub(super) fn invariants(&self, in_office: bool) -> Result<(), String> {
        match self.replaced.or(self.unannounced).filter(|_| !in_office) {
            Some(dead) => Err(format!("the takeover from {dead} is still to be told, without an office")),
            None => Ok(()),
        }
    }

    /// A batch came back: the first one with outcomes after a takeover shows that trade goes on.
    pub(super) fn worked(&mut self, cx: &mut Cx<'_>, decided: bool, replica: &Replica) {
        if decided && let Some(dead) = self.replaced.take() {
            cx.happen(What::TookOver(dead));
            self.settling_for = Some(dead);
        }
        self.tell_replayed(cx, replica);
    }

    /// Once per takeover: what became of the orders that the other trader had accepted.
    pub(super) fn tell_replayed(&mut self, cx: &mut Cx<'_>, replica: &Replica) {
        if let Some(replayed) = replica.replayed()
            && let Some(dead) = self.settling_for.take()
        {
            let Replayed { settled, duplicates, lost } = replayed;
            tracing::info!(from = %dead, settled, duplicates, lost, "all that was adopted is settled");
            cx.happen(What::Replayed(dead, replayed));
        }
    }
}

#[cfg(test)]
mod tests;
