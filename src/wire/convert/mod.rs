//! Protos to the model's types and back.
//!
//! What a foreign node sent is checked here as far as its form goes. A field that a message cannot do without (an order's
//! kind, the outcome of a reply, the hello of a request), or whose value is none of the known ones, becomes an [`Odd`]
//! with the field's name. Other absent fields become their types' defaults, since proto3 does not tell "absent" from
//! "zero": a token that is not 32 bytes long is no token, a missing roster knows of nobody, a missing hash is that of an
//! empty log. Whether such a value makes sense is the machine's to decide.

mod allotments;
mod calls;
mod events;
#[cfg(test)]
mod fields;
pub(crate) mod frame;
mod messages;
mod replies;
mod streams;
mod weights;

use self::allotments::{
    freed_in, freed_out, frozen_in, frozen_out, goods_in, goods_out, sales_in, sales_out, told_in, told_out,
    wants_in, wants_out,
};
use super::{WIRE_VERSION, proto};
use crate::limits::PRODUCTS_MAX;
use crate::model::call::SessionInfo;
use crate::model::evidence::{Licence, Seen};
use crate::model::hello::Hello;
use crate::model::link::LinkKey;
use crate::model::lookup::Found;
use crate::model::market::NotTaken;
use crate::model::membership::Member;
use crate::model::message::Introduction;
use crate::model::offices::{Roster, Seat};
use crate::model::peer::entry::Proof;
use crate::model::row::{Outcome, OutcomeKind, Reason, Share};
use crate::types::{
    Consistency, Epoch, Generation, Hash, Money, Number, Office, Order, OrderId, OrderKind, PeerId,
    ProcessId, ProductId, Quantity, Seq, Signature, Stamp, Term, Token, WallMicros,
};

/// What cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// A field that makes no sense.
    #[error("field {0} is missing or makes no sense")]
    Field(&'static str),
    /// The other side is of another build.
    #[error(
        "one side speaks version {0} of the protocol, the other {WIRE_VERSION}: run the same build on both sides"
    )]
    Version(u32),
}

type Checked<T> = Result<T, Odd>;

/// Refuses another version than this build's. Before it had a number it was 1.
fn same_version(wire_version: u32) -> Checked<()> {
    match wire_version {
        WIRE_VERSION => Ok(()),
        0 => Err(Odd::Version(1)),
        other => Err(Odd::Version(other)),
    }
}

// ---- ids and small parts

pub(super) fn process_out(process: ProcessId) -> proto::ProcessId {
    proto::ProcessId { epoch: process.epoch.0, starts: process.starts, random: process.random }
}

pub(super) fn process_in(process: Option<proto::ProcessId>) -> ProcessId {
    process.map_or_else(ProcessId::default, |it| ProcessId {
        epoch: Epoch(it.epoch),
        starts: it.starts,
        random: it.random,
    })
}

pub(super) fn hash_in(bytes: &[u8]) -> Hash {
    Hash::from_slice(bytes).unwrap_or_default()
}

pub(super) fn hash_out(hash: Hash) -> Vec<u8> {
    if hash == Hash::default() { Vec::new() } else { hash.0.to_vec() }
}

pub(super) fn office_out(office: Office) -> i32 {
    match office {
        Office::Primary => proto::OfficeKind::Primary as i32,
        Office::Secondary => proto::OfficeKind::Secondary as i32,
    }
}

pub(super) fn office_in(office: i32) -> Option<Office> {
    match proto::OfficeKind::try_from(office) {
        Ok(proto::OfficeKind::Primary) => Some(Office::Primary),
        Ok(proto::OfficeKind::Secondary) => Some(Office::Secondary),
        _ => None,
    }
}

pub(super) fn found_out(found: Found) -> proto::Found {
    let ids = |peers: Vec<PeerId>| peers.into_iter().map(|peer| peer.0).collect();
    let sellers = found.sellers.into_iter().map(|way| proto::Way { peers: ids(way) }).collect();
    proto::Found { sellers, reached: ids(found.reached), lookups: found.lookups }
}

