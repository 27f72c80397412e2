//! Who is who on the bench, and what they say.

use crate::model::call::{Answer, CallError, OpenAnswer, SessionInfo};
use crate::model::hello::{Dialed, Hello};
use crate::model::link::LinkKey;
use crate::model::market::tests::order as any_order;
use crate::model::membership::Member;
use crate::model::message::*;
use crate::model::offices::{Roster, Seat};
use crate::model::row::{Outcome, OutcomeKind};
use crate::model::shopper::Habits;
use crate::model::warehouse::Opened;
use crate::types::*;

/// The peer on the bench.
pub(in crate::model::peer) const ME: u32 = 4;
/// A client.
pub(in crate::model::peer) const CLIENT: u32 = 1_001;

// ---- who is who

pub(in crate::model::peer) fn token(peer: u32) -> Token {
    Token([peer as u8; 32])
}

pub(in crate::model::peer) fn addr(peer: u32) -> String {
    format!("peer-{peer}")
}

pub(in crate::model::peer) fn process(peer: u32) -> ProcessId {
    ProcessId { epoch: Epoch(0), starts: 1, random: u64::from(peer) }
}

pub(in crate::model::peer) fn session(peer: u32) -> SessionInfo {
    SessionInfo { peer: PeerId(peer), epoch: Epoch(0), store: token(peer).store_id(), held_office: false }
}

/// A node's proven hello; 0: the warehouse's.
pub(in crate::model::peer) fn hello(peer: u32) -> Box<Hello> {
    Box::new(Hello {
        peer: PeerId(peer),
        token: Some(token(peer)),
        process: process(peer),
        clock: Stamp(1),
        cluster: "market".into(),
        addr: addr(peer),
        ..Hello::default()
    })
}

pub(in crate::model::peer) fn member(peer: u32) -> Member {
    Member { id: PeerId(peer), addr: addr(peer), process: process(peer), left: false }
}

pub(in crate::model::peer) fn seat(peer: u32, term: u64) -> Seat {
    let (peer, process, addr) = (PeerId(peer), process(peer), addr(peer));
    Seat { peer, process, term: Term(term), present: true, addr, licence: None }
}

/// Offices by (peer, term).
pub(in crate::model::peer) fn offices(
    seq: u64,
    primary: Option<(u32, u64)>,
    secondary: Option<(u32, u64)>,
) -> Roster {
    let seat = |(peer, term)| seat(peer, term);
    let (primary, secondary) = (primary.map(seat), secondary.map(seat));
    Roster { seq: Seq(seq), primary, secondary, ..Roster::default() }
}

pub(in crate::model::peer) fn paired(seq: u64, primary: (u32, u64), secondary: (u32, u64)) -> Roster {
    Roster { paired: true, ..offices(seq, Some(primary), Some(secondary)) }
}

pub(in crate::model::peer) fn habits(role: Role) -> Habits {
    Habits {
        role,
        requests: None,
        interval_ms: 1_000,
        deposit: (1, 1),
        deposit_every_ms: 1_000,
        quantity: (1, 1),
        partial: false,
        seed: 1,
    }
}

// ---- what is said

/// The `k`th order of a peer: one fish to sell.
pub(in crate::model::peer) fn order(peer: u32, k: u32) -> Order {
    any_order(peer, k, OrderKind::Sell, 0, 1)
}

pub(in crate::model::peer) fn deposited(order: &Order) -> Outcome {
    Outcome {
        id: order.id,
        kind: OutcomeKind::Deposited,
        reason: None,
        filled: order.quantity,
        amount: Money(0),
        shares: Vec::new(),
        stock_after: Quantity(1),
        seq: Seq(9),
        time: WallMicros(1),
        trader: PeerId(6),
        repeated: false,
    }
}

pub(in crate::model::peer) fn opened(epoch: u64, roster: Roster) -> Answer {
    let (floor, highest) = (Number(1), Number(0));
    let opened = Opened { peer: PeerId(ME), epoch: Epoch(epoch), floor, highest, new: true };
    Answer::Opened(Box::new(OpenAnswer {
        seen: None,
        opened,
        clock: Stamp(1),
        roster,
        generation: Generation::default(),
    }))
}

pub(in crate::model::peer) fn down(down: ControlDown) -> Message {
    Message::ControlDown(ControlDown { clock: Stamp(1), ..down })
}

pub(in crate::model::peer) fn settled(answer: SettleAnswer) -> Message {
    Message::SettleAnswer(SettleAnswer { clock: Stamp(1), ..answer })
}

/// Orders of a peer, behind its hello if that is the first that it says.
pub(in crate::model::peer) fn trade(hello: Option<Box<Hello>>, orders: &[Order]) -> Message {
    Message::TradeAsk(TradeAsk { clock: Stamp(1), hello, orders: orders.to_vec(), ..TradeAsk::default() })
}

pub(in crate::model::peer) fn told(answer: TradeAnswer) -> Message {
    Message::TradeAnswer(TradeAnswer { clock: Stamp(1), ..answer })
}

pub(in crate::model::peer) fn word(word: PeerWord) -> Message {
    Message::Peer(PeerMessage { clock: Stamp(1), word })
}

/// The first word on a link that a peer dials to the one on the bench.
pub(in crate::model::peer) fn greeting(peer: u32) -> Message {
    word(PeerWord::Hello(link_hello(peer, 1)))
}

/// The hello of the `stream`th stream that a peer dials, as it is said on a link to the peer on the bench.
pub(in crate::model::peer) fn link_hello(peer: u32, stream: u64) -> Box<Hello> {
    let proof = link_key(peer).dial((process(peer), stream), &addr(ME));
    Box::new(Hello { token: None, stream, proof, ..*hello(peer) })
}

pub(in crate::model::peer) fn link_answer(peer: u32, dialed: Dialed) -> Message {
    let proof = link_key(peer).answer(dialed);
    word(PeerWord::Hello(Box::new(Hello { token: None, proof, ..*hello(peer) })))
}

fn link_key(peer: u32) -> LinkKey {
    LinkKey::new(&token(peer), PeerId(ME))
}

pub(in crate::model::peer) fn introduction(peer: u32) -> Introduction {
    Introduction { member: member(peer), key: link_key(peer) }
}

pub(in crate::model::peer) fn nobody_there() -> CallError {
    CallError::Unreachable { addr: "there".into(), why: "refused".into(), refused: true }
}

pub(in crate::model::peer) fn no_answer() -> CallError {
    CallError::Unknown("no answer".into())
}
