//! A chunk of copies: orders that a trader has accepted, and what it tells of them before they are settled, as the bytes
//! that its partner keeps.
//!
//! The orders come first; behind them, if anything is told of any of them, the pieces or none for each; behind those, if
//! any answer draws on an allotment, its draw or none for each. So chunks of a trader that tells nothing early are as they
//! were before there were tentative answers.

use crate::codec::{CodecError, decode_first, encode_into};
use crate::model::tentative::{Draw, Tentative};
use crate::types::{Order, OrderId, Quantity};

/// Orders, with what is told of them; no bytes for no orders.
pub(crate) fn encode(orders: &[Order], told: impl Fn(OrderId) -> Option<Tentative>) -> Vec<u8> {
    if orders.is_empty() {
        return Vec::new();
    }
    let mut bytes = Vec::new();
    let mut encoded = encode_into(&orders, &mut bytes);
    let told: Vec<Option<Tentative>> = orders.iter().map(|order| told(order.id)).collect();
    if told.iter().any(Option::is_some) {
        let filled: Vec<Option<Quantity>> = told.iter().map(|told| told.map(|it| it.filled)).collect();
        encoded = encoded.and_then(|()| encode_into(&filled, &mut bytes));
    }
    let draws: Vec<Option<Draw>> = told.iter().map(|told| told.and_then(|it| it.draw)).collect();
    if draws.iter().any(Option::is_some) {
        encoded = encoded.and_then(|()| encode_into(&draws, &mut bytes));
    }
    encoded.unwrap_or_else(|error| unreachable!("orders are plain numbers: {error}"));
    bytes
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// The bytes are no such chunk.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<(Vec<Order>, Vec<Tentative>), CodecError> {
    let orders: Vec<Order> = decode_first(&mut bytes)?;
    if bytes.is_empty() {
        return Ok((orders, Vec::new()));
    }
    let filled: Vec<Option<Quantity>> = decode_first(&mut bytes)?;
    let draws: Vec<Option<Draw>> =
        if bytes.is_empty() { vec![None; orders.len()] } else { decode_first(&mut bytes)? };
    if !bytes.is_empty() || [filled.len(), draws.len()] != [orders.len(); 2] {
        return Err(CodecError::LeftOver(bytes.len()));
    }
    let told = orders.iter().zip(filled).zip(draws);
    let told =
        told.filter_map(|((order, filled), draw)| Some(Tentative { id: order.id, filled: filled?, draw }));
    let told = told.collect();
    Ok((orders, told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::limits::ORDER_BYTES_MAX;
    use crate::model::market::tests::order;
    use crate::types::{Number, OrderKind, PeerId, ProductId, Stamp, Term};

    #[test]
    fn a_chunk_comes_back_and_without_answers_is_the_orders_alone() {
        let orders: Vec<Order> = (1..=3).map(|k| order(4, k, OrderKind::Sell, 0, 5)).collect();
        let plain = encode(&orders, |_| None);
        assert_eq!(plain, codec::encode(&orders).unwrap());
        assert_eq!(decode(&plain), Ok((orders.clone(), Vec::new())));
        let told = Tentative { id: orders[1].id, filled: Quantity(0), draw: None };
        let bytes = encode(&orders, |id| (id == told.id).then_some(told));
        assert_eq!(decode(&bytes), Ok((orders.clone(), vec![told])));
        let drawn = Tentative { draw: Some(Draw { term: Term(3), nth: 7 }), ..told };
        let with_draw = encode(&orders, |id| (id == told.id).then_some(drawn));
        assert_eq!(decode(&with_draw), Ok((orders, vec![drawn])));
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err() && decode(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(encode(&[], |_| None), Vec::<u8>::new());
    }

    #[test]
    fn an_order_and_its_answer_take_no_more_than_is_reckoned_with() {
        let id = OrderId { peer: PeerId(u32::MAX), number: Number(u64::MAX) };
        let (product, quantity) = (ProductId(u16::MAX), Quantity(u64::MAX));
        let kind = OrderKind::Buy { partial: true };
        let orders = [Order { id, stamp: Stamp(u64::MAX), kind, product, quantity }; 8];
        let draw = Some(Draw { term: Term(u64::MAX), nth: u64::MAX });
        let told = |id| Some(Tentative { id, filled: quantity, draw });
        assert!(encode(&orders, told).len() <= 8 * ORDER_BYTES_MAX);
    }
}
