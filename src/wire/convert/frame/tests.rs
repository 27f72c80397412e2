use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::limits::PRODUCTS_MAX;
use crate::model::call::{Catalogue, Farewell, OpenAnswer, Opening, SessionInfo};
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::membership::Member;
use crate::model::message::{
    ControlDown, ControlUp, PeerMessage, PeerWord, ReplicaAnswer, ReplicaAsk, SettleAnswer, SettleAsk,
    StockPush, TradeAnswer, TradeAsk,
};
use crate::model::offices::{Roster, Seat};
use crate::model::report::{Report, Shopping};
use crate::model::row::{Outcome, OutcomeKind, Reason, Share};
use crate::model::warehouse::{Denied, GivenUp, Opened};
use crate::types::{
    Batch, Epoch, Hash, Money, Number, Office, Order, OrderId, OrderKind, PeerId, ProcessId, ProductId,
    Quantity, Seq, Stamp, Term, Token, WallMicros,
};

// ---- anything

prop_compose! {
    fn process()(epoch: u32, starts: u64, random: u64) -> ProcessId {
        ProcessId { epoch: Epoch(epoch), starts, random }
    }
}

prop_compose! {
    fn seat()(peer: u32, process in process(), term: u64, present: bool, addr in "[a-z0-9:]{0,9}") -> Seat {
        Seat { peer: PeerId(peer), process, term: Term(term), present, addr }
    }
}

prop_compose! {
    fn roster()(
        (generation, seq, version) in any::<(u64, u64, u64)>(),
        primary in proptest::option::of(seat()),
        secondary in proptest::option::of(seat()),
        paired: bool,
        passed_over in vec(any::<u32>(), 0..3),
    ) -> Roster {
        let passed_over = passed_over.into_iter().map(PeerId).collect();
        Roster { generation, seq: Seq(seq), version, primary, secondary, paired, passed_over }
    }
}

prop_compose! {
    fn hello()(
        (peer, epoch, clock, generation, seq) in any::<(u32, u32, u64, u64, u64)>(),
        (token, hash) in any::<(Option<[u8; 32]>, [u8; 32])>(),
        process in process(),
        roster in roster(),
        (cluster, addr) in ("[a-z]{0,8}", "[a-z0-9:]{0,9}"),
    ) -> Box<Hello> {
        Box::new(Hello {
            peer: PeerId(peer),
            epoch: Epoch(epoch),
            token: token.map(Token),
            process,
            clock: Stamp(clock),
            roster,
            generation,
            ledger: (Seq(seq), Hash(hash)),
            cluster,
            addr,
        })
    }
}

fn first() -> impl Strategy<Value = (Stamp, Option<Box<Hello>>)> {
    (any::<u64>().prop_map(Stamp), proptest::option::of(hello()))
}

fn kind() -> impl Strategy<Value = OrderKind> {
    prop_oneof![
        any::<bool>().prop_map(|partial| OrderKind::Buy { partial }),
        Just(OrderKind::Sell),
        Just(OrderKind::Void)
    ]
}

fn id() -> impl Strategy<Value = OrderId> {
    (any::<u32>(), any::<u64>())
        .prop_map(|(peer, number)| OrderId { peer: PeerId(peer), number: Number(number) })
}

prop_compose! {
    fn order()(id in id(), kind in kind(), product in 0..PRODUCTS_MAX as u16, stamp: u64, quantity: u64) -> Order {
        Order { id, stamp: Stamp(stamp), kind, product: ProductId(product), quantity: Quantity(quantity) }
    }
}

const KINDS: [OutcomeKind; 7] = [
    OutcomeKind::Bought,
    OutcomeKind::PartlyBought,
    OutcomeKind::Deposited,
    OutcomeKind::SoldOut,
    OutcomeKind::Refused,
    OutcomeKind::Reversed,
    OutcomeKind::Voided,
];

const WHYS: [NotTaken; 11] = [
    NotTaken::Busy,
    NotTaken::NotHome,
    NotTaken::Stale,
    NotTaken::OtherContent,
    NotTaken::Window,
    NotTaken::UnknownProduct,
    NotTaken::Quantity,
    NotTaken::Fenced,
    NotTaken::NoSession,
    NotTaken::DiskFull,
    NotTaken::Clock,
];

fn why() -> impl Strategy<Value = NotTaken> {
    proptest::sample::select(&WHYS[..])
}

fn office() -> impl Strategy<Value = Office> {
    proptest::sample::select(&Office::BOTH[..])
}

