//! What the streams between nodes carry. The wire turns each message into its proto and back; machines see these only.
//!
//! | stream | from, to | says |
//! | --- | --- | --- |
//! | Trade | peer -> trader | orders; outcomes and refusals come back |
//! | Settle | trader -> warehouse | batches of orders; outcomes come back |
//! | Control | peer -> warehouse | presence; offices, sessions and heartbeats come back |
//! | Watch | trader -> warehouse | nothing; stock levels come back |
//! | Replicate | trader -> its partner | accepted orders; acknowledgements come back |
//! | Link | peer <-> peer | membership, elections, heartbeats |
//!
//! The side that dials says a hello first, and proves in it who it is: by its store's token, on a link by a
//! [`LinkKey`]. Watch has no hello, only its request. Where a hello came the first answer is one, too, without a token. A
//! stream has one hello each way; a second one ends it.

use super::call::SessionInfo;
use super::evidence::Seen;
use super::hello::Hello;
use super::link::LinkKey;
use super::lookup::{Lookup, LookupAnswer};
use super::market::NotTaken;
use super::membership::Member;
use super::offices::Roster;
use super::peer::entry::Proof;
use super::row::Outcome;
use super::tentative::Tentative;
use crate::types::{
    Batch, Hash, Number, Office, Order, OrderId, PeerId, ProductId, Quantity, Seq, Stamp, Term,
};

/// Which stream between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Orders to a trader.
    Trade,
    /// Batches to the warehouse.
    Settle,
    /// Presence at the warehouse.
    Control,
    /// Stock levels from the warehouse.
    Watch,
    /// Copies of accepted orders to the other trader.
    Replicate,
    /// Words between peers.
    Link,
}

/// One message of any stream.
#[derive(Clone, Debug)]
pub enum Message {
    /// Peer -> trader.
    TradeAsk(TradeAsk),
    /// Trader -> peer.
    TradeAnswer(TradeAnswer),
    /// Trader -> warehouse.
    SettleAsk(SettleAsk),
    /// Warehouse -> trader.
    SettleAnswer(SettleAnswer),
    /// Peer -> warehouse.
    ControlUp(ControlUp),
    /// Warehouse -> peer.
    ControlDown(ControlDown),
    /// Trader -> warehouse: the request, which is all that it says.
    Watch,
    /// Warehouse -> trader.
    Stock(StockPush),
    /// Trader -> partner.
    ReplicaAsk(ReplicaAsk),
    /// Partner -> trader.
    ReplicaAnswer(ReplicaAnswer),
    /// Peer <-> peer.
    Peer(PeerMessage),
}

impl Message {
    /// Names of the kinds, for who counts messages.
    pub(crate) const KINDS: [&str; 11] = [
        "trade_ask",
        "trade_answer",
        "settle_ask",
        "settle_answer",
        "control_up",
        "control_down",
        "watch",
        "stock",
        "replica_ask",
        "replica_answer",
        "peer",
    ];

    /// Its place among [`Message::KINDS`].
    pub(crate) fn kind_number(&self) -> usize {
        match self {
            Message::TradeAsk(_) => 0,
            Message::TradeAnswer(_) => 1,
            Message::SettleAsk(_) => 2,
            Message::SettleAnswer(_) => 3,
            Message::ControlUp(_) => 4,
            Message::ControlDown(_) => 5,
            Message::Watch => 6,
            Message::Stock(_) => 7,
            Message::ReplicaAsk(_) => 8,
            Message::ReplicaAnswer(_) => 9,
            Message::Peer(_) => 10,
        }
    }

    /// The stream that carries it.
    pub(crate) fn stream(&self) -> Stream {
        match self {
            Message::TradeAsk(_) | Message::TradeAnswer(_) => Stream::Trade,
            Message::SettleAsk(_) | Message::SettleAnswer(_) => Stream::Settle,
            Message::ControlUp(_) | Message::ControlDown(_) => Stream::Control,
            Message::Watch | Message::Stock(_) => Stream::Watch,
            Message::ReplicaAsk(_) | Message::ReplicaAnswer(_) => Stream::Replicate,
            Message::Peer(_) => Stream::Link,
        }
    }

    /// Orders in it, for the bound of one turn.
    pub(crate) fn orders(&self) -> usize {
        match self {
            Message::TradeAsk(ask) => ask.orders.len(),
            Message::SettleAsk(ask) => ask.orders.len(),
            _ => 0,
        }
    }

    /// Upper estimate of its bytes in memory, for the bound of what waits: of the messages that strangers may send.
    pub(crate) fn weight(&self) -> usize {
        let more = match self {
            Message::TradeAsk(ask) => {
                let told = ask.told.len() * size_of::<Tentative>();
                told + ask.orders.len() * size_of::<Order>() + ask.hello.as_deref().map_or(0, Hello::weight)
            }
            Message::ReplicaAsk(ask) => ask.orders.len() + ask.hello.as_deref().map_or(0, Hello::weight),
            Message::Peer(message) => message.word.weight(),
            _ => 0,
        };
        size_of::<Message>() + more
    }
}

