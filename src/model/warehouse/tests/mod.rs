//! The warehouse through its door: inputs in, records and effects out.

mod allotments;
mod door;
mod exactly_once;
mod offices;
mod presence;
mod proofs;
mod sessions;
mod settle;

use super::*;
use crate::model::call::Opening;
use crate::model::happening::What;
use crate::model::hello::Hello;
use crate::model::market::tests::order;
use crate::model::message::{ControlDown, ControlUp, SettleAnswer, SettleAsk};
use crate::model::step::{Lost, Numbers, Past, ReplyId, When};
use crate::types::{
    Batch, Consistency, Epoch, Generation, Number, Office, Order, OrderKind, ProductId, Term, Token,
};

const TIME: WallMicros = WallMicros(1);
const BUY: OrderKind = OrderKind::Buy { partial: false };

fn token(peer: u32) -> Token {
    Token([peer as u8; 32])
}

fn hello(peer: u32, starts: u64) -> Hello {
    let process = ProcessId { starts, ..ProcessId::default() };
    let addr = format!("127.0.0.1:{}", 7700 + peer);
    Hello { peer: PeerId(peer), token: Some(token(peer)), process, addr, ..Hello::default() }
}

/// Where [`Driven::up`] puts the control stream of a peer's process.
fn control(peer: u32, starts: u64) -> ConnId {
    ConnId(u64::from(peer) * 100 + starts)
}

/// A log that holds every block up to a record.
struct UpTo(Seq);

impl Past for UpTo {
    fn holds(&self, seq: Seq, _: Hash) -> Result<bool, String> {
        Ok(seq <= self.0)
    }
}

/// The secret key of some warehouses here.
const KEY: SecretKey = SecretKey([5; 32]);

/// The hello with a signed end of the ledger.
fn proving(generation: Generation, seq: u64, hello: Hello) -> Hello {
    let seen = Signer::new(KEY).sign(generation, (Seq(seq), Hash::default()), Stamp(40));
    let mut hello = hello;
    hello.show(seen);
    hello
}

fn parts(market: Market, starts: u64) -> Parts {
    Parts {
        mode: Consistency::default(),
        clock: Clock::starting_at(market.clock),
        market,
        rules: Rules { commission_percent: 5, suspect_after_ms: 1000, starts },
        cluster: "here".to_owned(),
        store: Hash::default(),
        key: None,
        process: ProcessId { starts, ..ProcessId::default() },
        addr: "127.0.0.1:7700".to_owned(),
        pid: 7,
        restore: "restore w".to_owned(),
        heartbeat_ms: 100,
        goods: vec![("fish".to_owned(), Quantity(10), Money(100))],
    }
}

/// A warehouse and what it gave.
struct Driven {
    it: Warehouse,
    turn: Turn<Record>,
    at: At,
    effects: Vec<(When, Effect)>,
    records: Vec<Record>,
    /// Peers that do not answer heartbeats.
    silent: Vec<u32>,
    replies: u64,
}

impl Driven {
    fn new(market: Market, starts: u64) -> Driven {
        Driven::with(parts(market, starts))
    }

    /// A warehouse that has heard the peers it knows.
    fn with(parts: Parts) -> Driven {
        let mut driven = Driven::just_started(parts);
        driven.it.has_heard_all();
        driven
    }

    fn just_started(parts: Parts) -> Driven {
        let turn = Turn::new(Numbers::default(), Box::new(UpTo(Seq(1_000))));
        let at = At { time: TIME, ..At::default() };
        let it = Warehouse::new(parts, Now(0));
        let (effects, records, silent) = (Vec::new(), Vec::new(), Vec::new());
        Driven { it, turn, at, effects, records, silent, replies: 0 }
    }

    fn step(&mut self, input: Input) {
        self.it.step(self.at, input, &mut self.turn);
        self.gather();
    }

    fn end(&mut self) {
        self.it.end_turn(self.at, &mut self.turn);
        self.gather();
        self.records.append(&mut self.turn.take_records().0);
    }

    fn gather(&mut self) {
        let mut effects = self.turn.take_effects();
        for (_, effect) in &effects {
            match effect {
                Effect::Send(_, Message::ControlDown(ControlDown { clock, .. }))
                | Effect::Send(_, Message::SettleAnswer(SettleAnswer { clock, .. })) => {
                    assert!(Stamp(0) < *clock && *clock <= self.it.clock(), "without the clock: {effect}");
                }
                _ => {}
            }
        }
        self.effects.append(&mut effects);
    }

    /// Time passes: there is a turn whenever one is due, and heartbeats are answered.
    fn pass(&mut self, until: u64) {
        while let Some(due) = self.it.due().filter(|due| due.0 <= until) {
            self.at.now = due;
            self.end();
            self.answer_heartbeats();
        }
        self.at.now = Now(until);
        self.end();
    }

