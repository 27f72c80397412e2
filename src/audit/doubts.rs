//! What a journal holds and the ledger lacks: a violation, unless a restore lost it.

use serde::{Deserialize, Serialize};

use super::fold::{Answer, Restores};
use super::{Alarms, Check, Example};
use crate::types::{Epoch, Generation, PeerId, Seq, node_name};

/// In doubt until all restores are known.
pub(crate) type Doubts = Vec<Doubt>;

/// See the module's text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Doubt {
    checks: Vec<Check>,
    /// The generation of the ledger that the journal's session was of.
    generation: Generation,
    /// Where in it.
    seq: Seq,
    /// The order's epoch, if the doubt is about an order: nothing of an open epoch can be lost.
    epoch: Option<Epoch>,
    example: Example,
}

impl Doubt {
    pub(crate) fn of_answer(checks: &[Check], answer: &Answer, example: Example) -> Doubt {
        let (generation, seq, epoch) = (answer.generation, answer.told.seq, answer.told.number.epoch());
        Doubt { checks: checks.to_vec(), generation, seq, epoch: Some(epoch), example }
    }

    /// Of an order of that epoch, whose peer was told of it in that generation, before this row settled it otherwise.
    pub(crate) fn of_early(epoch: Epoch, (generation, seq): (Generation, Seq), example: Example) -> Doubt {
        Doubt { checks: vec![Check::ToldIsDone], generation, seq, epoch: Some(epoch), example }
    }

    pub(crate) fn of_mark(node: PeerId, generation: Generation, seq: Seq, what: String) -> Doubt {
        let example = Example::node(&node_name(node), what);
        Doubt { checks: vec![Check::Durable], generation, seq, epoch: None, example }
    }

    pub(crate) fn judge(&self, restores: &Restores, alarms: &mut Alarms) {
        let lost = restores.lost_at(self.generation, self.seq);
        let lost = lost.filter(|_| self.epoch.is_none_or(|epoch| restores.closed_by(epoch).is_some()));
        for check in &self.checks {
            match lost {
                Some(row) => alarms.lost(*check, row),
                None => alarms.check(*check, false, || self.example.clone()),
            }
        }
    }
}
