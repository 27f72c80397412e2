//! Protos to the model's types and back. What a foreign node sent is checked here: an absent or odd field becomes an
//! [`Odd`] with the field's name, never a default that could be taken for a fact.

use super::messages::*;
use super::outbox::Weigh;
use super::proto;
use super::report::{Report, Shopping};
use crate::limits::PRODUCTS_MAX;
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::membership::Member;
use crate::model::offices::{Roster, Seat};
use crate::model::row::{Outcome, OutcomeKind, Reason, Share};
use crate::types::*;

/// A field that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {0} is missing or makes no sense")]
pub struct Odd(pub &'static str);

type Checked<T> = Result<T, Odd>;

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

fn seat_out(seat: &Seat) -> proto::Grant {
    let Seat { peer, process, term, present, addr } = seat.clone();
    proto::Grant { peer: peer.0, process: Some(process_out(process)), term: term.0, present, addr }
}

fn seat_in(grant: proto::Grant) -> Seat {
    let proto::Grant { peer, process, term, present, addr } = grant;
    Seat { peer: PeerId(peer), process: process_in(process), term: Term(term), present, addr }
}

pub(super) fn roster_out(roster: &Roster) -> proto::Roster {
    proto::Roster {
        seq: roster.seq.0,
        primary: roster.primary.as_ref().map(seat_out),
        secondary: roster.secondary.as_ref().map(seat_out),
        paired: roster.paired,
        version: roster.version,
    }
}

pub(super) fn roster_in(roster: proto::Roster) -> Roster {
    Roster {
        seq: Seq(roster.seq),
        version: roster.version,
        primary: roster.primary.map(seat_in),
        secondary: roster.secondary.map(seat_in),
        paired: roster.paired,
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

pub(super) fn hello_out(hello: &Hello) -> proto::Hello {
    proto::Hello {
        peer: hello.peer.0,
        epoch: hello.epoch.0,
        token: hello.token.map(|token| token.0.to_vec()).unwrap_or_default(),
        process: Some(process_out(hello.process)),
        clock: hello.clock.0,
        roster: Some(roster_out(&hello.roster)),
        generation: hello.generation,
        ledger_seq: hello.ledger.0.0,
        ledger_hash: hash_out(hello.ledger.1),
        cluster: hello.cluster.clone(),
        addr: hello.addr.clone(),
    }
}

pub(super) fn hello_in(hello: proto::Hello) -> Hello {
    Hello {
        peer: PeerId(hello.peer),
        epoch: Epoch(hello.epoch),
        token: hello.token.as_slice().try_into().ok().map(Token),
        process: process_in(hello.process),
        clock: Stamp(hello.clock),
        roster: hello.roster.map(roster_in).unwrap_or_default(),
        generation: hello.generation,
        ledger: (Seq(hello.ledger_seq), hash_in(&hello.ledger_hash)),
        cluster: hello.cluster,
        addr: hello.addr,
    }
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
        _ => Err(Odd("order.kind")),
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
    // An index beyond any catalogue stays beyond this one: the trader answers "unknown product".
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
        _ => return Err(Odd("outcome.kind")),
    })
}

/// Code of a reason: its place from 1; 0 is none.
fn reason_out(reason: Option<Reason>) -> u32 {
    reason.and_then(|it| Reason::ALL.iter().position(|known| *known == it)).map_or(0, |at| at as u32 + 1)
}

fn reason_in(code: u32) -> Checked<Option<Reason>> {
    match code.checked_sub(1) {
        None => Ok(None),
        Some(at) => Reason::ALL.get(at as usize).copied().map(Some).ok_or(Odd("outcome.reason")),
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
        Ok((id, why_in(it.reason).ok_or(Odd("not_taken.reason"))?))
    };
    not_taken.iter().map(one).collect()
}

// ---- messages of streams

impl From<TradeAsk> for proto::TradeRequest {
    fn from(ask: TradeAsk) -> Self {
        proto::TradeRequest {
            clock: ask.clock.0,
            hello: ask.hello.as_ref().map(hello_out),
            orders: ask.orders.iter().map(order_out).collect(),
        }
    }
}

impl TryFrom<proto::TradeRequest> for TradeAsk {
    type Error = Odd;
    fn try_from(it: proto::TradeRequest) -> Checked<Self> {
        Ok(TradeAsk { clock: Stamp(it.clock), hello: it.hello.map(hello_in), orders: orders_in(&it.orders)? })
    }
}

impl From<TradeAnswer> for proto::TradeReply {
    fn from(answer: TradeAnswer) -> Self {
        proto::TradeReply {
            clock: answer.clock.0,
            hello: answer.hello.as_ref().map(hello_out),
            outcomes: answer.outcomes.iter().map(outcome_out).collect(),
            not_taken: not_taken_out(&answer.not_taken),
            roster: answer.roster.as_ref().map(roster_out),
        }
    }
}

impl TryFrom<proto::TradeReply> for TradeAnswer {
    type Error = Odd;
    fn try_from(it: proto::TradeReply) -> Checked<Self> {
        Ok(TradeAnswer {
            clock: Stamp(it.clock),
            hello: it.hello.map(hello_in),
            outcomes: outcomes_in(&it.outcomes)?,
            not_taken: not_taken_in(&it.not_taken)?,
            roster: it.roster.map(roster_in),
        })
    }
}

impl From<SettleAsk> for proto::SettleRequest {
    fn from(ask: SettleAsk) -> Self {
        proto::SettleRequest {
            clock: ask.clock.0,
            hello: ask.hello.as_ref().map(hello_out),
            term: ask.term.0,
            batch: ask.batch.0,
            orders: ask.orders.iter().map(order_out).collect(),
        }
    }
}

impl TryFrom<proto::SettleRequest> for SettleAsk {
    type Error = Odd;
    fn try_from(it: proto::SettleRequest) -> Checked<Self> {
        Ok(SettleAsk {
            clock: Stamp(it.clock),
            hello: it.hello.map(hello_in),
            term: Term(it.term),
            batch: Batch(it.batch),
            orders: orders_in(&it.orders)?,
        })
    }
}

impl From<SettleAnswer> for proto::SettleReply {
    fn from(answer: SettleAnswer) -> Self {
        proto::SettleReply {
            clock: answer.clock.0,
            hello: answer.hello.as_ref().map(hello_out),
            batch: answer.batch.0,
            outcomes: answer.outcomes.iter().map(outcome_out).collect(),
            not_taken: not_taken_out(&answer.not_taken),
            refused: answer.refused.map_or(0, |why| why_out(why) as i32),
            roster: answer.roster.as_ref().map(roster_out),
            ledger_seq: answer.ledger.0.0,
            ledger_hash: hash_out(answer.ledger.1),
        }
    }
}

impl TryFrom<proto::SettleReply> for SettleAnswer {
    type Error = Odd;
    fn try_from(it: proto::SettleReply) -> Checked<Self> {
        Ok(SettleAnswer {
            clock: Stamp(it.clock),
            hello: it.hello.map(hello_in),
            batch: Batch(it.batch),
            outcomes: outcomes_in(&it.outcomes)?,
            not_taken: not_taken_in(&it.not_taken)?,
            refused: why_in(it.refused),
            roster: it.roster.map(roster_in),
            ledger: (Seq(it.ledger_seq), hash_in(&it.ledger_hash)),
        })
    }
}

impl From<ControlUp> for proto::ControlUp {
    fn from(up: ControlUp) -> Self {
        let hello = up.hello.as_ref().map(hello_out);
        proto::ControlUp { clock: up.clock.0, hello, heartbeat_answer: up.heartbeat_answer }
    }
}

impl TryFrom<proto::ControlUp> for ControlUp {
    type Error = Odd;
    fn try_from(it: proto::ControlUp) -> Checked<Self> {
        let hello = it.hello.map(hello_in);
        Ok(ControlUp { clock: Stamp(it.clock), hello, heartbeat_answer: it.heartbeat_answer })
    }
}

pub(super) fn session_out(session: &SessionInfo) -> proto::SessionInfo {
    let SessionInfo { peer, epoch, store } = *session;
    proto::SessionInfo { peer: peer.0, epoch: epoch.0, store: store.0.to_vec() }
}

pub(super) fn session_in(session: &proto::SessionInfo) -> Checked<SessionInfo> {
    let store = Hash::from_slice(&session.store).ok_or(Odd("session.store"))?;
    Ok(SessionInfo { peer: PeerId(session.peer), epoch: Epoch(session.epoch), store })
}

impl From<ControlDown> for proto::ControlDown {
    fn from(down: ControlDown) -> Self {
        proto::ControlDown {
            clock: down.clock.0,
            hello: down.hello.as_ref().map(hello_out),
            roster: down.roster.as_ref().map(roster_out),
            sessions: down.sessions.iter().map(session_out).collect(),
            heartbeat: down.heartbeat,
        }
    }
}

impl TryFrom<proto::ControlDown> for ControlDown {
    type Error = Odd;
    fn try_from(it: proto::ControlDown) -> Checked<Self> {
        Ok(ControlDown {
            clock: Stamp(it.clock),
            hello: it.hello.map(hello_in),
            roster: it.roster.map(roster_in),
            sessions: it.sessions.iter().map(session_in).collect::<Checked<_>>()?,
            heartbeat: it.heartbeat,
        })
    }
}

impl From<StockPush> for proto::StockPush {
    fn from(push: StockPush) -> Self {
        let level = |(product, quantity): &(ProductId, Quantity)| proto::StockLevel {
            product: u32::from(product.0),
            quantity: quantity.0,
        };
        proto::StockPush {
            clock: push.clock.0,
            seq: push.seq.0,
            levels: push.levels.iter().map(level).collect(),
        }
    }
}

impl TryFrom<proto::StockPush> for StockPush {
    type Error = Odd;
    fn try_from(it: proto::StockPush) -> Checked<Self> {
        let level = |level: &proto::StockLevel| {
            let product = u16::try_from(level.product).map_err(|_| Odd("level.product"))?;
            Ok((ProductId(product), Quantity(level.quantity)))
        };
        let levels = it.levels.iter().map(level).collect::<Checked<_>>()?;
        Ok(StockPush { clock: Stamp(it.clock), seq: Seq(it.seq), levels })
    }
}

impl From<PeerMessage> for proto::ClusterMessage {
    fn from(message: PeerMessage) -> Self {
        let mut it = proto::ClusterMessage { clock: message.clock.0, ..Default::default() };
        match message.word {
            PeerWord::Hello(hello) => it.hello = Some(hello_out(&hello)),
            PeerWord::Members(members) => it.members = members.iter().map(member_out).collect(),
            PeerWord::Roster(roster) => it.roster = Some(roster_out(&roster)),
            PeerWord::Heartbeat(number) => it.heartbeat = number,
            PeerWord::HeartbeatAnswer(number) => it.heartbeat_answer = number,
            PeerWord::Election(office) => it.election = office_out(office),
            PeerWord::Ok(office) => it.ok = office_out(office),
            PeerWord::Coordinator(office) => it.coordinator = office_out(office),
            PeerWord::Preempt => it.preempt = true,
            PeerWord::TookOver(from) => it.took_over_from = from.0,
        }
        it
    }
}

impl TryFrom<proto::ClusterMessage> for PeerMessage {
    type Error = Odd;
    fn try_from(it: proto::ClusterMessage) -> Checked<Self> {
        let office = |office| office_in(office).ok_or(Odd("office"));
        let word = if let Some(hello) = it.hello {
            PeerWord::Hello(hello_in(hello))
        } else if !it.members.is_empty() {
            PeerWord::Members(it.members.into_iter().map(member_in).collect())
        } else if let Some(roster) = it.roster {
            PeerWord::Roster(roster_in(roster))
        } else if it.heartbeat != 0 {
            PeerWord::Heartbeat(it.heartbeat)
        } else if it.heartbeat_answer != 0 {
            PeerWord::HeartbeatAnswer(it.heartbeat_answer)
        } else if it.election != 0 {
            PeerWord::Election(office(it.election)?)
        } else if it.ok != 0 {
            PeerWord::Ok(office(it.ok)?)
        } else if it.coordinator != 0 {
            PeerWord::Coordinator(office(it.coordinator)?)
        } else if it.preempt {
            PeerWord::Preempt
        } else if it.took_over_from != 0 {
            PeerWord::TookOver(PeerId(it.took_over_from))
        } else {
            return Err(Odd("message"));
        };
        Ok(PeerMessage { clock: Stamp(it.clock), word })
    }
}

impl From<ReplicaAsk> for proto::ReplicateRequest {
    fn from(ask: ReplicaAsk) -> Self {
        proto::ReplicateRequest {
            clock: ask.clock.0,
            hello: ask.hello.as_ref().map(hello_out),
            term: ask.term.0,
            seq: ask.chunk.0,
            orders: ask.orders,
            settled_below: ask.settled_below.0,
        }
    }
}

impl TryFrom<proto::ReplicateRequest> for ReplicaAsk {
    type Error = Odd;
    fn try_from(it: proto::ReplicateRequest) -> Checked<Self> {
        Ok(ReplicaAsk {
            clock: Stamp(it.clock),
            hello: it.hello.map(hello_in),
            term: Term(it.term),
            chunk: Seq(it.seq),
            orders: it.orders,
            settled_below: Seq(it.settled_below),
        })
    }
}

impl From<ReplicaAnswer> for proto::ReplicateReply {
    fn from(answer: ReplicaAnswer) -> Self {
        let hello = answer.hello.as_ref().map(hello_out);
        proto::ReplicateReply { clock: answer.clock.0, hello, term: answer.term.0, seq: answer.chunk.0 }
    }
}

impl TryFrom<proto::ReplicateReply> for ReplicaAnswer {
    type Error = Odd;
    fn try_from(it: proto::ReplicateReply) -> Checked<Self> {
        let hello = it.hello.map(hello_in);
        Ok(ReplicaAnswer { clock: Stamp(it.clock), hello, term: Term(it.term), chunk: Seq(it.seq) })
    }
}

// ---- replies of unary calls

impl From<OpenAnswer> for proto::OpenReply {
    fn from(it: OpenAnswer) -> Self {
        proto::OpenReply {
            clock: it.clock.0,
            peer: it.opened.peer.0,
            epoch: it.opened.epoch.0,
            floor: it.opened.floor.0,
            highest: it.opened.highest.0,
            roster: Some(roster_out(&it.roster)),
            generation: it.generation,
        }
    }
}

impl From<proto::OpenReply> for OpenAnswer {
    fn from(it: proto::OpenReply) -> Self {
        let (peer, epoch) = (PeerId(it.peer), Epoch(it.epoch));
        let (floor, highest) = (Number(it.floor), Number(it.highest));
        OpenAnswer {
            opened: crate::model::warehouse::Opened { peer, epoch, floor, highest, new: false },
            clock: Stamp(it.clock),
            roster: it.roster.map(roster_in).unwrap_or_default(),
            generation: it.generation,
        }
    }
}

fn good_out((name, unit_price): &(String, Money)) -> proto::Good {
    proto::Good { name: name.clone(), unit_price: unit_price.0 }
}

fn good_in(good: proto::Good) -> (String, Money) {
    (good.name, Money(good.unit_price))
}

impl From<Catalogue> for proto::CatalogueReply {
    fn from(it: Catalogue) -> Self {
        proto::CatalogueReply {
            clock: it.clock.0,
            cluster: it.cluster,
            consistency: it.consistency,
            goods: it.goods.iter().map(good_out).collect(),
            generation: it.generation,
        }
    }
}

impl From<proto::CatalogueReply> for Catalogue {
    fn from(it: proto::CatalogueReply) -> Self {
        Catalogue {
            clock: Stamp(it.clock),
            cluster: it.cluster,
            consistency: it.consistency,
            goods: it.goods.into_iter().map(good_in).collect(),
            generation: it.generation,
        }
    }
}

impl From<Shopping> for proto::Shopping {
    fn from(it: Shopping) -> Self {
        let Shopping { placed, answered, open, done, bought, sold_out, deposits, refused, .. } = it;
        let Shopping { latency_us, first_at, last_at, .. } = it;
        proto::Shopping {
            placed,
            answered,
            open,
            done,
            bought,
            sold_out,
            deposits,
            refused,
            latency_us,
            first_at,
            last_at,
        }
    }
}

impl From<proto::Shopping> for Shopping {
    fn from(it: proto::Shopping) -> Self {
        let proto::Shopping { placed, answered, open, done, bought, sold_out, deposits, refused, .. } = it;
        let proto::Shopping { latency_us, first_at, last_at, .. } = it;
        Shopping {
            placed,
            answered,
            open,
            done,
            bought,
            sold_out,
            deposits,
            refused,
            latency_us,
            first_at,
            last_at,
        }
    }
}

impl From<Report> for proto::StatusReply {
    fn from(it: Report) -> Self {
        proto::StatusReply {
            clock: it.clock.0,
            peer: it.peer.0,
            role: it.role,
            cluster: it.cluster,
            pid: it.pid,
            addr: it.addr,
            process: Some(process_out(it.process)),
            roster: Some(roster_out(&it.roster)),
            seq: it.log.0.0,
            hash: hash_out(it.log.1),
            ledger_seq: it.ledger.0.0,
            ledger_hash: hash_out(it.ledger.1),
            queue_depth: it.queue_depth,
            oldest_waiting_ms: it.oldest_waiting_ms,
            oldest_waiting_peer: it.oldest.map_or(0, |id| u64::from(id.peer.0)),
            oldest_waiting_number: it.oldest.map_or(0, |id| id.number.0),
            cache_age_ms: it.cache_age_ms,
            heartbeat_age_ms: it.heartbeat_age_ms,
            disk_free_bytes: it.disk_free,
            disk_low: it.disk_low,
            members: it.members.iter().map(member_out).collect(),
            goods: it.goods.iter().map(good_out).collect(),
            stock: it.stock.iter().map(|quantity| quantity.0).collect(),
            stock_seq: it.stock_seq.0,
            shopping: Some(it.shopping.into()),
            elections: it.elections,
            duplicates: it.duplicates,
            health: it.health,
            consistency: it.consistency,
            syncs: it.syncs,
            bytes_written: it.bytes_written,
            messages_sent: it.messages_sent,
            warehouse: it.warehouse,
        }
    }
}

impl From<proto::StatusReply> for Report {
    fn from(it: proto::StatusReply) -> Self {
        let oldest =
            OrderId { peer: PeerId(it.oldest_waiting_peer as u32), number: Number(it.oldest_waiting_number) };
        Report {
            clock: Stamp(it.clock),
            peer: PeerId(it.peer),
            role: it.role,
            cluster: it.cluster,
            pid: it.pid,
            addr: it.addr,
            process: process_in(it.process),
            roster: it.roster.map(roster_in).unwrap_or_default(),
            log: (Seq(it.seq), hash_in(&it.hash)),
            ledger: (Seq(it.ledger_seq), hash_in(&it.ledger_hash)),
            queue_depth: it.queue_depth,
            oldest: (oldest.number.0 != 0).then_some(oldest),
            oldest_waiting_ms: it.oldest_waiting_ms,
            cache_age_ms: it.cache_age_ms,
            heartbeat_age_ms: it.heartbeat_age_ms,
            disk_free: it.disk_free_bytes,
            disk_low: it.disk_low,
            members: it.members.into_iter().map(member_in).collect(),
            goods: it.goods.into_iter().map(good_in).collect(),
            stock: it.stock.into_iter().map(Quantity).collect(),
            stock_seq: Seq(it.stock_seq),
            shopping: it.shopping.map(Shopping::from).unwrap_or_default(),
            elections: it.elections,
            duplicates: it.duplicates,
            health: it.health,
            consistency: it.consistency,
            syncs: it.syncs,
            bytes_written: it.bytes_written,
            messages_sent: it.messages_sent,
            warehouse: it.warehouse,
        }
    }
}

// ---- weights, for outboxes: upper estimates

const ORDER_BYTES: usize = 40;
const OUTCOME_BYTES: usize = 64;
const SHARE_BYTES: usize = 24;
const HELLO_BYTES: usize = 512;
const MESSAGE_BYTES: usize = 64;

/// Upper estimate of an outcome's bytes on the wire.
pub fn outcome_weight(outcome: &Outcome) -> usize {
    OUTCOME_BYTES + SHARE_BYTES * outcome.shares.len()
}

fn answers_weight(outcomes: &[Outcome], not_taken: usize) -> usize {
    MESSAGE_BYTES + OUTCOME_BYTES * not_taken + outcomes.iter().map(outcome_weight).sum::<usize>()
}

impl Weigh for TradeAsk {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES + HELLO_BYTES * usize::from(self.hello.is_some()) + ORDER_BYTES * self.orders.len()
    }
}

