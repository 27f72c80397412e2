//! The peer: its own orders, the desk that it keeps while in office, its links to other peers, and the elections.
//!
//! A pure machine of rooms, each a file that owns its state:
//!
//! | room | keeps |
//! | --- | --- |
//! | `facts` | identity, journaled state, clock, roster, membership, the ledger as seen: what every room may read |
//! | `door` | strangers, until the session of their peer is known |
//! | `session` | the peer's session at the warehouse, and its control stream |
//! | `shop`, `tally` | the peer's own orders, the way to their home, and what became of them |
//! | `desk`, `settle`, `cache` | in office: orders of others, batches to the warehouse, the stock as pushed |
//! | `early` | in office: answers before settling |
//! | `allotment`, `sales` | in office: goods set aside for its term; what a term that ended had sold, reported |
//! | `replica` | copies for the other trader, and the other trader's copies |
//! | `offices`, `takeover`, `handover` | elections and claims; the other trader's end; orders of ended terms |
//! | `partner` | the other trader of the pair, watched |
//! | `links`, `gossip`, `lookup` | streams between peers, and what flows over them |
//! | `leave`, `report` | ending; what is told of all this |
//! | `follow` | what follows from a new roster, grant or membership |
//!
//! Holds: an order of this peer is sent only when its `placed` is durable; an outcome counts as acknowledged only when its
//! `answered` is; what is said without waiting for this journal says why ([`Because`](super::step::Because)).

mod allotment;
mod cache;
mod desk;
mod door;
mod early;
pub mod entry;
mod facts;
mod follow;
mod gossip;
mod handover;
#[cfg(test)]
mod hearsay;
mod invariants;
mod leave;
mod line;
mod links;
mod lookup;
mod offices;
mod partner;
mod replica;
mod report;
mod rooms;
mod sales;
mod secret;
mod session;
mod settle;
mod shop;
mod state;
mod takeover;
mod tally;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use entry::Entry;
pub(crate) use facts::Me;
use facts::{Cx, Facts};
use rooms::Rooms;
pub(crate) use secret::Secret;
pub(crate) use state::Part;
pub use state::PeerState;

use super::awake::Awake;
use super::clock::Clock;
use super::membership::{Member, Membership};
use super::shopper::{Habits, Shopper};
use super::step::{At, Input, Machine, Turn};
use super::trader::Trader;
use crate::types::{Money, Now, PeerId, Stamp};

/// What a peer is made of.
pub(crate) struct Parts {
    /// The recovered state.
    pub state: PeerState,
    /// Its clock.
    pub clock: Clock,
    /// Who this is.
    pub me: Me,
    /// What it does for itself.
    pub habits: Habits,
    /// Goods with prices, by product id.
    pub goods: Vec<(String, Money)>,
    /// Where the warehouse is.
    pub warehouse: String,
    /// Neighbours of the topology.
    pub neighbours: Vec<(PeerId, String)>,
    /// Addresses of nodes to join at, whoever they are.
    pub join: Vec<String>,
    /// A higher id never takes the primary office over from a lower one.
    pub no_preempt: bool,
    /// Orders that it queues in office.
    pub queue_max: usize,
}

/// The machine. See the module's text.
pub(crate) struct Peer {
    facts: Facts,
    rooms: Rooms,
    awake: Awake,
}

impl Peer {
    /// A peer over a recovered state.
    pub(crate) fn new(parts: Parts, now: Now) -> Peer {
        let Parts { state, clock, me, habits, goods, warehouse, neighbours, join, no_preempt, queue_max } =
            parts;
        let products = goods.len() as u16;
        let member = Member { id: me.id, addr: me.addr.clone(), process: me.process, left: false };
        let shopper = Shopper::new(habits, me.id, products, now);
        let rooms = Rooms {
            door: door::Door::default(),
            session: session::Session::new(now),
            shop: shop::Shop::new(shopper, state.last, state.floor()),
            desk: desk::Desk::new(Trader::new(products, queue_max)),
            early: early::Early::default(),
            allotment: allotment::Allotment::default(),
            sales: sales::Sales::default(),
            cache: cache::Cache::new(goods.len(), now),
            replica: replica::Replica::default(),
            offices: offices::Offices::new(me.id, no_preempt),
            takeover: takeover::Takeover::default(),
            handover: handover::HandOver::default(),
            partner: partner::Partner::new(now),
            links: links::Links::new(neighbours, join, now),
            gossip: gossip::Gossip::default(),
            lookups: lookup::Lookups::default(),
            leave: leave::Leave::default(),
        };
        let awake = Awake::new(now, me.suspect_after_ms);
        let facts = Facts::new(me, state, clock, Membership::new(member, now), goods, warehouse, now);
        Peer { facts, rooms, awake }
    }

    /// The offices as it knows them.
    #[cfg(test)]
    pub(crate) fn roster(&self) -> &super::offices::Roster {
        &self.facts.roster
    }

    fn begin(&mut self, at: At) {
        let (at, was_paused) = self.awake.begin(at);
        self.facts.at = at;
        if was_paused {
            self.rooms.was_away(at.now);
        }
    }
}

impl Machine for Peer {
    type State = PeerState;

    fn step(&mut self, at: At, input: Input, turn: &mut Turn<Entry>) {
        self.begin(at);
        let mut cx = Cx { facts: &mut self.facts, turn };
        self.rooms.take(&mut cx, input);
        self.rooms.follow(&mut cx);
        self.rooms.deliver_words(&mut cx);
    }

    fn end_turn(&mut self, at: At, turn: &mut Turn<Entry>) {
        self.begin(at);
        let mut cx = Cx { facts: &mut self.facts, turn };
        self.rooms.wake(&mut cx);
        self.rooms.follow(&mut cx);
        self.rooms.finish(&mut cx);
        self.awake.plan(self.rooms.due(&self.facts));
    }

    fn due(&self) -> Option<Now> {
        Some(self.awake.due())
    }

    fn clock(&self) -> Stamp {
        self.facts.clock.now()
    }

    fn state(&self) -> &PeerState {
        &self.facts.state
    }

    fn has_ended(&self) -> bool {
        self.rooms.leave.has_ended()
    }

    fn invariants(&self) -> Result<(), String> {
        self.sound()
    }
}
