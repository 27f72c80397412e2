//! Callers that lie or talk nonsense: other peers' ids, forged terms, rosters and clocks, numbers used twice, bytes that
//! are no gRPC. The node lives on, the ledger is unchanged, and a well-behaved client is served as before.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bazaar::limits::{CLOCK_LEAP_MAX, MESSAGE_BYTES_MAX, QUANTITY_MAX};
use bazaar::model::hello::Hello;
use bazaar::model::market::NotTaken;
use bazaar::model::message::{ControlUp, Message, PeerMessage, PeerWord, SettleAnswer, SettleAsk, TradeAsk};
use bazaar::model::offices::Roster;
use bazaar::model::row::{Outcome, OutcomeKind};
use bazaar::model::step::ConnId;
use bazaar::model::warehouse::GivenUp;
use bazaar::types::{
    Batch, Epoch, Generation, Number, Office, Order, OrderId, OrderKind, PeerId, ProductId, Quantity, Seq,
    Stamp, Term, Token,
};
use bazaar::wire::arrival::Arrival;
use bazaar::wire::client::dial::Dialer;
use bazaar::wire::client::{CallError, Node};
use tokio::sync::mpsc;

use super::market::{Market, SOON, Up, block_on, status, turn, until};

const DEADLINE: Duration = Duration::from_secs(5);

/// A client with a session of its own.
#[derive(Clone)]
struct Client {
    hello: Hello,
    next: u32,
}

/// A market of two traders and nobody else: only the tests' clients order.
struct Bazaar<'a> {
    up: Up<'a>,
    warehouse: String,
    primary: String,
    secondary: String,
}

impl<'a> Bazaar<'a> {
    fn start(market: &'a Market) -> Bazaar<'a> {
        let up = market.start(&["--buyers", "0", "--sellers", "0"]);
        up.wait_for_pair();
        let addr = |office| up.node(&up.holder(office).unwrap()).addr;
        let (primary, secondary) = (addr(Office::Primary), addr(Office::Secondary));
        Bazaar { warehouse: up.node("warehouse").addr, primary, secondary, up }
    }

    fn nodes(&self) -> [&str; 3] {
        [&self.warehouse, &self.primary, &self.secondary]
    }

    fn roster(&self) -> Roster {
        status(&self.warehouse).unwrap().roster
    }

    fn client(&self) -> Client {
        let token = Token(std::array::from_fn(|_| fastrand::u8(..)));
        let opened = block_on(async {
            Node::connect(&self.warehouse, DEADLINE)
                .await?
                .open(PeerId(0), token.store_id(), "", Generation::default())
                .await
        });
        let answer = opened.unwrap();
        let hello = Hello {
            peer: answer.opened.peer,
            epoch: answer.opened.epoch,
            token: Some(token),
            clock: answer.clock,
            cluster: status(&self.warehouse).unwrap().cluster,
            ..Hello::default()
        };
        Client { hello, next: 1 }
    }

    fn home(&self, peer: PeerId) -> String {
        self.roster().home(peer).unwrap().addr.clone()
    }

    fn submit(&self, addr: &str, hello: &Hello, order: &Order) -> Result<Outcome, CallError> {
        block_on(async { Ok(Node::connect(addr, DEADLINE).await?.submit(hello, order).await?.0) })
    }

    /// A good order is served, and is the only row that came since `seq`.
    #[track_caller]
    fn still_serves(&self, client: &mut Client, seq: u64, after: &str) {
        for node in self.nodes() {
            assert!(status(node).is_some(), "{node} is silent after {after}");
        }
        assert_eq!(self.up.ledger_seq(), seq, "the ledger changed by {after}");
        let order = client.order(OrderKind::Sell, 0, 3);
        let outcome = self.submit(&self.home(client.hello.peer), &client.hello, &order);
        let outcome = outcome.unwrap_or_else(|error| panic!("after {after}: {error}"));
        assert_eq!((outcome.id, outcome.kind), (order.id, OutcomeKind::Deposited), "after {after}");
        assert_eq!(self.up.ledger_seq(), seq + 1, "after {after}");
    }
}

impl Client {
    /// The next order of this client.
    fn order(&mut self, kind: OrderKind, product: u16, quantity: u64) -> Order {
        let order = self.peek(kind, product, quantity);
        self.next += 1;
        order
    }