prop_compose! {
    fn outcome()(
        id in id(),
        kind in proptest::sample::select(&KINDS[..]),
        reason in proptest::option::of(proptest::sample::select(&Reason::ALL[..])),
        shares in vec((any::<u32>(), any::<u64>(), any::<i64>()), 0..3),
        (filled, amount, stock_after) in any::<(u64, i64, u64)>(),
        (seq, time, trader, repeated) in any::<(u64, u64, u32, bool)>(),
    ) -> Outcome {
        let share = |(peer, quantity, amount)| Share {
            peer: PeerId(peer),
            quantity: Quantity(quantity),
            amount: Money(amount),
        };
        Outcome {
            id,
            kind,
            reason,
            filled: Quantity(filled),
            amount: Money(amount),
            shares: shares.into_iter().map(share).collect(),
            stock_after: Quantity(stock_after),
            seq: Seq(seq),
            time: WallMicros(time),
            trader: PeerId(trader),
            repeated,
        }
    }
}

prop_compose! {
    fn answers()(
        outcomes in vec(outcome(), 0..3),
        not_taken in vec((id(), why()), 0..3),
        roster in proptest::option::of(roster().prop_map(Box::new)),
    ) -> (Vec<Outcome>, Vec<(OrderId, NotTaken)>, Option<Box<Roster>>) {
        (outcomes, not_taken, roster)
    }
}

prop_compose! {
    fn session()(peer: u32, epoch: u32, store: [u8; 32]) -> SessionInfo {
        SessionInfo { peer: PeerId(peer), epoch: Epoch(epoch), store: Hash(store) }
    }
}

prop_compose! {
    fn member()(id: u32, addr in "[a-z0-9:]{0,9}", process in process(), left: bool) -> Member {
        Member { id: PeerId(id), addr, process, left }
    }
}

fn word() -> impl Strategy<Value = PeerWord> {
    prop_oneof![
        hello().prop_map(PeerWord::Hello),
        vec(member(), 1..4).prop_map(PeerWord::Members),
        roster().prop_map(|roster| PeerWord::Roster(Box::new(roster))),
        (1..u64::MAX).prop_map(PeerWord::Heartbeat),
        (1..u64::MAX).prop_map(PeerWord::HeartbeatAnswer),
        office().prop_map(PeerWord::Election),
        office().prop_map(PeerWord::Ok),
        office().prop_map(PeerWord::Coordinator),
        Just(PeerWord::Preempt),
        (1..u32::MAX).prop_map(|peer| PeerWord::TookOver(PeerId(peer))),
    ]
}

fn orders() -> impl Strategy<Value = Vec<Order>> {
    vec(order(), 0..4)
}

fn trade() -> impl Strategy<Value = Message> {
    prop_oneof![
        (first(), orders())
            .prop_map(|((clock, hello), orders)| { Message::TradeAsk(TradeAsk { clock, hello, orders }) }),
        (first(), answers()).prop_map(|((clock, hello), (outcomes, not_taken, roster))| {
            Message::TradeAnswer(TradeAnswer { clock, hello, outcomes, not_taken, roster })
        }),
    ]
}

fn settle() -> impl Strategy<Value = Message> {
    let ask = (first(), any::<(u64, u64)>(), orders()).prop_map(|((clock, hello), (term, batch), orders)| {
        Message::SettleAsk(SettleAsk { clock, hello, term: Term(term), batch: Batch(batch), orders })
    });
    let rest = (proptest::option::of(why()), any::<(u64, u64, [u8; 32])>());
    let answer = (first(), answers(), rest).prop_map(
        |((clock, hello), (outcomes, not_taken, roster), (refused, (batch, seq, hash)))| {
            let (batch, ledger) = (Batch(batch), (Seq(seq), Hash(hash)));
            let answer = SettleAnswer { clock, hello, batch, outcomes, not_taken, refused, roster, ledger };
            Message::SettleAnswer(answer)
        },
    );
    prop_oneof![ask, answer]
}

fn warehouse() -> impl Strategy<Value = Message> {
    let up = (first(), any::<u64>()).prop_map(|((clock, hello), heartbeat_answer)| {
        Message::ControlUp(ControlUp { clock, hello, heartbeat_answer })
    });
    let roster = proptest::option::of(roster().prop_map(Box::new));
    let down = (first(), roster, vec(session(), 0..3), any::<u64>()).prop_map(
        |((clock, hello), roster, sessions, heartbeat)| {
            Message::ControlDown(ControlDown { clock, hello, roster, sessions, heartbeat })
        },
    );
    let levels = vec(any::<(u16, u64)>(), 0..4);
    let stock = (any::<(u64, u64)>(), levels).prop_map(|((clock, seq), levels)| {
        let levels = levels.into_iter().map(|(product, pieces)| (ProductId(product), Quantity(pieces)));
        Message::Stock(StockPush { clock: Stamp(clock), seq: Seq(seq), levels: levels.collect() })
    });
    prop_oneof![up, down, stock, Just(Message::Watch)]
}

