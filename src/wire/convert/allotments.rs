//! What is told before it is settled, and goods set aside for it, as protos and back.

use super::{
    Checked, Number, Odd, OrderId, PeerId, Quantity, Term, caller_in, hello_out, order_out, orders_in, proto,
};
use crate::model::call::{Ask, SalesReport};
use crate::model::hello::Hello;
use crate::model::message::GoodsWord;
use crate::model::offices::Frozen;
use crate::model::tentative::{Draw, Tentative};
use crate::types::ProductId;

/// Pieces of a good.
type Pieces = (ProductId, Quantity);

fn product_in(product: u32) -> Checked<ProductId> {
    u16::try_from(product).map(ProductId).map_err(|_| Odd::Field("product"))
}

pub(super) fn told_out(told: &[Tentative]) -> Vec<proto::Tentative> {
    let out = |it: &Tentative| proto::Tentative {
        peer: it.id.peer.0,
        number: it.id.number.0,
        filled: it.filled.0,
        term: it.draw.map_or(0, |draw| draw.term.0),
        nth: it.draw.map_or(0, |draw| draw.nth),
    };
    told.iter().map(out).collect()
}

/// At most so many: what comes with orders is of those.
pub(super) fn told_in(told: &[proto::Tentative], most: usize) -> Checked<Vec<Tentative>> {
    let tentative = |it: &proto::Tentative| Tentative {
        id: OrderId { peer: PeerId(it.peer), number: Number(it.number) },
        filled: Quantity(it.filled),
        draw: (it.nth != 0).then_some(Draw { term: Term(it.term), nth: it.nth }),
    };
    if told.len() > most { Err(Odd::Field("told")) } else { Ok(told.iter().map(tentative).collect()) }
}

pub(super) fn wants_out((product, pieces): &Pieces) -> proto::Want {
    proto::Want { product: product.0.into(), pieces: pieces.0 }
}

pub(super) fn wants_in(it: &proto::Want) -> Checked<Pieces> {
    Ok((product_in(it.product)?, Quantity(it.pieces)))
}

fn allotted_out((product, pieces): &(ProductId, Option<Quantity>)) -> proto::Allotted {
    let (open, pieces) = (pieces.is_some(), pieces.map_or(0, |pieces| pieces.0));
    proto::Allotted { product: product.0.into(), open, pieces }
}

fn allotted_in(it: &proto::Allotted) -> Checked<(ProductId, Option<Quantity>)> {
    Ok((product_in(it.product)?, it.open.then_some(Quantity(it.pieces))))
}

pub(super) fn goods_out(word: &GoodsWord) -> proto::GoodsWord {
    proto::GoodsWord {
        allotted: word.allotted.iter().map(allotted_out).collect(),
        decided: word.decided,
        recall: word.recall.iter().map(|product| product.0.into()).collect(),
    }
}

pub(super) fn goods_in(it: &proto::GoodsWord) -> Checked<GoodsWord> {
    Ok(GoodsWord {
        allotted: it.allotted.iter().map(allotted_in).collect::<Checked<_>>()?,
        decided: it.decided,
        recall: it.recall.iter().map(|product| product_in(*product)).collect::<Checked<_>>()?,
    })
}

pub(super) fn freed_out((product, pieces): &Pieces) -> proto::Freed {
    proto::Freed { product: product.0.into(), pieces: pieces.0 }
}

pub(super) fn freed_in(it: &proto::Freed) -> Checked<Pieces> {
    Ok((product_in(it.product)?, Quantity(it.pieces)))
}

pub(super) fn frozen_out(it: &Frozen) -> proto::Frozen {
    proto::Frozen { term: it.term.0, trader: it.trader.0, partner: it.partner.0 }
}

pub(super) fn frozen_in(it: proto::Frozen) -> Frozen {
    Frozen { term: Term(it.term), trader: PeerId(it.trader), partner: PeerId(it.partner) }
}

pub(super) fn sales_out(hello: &Hello, report: &SalesReport) -> proto::CompleteRequest {
    proto::CompleteRequest {
        hello: Some(hello_out(hello)),
        term: report.term.0,
        orders: report.orders.iter().map(order_out).collect(),
        told: told_out(&report.told),
        last: report.last,
    }
}

pub(super) fn sales_in(it: proto::CompleteRequest) -> Checked<Ask> {
    let (orders, told) = (orders_in(&it.orders)?, told_in(&it.told, it.orders.len())?);
    let report = SalesReport { term: Term(it.term), orders, told, last: it.last };
    Ok(Ask::Complete(caller_in(it.hello)?, Box::new(report)))
}
