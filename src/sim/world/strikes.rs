//! What goes wrong in the world: faults as they come about. One counts when it did something.

use std::collections::BTreeSet;

use super::{Event, World};
use crate::diagram::Point;
use crate::journal::MemoryDisk;
use crate::model::call::Ask;
use crate::sim::chance::Chance;
use crate::sim::disks::Disk;
use crate::sim::engine::View;
use crate::sim::faults::{Kind, Planned, Seats};
use crate::sim::losses;
use crate::sim::marks::Mark;
use crate::sim::queue::{MS, SECOND};
use crate::sim::weather::{Effect, GIVE_UP, Spell};
use crate::types::{Consistency, OrderId, PeerId};

const HOUR: i64 = 3_600 * SECOND as i64;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

impl World {
    pub(super) fn strike(&mut self, fault: &Planned) {
        let (mut chance, nodes) = (fault.chance(), fault.aim.nodes(self.seats()));
        let lasts = fault.lasts_ms * MS;
        self.trace_fault(fault);
        let hit = match fault.kind {
            Kind::Kill => self.kill_all(&nodes, lasts),
            Kind::Storm => self.storm(&nodes, lasts, &mut chance),
            Kind::Stop => self.stop(&nodes, lasts),
            Kind::Pause => self.pause(&nodes, lasts),
            Kind::Skew => self.skew(&mut chance),
            Kind::Jump => self.jump(&nodes, &mut chance),
            Kind::LoseStore => self.lose_stores(&nodes, lasts),
            Kind::OldStore => self.plan_old_stores(&nodes, lasts),
            Kind::Delay => self.spells(&nodes, lasts, Effect::Delay(chance.between(MS, SECOND)), &mut chance),
            Kind::Scatter => {
                self.spells(&nodes, lasts, Effect::Scatter(chance.between(MS, SECOND)), &mut chance)
            }
            Kind::Late => {
                let by = GIVE_UP + chance.between(1, 4 * GIVE_UP);
                self.spells(&nodes, lasts, Effect::Delay(by), &mut chance)
            }
            Kind::Silence => self.spells(&nodes, lasts, Effect::Silence, &mut chance),
            Kind::Refuse => self.spells(&nodes, lasts, Effect::Refuse, &mut chance),
            Kind::LoseAnswers => self.spells(&nodes, lasts, Effect::LoseAnswers, &mut chance),
            Kind::Reset => self.break_lines(&nodes, false, &mut chance),
            Kind::CutOff => self.break_lines(&nodes, true, &mut chance),
            Kind::SlowDisk => self.slow_disks(&nodes, lasts, &mut chance),
            Kind::HungSync => self.each_living(&nodes, |world, at| world.nodes[at].disk.hang(lasts * 2)),
            Kind::FailedSync => self.each_living(&nodes, |world, at| world.nodes[at].disk.fail_sync()),
            Kind::PowerCut => self.cut_power(&nodes, lasts),
            Kind::FullDisk => self.fill_disks(&nodes, lasts),
            Kind::Join => self.join(fault.number, &mut chance),
            Kind::Leave => self.ask_each(&nodes, lasts, &Ask::Leave),
            Kind::Resign => self.resign(&nodes, &mut chance),
            Kind::OldLedger => self.keep_ledger(false),
            Kind::OldLedgerAlone => self.keep_ledger(true),
            Kind::Restore => self.plan_restore(lasts, &mut chance),
            Kind::Client => self.clients_come(lasts, &mut chance),
            Kind::AskAgain => self.people_ask_again(&nodes, &mut chance),
            Kind::Stranger => self.stranger_comes(&nodes, lasts, &mut chance),
            Kind::Repeat => self.lines_repeat(&nodes, &mut chance),
            Kind::Mode => self.change_mode(&mut chance),
            Kind::LosePair => self.lose_pair(lasts, &mut chance),
        };
        if hit {
            *self.faults.entry(fault.kind).or_default() += 1;
        }
    }

    fn trace_fault(&self, fault: &Planned) {
        let text = fault.to_string();
        self.trace.note(self.queue.now(), PeerId::WAREHOUSE, "fault", 0, text.as_bytes(), || {
            format!("-- fault: {text}")
        });
        for id in fault.aim.nodes(self.seats()) {
            self.trace.point(PeerId(id), self.queue.now(), Point::Fault, || text.clone());
        }
    }

    pub(super) fn seats(&self) -> Seats {
        let peers = self.nodes.len() as u32 - 1;
        match self.nodes[0].view() {
            Some(View::Market(market)) => Seats {
                peers,
                primary: market.offices.primary.map(|grant| grant.peer.0),
                secondary: market.offices.secondary.map(|grant| grant.peer.0),
            },
            _ => Seats { peers, ..Seats::default() },
        }
    }

