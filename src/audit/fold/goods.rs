//! Goods and lots: V01 (what came in = what went out + what is there, allotted or not) and V02 (never negative).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::audit::{Alarms, Check, Example};
use crate::model::row::{Decision, Place, Reason, Record, Slice, initial_lot};
use crate::types::{Consistency, OrderId, OrderKind, ProductId, Quantity, Term};

const NOTHING_SET_ASIDE: &str = "decided by a trader for whom nothing of it was set aside";

/// One product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProductState {
    /// Initial pieces.
    pub(crate) stocked: u64,
    /// Pieces deposited since.
    pub(crate) deposited: u64,
    /// Pieces sold.
    pub(crate) sold: u64,
    /// What is left of each lot that is set aside for nobody, oldest first.
    lots: Lots,
    /// What is set aside, by term.
    held: BTreeMap<Term, Lots>,
}

/// Lots with pieces left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lots {
    lots: VecDeque<(OrderId, u64)>,
    /// The sum over them.
    left: u64,
}

impl ProductState {
    /// Pieces that are there: the sum over all lots.
    pub(crate) fn on_hand(&self) -> u64 {
        self.lots.left + self.allotted()
    }

    /// Pieces that are set aside for terms, present and ended.
    pub(crate) fn allotted(&self) -> u64 {
        self.held.values().map(|held| held.left).sum()
    }

    /// Lots with pieces left.
    pub(crate) fn lots(&self) -> usize {
        self.lots.lots.len() + self.held.values().map(|held| held.lots.len()).sum::<usize>()
    }

    /// The terms that have an allotment of it.
    pub(super) fn held_by(&self) -> impl Iterator<Item = Term> + '_ {
        self.held.keys().copied()
    }

    /// What a decision takes from or puts in: goods of its term if it was a trader's; none if that has none of it.
    fn lots_of(&mut self, decision: &Decision) -> Option<&mut Lots> {
        match decision.batch.decision() {
            Some(_) => self.held.get_mut(&decision.term),
            None => Some(&mut self.lots),
        }
    }

    /// Free lots become those of a term.
    fn set_aside(&mut self, term: Term, slices: &[Slice]) -> Result<(), String> {
        let held = self.held.entry(term).or_default();
        slices.iter().try_for_each(|slice| {
            held.put(slice.lot, slice.quantity.0);
            self.lots.take(slice).map(drop)
        })
    }

    /// A term gives lots back, its last ones; with nothing left it may not sell what it takes in.
    fn take_back(&mut self, term: Term, slices: &[Slice]) -> Result<(), String> {
        let held = self.held.get_mut(&term).ok_or_else(|| format!("term {term} had nothing of it"))?;
        let mut back = Lots::default();
        for slice in slices.iter().rev() {
            let last = held.lots.pop_back();
            if last != Some((slice.lot, slice.quantity.0)) {
                return Err(format!("the last lot of term {term} was {last:?}"));
            }
            held.left -= slice.quantity.0;
            back.left += slice.quantity.0;
            back.lots.push_front((slice.lot, slice.quantity.0));
        }
        if held.lots.is_empty() {
            self.held.remove(&term);
        }
        self.lots.put_back(back);
        Ok(())
    }

    fn free(&mut self, term: Term) {
        self.lots.put_back(self.held.remove(&term).unwrap_or_default());
    }
}

impl Lots {
    fn put_back(&mut self, back: Lots) {
        self.left += back.left;
        for (lot, pieces) in back.lots.into_iter().rev() {
            match self.lots.front_mut() {
                Some((first, left)) if *first == lot => *left += pieces,
                _ => self.lots.push_front((lot, pieces)),
            }
        }
    }

    fn put(&mut self, lot: OrderId, pieces: u64) {
        if pieces > 0 {
            self.left += pieces;
            self.lots.push_back((lot, pieces));
        }
    }

    /// Takes a slice and says whether its lot was the oldest, or that it has not so much. Slices name the oldest lots, so
    /// that the first one is nearly always the one.
    fn take(&mut self, slice: &Slice) -> Result<bool, String> {
        let (lot, pieces) = (slice.lot, slice.quantity);
        let at = self
            .lots
            .iter()
            .position(|(id, _)| *id == lot)
            .ok_or_else(|| format!("lot {lot} has nothing left or never was"))?;
        let left = self.lots[at].1;
        let rest =
            left.checked_sub(pieces.0).ok_or_else(|| format!("lot {lot} has {left} pieces, not {pieces}"))?;
        self.left -= pieces.0;
        self.lots[at].1 = rest;
        if rest == 0 {
            self.lots.remove(at);
        }
        Ok(at == 0)
    }
}

