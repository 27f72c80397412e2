//! Messages, asks and answers with anything at all in their fields, for tests.

mod calls;

use fastrand::Rng;

use crate::limits::PRODUCTS_MAX;
use crate::model::call::SessionInfo;
use crate::model::evidence::{Licence, Seen};
use crate::model::happening::{Happening, Replayed, What};
use crate::model::hello::Hello;
use crate::model::link::LinkKey;
use crate::model::lookup::{Found, Lookup, LookupAnswer};
use crate::model::market::NotTaken;
use crate::model::membership::Member;
use crate::model::message::{
    ControlDown, ControlUp, GoodsWord, Introduction, Message, PeerMessage, PeerWord, ReplicaAnswer,
    ReplicaAsk, SettleAnswer, SettleAsk, StockPush, TradeAnswer, TradeAsk,
};
use crate::model::offices::{Frozen, Roster, Seat};
use crate::model::peer::entry::Proof;
use crate::model::row::{Outcome, OutcomeKind, Reason, Share};
use crate::model::tentative::{Draw, Tentative};
use crate::types::{
    Batch, Consistency, Epoch, Generation, Hash, Money, Number, Office, Order, OrderId, OrderKind, PeerId,
    ProcessId, ProductId, Quantity, Seq, Signature, Stamp, Term, Token, WallMicros,
};

const KINDS: [OutcomeKind; 7] = [
    OutcomeKind::Bought,
    OutcomeKind::PartlyBought,
    OutcomeKind::Deposited,
    OutcomeKind::SoldOut,
    OutcomeKind::Refused,
    OutcomeKind::Reversed,
    OutcomeKind::Voided,
];

