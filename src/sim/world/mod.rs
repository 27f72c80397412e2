//! A whole market in one thread: its nodes, network, disks and clock, from the first start to the last check.
//!
//! Time jumps from event to event; ties go by the order in which events were put. See [`phases`] for how a run goes on.

mod effects;
mod ledgers;
mod looks;
mod people;
mod phases;
mod strikes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chance::Chance;
use super::check::Failure;
use super::engine::View;
use super::faults::{Counts, Kind, Planned, Schedule};
use super::heard::Heard;
use super::load::Load;
use super::losses::Losses;
use super::marks::{Mark, Marks, Seen};
use super::network::{self, Delivery, Network, Process};
use super::node::{Ending, Node, World as Surroundings};
use super::people::{Plan, Somebody, is_person};
use super::placing::Placing;
use super::queue::{MS, Moment, Queue};
use super::trace::Trace;
use crate::diagram::Point;
use crate::journal::{HandTime, MemoryDisk, Recovery, StoreError};
use crate::model::step::Input;
use crate::types::{Epoch, OrderId, PeerId};
use ledgers::Ledgers;
use phases::{FAULTS_MAX, Phase};

/// Something that happens at a time.
pub(super) enum Event {
    /// A node is started.
    Start(PeerId),
    /// A process has recovered.
    Serve(Process),
    /// A process takes a turn.
    Turn(Process),
    /// A process's disk begins or ends a sync.
    Sync(Process),
    /// Something goes wrong.
    Fault(Planned),
    /// These nodes are killed.
    Kill(Vec<u32>),
    /// A copy is put in the place of a node's disk.
    PutBack(u32, MemoryDisk),
    /// The warehouse's disk is lost, and its last backup restored.
    Restore { at_hand: bool, random: u64 },
    /// A disk has room again.
    Freed(u32),
    /// What was open when everything healed is answered by now.
    Answered,
    /// Goods whose sales no store knows any more are released.
    Release,
    /// A client comes, which draws from this number.
    Client(Plan, u64),
    /// Somebody who is no node wakes up.
    Wake(PeerId),
    /// In the network.
    Net(network::Event),
}

/// Events of a run, and for each order that is to be placed.
const EVENTS_MAX: u64 = 1_000_000;
const EVENTS_PER_ORDER_MAX: u64 = 10_000;
/// A machine is looked at after each so many turns of the world: looking may take longer than the turn.
const LOOKED_AT_EVERY: u64 = 4;
/// How long a node stays down whose disk failed.
const DOWN_AFTER_FAILURE: u64 = 500 * MS;
/// Peers are started within this after the warehouse.
const BEGIN_WITHIN: u64 = 500 * MS;

/// See the module's text.
pub(super) struct World {
    seed: u64,
    queue: Queue<Event>,
    time: Arc<HandTime>,
    /// By id, the warehouse first.
    nodes: Vec<Node>,
    network: Network,
    load: Load,
    /// What went wrong, how often.
    faults: Counts,
    /// Faults that are still to come.
    faults_left: usize,
    /// How long a process that was told to end stays down.
    down: BTreeMap<PeerId, u64>,
    ledgers: Ledgers,
    /// What went with peers' stores.
    losses: Losses,
    /// Orders that were open when everything healed.
    open_when_healed: BTreeSet<OrderId>,
    phase: Phase,
    phase_ends: Moment,
    events: u64,
    events_max: u64,
    /// All turns of all processes.
    turns: u64,
    /// By peer and epoch of its store.
    placed: BTreeMap<(PeerId, Epoch), u64>,
    /// What was placed, by whom it was.
    placing: Placing,
    /// Who is here beside the nodes, by place.
    people: BTreeMap<PeerId, Somebody>,
    people_came: u32,
    heard: Heard,
    marks: Marks,
    trace: Trace,
}

impl World {
    /// A world in which everything is still to come.
    pub(crate) fn new(schedule: &Schedule, trace: Trace) -> World {
        let Schedule { seed, peers, orders, .. } = *schedule;
        let mut world = World {
            seed,
            queue: Queue::default(),
            time: Arc::default(),
            nodes: (0..=peers).map(|id| Node::new(seed, PeerId(id))).collect(),
            network: Network::new(seed),
            load: Load::draw(seed, peers, orders),
            faults: Counts::new(),
            faults_left: schedule.faults.len(),
            down: BTreeMap::new(),
            ledgers: Ledgers::default(),
            losses: Losses::default(),
            open_when_healed: BTreeSet::new(),
            phase: Phase::Faults,
            phase_ends: Moment(FAULTS_MAX),
            events: 0,
            events_max: EVENTS_MAX + orders * EVENTS_PER_ORDER_MAX,
            turns: 0,
            placed: BTreeMap::new(),
            placing: Placing::default(),
            people: BTreeMap::new(),
            people_came: 0,
            heard: Heard::default(),
            marks: Marks::default(),
            trace,
        };
        world.begin(&schedule.faults);
        world
    }