fn replicate() -> impl Strategy<Value = Message> {
    let ask = (first(), any::<(u64, u64, u64)>(), vec(any::<u8>(), 0..40)).prop_map(
        |((clock, hello), (term, chunk, below), orders)| {
            let (term, chunk, settled_below) = (Term(term), Seq(chunk), Seq(below));
            Message::ReplicaAsk(ReplicaAsk { clock, hello, term, chunk, orders, settled_below })
        },
    );
    let answer = (first(), any::<(u64, u64)>()).prop_map(|((clock, hello), (term, chunk))| {
        Message::ReplicaAnswer(ReplicaAnswer { clock, hello, term: Term(term), chunk: Seq(chunk) })
    });
    prop_oneof![ask, answer]
}

fn message() -> impl Strategy<Value = Message> {
    let words = (any::<u64>(), word())
        .prop_map(|(clock, word)| Message::Peer(PeerMessage { clock: Stamp(clock), word }));
    prop_oneof![trade(), settle(), warehouse(), replicate(), words]
}

fn ask() -> impl Strategy<Value = Ask> {
    let opening =
        (any::<(u32, [u8; 32], u64)>(), "[a-z]{0,8}").prop_map(|((peer, store, generation), cluster)| {
            Ask::Open(Opening { peer: PeerId(peer), store: Hash(store), cluster, generation })
        });
    let resign = (hello(), any::<(u64, u32, bool)>()).prop_map(|(hello, (term, to, pass_over))| {
        Ask::Resign(hello, GivenUp { term: Term(term), to: PeerId(to), pass_over })
    });
    let terms = (hello(), any::<(u64, u64)>());
    let place = ("[a-z ]{0,9}", any::<u64>(), kind());
    prop_oneof![
        proptest::sample::select(vec![Ask::Catalogue, Ask::Probe, Ask::Status, Ask::Quiesce, Ask::Leave]),
        opening,
        any::<u32>().prop_map(|peer| Ask::Session(PeerId(peer))),
        (hello(), office()).prop_map(|(hello, office)| Ask::Claim(hello, office)),
        (hello(), any::<u64>()).prop_map(|(hello, term)| Ask::Fence(hello, Term(term))),
        terms.prop_map(|(hello, (own, partner))| Ask::Pair(hello, Term(own), Term(partner))),
        resign,
        (hello(), order()).prop_map(|(hello, order)| Ask::Submit(hello, order)),
        (hello(), orders()).prop_map(|(hello, orders)| Ask::HandOver(hello, orders)),
        place.prop_map(|(good, quantity, kind)| Ask::Place(good, Quantity(quantity), kind)),
        any::<u32>().prop_map(|to| Ask::ResignByHand(PeerId(to))),
    ]
}

fn given_up() -> impl Strategy<Value = Option<(Office, Term)>> {
    proptest::option::of((office(), any::<u64>().prop_map(Term)))
}

prop_compose! {
    fn opened()((peer, epoch) in any::<(u32, u32)>(), (floor, highest, clock, generation) in any::<(u64, u64, u64, u64)>(), roster in roster())
    -> OpenAnswer {
        let (floor, highest) = (Number(floor), Number(highest));
        // Whether it is new is between the warehouse and its ledger.
        let opened = Opened { peer: PeerId(peer), epoch: Epoch(epoch), floor, highest, new: false };
        OpenAnswer { opened, clock: Stamp(clock), roster, generation }
    }
}

prop_compose! {
    fn report()(
        (clock, peer, pid, elections, syncs) in any::<(u64, u32, u32, u64, u64)>(),
        (log, ledger) in any::<((u64, [u8; 32]), (u64, [u8; 32]))>(),
        (process, roster, members) in (process(), roster(), vec(member(), 0..3)),
        oldest in proptest::option::of((1..u32::MAX, 1..u64::MAX)),
        latency_us in vec(any::<u8>(), 0..9),
        role in "[a-z]{0,8}",
    ) -> Report {
        Report {
            clock: Stamp(clock),
            peer: PeerId(peer),
            role,
            pid,
            process,
            roster,
            log: (Seq(log.0), Hash(log.1)),
            ledger: (Seq(ledger.0), Hash(ledger.1)),
            oldest: oldest.map(|(peer, number)| OrderId { peer: PeerId(peer), number: Number(number) }),
            members,
            goods: vec![("fish".into(), Money(3))],
            stock: vec![Quantity(clock)],
            shopping: Shopping { placed: syncs, done: true, latency_us, ..Shopping::default() },
            elections,
            syncs,
            ..Report::default()
        }
    }
}