/// What answers from caches came to: the price of the `cached` mode, and no failure of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Price {
    /// The market was in that mode, at some time.
    pub(crate) cached: bool,
    /// Orders that were told as done and were taken back.
    pub(crate) oversold: u64,
    /// Orders that were refused, or filled in part, as they had been told, though there was more.
    pub(crate) undersold: u64,
    /// Lots were set aside, and were put back where others are younger.
    set_aside: bool,
    /// Of a term it was accepted that what it sold is lost.
    released: bool,
}

/// Stock of all products, by index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Goods(pub(crate) Vec<ProductState>, pub(crate) Price);

impl Goods {
    /// `overtaken`: a higher number of its peer has a row of the good.
    pub(super) fn apply(&mut self, place: &Place, record: &Record, overtaken: bool, alarms: &mut Alarms) {
        match record {
            Record::Stocked { quantity, .. } => self.stocked(*quantity),
            Record::Deposit(decision) => self.deposit(place, decision, alarms),
            Record::Sale { decision, slices, .. } => self.sale(place, decision, slices, alarms),
            Record::Refusal { decision, reason } => self.refusal(place, decision, *reason, alarms),
            Record::Void { decision, .. } if self.is_known(decision) => {
                self.stock_after(place, decision, alarms)
            }
            Record::Reversal(decision) => self.reversal(place, decision, overtaken, alarms),
            Record::Adopt { decision, slices, of, .. } => {
                let drawn = decision.batch.decision().is_some() && decision.term == *of;
                alarms
                    .check(Check::Goods, drawn, || Example::row(place, "adopted of no decision of its term"));
                match decision.order.kind {
                    OrderKind::Sell => self.deposit(place, decision, alarms),
                    _ => self.sale(place, decision, slices, alarms),
                }
            }
            Record::Allotment { term, product, slices, .. } => {
                self.1.set_aside = true;
                let set_aside = |product: &mut ProductState| product.set_aside(*term, slices);
                self.moved(place, *product, set_aside, alarms);
            }
            Record::Returned { term, product, slices, .. } => {
                self.moved(place, *product, |product| product.take_back(*term, slices), alarms);
            }
            Record::Complete { of, .. } => self.0.iter_mut().for_each(|product| product.free(*of)),
            Record::Released { term, .. } => {
                self.1.released = true;
                self.0.iter_mut().for_each(|product| product.free(*term));
            }
            Record::Restored { .. } => {
                for product in &mut self.0 {
                    let terms: Vec<Term> = product.held.keys().copied().collect();
                    terms.into_iter().for_each(|term| product.free(term));
                }
            }
            Record::Mode { mode, .. } => self.1.cached |= *mode == Consistency::Cached,
            _ => {}
        }
    }

    /// A term has an allotment of any good.
    pub(super) fn holds(&self, term: Term) -> bool {
        self.0.iter().any(|product| product.held.contains_key(&term))
    }

    /// Whether its product is known. An order that was given up, or is of a closed epoch, was never checked: it may
    /// name no product at all.
    fn is_known(&self, decision: &Decision) -> bool {
        decision.order.kind != OrderKind::Void && usize::from(decision.order.product.0) < self.0.len()
    }

    fn product(&mut self, product: ProductId) -> Option<&mut ProductState> {
        self.0.get_mut(usize::from(product.0))
    }

    /// Pieces go from the free ones to a term's, or back: they are there before and afterwards.
    fn moved(
        &mut self,
        place: &Place,
        product: ProductId,
        how: impl FnOnce(&mut ProductState) -> Result<(), String>,
        alarms: &mut Alarms,
    ) {
        let Some(state) = self.product(product) else {
            return alarms.check(Check::Goods, false, || {
                Example::row(place, format!("product {product} was never stocked"))
            });
        };
        let before = state.on_hand();
        let moved = how(state);
        let after = state.on_hand();
        alarms.check(Check::Goods, moved.is_ok() && before == after, || {
            Example::row(place, moved.err().unwrap_or_else(|| format!("{before} pieces became {after}")))
        });
    }

    fn stocked(&mut self, quantity: Quantity) {
        let mut product = ProductState { stocked: quantity.0, ..ProductState::default() };
        product.lots.put(initial_lot(), quantity.0);
        self.0.push(product);
    }

    fn deposit(&mut self, place: &Place, decision: &Decision, alarms: &mut Alarms) {
        let order = &decision.order;
        let sane = order.kind == OrderKind::Sell && order.quantity.0 > 0;
        alarms.check(Check::Goods, sane, || {
            Example::row(place, "a deposit that is not a sell order of pieces")
        });
        if let Some(product) = self.product(order.product) {
            product.deposited += order.quantity.0;
            match product.lots_of(decision) {
                Some(lots) => lots.put(order.id, order.quantity.0),
                None => alarms.check(Check::Goods, false, || Example::row(place, NOTHING_SET_ASIDE)),
            }
        }
        self.stock_after(place, decision, alarms);
    }

