//! Outcomes that reach the peer: told, journaled with what proves them, and acknowledged once that is durable.

use super::{Shop, TOLD_PER_ENTRY};
use crate::model::call::Answer;
use crate::model::happening::What;
use crate::model::peer::entry::{Entry, Told};
use crate::model::peer::facts::Cx;
use crate::model::row::Outcome;
use crate::model::step::{Because, Effect};

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

    /// A person is told at once; only the acknowledgement waits for this journal.
    fn answer_asking(&mut self, cx: &mut Cx<'_>, outcome: &Outcome) {
        let Some(asking) = self.asking.remove(&outcome.id.number) else { return };
        self.tally.took(cx.at.micros.saturating_sub(asking.since_us));
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
