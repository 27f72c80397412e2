//! Told = done, from the clients' side: each outcome that a client was told is the one in the ledger, row by row.
//!
//! What was told and what the ledger holds come at different times; each pair is compared when both are there and let go
//! of, so that what is kept are the orders since the last look.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Source, SourceError, rows};
use crate::limits::SOAK_EXAMPLES_MAX;
use crate::model::peer::entry::Told;
use crate::model::row::{Outcome, Record};
use crate::ops::rig::load::id_of;
use crate::types::{OrderId, PeerId, Seq};

/// See the module's text.
#[derive(Default)]
pub(super) struct Books {
    clients: BTreeSet<PeerId>,
    /// The ledger was read up to here.
    read: Seq,
    told: BTreeMap<OrderId, Told>,
    decided: BTreeMap<OrderId, Told>,
    /// Orders that were compared.
    pub compared: u64,
    /// Orders that were told other than what was done.
    pub wrong: u64,
    /// Of them, and of what the ledger lacks, some.
    pub examples: Vec<String>,
}

impl Books {
    pub(super) fn new(clients: Vec<PeerId>) -> Books {
        Books { clients: clients.into_iter().collect(), ..Books::default() }
    }

    /// Clients were told these.
    pub(super) fn hear(&mut self, told: Vec<(PeerId, Told)>) {
        for (peer, told) in told {
            let id = id_of(peer, &told);
            match self.decided.remove(&id) {
                Some(decided) => self.compare(id, &told, &decided),
                None => drop(self.told.insert(id, told)),
            }
        }
    }

    /// The ledger holds these since the last look.
    ///
    /// # Errors
    /// It cannot be read to its end; what was read counts.
    pub(super) fn read(&mut self, ledger: &mut Source) -> Result<(), SourceError> {
        for row in rows::<Record>(ledger.as_mut(), self.read.next()) {
            let (place, record) = row?;
            // The block that holds the row looked for comes whole. A row that cannot be read is for `verify` to name.
            let (true, Ok(record)) = (place.seq > self.read, record) else { continue };
            self.read = place.seq;
            if let Some(outcome) = record.outcome(place.seq, place.time) {
                self.decided(&outcome);
            }
        }
        Ok(())
    }

    fn decided(&mut self, outcome: &Outcome) {
        let Outcome { id, kind, reason, filled, amount, seq, .. } = *outcome;
        if !self.clients.contains(&id.peer) {
            return;
        }
        let decided = Told { number: id.number, kind, reason, filled, amount, seq };
        match self.told.remove(&id) {
            Some(told) => self.compare(id, &told, &decided),
            None => drop(self.decided.insert(id, decided)),
        }
    }

    fn compare(&mut self, id: OrderId, told: &Told, decided: &Told) {
        self.compared += 1;
        if told != decided {
            self.wrong += 1;
            let words =
                |it: &Told| format!("{} {} for {} at row {}", it.kind.name(), it.filled, it.amount, it.seq);
            self.example(format!("{id} was told {}, the ledger has {}", words(told), words(decided)));
        }
    }

    fn example(&mut self, what: String) {
        if self.examples.len() < SOAK_EXAMPLES_MAX {
            self.examples.push(what);
        }
    }

    /// The ledger was read to its end after the last word: what was told and is not in it is lost. Gives how many.
    pub(super) fn close(&mut self) -> u64 {
        let lost = std::mem::take(&mut self.told);
        for (id, told) in lost.iter().take(SOAK_EXAMPLES_MAX) {
            self.example(format!(
                "{id} was told {} at row {}, and the ledger has no outcome",
                told.kind.name(),
                told.seq
            ));
        }
        lost.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::row::OutcomeKind;
    use crate::types::{Money, Number, Quantity, WallMicros};

    const CLIENT: PeerId = PeerId(1_001);

    fn told(k: u64, seq: u64) -> Told {
        let (kind, filled, amount) = (OutcomeKind::Bought, Quantity(2), Money(200));
        Told { number: Number(k), kind, reason: None, filled, amount, seq: Seq(seq) }
    }

    fn decides(books: &mut Books, told: &Told) {
        let Told { number, kind, reason, filled, amount, seq } = *told;
        let id = OrderId { peer: CLIENT, number };
        let (time, trader) = (WallMicros(0), PeerId(6));
        let (shares, stock_after, repeated) = (Vec::new(), Quantity(0), false);
        books.decided(&Outcome {
            id,
            kind,
            reason,
            filled,
            amount,
            shares,
            stock_after,
            seq,
            time,
            trader,
            repeated,
        });
    }

    #[test]
    fn whichever_comes_first_both_are_compared_and_what_is_missing_is_lost() {
        let mut books = Books::new(vec![CLIENT]);
        books.hear(vec![(CLIENT, told(1, 10)), (CLIENT, told(2, 11)), (CLIENT, told(3, 12))]);
        decides(&mut books, &told(1, 10));
        decides(&mut books, &told(2, 99));
        decides(&mut books, &told(4, 13));
        books.hear(vec![(CLIENT, told(4, 13))]);
        assert_eq!((books.compared, books.wrong, books.close()), (3, 1, 1));
        assert!(
            books.examples[0].contains("1001-2") && books.examples[1].contains("1001-3"),
            "{:?}",
            books.examples
        );
        assert!(books.decided.is_empty() && books.told.is_empty());
    }
}