    /// Does it to each of the nodes on which a process runs; whether there was one.
    fn each_living(&mut self, nodes: &[u32], mut hit: impl FnMut(&mut World, usize)) -> bool {
        let living: Vec<usize> =
            nodes.iter().map(|id| *id as usize).filter(|at| self.nodes[*at].is_alive()).collect();
        living.iter().for_each(|at| hit(self, *at));
        !living.is_empty()
    }

    pub(super) fn kill_all(&mut self, nodes: &[u32], down: u64) -> bool {
        self.each_living(nodes, |world, at| world.kill(at, down))
    }

    /// kill -9; the node is started again after so many microseconds.
    pub(super) fn kill(&mut self, at: usize, down: u64) {
        let node = &mut self.nodes[at];
        let (process, (kept, lost)) = (node.process(), node.kill());
        self.network.kill(process, &mut self.queue);
        self.trace.note(self.queue.now(), process.node, "killed", kept, &[], || {
            format!("killed, {lost} writes lost")
        });
        self.trace.point(process.node, self.queue.now(), Point::Crashed, || format!("{lost} writes lost"));
        self.marks.count(Mark::WritesLost, lost);
        self.marks.count(Mark::WritesKept, kept);
        self.queue.put(self.queue.now().after(down), Event::Start(process.node));
    }

    /// The first kill is now, the others follow so closely that they may hit a process that recovers.
    fn storm(&mut self, nodes: &[u32], lasts: u64, chance: &mut Chance) -> bool {
        let (times, mut at) = (chance.between(3, 8), self.queue.now());
        for _ in 1..times {
            at = at.after(chance.between(MS, 2 * MS + lasts / times));
            self.queue.put(at, Event::Kill(nodes.to_vec()));
        }
        self.kill_all(nodes, MS)
    }

    fn stop(&mut self, nodes: &[u32], lasts: u64) -> bool {
        let mut hit = false;
        for at in nodes.iter().map(|id| *id as usize) {
            if self.nodes[at].stop(&mut self.queue) {
                hit = true;
                self.down.insert(PeerId(at as u32), lasts);
            }
        }
        hit
    }

    fn pause(&mut self, nodes: &[u32], lasts: u64) -> bool {
        let until = self.queue.now().after(lasts);
        let mut hit = false;
        for at in nodes.iter().map(|id| *id as usize) {
            if self.nodes[at].stand_still(until) {
                hit = true;
                self.network.stand_still(self.nodes[at].process(), lasts, &mut self.queue);
            }
        }
        hit
    }

    fn skew(&mut self, chance: &mut Chance) -> bool {
        let most = 60 * SECOND;
        self.nodes
            .iter_mut()
            .for_each(|node| node.set_wall(chance.between(0, 2 * most) as i64 - most as i64));
        true
    }

    fn jump(&mut self, nodes: &[u32], chance: &mut Chance) -> bool {
        let by = chance.pick(&[HOUR, -HOUR, TEN_YEARS, -TEN_YEARS]);
        nodes.iter().for_each(|id| self.nodes[*id as usize].set_wall(by));
        !nodes.is_empty()
    }

    fn lose_stores(&mut self, nodes: &[u32], down: u64) -> bool {
        let mut hit = false;
        for at in nodes.iter().map(|id| *id as usize).filter(|at| *at > 0) {
            if self.nodes[at].is_alive() {
                hit = true;
                self.replace_store(at, down, Disk::wipe);
            }
        }
        hit
    }

    /// A peer's process is killed, if one runs, and its store lost or replaced. The orders whose last copy goes with it are
    /// lost.
    pub(super) fn replace_store(&mut self, at: usize, down: u64, replace: impl FnOnce(&mut Disk)) {
        let before = self.held_by_peers();
        if self.nodes[at].is_alive() {
            self.kill(at, down);
        }
        replace(&mut self.nodes[at].disk);
        self.losses.store_went(before, &self.held_by_peers());
    }

    fn held_by_peers(&self) -> BTreeSet<OrderId> {
        self.nodes[1..].iter().flat_map(losses::held_by).collect()
    }

    /// A copy is made now, and put in the store's place later.
    fn plan_old_stores(&mut self, nodes: &[u32], lasts: u64) -> bool {
        let mut hit = false;
        for id in nodes.iter().copied().filter(|id| *id > 0) {
            if self.nodes[id as usize].has_lived() {
                hit = true;
                let copy = self.nodes[id as usize].disk.copy();
                self.queue.put(self.queue.now().after(lasts), Event::PutBack(id, copy));
            }
        }
        hit
    }

