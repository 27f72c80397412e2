//! People in the world: who comes, what reaches them, and what they do.

use super::{Event, World};
use crate::model::market::Market;
use crate::model::offices::{Grant, Roster, Seat};
use crate::model::step::{Input, Numbers};
use crate::sim::boot::cluster;
use crate::sim::chance::Chance;
use crate::sim::check::Failure;
use crate::sim::engine::View;
use crate::sim::network::{Delivery, Process};
use crate::sim::node::addr;
use crate::sim::people::{self, Caller, Client, Hands, Known, Person, Plan, Somebody, Stranger};
use crate::sim::queue::Moment;
use crate::types::{PeerId, Stamp, Term};

impl World {
    // ---- who comes

    fn comes(&mut self, person: Box<dyn Person>) -> Process {
        self.people_came += 1;
        let (process, numbers) =
            (Process { node: people::place(self.people_came), life: 1 }, Numbers::default());
        self.trace_text(process.node, "comes", &person.describe());
        self.people.insert(process.node, Somebody { process, person, numbers, wakes_at: None });
        self.wake_person(process.node, self.queue.now());
        process
    }

    /// Clients come within a while, each with a plan of its own.
    pub(super) fn clients_come(&mut self, lasts: u64, chance: &mut Chance) -> bool {
        for _ in 0..chance.between(1, 4) {
            let at = self.queue.now().after(chance.between(0, lasts));
            self.queue.put(at, Event::Client(Plan::Orders, chance.between(0, u64::MAX)));
        }
        true
    }

    /// People order at these peers, twice; and a client asks for a number whose outcome may be forgotten.
    pub(super) fn people_ask_again(&mut self, nodes: &[u32], chance: &mut Chance) -> bool {
        let goods: Vec<String> = self.load.goods.iter().map(|(name, ..)| name.clone()).collect();
        for id in nodes.iter().filter(|id| **id > 0) {
            let peer = (PeerId(*id), addr(PeerId(*id)));
            self.comes(Box::new(Caller::new(peer, goods.clone(), chance.branch())));
        }
        self.client_comes(Plan::OldNumber, chance.between(0, u64::MAX));
        true
    }

    pub(super) fn client_comes(&mut self, plan: Plan, number: u64) {
        let (warehouse, goods) = (addr(PeerId::WAREHOUSE), self.load.goods.len() as u16);
        let client = Client::new(plan, warehouse, goods, Chance::of(number, "client"));
        self.comes(Box::new(client));
    }

    /// A stranger comes, listens at an address of its own, and goes to these nodes.
    pub(super) fn stranger_comes(&mut self, nodes: &[u32], lasts: u64, chance: &mut Chance) -> bool {
        let mut targets: Vec<u32> = nodes.to_vec();
        targets.push(chance.between(0, self.nodes.len() as u64 - 1) as u32);
        let targets = targets.into_iter().map(|id| (PeerId(id), addr(PeerId(id)))).collect();
        let own = addr(people::place(self.people_came + 1));
        let known = self.known(own.clone());
        let stranger = Stranger::new(known, targets, lasts, self.queue.now(), chance.branch());
        let process = self.comes(Box::new(stranger));
        let numbers = self.people.get(&process.node).map(|somebody| somebody.numbers.clone());
        self.network.listen(&own, process, numbers.unwrap_or_default());
        true
    }

    /// What anybody may find out about the market.
    fn known(&self, own: String) -> Known {
        let blank = Market::default();
        let market = match self.nodes[0].view() {
            Some(View::Market(market)) => market,
            _ => &blank,
        };
        let members =
            market.sessions.range(..=PeerId::PEER_MAX).map(|(peer, session)| (*peer, session.epoch));
        let (clock, last_term) = (Stamp(market.clock.0 + 1), Term(market.offices.last_term.0));
        Known {
            cluster: cluster(self.seed),
            warehouse: addr(PeerId::WAREHOUSE),
            own,
            members: members.filter(|(peer, _)| (peer.0 as usize) < self.nodes.len()).collect(),
            roster: roster(market),
            last_term,
            seq: market.seq,
            clock,
            goods: self.load.goods.len() as u16,
        }
    }

