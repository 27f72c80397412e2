//! What a stranger makes up: hellos, rosters, members, orders.

use crate::codec::encode;
use crate::limits::CLOCK_LEAP_MAX;
use crate::model::call::OpenAnswer;
use crate::model::hello::Hello;
use crate::model::membership::Member;
use crate::model::offices::{Roster, Seat};
use crate::sim::chance::Chance;
use crate::types::{
    Consistency, Epoch, Generation, Hash, Number, Order, OrderId, OrderKind, PeerId, ProcessId, ProductId,
    Quantity, Seq, Stamp, Term, Token,
};

/// What anybody may find out.
#[derive(Clone)]
pub(in crate::sim) struct Known {
    pub cluster: String,
    /// Where the warehouse listens.
    pub warehouse: String,
    /// Where the stranger listens.
    pub own: String,
    /// The peers that are members, each with the epoch of its store.
    pub members: Vec<(PeerId, Epoch)>,
    /// The offices as they are.
    pub roster: Roster,
    pub last_term: Term,
    pub seq: Seq,
    pub clock: Stamp,
    pub goods: u16,
}

/// What a stranger may lie about. Each has a few subjects: whoever lies about all of them does such harm by one lie that
/// nothing is seen of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Who it is, and whose orders they are.
    Names,
    /// Orders that make no sense.
    Orders,
    Clocks,
    Rosters,
    /// How often the ledger was restored.
    Generations,
    /// What the ledger was seen to hold.
    Ledgers,
    /// Which process it is.
    Processes,
    /// Where others listen, in which process, and whether they left.
    Members,
    /// Who stands for an office, and who won it.
    Elections,
}

const LIES: [Lie; 9] = [
    Lie::Names,
    Lie::Orders,
    Lie::Clocks,
    Lie::Rosters,
    Lie::Generations,
    Lie::Ledgers,
    Lie::Processes,
    Lie::Members,
    Lie::Elections,
];

/// Draws what is not so.
pub(super) struct Forger {
    pub known: Known,
    pub chance: Chance,
    /// Its subjects.
    pub lies: Vec<Lie>,
    /// Its own, good for its own session alone.
    pub token: Token,
    me: Option<(PeerId, Epoch)>,
    process: ProcessId,
    /// A clock that it says, ever further ahead.
    mad: Stamp,
    streams: u64,
}

impl Forger {
    pub(super) fn new(known: Known, mut chance: Chance) -> Forger {
        let (token, random) = (Token(chance.bytes()), chance.between(0, u64::MAX));
        let process = ProcessId { starts: 1, random, ..ProcessId::default() };
        let lies = (0..chance.between(1, 2)).map(|_| chance.pick(&LIES)).collect();
        Forger { mad: known.clock, known, chance, lies, token, me: None, process, streams: 0 }
    }

    /// It has a session.
    pub(super) fn enter(&mut self, peer: PeerId, epoch: Epoch, answer: OpenAnswer) {
        (self.me, self.process.epoch) = (Some((peer, epoch)), epoch);
        if answer.roster.newer_than(&self.known.roster) {
            self.known.roster = answer.roster;
        }
    }

    /// Whether it lies now, if that is a subject of its lies.
    pub(super) fn lies(&mut self, about: Lie) -> bool {
        self.lies.contains(&about) && self.chance.one_in(2)
    }

    // ---- names

    /// A member, often one in office.
    pub(super) fn member(&mut self) -> PeerId {
        let seats = self.known.roster.primary.iter().chain(&self.known.roster.secondary);
        let holders: Vec<PeerId> = seats.map(|seat| seat.peer).collect();
        let members: Vec<PeerId> = self.known.members.iter().map(|(peer, _)| *peer).collect();
        let among = if holders.is_empty() || self.chance.one_in(2) { members } else { holders };
        if among.is_empty() { PeerId(1) } else { self.chance.pick(&among) }
    }

    /// In whose name it speaks: its own, if it has one, or another's.
    pub(super) fn name(&mut self) -> PeerId {
        let other = self.other_name();
        self.me.map(|(peer, _)| peer).filter(|_| !self.lies(Lie::Names)).unwrap_or(other)
    }