    fn sale(&mut self, place: &Place, decision: &Decision, slices: &[Slice], alarms: &mut Alarms) {
        let filled: u64 = slices.iter().map(|slice| slice.quantity.0).sum();
        let wrong = sale_against_order(decision, filled);
        alarms.check(Check::Goods, wrong.is_none(), || Example::row(place, wrong.unwrap_or_default()));
        let (cached, any_lot) = (self.1.cached, self.1.set_aside);
        let mut undersold = false;
        if let Some(product) = self.product(decision.order.product) {
            product.sold += filled;
            for slice in slices {
                let nothing = || Err(NOTHING_SET_ASIDE.to_owned());
                let taken = product.lots_of(decision).map_or_else(nothing, |lots| lots.take(slice));
                alarms.check(Check::Goods, any_lot || taken != Ok(false), || {
                    Example::row(place, format!("lot {} was not the oldest", slice.lot))
                });
                alarms.check(Check::NeverNegative, taken.is_ok(), || {
                    Example::row(place, taken.err().unwrap_or_default())
                });
            }
            let short = !matches!(decision.order.kind, OrderKind::Buy { partial: true })
                || filled == decision.order.quantity.0
                || product.on_hand() == 0
                || slices.len() == crate::limits::SALE_LOTS_MAX;
            undersold = cached && !short;
            alarms.check(Check::Goods, short || cached, || {
                Example::row(place, "filled in part while pieces were left")
            });
        }
        self.1.undersold += u64::from(undersold);
        self.stock_after(place, decision, alarms);
    }

    /// What was told from a cache is taken back: nothing moves. All that was asked for was told, unless less was allowed;
    /// where that is there it must be booked.
    fn reversal(&mut self, place: &Place, decision: &Decision, overtaken: bool, alarms: &mut Alarms) {
        let order = &decision.order;
        let free = |it: &mut ProductState| (it.lots.left, it.lots());
        let (there, lots) = self.product(order.product).map_or((0, 0), free);
        let must = order.kind == (OrderKind::Buy { partial: false })
            && there >= order.quantity.0
            && lots <= crate::limits::SALE_LOTS_MAX
            && !overtaken;
        // What was decided from goods that were set aside is never taken back.
        let drawn = decision.batch.decision().is_some();
        let may = (self.1.cached || self.1.released) && order.kind != OrderKind::Void && !must && !drawn;
        alarms.check(Check::Goods, may, || {
            Example::row(place, format!("taken back: {} asked, {there} there", order.quantity))
        });
        self.1.oversold += 1;
        self.stock_after(place, decision, alarms);
    }

    /// Sold out is said only when there is too little, or as a cache had said.
    fn refusal(&mut self, place: &Place, decision: &Decision, reason: Option<Reason>, alarms: &mut Alarms) {
        let order = &decision.order;
        let there = self.product(order.product).map_or(0, |product| product.on_hand());
        let holds = match (order.kind, reason) {
            (OrderKind::Buy { partial: true }, None) => there == 0,
            (OrderKind::Buy { partial: false }, None) => there < order.quantity.0,
            (OrderKind::Buy { .. }, reason) => reason == Some(Reason::TooManyLots),
            (OrderKind::Sell, reason) => reason == Some(Reason::StockFull),
            (OrderKind::Void, _) => false,
        };
        let is_buy = matches!(order.kind, OrderKind::Buy { .. });
        let undersold = self.1.cached && reason.is_none() && !holds && is_buy;
        self.1.undersold += u64::from(undersold);
        alarms.check(Check::Goods, holds || undersold, || {
            let word = reason.map_or("sold out", Reason::name);
            Example::row(place, format!("refused ({word}): {} asked, {there} there", order.quantity))
        });
        self.stock_after(place, decision, alarms);
    }

    /// stocked + deposited = sold + on hand, and the row says that on-hand.
    fn stock_after(&mut self, place: &Place, decision: &Decision, alarms: &mut Alarms) {
        let (id, said) = (decision.order.product, decision.stock_after.0);
        let Some(product) = self.product(id) else {
            alarms.check(Check::Goods, false, || {
                Example::row(place, format!("product {id} was never stocked"))
            });
            return;
        };
        let (came, sold, there) = (product.stocked + product.deposited, product.sold, product.on_hand());
        alarms.check(Check::NeverNegative, sold <= came, || {
            Example::row(place, format!("{sold} pieces sold, {came} came in"))
        });
        alarms.check(Check::Goods, came == sold + there && there == said, || {
            Example::row(
                place,
                format!("{came} came in, {sold} sold, {there} in lots, {said} said to be left"),
            )
        });
    }
}

fn sale_against_order(decision: &Decision, filled: u64) -> Option<String> {
    let asked = decision.order.quantity.0;
    match decision.order.kind {
        OrderKind::Buy { partial } if (1..=asked).contains(&filled) && (partial || filled == asked) => None,
        OrderKind::Buy { .. } => Some(format!("{filled} pieces sold of {asked} asked for")),
        kind => Some(format!("a sale to a {} order", kind.name())),
    }
}
