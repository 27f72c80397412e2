//! Orders, what becomes of them, and sessions, as protos and back.

use super::{Checked, Odd, proto};
use crate::limits::PRODUCTS_MAX;
use crate::model::call::SessionInfo;
use crate::model::market::NotTaken;
use crate::model::row::{Outcome, OutcomeKind, Reason, Share};
use crate::types::{
    Epoch, Hash, Money, Number, Order, OrderId, OrderKind, PeerId, ProductId, Quantity, Seq, Stamp,
    WallMicros,
};

pub(super) fn kind_out(kind: OrderKind) -> i32 {
    match kind {
        OrderKind::Buy { partial: false } => proto::OrderKind::Buy as i32,
        OrderKind::Buy { partial: true } => proto::OrderKind::BuyPartial as i32,
        OrderKind::Sell => proto::OrderKind::Sell as i32,
        OrderKind::Void => proto::OrderKind::Void as i32,
    }
}

pub(super) fn kind_in(kind: i32) -> Checked<OrderKind> {
    match proto::OrderKind::try_from(kind) {
        Ok(proto::OrderKind::Buy) => Ok(OrderKind::Buy { partial: false }),
        Ok(proto::OrderKind::BuyPartial) => Ok(OrderKind::Buy { partial: true }),
        Ok(proto::OrderKind::Sell) => Ok(OrderKind::Sell),
        Ok(proto::OrderKind::Void) => Ok(OrderKind::Void),
        _ => Err(Odd::Field("order.kind")),
    }
}

pub(super) fn order_out(order: &Order) -> proto::Order {
    proto::Order {
        peer: order.id.peer.0,
        number: order.id.number.0,
        stamp: order.stamp.0,
        kind: kind_out(order.kind),
        product: u32::from(order.product.0),
        quantity: order.quantity.0,
    }
}

pub(super) fn order_in(order: &proto::Order) -> Checked<Order> {
    let id = OrderId { peer: PeerId(order.peer), number: Number(order.number) };
    // An index that is too large for the type becomes one beyond any catalogue: the trader answers "unknown product".
    let product = ProductId(order.product.min(PRODUCTS_MAX as u32) as u16);
    let quantity = Quantity(order.quantity);
    Ok(Order { id, stamp: Stamp(order.stamp), kind: kind_in(order.kind)?, product, quantity })
}

pub(super) fn orders_in(orders: &[proto::Order]) -> Checked<Vec<Order>> {
    orders.iter().map(order_in).collect()
}

fn outcome_kind_out(kind: OutcomeKind) -> i32 {
    use proto::OutcomeKind as P;
    (match kind {
        OutcomeKind::Bought => P::Bought,
        OutcomeKind::PartlyBought => P::PartlyBought,
        OutcomeKind::Deposited => P::Deposited,
        OutcomeKind::SoldOut => P::SoldOut,
        OutcomeKind::Refused => P::Refused,
        OutcomeKind::Reversed => P::Reversed,
        OutcomeKind::Voided => P::Voided,
    }) as i32
}

fn outcome_kind_in(kind: i32) -> Checked<OutcomeKind> {
    use proto::OutcomeKind as P;
    Ok(match P::try_from(kind) {
        Ok(P::Bought) => OutcomeKind::Bought,
        Ok(P::PartlyBought) => OutcomeKind::PartlyBought,
        Ok(P::Deposited) => OutcomeKind::Deposited,
        Ok(P::SoldOut) => OutcomeKind::SoldOut,
        Ok(P::Refused) => OutcomeKind::Refused,
        Ok(P::Reversed) => OutcomeKind::Reversed,
        Ok(P::Voided) => OutcomeKind::Voided,
        _ => return Err(Odd::Field("outcome.kind")),
    })
}

/// Code of a reason: its place from 1; 0 is none.
fn reason_out(reason: Option<Reason>) -> u32 {
    reason.and_then(|it| Reason::ALL.iter().position(|known| *known == it)).map_or(0, |at| at as u32 + 1)
}

fn reason_in(code: u32) -> Checked<Option<Reason>> {
    match code.checked_sub(1) {
        None => Ok(None),
        Some(at) => Reason::ALL.get(at as usize).copied().map(Some).ok_or(Odd::Field("outcome.reason")),
    }
}

