//! The whole machine, whatever comes: plausible and odd inputs in any order.
//!
//! The bench holds the machine against its books after each turn (see [`super::testing`]): nothing ends twice, is answered
//! twice or is forgotten, and the fold of the records is the state. Here in addition: no panic, no busy loop, and an end
//! in its time once the process is told to stop, whatever the others do.

use proptest::prelude::*;

use super::testing::*;
use super::*;
use crate::codec::encode;
use crate::limits::LEAVE_MAX;
use crate::model::call::{Answer, Ask, CallError, OpenAnswer};
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::message::*;
use crate::model::offices::Roster;
use crate::model::step::{CallId, ConnId, Lost, ReplyId};
use crate::model::warehouse::Opened;
use crate::types::{
    Batch, Epoch, Generation, Hash, Number, Office, Order, OrderId, OrderKind, ProductId, Quantity, Role,
    Seq, Stamp, Term, Token,
};

/// The nodes of a test: two more peers than there are offices, a stranger, a client, the peer itself.
const CAST: [u32; 8] = [2, 6, 8, 10, 11, 20, CLIENT, ME];

/// One thing that happens, told by a few numbers.
#[derive(Clone, Copy, Debug)]
struct Event {
    kind: u8,
    who: u32,
    what: u32,
    more: u32,
}

impl Event {
    fn peer(self) -> u32 {
        CAST[self.who as usize % CAST.len()]
    }

    fn pick<T: Clone>(self, from: &[T]) -> Option<T> {
        from.get(self.what as usize % from.len().max(1)).cloned()
    }

    fn is_rare(self) -> bool {
        self.more.is_multiple_of(8)
    }

    /// Offices that newer rosters change now and then.
    fn roster(self) -> Roster {
        let seat = |at: u32| {
            let peer = [ME, 6, 2, ME, 8][at as usize % 5];
            (!at.is_multiple_of(7)).then_some((peer, u64::from(at) % 5 + 1))
        };
        let (primary, secondary) =
            (seat(self.what), seat(self.more).filter(|it| Some(it.0) != seat(self.what).map(|it| it.0)));
        let mut roster = offices(u64::from(self.what) % 30, primary, secondary);
        roster.version = u64::from(self.more) % 3;
        roster.paired = self.who.is_multiple_of(2) && primary.is_some() && secondary.is_some();
        if let Some(seat) = roster.primary.as_mut().filter(|_| self.is_rare()) {
            seat.present = false;
        }
        roster
    }

    fn orders(self) -> Vec<Order> {
        let one = |k: u32| Order {
            kind: if k.is_multiple_of(5) { OrderKind::Void } else { OrderKind::Sell },
            product: ProductId(u16::from(k.is_multiple_of(11)) * 9),
            ..order(self.peer(), k % 6)
        };
        (self.what..self.what + self.more % 3).map(one).collect()
    }

    fn hello(self) -> Box<Hello> {
        let roster = if self.is_rare() { self.roster() } else { Roster::default() };
        let clock = Stamp(if self.more == 3 { u64::MAX } else { u64::from(self.what) });
        let token = (self.more % 16 != 5).then_some(token(self.peer()));
        Box::new(Hello { roster, clock, token, ..*hello(self.peer()) })
    }

    fn not_taken(self) -> Vec<(OrderId, NotTaken)> {
        use NotTaken::{Busy, NotHome, OtherContent, Stale};
        let why = [Busy, NotHome, Stale, OtherContent][self.what as usize % 4];
        let id = OrderId { peer: PeerId(ME), number: Number(u64::from(self.more) % 4) };
        if self.more.is_multiple_of(2) { vec![(id, why)] } else { Vec::new() }
    }

    /// Most often what fits on a stream of this name.
    fn message_for(self, name: &str) -> Message {
        let fits = match name.split('-').next() {
            Some("trade") => 0,
            Some("home") => 1,
            Some("settle") => 2,
            Some("control") => 3,
            Some("watch") => 4,
            Some("copies") => 5,
            Some("replicate") => 6,
            _ => 7,
        };
        self.message(if self.is_rare() { self.who % 8 } else { fits })
    }