impl Weigh for TradeAnswer {
    fn weigh(&self) -> usize {
        answers_weight(&self.outcomes, self.not_taken.len())
    }
}

impl Weigh for SettleAsk {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES + HELLO_BYTES * usize::from(self.hello.is_some()) + ORDER_BYTES * self.orders.len()
    }
}

impl Weigh for SettleAnswer {
    fn weigh(&self) -> usize {
        answers_weight(&self.outcomes, self.not_taken.len())
    }
}

impl Weigh for ControlUp {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES
    }
}

impl Weigh for ControlDown {
    fn weigh(&self) -> usize {
        HELLO_BYTES + MESSAGE_BYTES * self.sessions.len()
    }
}

impl Weigh for StockPush {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES + 16 * self.levels.len()
    }
}

impl Weigh for ReplicaAsk {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES + HELLO_BYTES * usize::from(self.hello.is_some()) + self.orders.len()
    }
}

impl Weigh for ReplicaAnswer {
    fn weigh(&self) -> usize {
        MESSAGE_BYTES + HELLO_BYTES * usize::from(self.hello.is_some())
    }
}

impl Weigh for PeerMessage {
    fn weigh(&self) -> usize {
        let members = if let PeerWord::Members(members) = &self.word { members.len() } else { 0 };
        HELLO_BYTES + MESSAGE_BYTES * members
    }
}