/// Peer -> trader on `Trade`: first a hello, then orders in ascending numbers.
#[derive(Clone, Debug, Default)]
pub struct TradeAsk {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Box<Hello>>,
    /// Orders.
    pub orders: Vec<Order>,
    /// What the peer was told of these orders before: whoever settles them is bound to it.
    pub told: Vec<Tentative>,
    /// Numbers up to this one may have been asked for before.
    pub again: Number,
}

/// Trader -> peer on `Trade`.
#[derive(Clone, Debug, Default)]
pub struct TradeAnswer {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Box<Hello>>,
    /// Decided orders.
    pub outcomes: Vec<Outcome>,
    /// Orders that stay open, or are stale.
    pub not_taken: Vec<(OrderId, NotTaken)>,
    /// The offices changed.
    pub roster: Option<Box<Roster>>,
    /// Comes with outcomes: the ledger that holds them.
    pub seen: Option<Box<Seen>>,
    /// What is told before it is settled.
    pub early: Vec<Tentative>,
}

/// Trader -> warehouse on `Settle`.
#[derive(Clone, Debug, Default)]
pub struct SettleAsk {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Box<Hello>>,
    /// The grant.
    pub term: Term,
    /// Numbers the batches of a term.
    pub batch: Batch,
    /// In queue order.
    pub orders: Vec<Order>,
    /// What was told of these orders.
    pub told: Vec<Tentative>,
    /// Goods that are wanted set aside: pieces more; 0: all of them are given back.
    pub wants: Vec<(ProductId, Quantity)>,
}

/// Warehouse -> trader on `Settle`.
#[derive(Clone, Debug, Default)]
pub struct SettleAnswer {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Box<Hello>>,
    /// Which batch.
    pub batch: Batch,
    /// Decided orders.
    pub outcomes: Vec<Outcome>,
    /// Orders left open.
    pub not_taken: Vec<(OrderId, NotTaken)>,
    /// The batch as a whole was not taken, nor will be a later one of this stream.
    pub refused: Option<NotTaken>,
    /// Comes with `refused`.
    pub roster: Option<Box<Roster>>,
    /// What the ledger durably holds.
    pub ledger: (Seq, Hash),
    /// The warehouse's signature of that.
    pub proof: Option<Box<Proof>>,
    /// Of goods that are set aside for the term, or were.
    pub goods: Option<Box<GoodsWord>>,
}

/// The warehouse's word on goods that it sets aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoodsWord {
    /// Answers wants: pieces that are set aside for the term now; none: the good is closed.
    pub allotted: Vec<(ProductId, Option<Quantity>)>,
    /// Comes with them: the highest decision of the term that they have come about by.
    pub decided: u64,
    /// Goods that are to be given back.
    pub recall: Vec<ProductId>,
}

/// Peer -> warehouse on `Control`.
#[derive(Clone, Debug, Default)]
pub struct ControlUp {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Box<Hello>>,
    /// Answers the warehouse's heartbeat; 0: none.
    pub heartbeat_answer: u64,
    /// The peer leaves the market for good.
    pub leaving: bool,
}

/// Warehouse -> peer on `Control`.
#[derive(Clone, Debug, Default)]
pub struct ControlDown {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Box<Hello>>,
    /// Comes with the offices: the end of the ledger that has them.
    pub seen: Option<Box<Seen>>,
    /// The offices, whenever they change.
    pub roster: Option<Box<Roster>>,
    /// Sessions, to traders.
    pub sessions: Vec<SessionInfo>,
    /// To be answered; 0: none.
    pub heartbeat: u64,
    /// Peers that are present now or have left, as far as that is news.
    pub introduced: Vec<Introduction>,
}

/// A peer as the warehouse sees it, told to one other peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Its id, process and address, and whether it left.
    pub member: Member,
    /// What it proves itself with to the peer that is told.
    pub key: LinkKey,
}

/// Warehouse -> trader on `Watch`.
#[derive(Clone, Debug, Default)]
pub struct StockPush {
    /// The sender's clock.
    pub clock: Stamp,
    /// Ledger sequence that the levels stand for.
    pub seq: Seq,
    /// Changed products.
    pub levels: Vec<(ProductId, Quantity)>,
}

/// Trader -> partner on `Replicate`.
#[derive(Clone, Debug, Default)]
pub struct ReplicaAsk {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Box<Hello>>,
    /// The sender's grant.
    pub term: Term,
    /// The chunk's place in the sender's journal.
    pub chunk: Seq,
    /// Accepted orders as the journal encodes them; may be empty.
    pub orders: Vec<u8>,
    /// Chunks below this are settled.
    pub settled_below: Seq,
}

/// Partner -> trader on `Replicate`.
#[derive(Clone, Debug, Default)]
pub struct ReplicaAnswer {
    /// The sender's clock.
    pub clock: Stamp,
    /// First message only.
    pub hello: Option<Box<Hello>>,
    /// The acknowledging trader's grant.
    pub term: Term,
    /// Everything up to this chunk is durable there.
    pub chunk: Seq,
}