    pub(super) fn put_back(&mut self, id: u32, copy: &MemoryDisk) {
        self.replace_store(id as usize, 10 * MS, |disk| disk.put_back(copy));
        let last = losses::last_given(&self.nodes[id as usize]);
        self.losses.older_copy_came(last, self.placing.given_by(PeerId(id)));
        self.marks.mark(Mark::OldStore);
    }

    /// The spell is between the nodes and all others, or one other; in one direction or both.
    fn spells(&mut self, nodes: &[u32], lasts: u64, effect: Effect, chance: &mut Chance) -> bool {
        let now = self.queue.now();
        let other = chance.one_in(2).then(|| PeerId(chance.between(0, self.nodes.len() as u64 - 1) as u32));
        let (out, back) = chance.pick(&[(true, false), (false, true), (true, true)]);
        for id in nodes {
            let (one, until) = (Some(PeerId(*id)), now.after(lasts));
            if out {
                self.network.begin(Spell { effect, from: one, to: other, until }, now);
            }
            if back {
                self.network.begin(Spell { effect, from: other, to: one, until }, now);
            }
        }
        !nodes.is_empty()
    }

    fn break_lines(&mut self, nodes: &[u32], snap: bool, chance: &mut Chance) -> bool {
        let other = chance.one_in(2).then(|| PeerId(chance.between(0, self.nodes.len() as u64 - 1) as u32));
        let mut hit = 0;
        for id in nodes {
            hit += self.network.break_between(PeerId(*id), other, snap, &mut self.queue);
        }
        hit > 0
    }

    fn slow_disks(&mut self, nodes: &[u32], lasts: u64, chance: &mut Chance) -> bool {
        let (until, most) = (self.queue.now().after(lasts), chance.between(50 * MS, 3 * SECOND));
        self.each_living(nodes, |world, at| world.nodes[at].disk.slow_down(until, most))
    }

    fn cut_power(&mut self, nodes: &[u32], down: u64) -> bool {
        self.each_living(nodes, |world, at| {
            world.kill(at, down);
            world.nodes[at].disk.cut_power();
        })
    }

    fn fill_disks(&mut self, nodes: &[u32], lasts: u64) -> bool {
        let until = self.queue.now().after(lasts);
        for id in nodes {
            self.nodes[*id as usize].disk.set_full(true);
            self.queue.put(until, Event::Freed(*id));
        }
        !nodes.is_empty()
    }

    /// The peer that was left out at the begin joins through another one that is there.
    fn join(&mut self, number: u32, chance: &mut Chance) -> bool {
        let id = self.joiner(number);
        let there: Vec<PeerId> =
            self.nodes.iter().filter(|node| node.is_serving() && node.id != id).map(|node| node.id).collect();
        let node = &mut self.nodes[id.0 as usize];
        if node.has_lived() || there.is_empty() {
            return false;
        }
        node.joins = Some(chance.pick(&there));
        self.queue.put(self.queue.now(), Event::Start(id));
        true
    }

    /// Which peer is left out for that fault.
    pub(super) fn joiner(&self, number: u32) -> PeerId {
        PeerId(1 + number % (self.nodes.len() as u32 - 1))
    }

    fn lose_pair(&mut self, down: u64, chance: &mut Chance) -> bool {
        let Seats { primary: Some(one), secondary: Some(other), .. } = self.seats() else { return false };
        let both = [one, other];
        let lost = chance.pick(&[&both[..1], &both[1..], &both[..]]);
        let spared: Vec<u32> = both.into_iter().filter(|id| !lost.contains(id)).collect();
        self.kill_all(&spared, down);
        self.lose_stores(lost, down)
    }

    fn change_mode(&mut self, chance: &mut Chance) -> bool {
        let mode = chance.pick(&Consistency::ALL);
        let serves = self.nodes[0].is_serving();
        if serves {
            self.nodes[0].ask(Ask::Mode(mode), &mut self.queue);
        }
        serves
    }

    fn ask_each(&mut self, nodes: &[u32], down: u64, ask: &Ask) -> bool {
        let mut hit = false;
        for at in nodes.iter().map(|id| *id as usize).filter(|at| *at > 0) {
            if self.nodes[at].is_serving() {
                hit = true;
                self.down.insert(PeerId(at as u32), down);
                self.nodes[at].ask(ask.clone(), &mut self.queue);
            }
        }
        hit
    }

    fn resign(&mut self, nodes: &[u32], chance: &mut Chance) -> bool {
        let heir = match chance.one_in(2) {
            true => PeerId(0),
            false => PeerId(chance.between(1, self.nodes.len() as u64 - 1) as u32),
        };
        self.ask_each(nodes, 0, &Ask::ResignByHand(heir))
    }
}
