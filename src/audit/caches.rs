//! V10: what the traders' caches hold, against the ledger.
//!
//! A cache says up to which row it goes. Pushes are whole steps, so that at this very row it must equal the warehouse's
//! stock, however busy the market is; and it may lack no row of some age, so that it is the warehouse's stock when the
//! market is quiet. Caches are asked for before the ledger is read: they cannot be ahead of it.

use std::time::Duration;

use super::fold::Goods;
use super::{Alarms, Check, Example, Source, StockCache};
use crate::model::row::{Place, Record};
use crate::types::{PeerId, Seq, node_name};

/// A push is on its way for at most this long.
const BEHIND_MAX: Duration = Duration::from_secs(2);

struct Waiting {
    trader: PeerId,
    cache: StockCache,
    /// Compared with the ledger at its row.
    compared: bool,
    /// The first stock change after its row was looked at.
    next_seen: bool,
}

/// The caches of all traders that answered.
pub(super) struct Caches(Vec<Waiting>);

impl Caches {
    /// Asks all sources that are running traders.
    pub(super) fn ask(sources: &mut [Source]) -> Caches {
        let ask = |source: &mut Source| {
            let (trader, cache) = (source.meta().node, source.cache()?);
            Some(Waiting { trader, cache, compared: false, next_seen: false })
        };
        Caches(sources.iter_mut().filter_map(ask).collect())
    }

    /// A row of the ledger was taken in, and this is the stock after it.
    pub(super) fn row(&mut self, place: &Place, record: &Record, goods: &Goods, alarms: &mut Alarms) {
        for waiting in &mut self.0 {
            if waiting.cache.seq == place.seq {
                waiting.compared = true;
                waiting.compare(goods, alarms);
            }
            if waiting.cache.seq < place.seq && changes_stock(record) && !waiting.next_seen {
                waiting.next_seen = true;
                waiting.is_not_behind(place, alarms);
            }
        }
    }

    /// The ledger ends at `last`.
    pub(super) fn finish(&self, last: Seq, alarms: &mut Alarms) {
        for Waiting { trader, cache, .. } in self.0.iter().filter(|waiting| !waiting.compared) {
            alarms.check(Check::Caches, false, || {
                let what = format!("its cache goes up to row {}, the ledger to {last}", cache.seq);
                Example::node(&node_name(*trader), what)
            });
        }
    }
}

impl Waiting {
    fn compare(&self, goods: &Goods, alarms: &mut Alarms) {
        for (product, (cached, state)) in self.cache.stock.iter().zip(&goods.0).enumerate() {
            let there = state.on_hand();
            alarms.check(Check::Caches, cached.0 == there, || {
                let what = format!("its cache holds {cached} of product {product}, the warehouse {there}");
                Example { what: format!("{}: {what}", node_name(self.trader)), show: self.show() }
            });
        }
    }

    fn is_not_behind(&self, place: &Place, alarms: &mut Alarms) {
        let age = Duration::from_micros(self.cache.asked_at.0.saturating_sub(place.time.0));
        alarms.check(Check::Caches, age <= BEHIND_MAX, || {
            let what = format!("its cache lacks row {}, which was {age:?} old", place.seq);
            Example { what: format!("{}: {what}", node_name(self.trader)), show: self.show() }
        });
    }

    fn show(&self) -> String {
        format!("inventory --at {}", self.cache.seq)
    }
}

fn changes_stock(record: &Record) -> bool {
    matches!(record, Record::Stocked { .. } | Record::Deposit(_) | Record::Sale { .. })
}