    // ---- what reaches them

    pub(super) fn person_hears(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let Delivery { to, input, bytes, .. } = delivery;
        if !self.people.contains_key(&to.node) {
            return Ok(());
        }
        self.trace_in(to, &input, &bytes);
        self.person_acts(to.node, Some(input))
    }

    /// It wakes up, if that is when it wanted to.
    pub(super) fn person_wakes(&mut self, place: PeerId) -> Result<(), Failure> {
        let now = self.queue.now();
        let due = self.people.get_mut(&place).and_then(|somebody| somebody.wakes_at.take_if(|at| *at == now));
        due.map_or(Ok(()), |_| self.person_acts(place, None))
    }

    fn wake_person(&mut self, place: PeerId, at: Moment) {
        if let Some(somebody) = self.people.get_mut(&place) {
            somebody.wakes_at = Some(at);
            self.queue.put(at, Event::Wake(place));
        }
    }

    // ---- what they do

    fn person_acts(&mut self, place: PeerId, input: Option<Input>) -> Result<(), Failure> {
        let now = self.queue.now();
        let Some(somebody) = self.people.get_mut(&place) else { return Ok(()) };
        let (process, mut hands) = (somebody.process, Hands::of(somebody.numbers.clone()));
        somebody.person.act(now, input, &mut hands);
        let Hands { effects, told, placed, marks, wakes_at, goes, wrong, .. } = hands;
        marks.into_iter().for_each(|mark| self.marks.mark(mark));
        placed.into_iter().for_each(|order| self.placing.add(order));
        self.heard.told_all(told);
        effects.into_iter().try_for_each(|effect| self.perform(process, effect))?;
        match (goes, wakes_at) {
            (true, _) => self.person_goes(process),
            (false, Some(at)) => self.wake_person(place, at.max(now.after(1))),
            (false, None) => {}
        }
        wrong.map_or(Ok(()), Err)
    }

    fn person_goes(&mut self, process: Process) {
        self.people.remove(&process.node);
        self.network.kill(process, &mut self.queue);
        self.trace_text(process.node, "goes", "away");
    }

    /// Strangers go when everything heals.
    pub(super) fn strangers_go(&mut self) {
        let strangers = self.people.values().filter(|somebody| !somebody.person.is_welcome());
        let strangers: Vec<Process> = strangers.map(|somebody| somebody.process).collect();
        strangers.into_iter().for_each(|process| self.person_goes(process));
    }

    /// The first of those who wait for something that must come.
    pub(super) fn person_waits_for(&self) -> Option<String> {
        self.people.values().find_map(|somebody| somebody.person.waits_for())
    }

    // ---- a member that does not keep to the order

    /// What these peers say on their lines home arrives twice or swapped, a few times.
    pub(super) fn lines_repeat(&mut self, nodes: &[u32], chance: &mut Chance) -> bool {
        let (swaps, times) = (chance.one_in(2), chance.between(1, 3) as u32);
        let hit: u64 = nodes.iter().map(|id| self.network.repeat(PeerId(*id), swaps, times)).sum();
        hit > 0
    }
}

/// The offices as the ledger says.
fn roster(market: &Market) -> Roster {
    let seat = |grant: &Grant| Seat {
        peer: grant.peer,
        process: grant.process,
        term: grant.term,
        present: true,
        addr: addr(grant.peer),
        licence: None,
    };
    let offices = &market.offices;
    Roster {
        generation: market.generation,
        seq: offices.seq,
        version: 1 << 40,
        primary: offices.primary.as_ref().map(seat),
        secondary: offices.secondary.as_ref().map(seat),
        paired: offices.paired,
        mode: market.mode,
        passed_over: Vec::new(),
        frozen: Vec::new(),
    }
}