fn answer() -> impl Strategy<Value = Answer> {
    let goods = vec(("[a-z ]{0,9}", any::<i64>().prop_map(Money)), 0..3);
    let catalogue =
        (any::<(u64, u64)>(), "[a-z]{0,8}", goods).prop_map(|((clock, generation), name, goods)| {
            let (cluster, consistency) = (name.clone(), name);
            Answer::Catalogue(Box::new(Catalogue {
                clock: Stamp(clock),
                cluster,
                consistency,
                goods,
                generation,
            }))
        });
    let left = (any::<(u32, u64, u64, u64, u32)>(), given_up()).prop_map(
        |((peer, handed_over, open, pending, told), office)| {
            Answer::Left(Farewell { peer: PeerId(peer), office, handed_over, open, pending, told })
        },
    );
    let clock = || any::<u64>().prop_map(Stamp);
    prop_oneof![
        catalogue,
        opened().prop_map(|opened| Answer::Opened(Box::new(opened))),
        (clock(), proptest::option::of(session())).prop_map(|(clock, it)| Answer::Session(clock, it)),
        (clock(), roster()).prop_map(|(clock, roster)| Answer::Roster(clock, Box::new(roster))),
        outcome().prop_map(|outcome| Answer::Outcome(Box::new(outcome))),
        any::<u32>().prop_map(Answer::Taken),
        process().prop_map(Answer::Alive),
        report().prop_map(|report| Answer::Status(Box::new(report))),
        any::<u64>().prop_map(Answer::Open),
        left,
        given_up().prop_map(Answer::Resigned),
    ]
}

// ---- and back

/// Decodes to the same, and that to the same bytes: a token does not show itself in `Debug`.
#[track_caller]
fn comes_back<T: Debug>(it: &T, encode: fn(&T) -> Vec<u8>, decode: fn(&[u8]) -> Result<T, Odd>) {
    let bytes = encode(it);
    let back = decode(&bytes).unwrap();
    assert_eq!(format!("{back:?}"), format!("{it:?}"));
    assert_eq!(encode(&back), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_message_comes_back(it in message()) {
        comes_back(&it, encode, decode);
    }

    #[test]
    fn every_ask_comes_back(it in ask()) {
        comes_back(&it, encode_ask, decode_ask);
    }

    #[test]
    fn every_answer_comes_back(it in answer()) {
        comes_back(&it, encode_answer, decode_answer);
    }

    #[test]
    fn nonsense_is_odd_or_something_but_never_a_panic(bytes in vec(any::<u8>(), 0..60)) {
        let _ = (decode(&bytes).is_ok(), decode_ask(&bytes).is_ok(), decode_answer(&bytes).is_ok());
        let _ = decode_refusal(&bytes).is_ok();
    }
}

#[test]
fn no_frame_is_odd() {
    assert_eq!(decode(&[]).unwrap_err(), Odd("tag"));
    assert_eq!(decode_ask(&[99]).unwrap_err(), Odd("tag"));
    assert_eq!(decode_answer(&[1, 0xff]).unwrap_err(), Odd("bytes"));
    assert_eq!(decode_ask(&[4]).unwrap_err(), Odd("hello"));
}

#[test]
fn a_refusal_comes_to_the_caller_as_over_the_wire() {
    let heard = |refusal: Refusal| decode_refusal(&encode_refusal(&refusal)).unwrap();
    let seat = Seat {
        peer: PeerId(6),
        process: ProcessId::default(),
        term: Term(1),
        present: true,
        addr: "127.0.0.1:7706".into(),
    };
    let roster = Box::new(Roster { primary: Some(seat), ..Roster::default() });
    for expected in WHYS {
        let CallError::NotTaken { why, traders } = heard(Refusal::NotTaken(expected, roster.clone())) else {
            panic!("{expected:?}")
        };
        assert_eq!((why, traders), (expected, vec!["127.0.0.1:7706".to_owned()]));
    }
    let reason = |refusal| match heard(refusal) {
        CallError::Refused { reason, text } => (reason, text),
        other => panic!("{other:?}"),
    };
    let denied = Denied::StoreAlive(PeerId(4));
    assert_eq!(reason(denied.clone().into()), ("STORE_ALIVE".into(), denied.to_string()));
    assert_eq!(reason(Refusal::Invalid("no".into())), ("INVALID".into(), "no".into()));
    assert_eq!(reason(Refusal::Unavailable("later".into())), ("UNAVAILABLE".into(), "later".into()));
}