    /// The same without using the number up.
    fn peek(&mut self, kind: OrderKind, product: u16, quantity: u64) -> Order {
        self.hello.clock.0 += 1;
        let id = OrderId { peer: self.hello.peer, number: Number::new(self.hello.epoch, self.next) };
        let (product, quantity) = (ProductId(product), Quantity(quantity));
        Order { id, stamp: self.hello.clock, kind, product, quantity }
    }
}

const BUY: OrderKind = OrderKind::Buy { partial: false };

#[track_caller]
fn not_taken(result: Result<Outcome, CallError>, expected: NotTaken) {
    match result {
        Err(CallError::NotTaken { why, .. }) if why == expected => {}
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

#[test]
fn orders_that_make_no_sense_change_nothing() {
    let _turn = turn();
    let market = Market::new();
    let bazaar = Bazaar::start(&market);
    let (mut good, mut bad) = (bazaar.client(), bazaar.client());
    let home = bazaar.home(bad.hello.peer);
    let [primary, secondary] = [bazaar.primary.as_str(), bazaar.secondary.as_str()];
    let other_trader = if home == primary { secondary } else { primary };

    let order = bad.order(OrderKind::Sell, 0, 5);
    let first = bazaar.submit(&home, &bad.hello, &order).unwrap();
    let mut check = |what: &str, expected: NotTaken, addr: &str, hello: &Hello, order: &Order| {
        let seq = bazaar.up.ledger_seq();
        not_taken(bazaar.submit(addr, hello, order), expected);
        bazaar.still_serves(&mut good, seq, what);
    };

    let hello = bad.hello.clone();
    let altered = Order { quantity: Quantity(6), ..order };
    check("an id asked again with another quantity", NotTaken::OtherContent, &home, &hello, &altered);
    let altered = Order { kind: BUY, ..order };
    check("an id asked again as a purchase", NotTaken::OtherContent, &home, &hello, &altered);

    let wrong = bad.peek(BUY, 999, 1);
    check("an unknown good", NotTaken::UnknownProduct, &home, &bad.hello, &wrong);
    let wrong = bad.peek(BUY, 0, 0);
    check("no pieces", NotTaken::Quantity, &home, &bad.hello, &wrong);
    let wrong = bad.peek(OrderKind::Sell, 0, QUANTITY_MAX + 1);
    check("too many pieces", NotTaken::Quantity, &home, &bad.hello, &wrong);
    let wrong = bad.peek(OrderKind::Sell, 0, u64::MAX);
    check("far too many pieces", NotTaken::Quantity, &home, &bad.hello, &wrong);
    let right = bad.peek(BUY, 0, 1);
    check("the trader that is not the home", NotTaken::NotHome, other_trader, &bad.hello, &right);
    let wrong = Order { stamp: Stamp(bad.hello.clock.0 + 1), ..right };
    check("a stamp above its own clock", NotTaken::Clock, &home, &bad.hello, &wrong);
    let skipped = Order { id: OrderId { number: Number(right.id.number.0 + 10_000), ..right.id }, ..right };
    check("a number far ahead", NotTaken::Window, &home, &bad.hello, &skipped);

    let forged = Hello { token: Some(Token([7; 32])), ..bad.hello.clone() };
    check("a token of nobody", NotTaken::NoSession, &home, &forged, &right);
    let forged = Hello { token: None, ..bad.hello.clone() };
    check("no token", NotTaken::NoSession, &home, &forged, &right);
    let forged = Hello { epoch: Epoch(1), ..bad.hello.clone() };
    check("another epoch", NotTaken::NoSession, &home, &forged, &right);
    let stranger = PeerId(4_321);
    let theirs = Order { id: OrderId { peer: stranger, ..right.id }, ..right };
    check("an order of somebody else", NotTaken::NoSession, &home, &bad.hello, &theirs);
    let forged = Hello { peer: stranger, ..bad.hello.clone() };
    check("an id without a session", NotTaken::NoSession, &bazaar.home(stranger), &forged, &theirs);
    let trader = PeerId(1);
    let theirs = Order { id: OrderId { peer: trader, ..right.id }, ..right };
    let forged = Hello { peer: trader, ..bad.hello.clone() };
    check("a trader's id without its token", NotTaken::NoSession, &bazaar.home(trader), &forged, &theirs);

    // What was decided before all of this stands, and the number that was refused so often is still free.
    let again = bazaar.submit(&home, &bad.hello, &order).unwrap();
    assert_eq!(Outcome { repeated: true, ..first }, again);
    let outcome = bazaar.submit(&home, &bad.hello, &right).unwrap();
    assert_eq!((outcome.kind, outcome.repeated), (OutcomeKind::Bought, false));
    bazaar.up.interrupt().expect(0);
    market.verify();
}

#[test]
fn offices_are_not_to_be_had_by_lies() {
    let _turn = turn();
    let market = Market::new();
    let bazaar = Bazaar::start(&market);
    let (mut good, bad) = (bazaar.client(), bazaar.client());
    let (seq, roster) = (bazaar.up.ledger_seq(), bazaar.roster());
    let holder = roster.primary.clone().unwrap();
    // The holder in every respect but its token.
    let posing =
        Hello { peer: holder.peer, process: holder.process, addr: holder.addr.clone(), ..bad.hello.clone() };

    block_on(async {
        let node = Node::connect(&bazaar.warehouse, DEADLINE).await.unwrap();
        for hello in [&posing, &bad.hello, &Hello { token: None, ..posing.clone() }] {
            for office in Office::BOTH {
                node.claim(hello, office).await.unwrap_err();
            }
            node.fence(hello, holder.term).await.unwrap_err();
            node.resign(hello, GivenUp { term: holder.term, to: bad.hello.peer, pass_over: true })
                .await
                .unwrap_err();
            node.resign(hello, GivenUp { term: holder.term, to: PeerId(0), pass_over: false })
                .await
                .unwrap_err();
        }
        // Another store of a living peer, and of a client that was never given its id.
        node.open(holder.peer, Token([9; 32]).store_id(), "", Generation::default()).await.unwrap_err();
        node.open(PeerId(77_777), Token([9; 32]).store_id(), "", Generation::default()).await.unwrap_err();
        node.open(PeerId(u32::MAX), Token([9; 32]).store_id(), "", Generation::default()).await.unwrap_err();
        node.open(PeerId(0), Token([9; 32]).store_id(), "other", Generation::default()).await.unwrap_err();
        for trader in [&bazaar.primary, &bazaar.secondary] {
            let node = Node::connect(trader, DEADLINE).await.unwrap();
            node.hand_over(&posing, &[]).await.unwrap_err();
            // What only the warehouse serves.
            node.claim(&posing, Office::Primary).await.unwrap_err();
        }
    });
    assert_eq!(bazaar.roster(), roster);
    bazaar.still_serves(&mut good, seq, "forged claims");

    let seq = bazaar.up.ledger_seq();
    for term in [Term(0), Term(99), Term(u64::MAX), holder.term] {
        let order = bad.clone().order(OrderKind::Sell, 0, 1);
        let answer = settle_under(&bazaar.warehouse, &bad.hello, term, order);
        assert_eq!(answer.refused, Some(NotTaken::Fenced), "term {term}: {answer:?}");
        assert!(answer.outcomes.is_empty());
    }
    assert_eq!(bazaar.roster(), roster);
    bazaar.still_serves(&mut good, seq, "batches under forged terms");
    bazaar.up.interrupt().expect(0);
    market.verify();
}

/// Streams of a test to a node: dialed here, heard here.
fn dialer() -> (tokio::runtime::Runtime, Dialer, mpsc::Receiver<Arrival>) {
    let wire = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (inbox, arrivals) = mpsc::channel(64);
    let dialer = Dialer { wire: wire.handle().clone(), inbox, deadline: DEADLINE };
    (wire, dialer, arrivals)
}

pub fn settle_under(warehouse: &str, hello: &Hello, term: Term, order: Order) -> SettleAnswer {
    let (wire, dialer, mut arrivals) = dialer();
    let first =
        SettleAsk { hello: Some(Box::new(hello.clone())), clock: hello.clock, term, ..SettleAsk::default() };
    let (outbox, _stream) = dialer.dial(ConnId(1), warehouse.to_owned(), Message::SettleAsk(first));
    let batch =
        SettleAsk { clock: hello.clock, term, batch: Batch(1), orders: vec![order], ..SettleAsk::default() };
    outbox.send(Message::SettleAsk(batch));
    wire.block_on(async {
        loop {
            let arrival = tokio::time::timeout(DEADLINE, arrivals.recv()).await.unwrap().unwrap();
            match arrival {
                Arrival::Said(_, Message::SettleAnswer(answer)) if answer.batch == Batch(1) => return answer,
                Arrival::Ended(_, lost) => panic!("{}", lost.why),
                _ => {}
            }
        }
    })
}

#[test]
fn strangers_turn_neither_clocks_nor_rosters() {
    let _turn = turn();
    let market = Market::new();
    let bazaar = Bazaar::start(&market);
    let (mut good, bad) = (bazaar.client(), bazaar.client());
    let before = bazaar.roster();
    let seq = bazaar.up.ledger_seq();

    // Each leap is as far as a clock may be ahead; several of them would cut a node off from all others.
    let clock = status(&bazaar.primary).unwrap().clock;
    for _ in 0..3 {
        for trader in [&bazaar.primary, &bazaar.secondary] {
            let ahead = Stamp(status(trader).unwrap().clock.0 + CLOCK_LEAP_MAX);
            let hello = Hello { clock: ahead, token: None, ..bad.hello.clone() };
            let order = Order { stamp: ahead, ..bad.clone().order(BUY, 0, 1) };
            bazaar.submit(trader, &hello, &order).unwrap_err();
        }
    }
    let after = status(&bazaar.primary).unwrap().clock;
    assert!(after.0 < clock.0 + CLOCK_LEAP_MAX, "a stranger turned the clock from {clock} to {after}");
    bazaar.still_serves(&mut good, seq, "clocks from far ahead");

    let seq = bazaar.up.ledger_seq();
    for trader in [&bazaar.primary, &bazaar.secondary] {
        let roster = Roster { seq: Seq(u64::MAX), version: u64::MAX, ..Roster::default() };
        let hello = Hello { roster, token: Some(Token([7; 32])), ..bad.hello.clone() };
        let (wire, dialer, mut arrivals) = dialer();
        let first = TradeAsk { clock: hello.clock, hello: Some(Box::new(hello)), ..TradeAsk::default() };
        let stream = dialer.dial(ConnId(1), trader.clone(), Message::TradeAsk(first));
        let turned_away = async { while !matches!(arrivals.recv().await.unwrap(), Arrival::Ended(..)) {} };
        wire.block_on(async { tokio::time::timeout(DEADLINE, turned_away).await.unwrap() });
        drop(stream);
        let told = status(trader).unwrap().roster;
        assert_eq!(
            (told.seq, told.primary),
            (before.seq, before.primary.clone()),
            "a stranger's word on the offices counted"
        );
    }
    bazaar.still_serves(&mut good, seq, "forged rosters");

    // A client that has a session claims to have seen a ledger that no warehouse has.
    let seq = bazaar.up.ledger_seq();
    let ledger = (Seq(u64::MAX), bad.hello.ledger.1);
    for count in [0, u64::MAX] {
        let generation = Generation { count, random: count };
        let (wire, dialer, mut arrivals) = dialer();
        let hello = Hello { ledger, generation, ..bad.hello.clone() };
        let first = ControlUp { clock: hello.clock, hello: Some(Box::new(hello)), ..ControlUp::default() };
        let stream = dialer.dial(ConnId(1), bazaar.warehouse.clone(), Message::ControlUp(first));
        let answered = arrivals.recv();
        wire.block_on(async { tokio::time::timeout(DEADLINE, answered).await.unwrap() });
        drop(stream);
    }
    bazaar.still_serves(&mut good, seq, "a ledger that nobody has");
    bazaar.up.interrupt().expect(0);
    market.verify();
}

#[test]
fn a_stranger_on_a_link_ends_no_term() {
    let _turn = turn();
    let market = Market::new();
    let bazaar = Bazaar::start(&market);
    let (mut good, bad) = (bazaar.client(), bazaar.client());
    let (seq, before) = (bazaar.up.ledger_seq(), bazaar.roster());
    for trader in [&bazaar.primary, &bazaar.secondary] {
        let roster = Roster { seq: Seq(u64::MAX), version: u64::MAX, ..Roster::default() };
        let hello = Hello { peer: PeerId(777), roster, token: Some(Token([7; 32])), ..bad.hello.clone() };
        let (wire, dialer, mut arrivals) = dialer();
        let first = PeerMessage { clock: hello.clock, word: PeerWord::Hello(Box::new(hello)) };
        let stream = dialer.dial(ConnId(1), trader.clone(), Message::Peer(first));
        let answered = arrivals.recv();
        wire.block_on(async { tokio::time::timeout(DEADLINE, answered).await.unwrap() });
        drop(stream);
        assert_eq!(
            status(trader).unwrap().roster.seq,
            before.seq,
            "a stranger's word on the offices counted"
        );
    }
    bazaar.still_serves(&mut good, seq, "a forged link");
}

// ---- bytes

/// What is sent to a port that expects HTTP/2.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut rng = fastrand::Rng::with_seed(7);
    let mut random = vec![0; 1 << 16];
    rng.fill(&mut random);
    let frame = |length: u32, kind: u8, flags: u8, stream: u32| {
        let mut header = length.to_be_bytes()[1..].to_vec();
        header.extend([kind, flags]);
        header.extend(stream.to_be_bytes());
        header
    };
    let settings = frame(0, 4, 0, 0);
    let greeted = |more: &[u8]| [PREFACE, &settings, more].concat();
    let headers: Vec<u8> =
        (0..2_000).flat_map(|at| [frame(4, 1, 0, 1 + 2 * at), vec![0xff; 4]].concat()).collect();
    let endless = [frame(3, 1, 0, 1), vec![0x82, 0x86, 0x84]].concat();
    let continued: Vec<u8> = (0..2_000).flat_map(|_| [frame(100, 9, 0, 1), vec![0; 100]].concat()).collect();
    vec![
        ("random bytes", random),
        ("nothing but zeros", vec![0; 1 << 16]),
        ("HTTP/1", b"GET / HTTP/1.1\r\nHost: bazaar\r\n\r\n".to_vec()),
        ("a TLS hello", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0xab; 512]].concat()),
        ("a cut preface", PREFACE[..10].to_vec()),
        ("a preface and random bytes", greeted(&rng.u128(..).to_be_bytes().repeat(500))),
        ("a frame of 16 MiB", greeted(&frame(0xff_ffff, 0, 0, 1))),
        ("data on a stream that was never opened", greeted(&[frame(8, 0, 0, 5), vec![1; 8]].concat())),
        ("20,000 empty settings", greeted(&settings.repeat(20_000))),
        ("20,000 pings", greeted(&[frame(8, 6, 0, 0), vec![0; 8]].concat().repeat(20_000))),
        ("headers that do not decode", greeted(&headers)),
        ("headers without end", greeted(&[endless, continued].concat())),
    ]
}