pub(super) fn outcome_out(outcome: &Outcome) -> proto::Outcome {
    proto::Outcome {
        peer: outcome.id.peer.0,
        number: outcome.id.number.0,
        kind: outcome_kind_out(outcome.kind),
        reason: reason_out(outcome.reason),
        filled: outcome.filled.0,
        amount: outcome.amount.0,
        sellers: outcome.shares.iter().map(share_out).collect(),
        stock_after: outcome.stock_after.0,
        seq: outcome.seq.0,
        time: outcome.time.0,
        trader: outcome.trader.0,
        repeated: outcome.repeated,
    }
}

fn share_out(share: &Share) -> proto::Share {
    proto::Share { peer: share.peer.0, quantity: share.quantity.0, amount: share.amount.0 }
}

fn share_in(share: &proto::Share) -> Share {
    Share { peer: PeerId(share.peer), quantity: Quantity(share.quantity), amount: Money(share.amount) }
}

pub(super) fn outcome_in(outcome: &proto::Outcome) -> Checked<Outcome> {
    Ok(Outcome {
        id: OrderId { peer: PeerId(outcome.peer), number: Number(outcome.number) },
        kind: outcome_kind_in(outcome.kind)?,
        reason: reason_in(outcome.reason)?,
        filled: Quantity(outcome.filled),
        amount: Money(outcome.amount),
        shares: outcome.sellers.iter().map(share_in).collect(),
        stock_after: Quantity(outcome.stock_after),
        seq: Seq(outcome.seq),
        time: WallMicros(outcome.time),
        trader: PeerId(outcome.trader),
        repeated: outcome.repeated,
    })
}

pub(super) fn outcomes_in(outcomes: &[proto::Outcome]) -> Checked<Vec<Outcome>> {
    outcomes.iter().map(outcome_in).collect()
}

pub(super) fn why_out(why: NotTaken) -> proto::NotTakenReason {
    use proto::NotTakenReason as P;
    match why {
        NotTaken::Busy => P::Busy,
        NotTaken::NotHome => P::NotHome,
        NotTaken::Stale => P::Stale,
        NotTaken::OtherContent => P::OtherContent,
        NotTaken::Window => P::Window,
        NotTaken::UnknownProduct => P::UnknownProduct,
        NotTaken::Quantity => P::Quantity,
        NotTaken::Fenced => P::Fenced,
        NotTaken::NoSession => P::NoSession,
        NotTaken::DiskFull => P::DiskFull,
        NotTaken::Clock => P::Clock,
    }
}

pub(super) fn why_in(why: i32) -> Option<NotTaken> {
    use proto::NotTakenReason as P;
    Some(match P::try_from(why).ok()? {
        P::Unspecified => return None,
        P::Busy => NotTaken::Busy,
        P::NotHome => NotTaken::NotHome,
        P::Stale => NotTaken::Stale,
        P::OtherContent => NotTaken::OtherContent,
        P::Window => NotTaken::Window,
        P::UnknownProduct => NotTaken::UnknownProduct,
        P::Quantity => NotTaken::Quantity,
        P::Fenced => NotTaken::Fenced,
        P::NoSession => NotTaken::NoSession,
        P::DiskFull => NotTaken::DiskFull,
        P::Clock => NotTaken::Clock,
    })
}

pub(super) fn not_taken_out(not_taken: &[(OrderId, NotTaken)]) -> Vec<proto::NotTaken> {
    let one = |(id, why): &(OrderId, NotTaken)| proto::NotTaken {
        peer: id.peer.0,
        number: id.number.0,
        reason: why_out(*why) as i32,
    };
    not_taken.iter().map(one).collect()
}

pub(super) fn not_taken_in(not_taken: &[proto::NotTaken]) -> Checked<Vec<(OrderId, NotTaken)>> {
    let one = |it: &proto::NotTaken| {
        let id = OrderId { peer: PeerId(it.peer), number: Number(it.number) };
        Ok((id, why_in(it.reason).ok_or(Odd::Field("not_taken.reason"))?))
    };
    not_taken.iter().map(one).collect()
}

pub(super) fn session_out(session: &SessionInfo) -> proto::SessionInfo {
    let SessionInfo { peer, epoch, store, held_office } = *session;
    proto::SessionInfo { peer: peer.0, epoch: epoch.0, store: store.0.to_vec(), held_office }
}

pub(super) fn session_in(session: &proto::SessionInfo) -> Checked<SessionInfo> {
    let store = Hash::from_slice(&session.store).ok_or(Odd::Field("session.store"))?;
    let (peer, epoch, held_office) = (PeerId(session.peer), Epoch(session.epoch), session.held_office);
    Ok(SessionInfo { peer, epoch, store, held_office })
}
