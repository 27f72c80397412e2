use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::*;
use crate::limits::{CALL_DEADLINE, EVENTS_MAX, INBOX_MAX, OUTBOX_BYTES_MAX};
use crate::model::call::{CallError, Cause, Probe};
use crate::model::happening::What;
use crate::model::market::NotTaken;
use crate::model::message::{ReplicaAsk, StockPush, Stream, TradeAnswer, TradeAsk};
use crate::model::step::Lost;
use crate::node::life::wire_runtime;
use crate::types::{Seq, Stamp};
use crate::wire::serve::dump::{BlockReader, DumpHead};
use crate::wire::serve::{Serving, listen, serve_peer, serve_warehouse};

struct NoLog;

impl BlockReader for NoLog {
    fn blocks(&self, _: Seq, _: usize) -> Result<Vec<Vec<u8>>, String> {
        Ok(Vec::new())
    }
    fn after(&self, _: &[u8]) -> Option<Seq> {
        None
    }
    fn changed(&self, _: Seq) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
    fn head(&self) -> DumpHead {
        DumpHead::default()
    }
}

/// A node without a machine: the test is its loop.
struct End<'a> {
    wire: &'a Runtime,
    addr: String,
    port: Grpc,
    inbox: mpsc::Receiver<Arrival>,
    numbers: Numbers,
}