/// What peers say to each other on `Cluster.Control`.
#[derive(Clone, Debug)]
pub enum PeerWord {
    /// First message each way.
    Hello(Box<Hello>),
    /// News of the membership.
    Members(Vec<Member>),
    /// News of the offices: taken in if it is newer. No node of this version sends it; hellos carry the roster.
    Roster(Box<Roster>),
    /// To be answered with the same number.
    Heartbeat(u64),
    /// The answer.
    HeartbeatAnswer(u64),
    /// Bully: I stand for this office; is anyone higher there?
    Election(Office),
    /// Bully: I am, and take over.
    Ok(Office),
    /// Bully: I won and hold the grant.
    Coordinator(Office),
    /// A higher id asks the primary for its office.
    Preempt,
    /// The sender has taken over the duties of this trader.
    TookOver(PeerId),
    /// Who sells a good?
    Lookup(Box<Lookup>),
    /// What was found.
    LookupAnswer(Box<LookupAnswer>),
}

impl PeerWord {
    fn weight(&self) -> usize {
        match self {
            PeerWord::Hello(hello) => hello.weight(),
            PeerWord::Members(members) => members.iter().map(|it| size_of::<Member>() + it.addr.len()).sum(),
            PeerWord::Roster(roster) => roster.weight(),
            PeerWord::Lookup(lookup) => size_of::<Lookup>() + lookup.path.len() * size_of::<PeerId>(),
            PeerWord::LookupAnswer(answer) => size_of::<LookupAnswer>() + answer.found.weight(),
            _ => 0,
        }
    }
}

/// A word with the sender's clock.
#[derive(Clone, Debug)]
pub struct PeerMessage {
    /// The sender's clock.
    pub clock: Stamp,
    /// What is said.
    pub word: PeerWord,
}

/// Upper estimate of an outcome's bytes on the wire: what answers are split by.
pub(crate) fn outcome_weight(outcome: &Outcome) -> usize {
    const OUTCOME_BYTES: usize = 64;
    const SHARE_BYTES: usize = 24;
    OUTCOME_BYTES + SHARE_BYTES * outcome.shares.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::market::tests::order;
    use crate::model::offices::Seat;
    use crate::model::step::{ConnId, Input};
    use crate::types::{OrderKind, ProcessId};

    fn orders() -> Vec<Order> {
        (1..=3).map(|k| order(1, k, OrderKind::Sell, 0, 1)).collect()
    }

    /// With so many bytes behind its fields: of the cluster's name, of its address, of a seat's address, of ids.
    fn hello() -> (Box<Hello>, usize) {
        let (peer, process) = (PeerId(2), ProcessId::default());
        let seat = Seat { peer, process, term: Term(1), present: true, addr: "a".repeat(300), licence: None };
        let roster = Roster { primary: Some(seat), passed_over: vec![peer; 50], ..Roster::default() };
        let weight = size_of::<Hello>() + 10 + 200 + size_of::<Roster>() + 300 + 50 * size_of::<PeerId>();
        let (cluster, addr) = ("c".repeat(10), "b".repeat(200));
        (Box::new(Hello { cluster, addr, roster, ..Hello::default() }), weight)
    }

    /// Otherwise what strangers say fills the memory while it waits.
    #[test]
    fn a_message_weighs_all_that_it_carries() {
        let (hello, hello_weight) = hello();
        let members = [7, 90].map(|len| Member {
            id: PeerId(2),
            addr: "d".repeat(len),
            process: ProcessId::default(),
            left: false,
        });
        let word = |word| Message::Peer(PeerMessage { clock: Stamp(1), word });
        let told = vec![Tentative { id: orders()[0].id, filled: Quantity(1), draw: None }];
        let (some, ask) = (Some(hello.clone()), TradeAsk { orders: orders(), told, ..TradeAsk::default() });
        let copies = ReplicaAsk { orders: vec![0; 77], hello: some.clone(), ..ReplicaAsk::default() };
        let roster_weight = hello.roster.weight();
        for (message, more) in [
            (
                Message::TradeAsk(TradeAsk { hello: some, ..ask }),
                3 * size_of::<Order>() + size_of::<Tentative>() + hello_weight,
            ),
            (Message::ReplicaAsk(copies), 77 + hello_weight),
            (word(PeerWord::Roster(Box::new(hello.roster.clone()))), roster_weight),
            (word(PeerWord::Hello(hello)), hello_weight),
            (word(PeerWord::Members(members.to_vec())), 2 * size_of::<Member>() + 97),
            (word(PeerWord::Preempt), 0),
        ] {
            assert_eq!(message.weight(), size_of::<Message>() + more, "{message:?}");
        }
    }

    /// A turn takes so many orders and no more.
    #[test]
    fn the_orders_of_asks_are_counted() {
        let trade = Message::TradeAsk(TradeAsk { orders: orders(), ..TradeAsk::default() });
        let settle = Message::SettleAsk(SettleAsk { orders: orders(), ..SettleAsk::default() });
        let inputs = [trade, settle, Message::Watch].map(|message| Input::Said(ConnId(1), message));
        assert_eq!(inputs.map(|input| input.orders()), [3, 3, 0]);
        assert_eq!(Input::Stop.orders(), 0);
    }
}