    fn message(self, kind: u32) -> Message {
        let clock = Stamp(u64::from(self.what));
        let greets = self.more.is_multiple_of(3);
        let hello = greets.then(|| self.hello());
        let outcomes = self.orders().iter().map(deposited).collect();
        let (not_taken, roster) = (self.not_taken(), self.is_rare().then(|| Box::new(self.roster())));
        match kind {
            0 => Message::TradeAsk(TradeAsk { clock, hello, orders: self.orders(), ..TradeAsk::default() }),
            1 => Message::TradeAnswer(TradeAnswer {
                clock,
                hello,
                outcomes,
                not_taken,
                roster,
                ..TradeAnswer::default()
            }),
            2 => {
                let refused = self.is_rare().then_some(NotTaken::Busy);
                let (batch, ledger) = (Batch(u64::from(self.who) % 4), (Seq(3), Hash::default()));
                Message::SettleAnswer(SettleAnswer {
                    clock,
                    hello,
                    batch,
                    outcomes,
                    not_taken,
                    refused,
                    roster,
                    ledger,
                    ..SettleAnswer::default()
                })
            }
            3 => {
                let (sessions, heartbeat) = (vec![session(self.peer())], u64::from(self.who) % 3);
                let introduced = if greets { vec![introduction(self.peer())] } else { Vec::new() };
                Message::ControlDown(ControlDown {
                    clock,
                    hello,
                    roster,
                    sessions,
                    heartbeat,
                    introduced,
                    seen: None,
                })
            }
            4 => Message::Stock(StockPush { clock, seq: Seq(5), levels: vec![(ProductId(1), Quantity(3))] }),
            5 => {
                let orders = if greets { Vec::new() } else { encode(&self.orders()).unwrap() };
                let (chunk, term) = (Seq(u64::from(self.who)), Term([4, 4, 3, 1][self.more as usize % 4]));
                Message::ReplicaAsk(ReplicaAsk { clock, hello, term, chunk, orders, settled_below: Seq(2) })
            }
            6 => {
                let (term, chunk) = (Term([4, 4, 3, 1][self.more as usize % 4]), Seq(1));
                Message::ReplicaAnswer(ReplicaAnswer { clock, hello, term, chunk })
            }
            _ => Message::Peer(PeerMessage { clock, word: self.word() }),
        }
    }

    fn word(self) -> PeerWord {
        let office = if self.who.is_multiple_of(2) { Office::Primary } else { Office::Secondary };
        match self.more % 11 {
            0..=2 => PeerWord::Hello(self.hello()),
            3 => PeerWord::Members(vec![Member { left: self.is_rare(), ..member(self.peer()) }, member(2)]),
            4 => PeerWord::Roster(Box::new(self.roster())),
            5 => PeerWord::Heartbeat(1),
            6 => PeerWord::HeartbeatAnswer(u64::from(self.what) % 3),
            7 => PeerWord::Election(office),
            8 => PeerWord::Ok(office),
            9 => PeerWord::Coordinator(office),
            _ => PeerWord::Preempt,
        }
    }

    fn ask(self) -> Ask {
        match self.what % 9 {
            0..=2 => Ask::Place(
                "fish".into(),
                Quantity(u64::from(self.more) % 3),
                OrderKind::Sell,
                Number(u64::from(self.more) / 3 % 4),
            ),
            3 => Ask::Status,
            4 => Ask::Submit(self.hello(), order(self.peer(), self.more % 5)),
            5 => Ask::HandOver(self.hello(), self.orders(), Vec::new()),
            6 if self.is_rare() => Ask::Leave,
            7 => Ask::ResignByHand(PeerId(self.peer())),
            8 => Ask::Probe,
            _ => Ask::Catalogue,
        }
    }

    /// What a node may answer to such a call.
    fn answer(self, ask: &str) -> Result<Answer, CallError> {
        let fails = self.more % 4 == 1;
        match ask.split(' ').next() {
            _ if fails && self.is_rare() => Err(nobody_there()),
            _ if fails => Err(no_answer()),
            Some("open") => Ok(self.opened()),
            Some("session") => Ok(Answer::Session(
                Stamp(2),
                (!self.is_rare()).then(|| session(ask[8..].parse().unwrap_or(ME))),
            )),
            Some("hand") => Ok(Answer::Taken(self.more % 3)),
            Some("probe") => Ok(Answer::Alive(process(6))),
            _ if self.more % 32 == 7 => Ok(Answer::Open(1)),
            _ => Ok(Answer::Roster(Stamp(2), Box::new(self.roster()))),
        }
    }

    fn opened(self) -> Answer {
        let epoch = Epoch(u64::from(self.more % 16 == 2));
        let highest = Number::new(epoch, u32::from(self.more % 16 == 6) * 40);
        let (floor, peer) = (Number::new(epoch, 1), PeerId(ME));
        let opened = Opened { peer, epoch, floor, highest, new: false };
        let generation = Generation::of_test(u64::from(self.more % 16 == 10));
        let (clock, roster) = (Stamp(5), self.roster());
        Answer::Opened(Box::new(OpenAnswer { seen: None, opened, clock, roster, generation }))
    }
}

fn event() -> impl Strategy<Value = Event> {
    (0..32_u8, 0..64_u32, 0..64_u32, 0..64_u32).prop_map(|(kind, who, what, more)| Event {
        kind,
        who,
        what,
        more,
    })
}

/// A market of one bench.
struct Market {
    bench: Bench,
    asked: u64,
    exited: bool,
}

impl Market {
    fn new(role: Role) -> Market {
        let bench = Bench::with(|parts| {
            parts.habits = habits(role);
            parts.neighbours = vec![(PeerId(2), addr(2))];
            parts.join = vec!["somewhere".into()];
            parts.no_preempt = false;
        });
        Market { bench, asked: 0, exited: false }
    }

    fn is_over(&self) -> bool {
        self.exited || self.bench.peer.has_ended()
    }

