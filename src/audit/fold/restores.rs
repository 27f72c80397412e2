//! Restores: from which row on other rows were lost, and what of a journal belonged to those.

use crate::audit::{Alarms, Check, Example};
use crate::model::row::{Place, Record};
use crate::types::{Epoch, Seq};

/// The `restored` rows of a ledger, in their order. Whatever an earlier generation had from such a row on is lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restores(Vec<(Seq, u64)>);

impl Restores {
    /// The ledger's present generation; 0: it was never restored.
    pub(crate) fn generation(&self) -> u64 {
        self.0.last().map_or(0, |(_, generation)| *generation)
    }

    pub(super) fn apply(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) {
        let Record::Restored { generation, .. } = record else { return };
        let before = self.generation();
        alarms.check(Check::Fencing, *generation > before, || {
            Example::row(place, format!("generation {generation} after generation {before}"))
        });
        self.0.push((place.seq, *generation));
    }

    /// The `restored` row of the restore that closed an epoch, if one did: orders of it that were undecided then stay
    /// so.
    pub(crate) fn closed_by(&self, epoch: Epoch) -> Option<Seq> {
        self.0.iter().find(|(_, it)| *it > u64::from(epoch.0)).map(|(row, _)| *row)
    }

    /// The `restored` row of the restore that lost what the ledger of `generation` held at `seq`, if one did. If this
    /// ledger never had that generation, it is not known where the two parted: all of it may be lost.
    pub(crate) fn lost_at(&self, generation: u64, seq: Seq) -> Option<Seq> {
        let own = generation == 0 || self.0.iter().any(|(_, it)| *it == generation);
        let (row, _) = self.0.iter().find(|(_, it)| *it > generation)?;
        (!own || seq >= *row).then_some(*row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_behind_a_restore_is_lost_and_nothing_else() {
        assert_eq!(Restores::default().lost_at(0, Seq(9)), None);
        let restores = Restores(vec![(Seq(120), 900), (Seq(300), 950)]);
        assert_eq!(restores.lost_at(0, Seq(119)), None);
        assert_eq!(restores.lost_at(0, Seq(120)), Some(Seq(120)));
        assert_eq!(restores.lost_at(900, Seq(200)), None);
        assert_eq!(restores.lost_at(900, Seq(300)), Some(Seq(300)));
        assert_eq!(restores.lost_at(920, Seq(7)), Some(Seq(300)), "of a restore that was itself undone");
        assert_eq!(restores.lost_at(950, Seq(1_000)), None, "the present generation");
        assert_eq!(restores.lost_at(951, Seq(1_000)), None, "from nowhere");
    }
}