    pub(super) fn other_name(&mut self) -> PeerId {
        match self.chance.between(0, 5) {
            0 => self.chance.pick(&[PeerId(404), PeerId::WAREHOUSE, PeerId(1_001), PeerId(1_002)]),
            _ => self.member(),
        }
    }

    fn epoch_of(&self, name: PeerId) -> Epoch {
        let own = self.me.into_iter().chain(self.known.members.iter().copied());
        own.into_iter().find(|(peer, _)| *peer == name).map(|(_, epoch)| epoch).unwrap_or_default()
    }

    fn process_of(&mut self, name: PeerId) -> ProcessId {
        let (epoch, random, lies) =
            (self.epoch_of(name), self.chance.between(0, u64::MAX), self.lies(Lie::Processes));
        let starts = if lies { self.chance.pick(&[2, 1 << 40, u64::MAX]) } else { 1 };
        let guessed = ProcessId { epoch, starts, random };
        let real = match self.known.roster.held_by(name) {
            Some((_, seat)) => Some(seat.process),
            None => self.me.filter(|(me, _)| *me == name).map(|_| self.process),
        };
        real.filter(|_| !lies).unwrap_or(guessed)
    }

    /// No token, a wrong one, or its own. In its own name it most often shows its own.
    fn token_for(&mut self, name: PeerId) -> Option<Token> {
        let wrong = Token(self.chance.bytes());
        let own = self.me.is_some_and(|(me, _)| me == name) && !self.chance.one_in(8);
        if own { Some(self.token) } else { self.chance.pick(&[None, Some(wrong), Some(self.token)]) }
    }

    // ---- what it says of the market

    pub(super) fn clock(&mut self) -> Stamp {
        if !self.lies(Lie::Clocks) {
            return self.known.clock;
        }
        self.mad = Stamp(self.mad.0.saturating_add(CLOCK_LEAP_MAX - (1 << 24)));
        self.chance.pick(&[Stamp(u64::MAX), self.mad, self.mad])
    }

    pub(super) fn hello(&mut self, name: PeerId) -> Box<Hello> {
        self.streams += 1;
        let known = Seq(self.known.seq.0);
        let ahead = (Seq(known.0 + self.chance.between(1, 1_000)), Hash(self.chance.bytes()));
        let (of_offices, of_restores) = (self.lies(Lie::Rosters), self.lies(Lie::Generations));
        let (of_ledger, of_streams) = (self.lies(Lie::Ledgers), self.chance.one_in(12));
        Box::new(Hello {
            peer: name,
            epoch: self.epoch_of(name),
            token: self.token_for(name),
            process: self.process_of(name),
            clock: self.clock(),
            roster: if of_offices { self.roster() } else { self.known.roster.clone() },
            generation: if of_restores { self.generation() } else { self.known.roster.generation },
            ledger: if of_ledger { ahead } else { (Seq(0), Hash::default()) },
            cluster: self.known.cluster.clone(),
            addr: self.known.own.clone(),
            stream: if of_streams { u64::MAX } else { self.streams },
            ledger_proof: None,
            proof: Hash(self.chance.bytes()),
        })
    }

    fn generation(&mut self) -> Generation {
        let known = self.known.roster.generation;
        Generation {
            count: known.count + self.chance.pick(&[0, 1, 1 << 20, 1 << 40]),
            random: known.random + 1,
        }
    }