pub(super) const WHYS: [NotTaken; 11] = [
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

const ORDER_KINDS: [OrderKind; 4] =
    [OrderKind::Buy { partial: false }, OrderKind::Buy { partial: true }, OrderKind::Sell, OrderKind::Void];

/// See the module's text.
pub(in crate::wire::convert) struct Any(pub(in crate::wire::convert) Rng);

impl Any {
    /// Small as often as large: zero means "none" in protos.
    fn n(&mut self) -> u64 {
        if self.0.bool() { self.0.u64(0..3) } else { self.0.u64(..) }
    }

    fn n32(&mut self) -> u32 {
        self.n() as u32
    }

    fn money(&mut self) -> Money {
        Money(self.n() as i64)
    }

    pub(super) fn bytes(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.0.u8(..))
    }

    fn text(&mut self) -> String {
        (0..self.0.usize(0..9)).map(|_| self.0.alphanumeric()).collect()
    }

    fn some<T>(&mut self, make: impl Fn(&mut Any) -> T) -> Option<T> {
        self.0.bool().then(|| make(self))
    }

    fn many<T>(&mut self, make: impl Fn(&mut Any) -> T) -> Vec<T> {
        (0..self.0.usize(0..4)).map(|_| make(self)).collect()
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.usize(..all.len())]
    }

    fn peer(&mut self) -> PeerId {
        PeerId(self.n32())
    }

    fn clock(&mut self) -> Stamp {
        Stamp(self.n())
    }

    fn product(&mut self) -> ProductId {
        ProductId(self.n() as u16)
    }

    fn pieces(&mut self) -> (ProductId, Quantity) {
        (self.product(), Quantity(self.n()))
    }

    fn frozen(&mut self) -> Frozen {
        Frozen { term: self.term(), trader: self.peer(), partner: self.peer() }
    }

    fn term(&mut self) -> Term {
        Term(self.n())
    }

    fn mark(&mut self) -> (Seq, Hash) {
        let hash = self.some(|any| Hash(any.bytes())).unwrap_or_default();
        (Seq(self.n()), hash)
    }

    fn generation(&mut self) -> Generation {
        Generation { count: self.n(), random: self.n() }
    }

    fn process(&mut self) -> ProcessId {
        ProcessId { epoch: Epoch(self.n()), starts: self.n(), random: self.n() }
    }

    fn seat(&mut self) -> Seat {
        let (peer, process, term) = (self.peer(), self.process(), self.term());
        let (present, addr, licence) = (self.0.bool(), self.text(), self.some(Any::licence).map(Box::new));
        Seat { peer, process, term, present, addr, licence }
    }

    fn roster(&mut self) -> Box<Roster> {
        Box::new(Roster {
            generation: self.generation(),
            seq: Seq(self.n()),
            version: self.n(),
            primary: self.some(Any::seat),
            secondary: self.some(Any::seat),
            paired: self.0.bool(),
            mode: self.of(&Consistency::ALL),
            passed_over: self.many(Any::peer),
            frozen: self.many(Any::frozen),
        })
    }

    fn hello(&mut self) -> Box<Hello> {
        Box::new(Hello {
            stream: self.n(),
            peer: self.peer(),
            epoch: Epoch(self.n()),
            token: self.some(|any| Token(any.bytes())),
            process: self.process(),
            clock: self.clock(),
            roster: *self.roster(),
            generation: self.generation(),
            ledger: self.mark(),
            ledger_proof: self.some(Any::proof),
            cluster: self.text(),
            addr: self.text(),
            proof: Hash(self.bytes()),
        })
    }

    fn id(&mut self) -> OrderId {
        OrderId { peer: self.peer(), number: Number(self.n()) }
    }

    fn order(&mut self) -> Order {
        Order {
            id: self.id(),
            stamp: self.clock(),
            kind: self.of(&ORDER_KINDS),
            product: ProductId(self.0.u16(..PRODUCTS_MAX as u16)),
            quantity: Quantity(self.n()),
        }
    }

    fn share(&mut self) -> Share {
        Share { peer: self.peer(), quantity: Quantity(self.n()), amount: self.money() }
    }

    fn outcome(&mut self) -> Outcome {
        Outcome {
            id: self.id(),
            kind: self.of(&KINDS),
            reason: self.some(|any| any.of(&Reason::ALL)),
            filled: Quantity(self.n()),
            amount: self.money(),
            shares: self.many(Any::share),
            stock_after: Quantity(self.n()),
            seq: Seq(self.n()),
            time: WallMicros(self.n()),
            trader: self.peer(),
            repeated: self.0.bool(),
        }
    }

    fn not_taken(&mut self) -> (OrderId, NotTaken) {
        (self.id(), self.of(&WHYS))
    }

    fn session(&mut self) -> SessionInfo {
        let (peer, epoch, store) = (self.peer(), Epoch(self.n()), Hash(self.bytes()));
        SessionInfo { peer, epoch, store, held_office: self.0.bool() }
    }

    fn member(&mut self) -> Member {
        Member { id: self.peer(), addr: self.text(), process: self.process(), left: self.0.bool() }
    }

    fn introduction(&mut self) -> Introduction {
        Introduction { member: self.member(), key: LinkKey(self.bytes()) }
    }

    fn word(&mut self) -> PeerWord {
        let office = self.of(&Office::BOTH);
        // Heartbeats and ids are never 0, and news is of somebody.
        let number = self.n().max(1);
        match self.0.u8(..12) {
            0 => PeerWord::Hello(self.hello()),
            1 => PeerWord::Members([self.many(Any::member), vec![self.member()]].concat()),
            2 => PeerWord::Roster(self.roster()),
            3 => PeerWord::Heartbeat(number),
            4 => PeerWord::HeartbeatAnswer(number),
            5 => PeerWord::Election(office),
            6 => PeerWord::Ok(office),
            7 => PeerWord::Coordinator(office),
            8 => PeerWord::Preempt,
            9 => PeerWord::Lookup(Box::new(self.lookup())),
            10 => {
                let (token, found) = (self.n(), self.found());
                PeerWord::LookupAnswer(Box::new(LookupAnswer { token, found }))
            }
            _ => PeerWord::TookOver(PeerId(self.n32().max(1))),
        }
    }

    fn lookup(&mut self) -> Lookup {
        let (token, nonce, product) = (self.n(), self.n(), ProductId(self.0.u16(..)));
        Lookup { token, nonce, product, hops: self.n32(), path: self.many(Any::peer) }
    }

    pub(super) fn found(&mut self) -> Found {
        let sellers = self.many(|any| any.many(Any::peer));
        Found { sellers, reached: self.many(Any::peer), lookups: self.n() }
    }

    fn settle_answer(&mut self) -> SettleAnswer {
        SettleAnswer {
            clock: self.clock(),
            hello: self.some(Any::hello),
            batch: Batch(self.n()),
            outcomes: self.many(Any::outcome),
            not_taken: self.many(Any::not_taken),
            refused: self.some(|any| any.of(&WHYS)),
            roster: self.some(Any::roster),
            ledger: self.mark(),
            proof: self.some(Any::proof).map(Box::new),
            goods: self.some(Any::goods).map(Box::new),
        }
    }

    fn goods(&mut self) -> GoodsWord {
        GoodsWord {
            allotted: self.many(|any| (any.product(), any.some(|any| Quantity(any.n())))),
            decided: self.n(),
            recall: self.many(Any::product),
        }
    }

    fn proof(&mut self) -> Proof {
        Proof { clock: self.clock(), signature: Signature([self.bytes(), self.bytes()]) }
    }

    fn licence(&mut self) -> Licence {
        Licence { term: self.term(), signature: Signature([self.bytes(), self.bytes()]) }
    }

    fn seen(&mut self) -> Box<Seen> {
        let (generation, (seq, hash)) = (self.generation(), self.mark());
        Box::new(Seen { generation, seq, hash, proof: self.some(Any::proof) })
    }

    /// Of some of the orders.
    fn tentative(&mut self, id: OrderId) -> Tentative {
        let draw = self.0.bool().then(|| Draw { term: Term(self.n()), nth: self.n().max(1) });
        Tentative { id, filled: Quantity(self.n()), draw }
    }

    fn told(&mut self, orders: &[Order]) -> Vec<Tentative> {
        let told = orders.iter().map(|order| self.0.bool().then_some(order.id)).collect::<Vec<_>>();
        told.into_iter().flatten().map(|id| self.tentative(id)).collect()
    }

    fn level(&mut self) -> (ProductId, Quantity) {
        (ProductId(self.0.u16(..)), Quantity(self.n()))
    }

    pub(in crate::wire::convert) fn message(&mut self, kind: u8) -> Message {
        let (clock, hello) = (self.clock(), self.some(Any::hello));
        match kind {
            0 => {
                let orders = self.many(Any::order);
                let told = self.told(&orders);
                let again = Number(self.n());
                Message::TradeAsk(TradeAsk { clock, hello, orders, told, again })
            }
            1 => {
                let (outcomes, not_taken) = (self.many(Any::outcome), self.many(Any::not_taken));
                let roster = self.some(Any::roster);
                let seen = self.some(Any::seen);
                let early = self.many(|any| {
                    let id = any.id();
                    any.tentative(id)
                });
                Message::TradeAnswer(TradeAnswer { clock, hello, outcomes, not_taken, roster, seen, early })
            }
            2 => {
                let (term, batch, orders) = (self.term(), Batch(self.n()), self.many(Any::order));
                let told = self.told(&orders);
                let wants = self.many(Any::pieces);
                Message::SettleAsk(SettleAsk { clock, hello, term, batch, orders, told, wants })
            }
            3 => Message::SettleAnswer(self.settle_answer()),
            4 => {
                let (heartbeat_answer, leaving) = (self.n(), self.0.bool());
                Message::ControlUp(ControlUp { clock, hello, heartbeat_answer, leaving })
            }
            5 => {
                let (roster, sessions) = (self.some(Any::roster), self.many(Any::session));
                let (heartbeat, introduced) = (self.n(), self.many(Any::introduction));
                let seen = self.some(Any::seen);
                let down = ControlDown { clock, hello, roster, sessions, heartbeat, introduced, seen };
                Message::ControlDown(down)
            }
            6 => Message::Watch,
            7 => Message::Stock(StockPush { clock, seq: Seq(self.n()), levels: self.many(Any::level) }),
            8 => {
                let (term, chunk, orders) = (self.term(), Seq(self.n()), self.bytes().to_vec());
                let settled_below = Seq(self.n());
                Message::ReplicaAsk(ReplicaAsk { clock, hello, term, chunk, orders, settled_below })
            }
            9 => {
                let (term, chunk) = (self.term(), Seq(self.n()));
                Message::ReplicaAnswer(ReplicaAnswer { clock, hello, term, chunk })
            }
            _ => Message::Peer(PeerMessage { clock, word: self.word() }),
        }
    }

    pub(in crate::wire::convert) fn happening(&mut self) -> Happening {
        let (time, peer, other) = (self.n(), self.peer(), PeerId(self.n32().max(1)));
        let what = match self.0.u8(..8) {
            0 => What::Told(self.order(), self.outcome()),
            1 => What::Line(self.text()),
            2 => What::Roster(*self.roster()),
            3 => What::Done,
            4 => What::Suspected(other),
            5 => What::TookOver(other),
            6 => {
                let order = self.order();
                What::ToldEarly(order, self.tentative(order.id))
            }
            _ => {
                let (settled, duplicates, lost) = (self.n(), self.n(), self.n());
                What::Replayed(other, Replayed { settled, duplicates, lost })
            }
        };
        Happening { time, peer, what }
    }
}