    fn turn(&mut self, inputs: Vec<Input>) {
        let lines = self.bench.turn(inputs);
        self.exited |= lines.iter().any(|line| line.starts_with("exit"));
    }

    /// Some inputs go into one turn, as they do when much is ready.
    fn happens(&mut self, event: Event, ready: &mut Vec<Input>) {
        let bench = &mut self.bench;
        let unknown = ConnId(u64::MAX - u64::from(event.what % 3));
        match event.kind {
            0..=2 => {
                self.turn(std::mem::take(ready));
                let ms = [1, 10, 25, 300, 2_000, 5_000][event.what as usize % 6];
                if !self.is_over() {
                    if event.is_rare() { self.bench.stopped_for(ms * 10) } else { drop(self.bench.after(ms)) }
                }
            }
            3 => bench.disk_works = !event.is_rare(),
            4..=8 => self.opens(event, ready),
            9..=18 => {
                let (conn, name) = event.pick(&bench.open_conns()).unwrap_or((unknown, String::new()));
                let conn = if event.more == 9 { unknown } else { conn };
                ready.push(Input::Said(conn, event.message_for(&name)));
            }
            19..=20 => {
                let conn = event.pick(&bench.open_conns()).map(|(conn, _)| conn).filter(|_| event.more != 9);
                // Each stream ends once.
                let ends = |input: &Input| matches!(input, Input::Ended(it, _) if Some(*it) == conn);
                if !ready.iter().any(ends) {
                    let lost = Lost { refused: event.is_rare(), why: "test".into() };
                    ready.push(Input::Ended(conn.unwrap_or(unknown), lost));
                }
            }
            21..=26 => match event.pick(&bench.open_calls()) {
                Some((call, ask)) if event.more != 9 => ready.push(Input::Came(call, event.answer(&ask))),
                _ => ready.push(Input::Came(CallId(u64::MAX), Ok(Answer::Taken(1)))),
            },
            27..=30 => {
                self.asked += 1;
                ready.push(Input::Asked(ReplyId(self.asked), event.ask()));
            }
            _ if event.is_rare() => ready.push(Input::Stop),
            _ => ready.push(Input::Token(Token([event.what as u8; 32]))),
        }
    }

    /// Somebody opens a stream, and says its hello on it.
    fn opens(&mut self, event: Event, ready: &mut Vec<Input>) {
        let hello = event.hello();
        let (name, stream, first) = match event.what % 4 {
            0 => ("trade", Stream::Trade, trade(Some(hello), &event.orders())),
            1 => {
                let hello = Hello { proof: link_hello(event.peer(), 1).proof, stream: 1, ..*hello };
                ("link", Stream::Link, word(PeerWord::Hello(Box::new(hello))))
            }
            2 => {
                let ask = ReplicaAsk { hello: Some(hello), ..ReplicaAsk::default() };
                ("copies", Stream::Replicate, Message::ReplicaAsk(ask))
            }
            _ => ("watched", Stream::Watch, Message::Watch),
        };
        let opened = self.bench.opened(&format!("{name}-{}", event.peer()), stream);
        if let Input::Opened(conn, _) = opened {
            ready.extend([opened, Input::Said(conn, first)]);
        }
    }

    /// Nothing is due again and again while nothing happens and no time passes.
    fn rests(&mut self) {
        for _ in 0..3 {
            self.turn(Vec::new());
        }
        let (now, due) = (self.bench.at.now, self.bench.peer.due());
        assert!(self.is_over() || due.is_none_or(|due| due > now), "due at {due:?}, now {now:?}");
    }

    /// Whatever the others do not do.
    fn stops(&mut self) {
        self.bench.disk_works = true;
        self.turn(vec![Input::Stop]);
        let step_ms = 500;
        for _ in 0..2 * LEAVE_MAX.as_millis() as u64 / step_ms {
            if self.is_over() {
                break;
            }
            for (call, _) in self.bench.open_calls() {
                self.turn(vec![Input::Came(call, Err(no_answer()))]);
                if self.is_over() {
                    break;
                }
            }
            if !self.is_over() {
                self.bench.after(step_ms);
            }
        }
        assert!(self.is_over(), "it goes on and on");
        assert!(self.exited || self.bench.waiting() == 0, "nobody is left without an answer");
    }
}

fn play(role: Role, events: &[Event], starts: bool) {
    let mut market = Market::new(role);
    if starts {
        market.bench = market.bench.enter(paired(3, (ME, 3), (6, 4)));
        market.bench.settle_up();
    }
    let mut ready = Vec::new();
    for event in events {
        market.happens(*event, &mut ready);
        if event.who.is_multiple_of(3) && !market.is_over() {
            market.turn(std::mem::take(&mut ready));
            market.rests();
        }
        if market.is_over() {
            return;
        }
    }
    market.turn(ready);
    if !market.is_over() {
        market.stops();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_comes_a_peer_keeps_its_books_and_ends_in_its_time(
        events in prop::collection::vec(event(), 0..200),
        sells: bool,
        starts: bool,
    ) {
        play(if sells { Role::Seller } else { Role::Idle }, &events, starts);
    }
}