    /// A later roster than there is, in which the stranger's address is that of a trader.
    pub(super) fn roster(&mut self) -> Roster {
        let (me, member, rises) =
            (self.me.map(|(peer, _)| peer), self.member(), self.chance.pick(&[1, 1_000, 1 << 40]));
        let trader = me.filter(|_| self.chance.one_in(2)).unwrap_or(member);
        let term = Term(self.known.last_term.0 + self.chance.between(0, 3));
        let seat = Seat {
            peer: trader,
            process: self.process_of(trader),
            term,
            present: !self.chance.one_in(4),
            addr: self.known.own.clone(),
            licence: None,
        };
        let real = self.known.roster.clone();
        let secondary = if self.chance.one_in(2) { real.secondary.clone() } else { None };
        let others = self.known.members.iter().map(|(peer, _)| *peer);
        let passed_over = others.filter(|_| self.chance.one_in(4)).collect();
        Roster {
            generation: if self.lies(Lie::Generations) { self.generation() } else { real.generation },
            seq: Seq(real.seq.0 + rises),
            version: self.chance.pick(&[0, real.version + 1, u64::MAX]),
            paired: secondary.is_some() && self.chance.one_in(2),
            primary: self.chance.pick(&[true, true, false]).then_some(seat).or_else(|| real.primary.clone()),
            secondary,
            mode: self.chance.pick(&Consistency::ALL),
            passed_over,
            frozen: Vec::new(),
        }
    }

    /// Members with other addresses or later processes than they have, and some that left.
    pub(super) fn members(&mut self) -> Vec<Member> {
        let count = self.chance.between(1, 3);
        (0..count).map(|_| self.forged_member()).collect()
    }

    fn forged_member(&mut self) -> Member {
        let own = self.me.map(|(peer, _)| peer);
        let id = if self.lies(Lie::Members) { self.other_name() } else { own.unwrap_or(PeerId(404)) };
        let process =
            ProcessId { epoch: self.epoch_of(id), starts: self.chance.pick(&[1, 1 << 40]), random: 1 };
        let process = if own == Some(id) { self.process } else { process };
        Member { id, addr: self.known.own.clone(), process, left: self.chance.one_in(3) }
    }

    // ---- orders

    pub(super) fn order(&mut self, name: PeerId) -> Order {
        let (epoch, stamp) = (self.epoch_of(name), self.clock());
        let kind = self.chance.pick(&[OrderKind::Buy { partial: true }, OrderKind::Sell]);
        let (k, quantity) = (self.chance.pick(&[1, 2, 3, 50, 500]), Quantity(self.chance.between(1, 9)));
        let (id, product) = (OrderId { peer: name, number: Number::new(epoch, k) }, ProductId(0));
        let order = Order { id, stamp, kind, product, quantity };
        if self.lies(Lie::Orders) { self.senseless(order) } else { order }
    }

    /// The order with something in it that no peer would say.
    fn senseless(&mut self, order: Order) -> Order {
        let Order { id, stamp, kind, product, quantity } = order;
        let k = self.chance.pick(&[0, id.number.k(), 4_097, Number::K_MAX]);
        let epoch = Epoch(id.number.epoch().0 + u64::from(self.chance.one_in(4)));
        Order {
            id: OrderId { number: Number::new(epoch, k), ..id },
            stamp: self.chance.pick(&[Stamp(0), stamp, Stamp(u64::MAX)]),
            kind: self.chance.pick(&[kind, OrderKind::Void]),
            product: self.chance.pick(&[product, ProductId(self.known.goods), ProductId(u16::MAX)]),
            quantity: self.chance.pick(&[quantity, Quantity(0), Quantity(1_000_001), Quantity(u64::MAX)]),
        }
    }

    /// Orders of one name, or of another than the stream is in.
    pub(super) fn orders(&mut self, name: PeerId) -> Vec<Order> {
        let whose = if self.lies(Lie::Names) { self.member() } else { name };
        let mut orders: Vec<Order> = (0..self.chance.between(1, 4)).map(|_| self.order(whose)).collect();
        orders.sort_unstable_by_key(|order| order.id);
        orders
    }

    /// A block of a trader's journal, as it is replicated: whole, or no block at all.
    pub(super) fn block(&mut self) -> Vec<u8> {
        let name = self.member();
        let orders = self.orders(name);
        match self.chance.one_in(4) {
            true => self.chance.bytes().to_vec(),
            false => encode(&orders).unwrap_or_default(),
        }
    }

    /// A term that is held, or another.
    pub(super) fn term(&mut self) -> Term {
        let seats = self.known.roster.primary.iter().chain(&self.known.roster.secondary);
        let mut terms: Vec<Term> = seats.map(|seat| seat.term).collect();
        terms.push(Term(self.known.last_term.0 + 1));
        self.chance.pick(&terms)
    }
}
