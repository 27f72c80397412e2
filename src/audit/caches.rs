//! V10: what the traders' caches hold, against the ledger.
//!
//! A cache says up to which row it goes. Pushes are whole steps, so that at this very row it must equal the warehouse's
//! stock, however busy the market is; and it may lack no row for long, so that it is the warehouse's stock when the market
//! is quiet. What the ledger was known to hold before the caches were asked for may still be under way to them: `verify`
//! looks again, and what a cache lacks in the last look, too, it lacks for good. No clock is asked: that of the warehouse may
//! be an hour behind the reader's. Caches are asked for before the ledger is read: they cannot be ahead of it.
//!
//! Who is cut off from the warehouse goes on to think that it holds its office. Nobody is sold anything from its cache any
//! more once its term has ended, and the ledger says which have: only present traders are judged, at the ledger's end.

use super::fold::{Goods, Offices};
use super::{Alarms, Check, Example, Source, StockCache};
use crate::model::row::{Place, Record};
use crate::types::{PeerId, Seq, node_name};

struct Waiting {
    trader: PeerId,
    cache: StockCache,
    /// Compared with the ledger at its row.
    compared: bool,
    /// The first stock change after its row was looked at.
    next_seen: bool,
    /// Counts if it is still in office where the ledger ends.
    found: Alarms,
}

/// The caches of all traders that answered.
pub(super) struct Caches {
    waiting: Vec<Waiting>,
    /// The ledger held this before they were asked.
    held: Seq,
}

impl Caches {
    /// Asks all sources that are running traders.
    pub(super) fn ask(sources: &mut [Source], alarms: &Alarms) -> Caches {
        let marks =
            sources.iter().filter(|source| source.meta().is_ledger()).filter_map(|source| source.meta().mark);
        let held = marks.map(|(seq, _)| seq).max().unwrap_or_default();
        let ask = |source: &mut Source| {
            let (trader, cache) = (source.meta().node, source.cache()?);
            Some(Waiting { trader, cache, compared: false, next_seen: false, found: alarms.again() })
        };
        Caches { waiting: sources.iter_mut().filter_map(ask).collect(), held }
    }

    /// The rows up to `seq` were looked at before, and these are the goods after them. What a cache held before that
    /// cannot be compared any more.
    pub(super) fn go_on(&mut self, seq: Seq, goods: &Goods) {
        self.waiting.retain(|waiting| waiting.cache.seq >= seq);
        self.waiting.iter_mut().for_each(|waiting| waiting.at(seq, goods));
    }

    /// A row of the ledger was taken in, and this is the stock after it.
    pub(super) fn row(&mut self, place: &Place, record: &Record, goods: &Goods) {
        for waiting in &mut self.waiting {
            waiting.at(place.seq, goods);
            if waiting.cache.seq < place.seq && changes_stock(record) && !waiting.next_seen {
                waiting.next_seen = true;
                waiting.is_not_behind(place, self.held);
            }
        }
    }

    /// The ledger ends at `last`, with these offices.
    pub(super) fn finish(self, last: Seq, offices: &Offices, alarms: &mut Alarms) {
        let in_office = |waiting: &Waiting| offices.is_present_term(waiting.cache.term);
        for mut waiting in self.waiting.into_iter().filter(in_office) {
            waiting.is_not_ahead(last);
            alarms.add(waiting.found);
        }
    }
}

impl Waiting {
    /// Compares it with the stock after a row, if it goes up to that one.
    fn at(&mut self, seq: Seq, goods: &Goods) {
        if self.cache.seq != seq {
            return;
        }
        self.compared = true;
        let name = node_name(self.trader);
        for (product, (cached, state)) in self.cache.stock.iter().zip(&goods.0).enumerate() {
            let there = state.on_hand();
            self.found.check(Check::Caches, cached.0 == there, || {
                let what = format!("its cache holds {cached} of product {product}, the warehouse {there}");
                Example::shown(format!("{name}: {what}"), self.cache.show())
            });
        }
    }

    fn is_not_behind(&mut self, place: &Place, held: Seq) {
        self.found.check(Check::Caches, place.seq > held, || {
            let what =
                format!("its cache lacks row {}, which the ledger held before it was asked", place.seq);
            Example::shown(format!("{}: {what}", node_name(self.trader)), self.cache.show()).underway()
        });
    }

    fn is_not_ahead(&mut self, last: Seq) {
        if !self.compared {
            self.found.check(Check::Caches, false, || {
                let what = format!("its cache goes up to row {}, the ledger to {last}", self.cache.seq);
                Example::node(&node_name(self.trader), what)
            });
        }
    }
}

impl StockCache {
    fn show(&self) -> String {
        format!("inventory --at {}", self.seq)
    }
}

fn changes_stock(record: &Record) -> bool {
    matches!(record, Record::Stocked { .. } | Record::Deposit(_) | Record::Sale { .. } | Record::Adopt { .. })
}