impl<'a> End<'a> {
    fn start(wire: &'a Runtime, id: u32) -> End<'a> {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let (happenings, _) = broadcast::channel(EVENTS_MAX);
        let numbers = Numbers::default();
        let listener = wire.block_on(listen("127.0.0.1:0".parse().unwrap())).unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let serving = Serving {
            trace: None,
            addr: String::new(),
            connections_max: 64,
            listener,
            shutdown: Box::pin(std::future::pending()),
            numbers: numbers.clone(),
            blocks: Arc::new(NoLog),
            happenings: happenings.clone(),
        };
        if PeerId(id) == PeerId::WAREHOUSE {
            wire.spawn(serve_warehouse(sender.clone(), serving));
        } else {
            wire.spawn(serve_peer(sender.clone(), serving));
        }
        let dialer = Dialer { wire: wire.handle().clone(), inbox: sender, deadline: CALL_DEADLINE };
        let port = Grpc::new(PeerId(id), dialer, numbers.clone(), happenings);
        End { wire, addr, port, inbox, numbers }
    }

    /// What comes in next, as the machine sees it: `None` if it was dropped.
    #[track_caller]
    fn arrive(&mut self) -> Option<Input> {
        let next = async { tokio::time::timeout(Duration::from_secs(10), self.inbox.recv()).await };
        let arrival = self.wire.block_on(next).expect("nothing came").expect("the wire is gone");
        self.port.arrive(arrival)
    }

    #[track_caller]
    fn opened(&mut self, expected: Stream) -> ConnId {
        match self.arrive() {
            Some(Input::Opened(conn, stream)) if stream == expected => conn,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn said(&mut self) -> (ConnId, Message) {
        match self.arrive() {
            Some(Input::Said(conn, message)) => (conn, message),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn ended(&mut self) -> (ConnId, Lost) {
        match self.arrive() {
            Some(Input::Ended(conn, lost)) => (conn, lost),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn asked(&mut self) -> (ReplyId, Ask) {
        match self.arrive() {
            Some(Input::Asked(reply, ask)) => (reply, ask),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn came(&mut self) -> (CallId, Result<Answer, CallError>) {
        match self.arrive() {
            Some(Input::Came(call, came)) => (call, came),
            other => panic!("{other:?}"),
        }
    }

    fn dial(&mut self, addr: &str, first: Message) -> ConnId {
        let conn = ConnId(self.numbers.next());
        self.port.perform(Effect::Dial { conn, addr: addr.to_owned(), first });
        conn
    }

    fn call(&mut self, addr: &str, ask: Ask) -> CallId {
        let call = CallId(self.numbers.next());
        self.port.perform(Effect::Call { call, addr: addr.to_owned(), ask });
        call
    }

    /// Nothing is left over, in the tables or on its way to the machine. Of a stream that was hung up the end may still
    /// come in, and goes no further.
    #[track_caller]
    fn is_quiet(&mut self) {
        assert_eq!(self.port.open(), (0, 0));
        while let Ok(arrival) = self.inbox.try_recv() {
            assert!(self.port.arrive(arrival).is_none());
        }
    }
}

fn trade_ask(clock: u64) -> Message {
    Message::TradeAsk(TradeAsk { clock: Stamp(clock), ..TradeAsk::default() })
}

fn trade_answer(clock: u64) -> Message {
    Message::TradeAnswer(TradeAnswer { clock: Stamp(clock), ..TradeAnswer::default() })
}

fn clock_of(message: &Message) -> Stamp {
    match message {
        Message::TradeAsk(it) => it.clock,
        Message::TradeAnswer(it) => it.clock,
        Message::Stock(it) => it.clock,
        other => panic!("{other:?}"),
    }
}

/// An address where nobody listens.
fn nowhere(wire: &Runtime) -> String {
    let listener = wire.block_on(listen("127.0.0.1:0".parse().unwrap())).unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Both ends of a trade stream that is up: its numbers there and here.
fn trade<'a>(peer: &mut End<'a>, trader: &mut End<'a>) -> (ConnId, ConnId) {
    let here = peer.dial(&trader.addr, trade_ask(1));
    let there = trader.opened(Stream::Trade);
    let (conn, message) = trader.said();
    assert_eq!((conn, clock_of(&message)), (there, Stamp(1)));
    trader.port.perform(Effect::Send(there, trade_answer(2)));
    let (conn, message) = peer.said();
    assert_eq!((conn, clock_of(&message)), (here, Stamp(2)));
    (here, there)
}

#[test]
fn whoever_is_hung_up_hears_all_and_the_end_once() {
    let wire = wire_runtime().unwrap();
    let (mut peer, mut trader) = (End::start(&wire, 4), End::start(&wire, 6));
    let (here, there) = trade(&mut peer, &mut trader);
    trader.port.perform(Effect::Send(there, trade_answer(3)));
    trader.port.perform(Effect::HangUp(there));
    assert_eq!(clock_of(&peer.said().1), Stamp(3));
    let (conn, lost) = peer.ended();
    assert_eq!((conn, lost.refused), (here, false));
    assert!(trader.arrive().is_none(), "who hung up is not told of the end");
    trader.port.perform(Effect::Send(there, trade_answer(4)));
    peer.is_quiet();
    trader.is_quiet();
}

#[test]
fn whoever_dialed_may_hang_up_too() {
    let wire = wire_runtime().unwrap();
    let (mut peer, mut trader) = (End::start(&wire, 4), End::start(&wire, 6));
    let (here, there) = trade(&mut peer, &mut trader);
    peer.port.perform(Effect::HangUp(here));
    assert_eq!(trader.ended().0, there);
    peer.is_quiet();
    trader.is_quiet();
}

#[test]
fn a_watch_is_seen_to_end_at_both_ends() {
    let wire = wire_runtime().unwrap();
    let (mut trader, mut warehouse) = (End::start(&wire, 6), End::start(&wire, 0));
    for hangs_up in ["trader", "warehouse"] {
        let here = trader.dial(&warehouse.addr, Message::Watch);
        let there = warehouse.opened(Stream::Watch);
        assert!(matches!(warehouse.said(), (conn, Message::Watch) if conn == there));
        let push = StockPush { clock: Stamp(5), ..StockPush::default() };
        warehouse.port.perform(Effect::Send(there, Message::Stock(push)));
        assert_eq!(clock_of(&trader.said().1), Stamp(5));
        if hangs_up == "trader" {
            trader.port.perform(Effect::HangUp(here));
            assert_eq!(warehouse.ended().0, there);
        } else {
            warehouse.port.perform(Effect::HangUp(there));
            assert_eq!(trader.ended().0, here);
            assert!(warehouse.arrive().is_none());
        }
        trader.is_quiet();
        warehouse.is_quiet();
    }
}

#[test]
fn a_stream_that_is_cut_ends_at_both_ends() {
    let wire = wire_runtime().unwrap();
    let (mut primary, mut secondary) = (End::start(&wire, 6), End::start(&wire, 5));
    let here = primary.dial(&secondary.addr, Message::ReplicaAsk(ReplicaAsk::default()));
    let there = secondary.opened(Stream::Replicate);
    secondary.said();
    let heavy = ReplicaAsk { orders: vec![0; OUTBOX_BYTES_MAX], ..ReplicaAsk::default() };
    primary.port.perform(Effect::Send(here, Message::ReplicaAsk(heavy)));
    assert_eq!(primary.ended().0, here);
    assert_eq!(secondary.ended().0, there);
    primary.is_quiet();
    secondary.is_quiet();
}

#[test]
fn a_message_of_another_stream_ends_it() {
    let wire = wire_runtime().unwrap();
    let (mut peer, mut trader) = (End::start(&wire, 4), End::start(&wire, 6));
    let (here, there) = trade(&mut peer, &mut trader);
    peer.port.perform(Effect::Send(here, Message::Watch));
    assert_eq!(peer.ended().0, here);
    assert_eq!(trader.ended().0, there);
}

#[test]
fn a_call_is_asked_and_answered_once() {
    let wire = wire_runtime().unwrap();
    let (mut peer, mut trader) = (End::start(&wire, 4), End::start(&wire, 6));
    let mut ask = |answer| {
        let call = peer.call(&trader.addr, Ask::Quiesce);
        let (reply, ask) = trader.asked();
        assert!(matches!(ask, Ask::Quiesce));
        assert_eq!(trader.port.open(), (0, 1));
        trader.port.perform(Effect::Reply(reply, answer));
        let (came, result) = peer.came();
        assert_eq!(came, call);
        peer.is_quiet();
        trader.is_quiet();
        result
    };
    assert!(matches!(ask(Ok(Answer::Open(3))), Ok(Answer::Open(3))));
    let refusal = Refusal::NotTaken(NotTaken::Busy, Box::default());
    assert!(matches!(ask(Err(refusal)), Err(CallError::NotTaken { why: NotTaken::Busy, .. })));
    // A machine's bug: nothing definite is known.
    assert!(matches!(ask(Ok(Answer::Taken(3))), Err(CallError::Unknown(_))));
}

#[test]
fn a_form_that_makes_no_sense_reaches_no_machine() {
    let wire = wire_runtime().unwrap();
    let (mut peer, mut trader) = (End::start(&wire, 4), End::start(&wire, 6));
    let orders = crate::limits::BATCH_ORDERS_MAX + 1;
    let order = crate::types::Order {
        id: crate::types::OrderId { peer: PeerId(4), number: crate::types::Number(1) },
        stamp: Stamp(1),
        kind: crate::types::OrderKind::Sell,
        product: crate::types::ProductId(0),
        quantity: crate::types::Quantity(1),
    };
    peer.call(&trader.addr, Ask::HandOver(Box::default(), vec![order; orders], Vec::new()));
    let (_, came) = peer.came();
    assert!(matches!(came, Err(CallError::Refused { cause: Cause::Invalid, .. })));
    trader.is_quiet();
}

#[test]
fn a_probe_asks_for_the_status() {
    let wire = wire_runtime().unwrap();
    let (mut peer, mut trader) = (End::start(&wire, 4), End::start(&wire, 6));
    peer.call(&trader.addr, Ask::Probe);
    let (reply, ask) = trader.asked();
    assert!(matches!(ask, Ask::Status));
    let process = crate::types::ProcessId { starts: 9, ..Default::default() };
    let report = crate::model::report::Report { process, ..Default::default() };
    trader.port.perform(Effect::Reply(reply, Ok(Answer::Status(Box::new(report)))));
    assert_eq!(Probe::found(&peer.came().1), Probe::Alive(process));
}

#[test]
fn nobody_listens_is_said() {
    let wire = wire_runtime().unwrap();
    let mut peer = End::start(&wire, 4);
    let nowhere = nowhere(&wire);
    let conn = peer.dial(&nowhere, trade_ask(1));
    assert_eq!(peer.port.open(), (1, 0));
    let (ended, lost) = peer.ended();
    assert_eq!((ended, lost.refused), (conn, true), "{}", lost.why);
    peer.call(&nowhere, Ask::Probe);
    assert_eq!(Probe::found(&peer.came().1), Probe::Dead);
    peer.is_quiet();
}

#[test]
fn what_comes_of_a_stream_that_was_hung_up_is_dropped() {
    let wire = wire_runtime().unwrap();
    let (mut peer, mut trader) = (End::start(&wire, 4), End::start(&wire, 6));
    let (here, there) = trade(&mut peer, &mut trader);
    trader.port.perform(Effect::HangUp(there));
    assert!(trader.port.arrive(Arrival::Said(there, trade_ask(9))).is_none());
    peer.port.perform(Effect::HangUp(here));
    assert!(peer.port.arrive(Arrival::Said(here, trade_answer(9))).is_none());
    let lost = Lost { refused: false, why: String::new() };
    assert!(peer.port.arrive(Arrival::Ended(here, lost)).is_none());
    // The same again does no harm.
    peer.port.perform(Effect::HangUp(here));
}

#[test]
fn a_watcher_is_told_by_whom_and_when() {
    let wire = wire_runtime().unwrap();
    let mut peer = End::start(&wire, 4);
    assert!(!peer.port.is_watched());
    peer.port.perform(Effect::Happen(What::Done));
    let mut heard = peer.port.happenings.subscribe();
    assert!(peer.port.is_watched());
    peer.port.perform(Effect::Happen(What::Line("here".into())));
    let Happening { time, peer: who, what } = heard.try_recv().unwrap();
    assert!(time > 0);
    assert!(matches!((who, what), (PeerId(4), What::Line(line)) if line == "here"));
}

#[test]
fn tokens_differ() {
    let wire = wire_runtime().unwrap();
    let mut peer = End::start(&wire, 4);
    assert_ne!(peer.port.draw_token().unwrap().0, peer.port.draw_token().unwrap().0);
}
