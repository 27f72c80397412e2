//! Restores: from which row on other rows were lost, and what of a journal belonged to those.

use serde::{Deserialize, Serialize};

use crate::audit::{Alarms, Check, Example};
use crate::model::row::{Place, Record};
use crate::types::{Epoch, Generation, Seq};

/// The `restored` rows of a ledger, in their order. Whatever an earlier generation had from such a row on is lost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Restores(Vec<(Seq, Generation)>);

impl Restores {
    /// The ledger's present generation; count 0: it was never restored.
    pub(crate) fn generation(&self) -> Generation {
        self.0.last().map(|(_, generation)| *generation).unwrap_or_default()
    }

    pub(super) fn apply(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) {
        let Record::Restored { generation, .. } = record else { return };
        let before = self.generation();
        alarms.check(Check::Fencing, generation.count > before.count, || {
            Example::row(place, format!("generation {generation} after generation {before}"))
        });
        self.0.push((place.seq, *generation));
    }

    /// The `restored` row of the restore that closed an epoch, if one did: orders of it that were undecided then stay
    /// so.
    pub(crate) fn closed_by(&self, epoch: Epoch) -> Option<Seq> {
        self.0.iter().find(|(_, it)| it.first_epoch() > epoch).map(|(row, _)| *row)
    }

    /// The `restored` row of the restore that lost what the ledger of `generation` held at `seq`, if one did. If this
    /// ledger never had that generation, it is not known where the two parted: all of it may be lost.
    pub(crate) fn lost_at(&self, generation: Generation, seq: Seq) -> Option<Seq> {
        let own = generation.count == 0 || self.0.iter().any(|(_, it)| *it == generation);
        let (row, _) = self.0.iter().find(|(_, it)| it.count > generation.count)?;
        (!own || seq >= *row).then_some(*row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_behind_a_restore_is_lost_and_nothing_else() {
        let of = |count, random| Generation { count, random };
        assert_eq!(Restores::default().lost_at(of(0, 0), Seq(9)), None);
        let restores = Restores(vec![(Seq(120), of(1, 7)), (Seq(300), of(3, 7))]);
        assert_eq!(restores.lost_at(of(0, 0), Seq(119)), None);
        assert_eq!(restores.lost_at(of(0, 0), Seq(120)), Some(Seq(120)));
        assert_eq!(restores.lost_at(of(1, 7), Seq(200)), None);
        assert_eq!(restores.lost_at(of(1, 7), Seq(300)), Some(Seq(300)));
        assert_eq!(restores.lost_at(of(2, 7), Seq(7)), Some(Seq(300)), "of a restore that was itself undone");
        assert_eq!(restores.lost_at(of(1, 8), Seq(7)), Some(Seq(300)), "of another restore with that count");
        assert_eq!(restores.lost_at(of(3, 7), Seq(1_000)), None, "the present generation");
        assert_eq!(restores.lost_at(of(4, 7), Seq(1_000)), None, "from nowhere");
    }
}