    /// The process was stopped until now.
    fn wakes_at(&mut self, now: u64) {
        self.at.now = Now(now);
        self.end();
        self.answer_heartbeats();
    }

    fn answer_heartbeats(&mut self) {
        let asked = |(_, effect): &(When, Effect)| match effect {
            Effect::Send(conn, Message::ControlDown(down)) if down.heartbeat > 0 => Some(*conn),
            _ => None,
        };
        let asked: Vec<ConnId> = self.effects.iter().filter_map(asked).collect();
        self.effects.clear();
        for conn in asked {
            if !self.silent.contains(&((conn.0 / 100) as u32)) {
                self.step(Input::Said(conn, Message::ControlUp(ControlUp::default())));
            }
        }
    }

    /// The control stream of a peer's process comes up. Whether it stays.
    fn come(&mut self, hello: Hello, starts: u64) -> bool {
        let conn = control(hello.peer.0, starts);
        self.step(Input::Opened(conn, Stream::Control));
        let up = ControlUp { hello: Some(Box::new(hello)), ..ControlUp::default() };
        self.step(Input::Said(conn, Message::ControlUp(up)));
        self.it.conns.contains_key(&conn)
    }

    fn up(&mut self, peer: u32, starts: u64) -> bool {
        self.come(hello(peer, starts), starts)
    }

    /// The same at another clock, in the hello and on the stream.
    fn up_with_clock(&mut self, peer: u32, starts: u64, clock: u64) -> bool {
        let conn = ConnId(u64::from(peer) * 1_000 + starts);
        self.step(Input::Opened(conn, Stream::Control));
        let (clock, hello) =
            (Stamp(clock), Some(Box::new(Hello { clock: Stamp(clock), ..hello(peer, starts) })));
        self.step(Input::Said(conn, Message::ControlUp(ControlUp { clock, hello, ..ControlUp::default() })));
        self.it.conns.contains_key(&conn)
    }

    fn gone(&mut self, conn: ConnId) {
        self.step(Input::Ended(conn, Lost { refused: false, why: "test".to_owned() }));
    }

    /// Asks, and takes the answer; it comes in the same step.
    fn ask(&mut self, ask: Ask) -> Result<Answer, Refusal> {
        self.replies += 1;
        self.step(Input::Asked(ReplyId(self.replies), ask));
        match self.effects.pop() {
            Some((When::Before | When::ThisTurn, Effect::Reply(reply, answer)))
                if reply.0 == self.replies =>
            {
                answer
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// Asks for something that is granted or denied.
    fn demand(&mut self, ask: Ask) -> Result<(), Denied> {
        match self.ask(ask) {
            Ok(Answer::Roster(..)) => Ok(()),
            Err(Refusal::Denied(denied)) => Err(denied),
            other => panic!("{other:?}"),
        }
    }

    fn claim(&mut self, peer: u32, office: Office) -> Result<(), Denied> {
        self.demand(Ask::Claim(Box::new(hello(peer, 1)), office))
    }

    fn fence(&mut self, peer: u32, term: u64) -> Result<(), Denied> {
        self.demand(Ask::Fence(Box::new(hello(peer, 1)), Term(term)))
    }

    fn open(&mut self, peer: u32, store: Hash, generation: u64) -> Result<Opened, Denied> {
        let generation = Generation::of_test(generation);
        let opening = Opening {
            peer: PeerId(peer),
            store,
            cluster: String::new(),
            generation,
            seen: None,
            licence: None,
        };
        match self.ask(Ask::Open(opening)) {
            Ok(Answer::Opened(answer)) => Ok(answer.opened),
            Err(Refusal::Denied(denied)) => Err(denied),
            other => panic!("{other:?}"),
        }
    }

    /// A settle stream of a trader's process comes up.
    fn settler(&mut self, conn: u64, peer: u32, starts: u64) {
        self.step(Input::Opened(ConnId(conn), Stream::Settle));
        let hello = Some(Box::new(hello(peer, starts)));
        self.step(Input::Said(ConnId(conn), Message::SettleAsk(SettleAsk { hello, ..SettleAsk::default() })));
    }

    fn batch(&mut self, conn: u64, batch: u64, term: u64, orders: Vec<Order>) {
        let ask = SettleAsk { term: Term(term), batch: Batch(batch), orders, ..SettleAsk::default() };
        self.step(Input::Said(ConnId(conn), Message::SettleAsk(ask)));
    }

    /// Ends the turn; the answers to its batches.
    fn settle(&mut self) -> Vec<SettleAnswer> {
        self.end();
        let answer = |(_, effect)| match effect {
            Effect::Send(_, Message::SettleAnswer(answer)) if answer.hello.is_none() => Some(answer),
            _ => None,
        };
        std::mem::take(&mut self.effects).into_iter().filter_map(answer).collect()
    }

    fn roster(&mut self, now: u64) -> Roster {
        let now = self.it.awake.without_pauses(Now(now));
        self.it.roster(now).clone()
    }

    /// The kinds of the records since the last call, those of an open turn included.
    fn kinds(&mut self) -> Vec<&'static str> {
        self.records.append(&mut self.turn.take_records().0);
        std::mem::take(&mut self.records).iter().map(Record::kind).collect()
    }

    /// The effects since the last call, a line each.
    fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.effects).iter().map(|(when, effect)| line(*when, effect)).collect()
    }
}

