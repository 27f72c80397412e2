//! Outcomes that reach the peer: told, journaled with what proves them, and acknowledged once that is durable.

use super::{Shop, TOLD_PER_ENTRY};
use crate::model::call::Answer;
use crate::model::happening::What;
use crate::model::peer::entry::{Entry, Told};
use crate::model::peer::facts::Cx;
use crate::model::row::Outcome;
use crate::model::session::is_lost;
use crate::model::step::{Because, Effect};
use crate::model::tentative::Tentative;
use crate::types::{Order, OrderKind};

impl Shop {
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>, outcomes: Vec<Outcome>) {
        let Some(first) = outcomes.first() else { return };
        let via = self.home.seat.map_or(first.trader, |(peer, _)| peer);
        let news: Vec<Outcome> =
            outcomes.into_iter().filter(|outcome| cx.state.open.contains_key(&outcome.id.number)).collect();
        if news.is_empty() {
            return;
        }
        for outcome in &news {
            tracing::debug!(order = %outcome.id, outcome = outcome.kind.name(), seq = %outcome.seq, "told");
            self.tally.told(outcome, cx.at.time);
            tell_watchers(cx, outcome);
            self.answer_asking(cx, outcome);
            self.given_up.remove(&outcome.id.number);
        }
        for told in news.chunks(TOLD_PER_ENTRY) {
            // With the answers goes what proves them: a warehouse that is put back to before them is found out.
            let seen = Some(cx.ledger_seen).filter(|seen| *seen != cx.state.ledger_seen);
            cx.record(Entry::Answered {
                via,
                told: told.iter().map(as_told).collect(),
                seen: seen.map(Box::new),
            });
        }
        self.floor_moved(cx);
    }

    /// The lowest number without an outcome is another one now. That counts once the record is durable.
    pub(super) fn floor_moved(&mut self, cx: &Cx<'_>) {
        self.answered.push_back((cx.state.seq, cx.state.floor()));
    }

    // ---- before they are settled

    /// What was told of these orders before.
    pub(super) fn told_before(&self, cx: &Cx<'_>, orders: &[Order]) -> Vec<Tentative> {
        let told =
            |order: &Order| Some(Tentative { id: order.id, ..*cx.state.told_early.get(&order.id.number)? });
        orders.iter().filter(|order| order.kind != OrderKind::Void).filter_map(told).collect()
    }

    /// A trader's own word of open orders. It binds whoever settles them later, so it is told nobody before it is durable
    /// here: a peer that forgot it would ask without it.
    pub(super) fn hear_early(&mut self, cx: &mut Cx<'_>, mut early: Vec<Tentative>) {
        let Some((via, _)) = self.home.seat else { return };
        early.retain(|it| {
            let number = it.id.number;
            let open = cx.state.open.contains_key(&number) && !self.given_up.contains(&number);
            let lost = is_lost(number.epoch(), cx.ledger_seen.generation);
            it.id.peer == cx.me.id && open && !lost && !cx.state.told_early.contains_key(&number)
        });
        for told in early.chunks(TOLD_PER_ENTRY) {
            cx.record(Entry::ToldEarly { via, told: told.to_vec() });
            self.early.extend(told.iter().map(|it| (cx.state.seq, *it)));
        }
    }

    /// It is durable. What was settled meanwhile was told then; what a restored warehouse will not hear of is not told.
    pub(super) fn is_told_early(&mut self, cx: &mut Cx<'_>, answer: Tentative) {
        let number = answer.id.number;
        let Some(placed) = cx.state.open.get(&number).copied() else { return };
        if is_lost(number.epoch(), cx.ledger_seen.generation) {
            return;
        }
        if let Some(asking) = self.asking.get_mut(&number)
            && !std::mem::replace(&mut asking.timed, true)
        {
            self.tally.took(cx.at.micros.saturating_sub(asking.since_us));
        }
        if cx.at.watched {
            let what = What::ToldEarly(cx.state.order(cx.me.id, &placed), answer);
            cx.turn.at_once(Because::Mirrored, Effect::Happen(what));
        }
    }

    /// A person is told at once; only the acknowledgement waits for this journal.
    fn answer_asking(&mut self, cx: &mut Cx<'_>, outcome: &Outcome) {
        let Some(asking) = self.asking.remove(&outcome.id.number) else { return };
        if !asking.timed {
            self.tally.took(cx.at.micros.saturating_sub(asking.since_us));
        }
        if let Some(placed) = cx.state.open.get(&outcome.id.number).filter(|_| !asking.replies.is_empty()) {
            self.by_hand.told(placed, outcome);
        }
        for reply in asking.replies {
            cx.reply_at_once(reply, Ok(Answer::Outcome(Box::new(outcome.clone()), None)));
        }
    }
}

fn tell_watchers(cx: &mut Cx<'_>, outcome: &Outcome) {
    if cx.at.watched
        && let Some(placed) = cx.state.open.get(&outcome.id.number)
    {
        let what = What::Told(cx.state.order(cx.me.id, placed), outcome.clone());
        cx.turn.at_once(Because::Journaled, Effect::Happen(what));
    }
}

fn as_told(outcome: &Outcome) -> Told {
    let Outcome { id, kind, reason, filled, amount, seq, .. } = *outcome;
    Told { number: id.number, kind, reason, filled, amount, seq }
}