/// Sends, says that no more comes, and reads until the other side ends it.
fn send(addr: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    // The other side may have had enough before the end.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = [0; 4096];
    while stream.read(&mut answer).is_ok_and(|read| read > 0) {}
}

#[test]
fn bytes_that_are_no_grpc_are_cut_off() {
    let _turn = turn();
    let market = Market::new();
    let bazaar = Bazaar::start(&market);
    let mut good = bazaar.client();
    for (what, bytes) in nonsense() {
        let seq = bazaar.up.ledger_seq();
        for node in bazaar.nodes() {
            send(node, &bytes);
        }
        bazaar.still_serves(&mut good, seq, what);
    }

    // A message above the limit is refused by name, as a definite no.
    let bad = bazaar.client();
    let seq = bazaar.up.ledger_seq();
    let hello = Hello { addr: "x".repeat(MESSAGE_BYTES_MAX + 1), ..bad.hello.clone() };
    let order = bad.clone().order(BUY, 0, 1);
    let refused = bazaar.submit(&bazaar.home(hello.peer), &hello, &order).unwrap_err();
    assert!(matches!(refused, CallError::Refused { .. }), "{refused:?}");
    bazaar.still_serves(&mut good, seq, "a message above the limit");

    // Connections that say nothing cost a descriptor each, and keep nobody else from being served.
    let seq = bazaar.up.ledger_seq();
    let silent: Vec<TcpStream> =
        (0..100).flat_map(|_| bazaar.nodes().map(|node| TcpStream::connect(node).unwrap())).collect();
    bazaar.still_serves(&mut good, seq, "300 silent connections");
    drop(silent);

    for name in ["warehouse", "peer-1", "peer-2"] {
        let log = std::fs::read_to_string(market.node_dir(name).join("log")).unwrap();
        assert!(!log.contains("panicked"), "{name}: {log}");
    }
    until("all streams of the nodes are still up", SOON, || bazaar.roster().paired.then_some(()));
    bazaar.up.interrupt().expect(0);
    market.verify();
}