pub(super) fn found_in(found: Option<proto::Found>) -> Checked<Found> {
    let found = found.ok_or(Odd::Field("found"))?;
    let ids = |peers: Vec<u32>| peers.into_iter().map(PeerId).collect();
    let sellers = found.sellers.into_iter().map(|way| ids(way.peers)).collect();
    Ok(Found { sellers, reached: ids(found.reached), lookups: found.lookups })
}

pub(super) fn mode_out(mode: Consistency) -> i32 {
    match mode {
        Consistency::Cacheless => proto::Consistency::Cacheless as i32,
        Consistency::Cached => proto::Consistency::Cached as i32,
        Consistency::Escrow => proto::Consistency::Escrow as i32,
    }
}

pub(super) fn mode_in(mode: i32) -> Option<Consistency> {
    Some(match proto::Consistency::try_from(mode).ok()? {
        proto::Consistency::Cacheless => Consistency::Cacheless,
        proto::Consistency::Cached => Consistency::Cached,
        proto::Consistency::Escrow => Consistency::Escrow,
    })
}

fn seat_out(seat: &Seat) -> proto::Grant {
    let Seat { peer, process, term, present, addr, licence } = seat.clone();
    let licence = licence.as_deref().map(licence_out);
    proto::Grant { peer: peer.0, process: Some(process_out(process)), term: term.0, present, addr, licence }
}

fn seat_in(grant: proto::Grant) -> Seat {
    let proto::Grant { peer, process, term, present, addr, licence } = grant;
    let licence = licence.and_then(licence_in).map(Box::new);
    Seat { peer: PeerId(peer), process: process_in(process), term: Term(term), present, addr, licence }
}

pub(super) fn roster_out(roster: &Roster) -> proto::Roster {
    proto::Roster {
        generation: roster.generation.count,
        generation_random: roster.generation.random,
        seq: roster.seq.0,
        primary: roster.primary.as_ref().map(seat_out),
        secondary: roster.secondary.as_ref().map(seat_out),
        paired: roster.paired,
        version: roster.version,
        passed_over: roster.passed_over.iter().map(|peer| peer.0).collect(),
        mode: mode_out(roster.mode),
        frozen: roster.frozen.iter().map(frozen_out).collect(),
    }
}

pub(super) fn roster_in(roster: proto::Roster) -> Roster {
    Roster {
        generation: Generation { count: roster.generation, random: roster.generation_random },
        seq: Seq(roster.seq),
        version: roster.version,
        primary: roster.primary.map(seat_in),
        secondary: roster.secondary.map(seat_in),
        paired: roster.paired,
        passed_over: roster.passed_over.into_iter().map(PeerId).collect(),
        mode: mode_in(roster.mode).unwrap_or_default(),
        frozen: roster.frozen.into_iter().map(frozen_in).collect(),
    }
}

pub(super) fn member_out(member: &Member) -> proto::Member {
    let Member { id, addr, process, left } = member.clone();
    proto::Member { id: id.0, addr, process: Some(process_out(process)), left }
}

pub(super) fn member_in(member: proto::Member) -> Member {
    let proto::Member { id, addr, process, left } = member;
    Member { id: PeerId(id), addr, process: process_in(process), left }
}

pub(super) fn introduction_out(it: &Introduction) -> proto::Introduction {
    proto::Introduction { member: Some(member_out(&it.member)), key: it.key.0.to_vec() }
}

pub(super) fn introduction_in(it: proto::Introduction) -> Checked<Introduction> {
    let member = it.member.map(member_in).ok_or(Odd::Field("introduction.member"))?;
    let key = it.key.as_slice().try_into().map(LinkKey).map_err(|_| Odd::Field("introduction.key"))?;
    Ok(Introduction { member, key })
}