    fn begin(&mut self, faults: &[Planned]) {
        let mut chance = Chance::of(self.seed, "begin");
        let join = faults.iter().filter(|fault| fault.kind == Kind::Join);
        let later: BTreeSet<PeerId> = join.map(|fault| self.joiner(fault.number)).take(2).collect();
        for node in &self.nodes {
            let within = if node.id == PeerId::WAREHOUSE { 0 } else { BEGIN_WITHIN };
            let at = Moment(chance.between(0, within));
            if !later.contains(&node.id) {
                self.queue.put(at, Event::Start(node.id));
            }
        }
        faults.iter().for_each(|fault| self.queue.put(Moment(fault.at_ms * MS), Event::Fault(*fault)));
    }

    /// What went wrong, how often.
    pub(crate) fn faults(&self) -> &Counts {
        &self.faults
    }

    /// What was seen.
    pub(crate) fn marks(&self) -> &Seen {
        self.marks.seen()
    }

    /// Orders that were placed.
    pub(crate) fn orders(&self) -> u64 {
        self.placed.values().sum()
    }

    /// Lives through all phases, then checks.
    ///
    /// # Errors
    /// Something that must hold does not.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let lived = self.live();
        self.look_back()?;
        lived.and_then(|()| self.check()).and_then(|()| self.placing.tokens())
    }

    fn live(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.queue.next() {
            self.time.set(self.queue.now().duration());
            self.bounds()?;
            self.handle(event)?;
            if self.phase_is_over() && !self.next_phase() {
                return Ok(());
            }
        }
        match self.phase {
            Phase::Rest => Ok(()),
            _ => Err(Failure::new("liveness", format!("nothing happens any more; {}", self.waits_for()))),
        }
    }

    fn bounds(&mut self) -> Result<(), Failure> {
        self.events += 1;
        if self.events > self.events_max {
            let what = format!("{} events and no end; {}", self.events_max, self.waits_for());
            return Err(Failure::new("liveness", what));
        }
        if self.queue.now() <= self.phase_ends || self.phase == Phase::Rest {
            return Ok(());
        }
        match self.phase {
            Phase::Faults => drop(self.next_phase()),
            _ => return Err(Failure::new("liveness", self.waits_for())),
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Start(id) => self.start(id),
            Event::Serve(process) => {
                self.serve(process);
                Ok(())
            }
            Event::Turn(process) => self.turn(process),
            Event::Sync(process) => match self.living(process) {
                Some(at) => {
                    match self.nodes[at].sync(&mut self.queue) {
                        Ok(true) => {
                            let now = self.queue.now();
                            self.trace.point(process.node, now, Point::Synced, String::new);
                        }
                        Ok(false) => {}
                        Err(error) => self.disk_failed(at, &error),
                    }
                    Ok(())
                }
                None => Ok(()),
            },
            Event::Fault(fault) => {
                self.faults_left -= 1;
                if self.phase == Phase::Faults {
                    self.strike(&fault);
                }
                Ok(())
            }
            Event::Kill(nodes) => {
                if self.phase == Phase::Faults {
                    self.kill_all(&nodes, MS);
                }
                Ok(())
            }
            Event::PutBack(id, copy) => {
                if self.phase == Phase::Faults {
                    self.put_back(id, &copy);
                }
                Ok(())
            }
            Event::Restore { at_hand, random } => {
                if self.phase == Phase::Faults {
                    self.restore_backup(at_hand, random);
                }
                Ok(())
            }
            Event::Freed(id) => {
                self.nodes[id as usize].disk.set_full(false);
                Ok(())
            }
            Event::Answered => self.healed_are_answered(),
            Event::Release => {
                self.release_lost();
                Ok(())
            }
            Event::Client(plan, number) => {
                if self.phase == Phase::Faults {
                    self.client_comes(plan, number);
                }
                Ok(())
            }
            Event::Wake(place) => self.person_wakes(place),
            Event::Net(event) => match self.network.handle(event, &mut self.queue) {
                Some(delivery) if is_person(delivery.to.node) => self.person_hears(delivery),
                Some(delivery) => {
                    self.deliver(delivery);
                    Ok(())
                }
                None => Ok(()),
            },
        }
    }

    /// The index of the process's node, if the process is the one that runs there.
    fn living(&self, process: Process) -> Option<usize> {
        let at = process.node.0 as usize;
        (self.nodes[at].process() == process && self.nodes[at].is_alive()).then_some(at)
    }

    fn start(&mut self, id: PeerId) -> Result<(), Failure> {
        let node = &mut self.nodes[id.0 as usize];
        if node.is_alive() {
            return Ok(());
        }
        let surroundings = Surroundings { seed: self.seed, load: &self.load, time: &self.time };
        let started = node.start(&surroundings, &mut self.queue);
        let recovery = started.map_err(|error| Failure::new("boot", error.to_string()))?;
        let bytes = recovery.last.0.to_le_bytes();
        self.trace.note(self.queue.now(), id, "start", 0, &bytes, || {
            format!("started: {}", recovery.line("log", 0))
        });
        self.trace.point(id, self.queue.now(), Point::Started, || recovery.line("log", 0));
        self.recovered(&recovery);
        Ok(())
    }

    fn recovered(&mut self, recovery: &Recovery) {
        if recovery.replayed > 0 {
            self.marks.mark(Mark::Replay);
        }
        if recovery.replayed < recovery.last.0 {
            self.marks.mark(Mark::CheckpointUsed);
        }
        self.marks.count(Mark::SealedUsed, u64::from(recovery.sealed.0 > 0));
    }

    fn serve(&mut self, process: Process) {
        let Some(at) = self.living(process) else { return };
        if let Some(numbers) = self.nodes[at].serve(&mut self.queue) {
            self.network.listen(&self.nodes[at].addr, process, numbers);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let Some(at) = self.living(delivery.to) else { return };
        let Delivery { to, input, bytes, sent } = &delivery;
        if let Some(sent) = sent {
            self.trace.arrow(*sent, (to.node, self.queue.now()), input);
        }
        self.trace_in(*to, input, bytes);
        self.marks.input(*to, input);
        if to.node == PeerId::WAREHOUSE {
            self.ledger_hears(input);
        }
        self.nodes[at].deliver(delivery, &mut self.queue);
    }

    fn trace_in(&self, to: Process, input: &Input, bytes: &[u8]) {
        let (now, text) = (self.queue.now(), || format!("<- {input}"));
        match bytes.is_empty() {
            true => self.trace.note(now, to.node, "in", 0, format!("{input:?}").as_bytes(), text),
            false => self.trace.note(now, to.node, "in", 0, bytes, text),
        }
    }

    fn turn(&mut self, process: Process) -> Result<(), Failure> {
        let Some(at) = self.living(process) else { return Ok(()) };
        let effects = self.nodes[at].turn(&mut self.queue);
        if let Some(View::Peer(state)) = self.nodes[at].view() {
            let placed = self.placed.entry((process.node, state.last.epoch())).or_default();
            *placed = u64::from(state.last.k()).max(*placed);
            self.placing.look(process, state);
        }
        if process.node == PeerId::WAREHOUSE {
            self.ledger_waits()?;
        }
        self.turns += 1;
        if self.turns.is_multiple_of(LOOKED_AT_EVERY) {
            self.machine_holds(at)?;
        }
        for effect in effects {
            // An effect may have ended the process.
            if self.living(process).is_some() {
                self.perform(process, effect)?;
            }
        }
        match self.nodes[at].end() {
            Some(ending) => self.ended(process, ending),
            None => Ok(()),
        }
    }

    /// A process came to its end by itself, and is started again later.
    fn ended(&mut self, process: Process, ending: Ending) -> Result<(), Failure> {
        let at = process.node.0 as usize;
        match ending {
            Ending::Done(effects) => {
                self.marks.mark(Mark::Ended);
                effects.into_iter().try_for_each(|effect| self.perform(process, effect))?;
            }
            Ending::Disk(error) => self.trace_text(process.node, "disk", &error.to_string()),
        }
        let down = self.down.remove(&process.node).unwrap_or_default();
        self.kill(at, down);
        Ok(())
    }

    /// A node whose disk fails ends, and is started again.
    fn disk_failed(&mut self, at: usize, error: &StoreError) {
        self.trace_text(self.nodes[at].id, "disk", &error.to_string());
        self.marks.mark(Mark::DiskFailed);
        self.kill(at, DOWN_AFTER_FAILURE);
    }

    fn trace_text(&self, node: PeerId, what: &str, text: &str) {
        self.trace.note(self.queue.now(), node, what, 0, text.as_bytes(), || format!("{what}: {text}"));
    }
}

#[cfg(test)]
mod tests;