/// What an effect waits for, and what it is.
fn line(when: When, effect: &Effect) -> String {
    let when = match when {
        When::Now(_) => "now",
        When::Before => "before",
        When::ThisTurn => "recorded",
    };
    let what = match effect {
        Effect::Send(conn, Message::SettleAnswer(answer)) => format!("{conn} {}", settled(answer)),
        Effect::Send(conn, Message::ControlDown(down)) => format!("{conn} {}", told(down)),
        Effect::Send(conn, Message::Stock(push)) => format!("{conn} stock {:?}", levels(&push.levels)),
        Effect::HangUp(conn) => format!("hang up {conn}"),
        Effect::Reply(reply, Ok(Answer::Roster(..))) => format!("{reply} roster"),
        Effect::Reply(reply, Ok(_)) => format!("{reply} answered"),
        Effect::Reply(reply, Err(why)) => format!("{reply} {why}"),
        Effect::Happen(What::Roster(_)) => "happens: roster".to_owned(),
        Effect::Exit(exit) => format!("exit {}: {}", exit.code, exit.what),
        other => panic!("{other:?}"),
    };
    format!("{when}: {what}")
}

fn levels(levels: &[(ProductId, Quantity)]) -> Vec<(u16, u64)> {
    levels.iter().map(|(product, level)| (product.0, level.0)).collect()
}

fn settled(answer: &SettleAnswer) -> String {
    let mut line =
        if answer.hello.is_some() { "hello".to_owned() } else { format!("batch {}", answer.batch) };
    for outcome in &answer.outcomes {
        line += &format!(" {}:{}={}", outcome.id.peer, outcome.id.number.k(), outcome.kind.name());
    }
    for (id, why) in &answer.not_taken {
        line += &format!(" {}:{}={why:?}", id.peer, id.number.k());
    }
    if let Some(why) = answer.refused {
        line += &format!(" refused={why:?}");
    }
    line + if answer.roster.is_some() { " roster" } else { "" }
}

fn told(down: &ControlDown) -> String {
    let mut parts = Vec::new();
    parts.extend(down.hello.as_ref().map(|_| "hello".to_owned()));
    parts.extend(down.roster.as_ref().map(|_| "roster".to_owned()));
    if !down.sessions.is_empty() {
        parts.push(format!("sessions {}", down.sessions.len()));
    }
    if !down.introduced.is_empty() {
        let ids: Vec<String> = down.introduced.iter().map(|it| it.member.id.to_string()).collect();
        parts.push(format!("introduced {}", ids.join(" ")));
    }
    if down.heartbeat > 0 {
        parts.push(format!("heartbeat {}", down.heartbeat));
    }
    parts.join(", ")
}

/// A warehouse with sessions of peers 4, 5 and 6. Its grace is over at 1000.
fn warehouse() -> Driven {
    let mut it = Driven::new(Market::default(), 1);
    for peer in 4..=6 {
        it.open(peer, token(peer).store_id(), 0).unwrap();
    }
    it
}

/// Peers 6 and 5 in office and paired, peer 4 present; all said and recorded.
fn paired() -> Driven {
    let mut it = warehouse();
    assert!([6, 5, 4].into_iter().all(|peer| it.up(peer, 1)));
    it.claim(6, Office::Primary).unwrap();
    it.claim(5, Office::Secondary).unwrap();
    it.demand(Ask::Pair(Box::new(hello(6, 1)), Term(1), Term(2))).unwrap();
    it.end();
    it.kinds();
    it.lines();
    it
}

/// The market of `paired`, restored from a backup as generation 2, in a process of its own.
fn restored() -> Driven {
    let mut before = paired();
    before.open(0, Hash::of(b"a"), 0).unwrap();
    let mut market = before.it.market;
    let restored = Record::Restored { generation: Generation::of_test(2), clock: Stamp(50) };
    market.apply_outcome(market.seq.next(), TIME, &restored);
    Driven::new(market, 2)
}