pub(super) fn hello_out(hello: &Hello) -> proto::Hello {
    proto::Hello {
        peer: hello.peer.0,
        epoch: hello.epoch.0,
        token: hello.token.map(|token| token.0.to_vec()).unwrap_or_default(),
        process: Some(process_out(hello.process)),
        clock: hello.clock.0,
        roster: Some(roster_out(&hello.roster)),
        generation: hello.generation.count,
        generation_random: hello.generation.random,
        ledger_seq: hello.ledger.0.0,
        ledger_hash: hash_out(hello.ledger.1),
        ledger_proof: hello.ledger_proof.map(proof_out),
        cluster: hello.cluster.clone(),
        addr: hello.addr.clone(),
        stream: hello.stream,
        wire_version: WIRE_VERSION,
        proof: hash_out(hello.proof),
    }
}

fn proof_out(Proof { clock, signature }: Proof) -> proto::Proof {
    proto::Proof { clock: clock.0, signature: signature.0.as_flattened().to_vec() }
}

/// A signature that has not its length proves nothing, like none.
fn proof_in(proof: Option<proto::Proof>) -> Option<Proof> {
    let proof = proof?;
    Some(Proof { clock: Stamp(proof.clock), signature: signature_in(&proof.signature)? })
}

fn licence_out(Licence { term, signature }: &Licence) -> proto::Licence {
    proto::Licence { term: term.0, signature: signature.0.as_flattened().to_vec() }
}

fn licence_in(licence: proto::Licence) -> Option<Licence> {
    Some(Licence { term: Term(licence.term), signature: signature_in(&licence.signature)? })
}

fn signature_in(bytes: &[u8]) -> Option<Signature> {
    let (r, s) = bytes.split_at_checked(32)?;
    Some(Signature([r.try_into().ok()?, s.try_into().ok()?]))
}

fn seen_out(seen: &Seen) -> proto::Seen {
    proto::Seen {
        generation: seen.generation.count,
        generation_random: seen.generation.random,
        seq: seen.seq.0,
        hash: hash_out(seen.hash),
        proof: seen.proof.map(proof_out),
    }
}

fn seen_in(seen: proto::Seen) -> Seen {
    Seen {
        generation: Generation { count: seen.generation, random: seen.generation_random },
        seq: Seq(seen.seq),
        hash: hash_in(&seen.hash),
        proof: proof_in(seen.proof),
    }
}

/// The hello of a unary call, which none may lack.
fn caller_in(hello: Option<proto::Hello>) -> Checked<Box<Hello>> {
    hello_in(hello)?.ok_or(Odd::Field("hello"))
}

/// The hello of a message, which may have none.
pub(super) fn hello_in(hello: Option<proto::Hello>) -> Checked<Option<Box<Hello>>> {
    let Some(hello) = hello else { return Ok(None) };
    same_version(hello.wire_version)?;
    Ok(Some(Box::new(Hello {
        peer: PeerId(hello.peer),
        epoch: Epoch(hello.epoch),
        token: hello.token.as_slice().try_into().ok().map(Token),
        process: process_in(hello.process),
        clock: Stamp(hello.clock),
        roster: hello.roster.map(roster_in).unwrap_or_default(),
        generation: Generation { count: hello.generation, random: hello.generation_random },
        ledger: (Seq(hello.ledger_seq), hash_in(&hello.ledger_hash)),
        ledger_proof: proof_in(hello.ledger_proof),
        cluster: hello.cluster,
        addr: hello.addr,
        stream: hello.stream,
        proof: hash_in(&hello.proof),
    })))
}

// ---- orders and outcomes

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

fn outcomes_in(outcomes: &[proto::Outcome]) -> Checked<Vec<Outcome>> {
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

fn not_taken_out(not_taken: &[(OrderId, NotTaken)]) -> Vec<proto::NotTaken> {
    let one = |(id, why): &(OrderId, NotTaken)| proto::NotTaken {
        peer: id.peer.0,
        number: id.number.0,
        reason: why_out(*why) as i32,
    };
    not_taken.iter().map(one).collect()
}

fn not_taken_in(not_taken: &[proto::NotTaken]) -> Checked<Vec<(OrderId, NotTaken)>> {
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
