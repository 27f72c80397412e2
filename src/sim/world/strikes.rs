//! What goes wrong in the world: faults as they come about.

use super::{Event, World};
use crate::sim::engine::View;
use crate::sim::faults::{Kind, Seats};
use crate::sim::marks::Mark;

impl World {
    pub(super) fn plan_fault(&mut self) {
        if let Some(after) = self.faults.next() {
            self.queue.put(self.queue.now().after(after), Event::Fault);
        }
    }

    pub(super) fn strike(&mut self) {
        let Some(strike) = self.faults.strike(self.seats()) else { return };
        match strike.kind {
            Kind::Kill => self.kill(&strike.nodes),
        }
        self.plan_fault();
    }

    fn seats(&self) -> Seats {
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

    fn kill(&mut self, nodes: &[u32]) {
        let mut hit = false;
        for id in nodes {
            let node = &mut self.nodes[*id as usize];
            if !node.is_alive() {
                continue;
            }
            let (process, (kept, lost)) = (node.process(), node.kill());
            hit = true;
            self.network.kill(process, &mut self.queue);
            self.trace.note(self.queue.now(), process.node, "killed", kept, &[], || {
                format!("killed, {lost} writes lost")
            });
            self.marks.count(Mark::WritesLost, lost);
            self.marks.count(Mark::WritesKept, kept);
            let up = self.queue.now().after(self.faults.down());
            self.queue.put(up, Event::Start(process.node));
        }
        if hit {
            self.faults.count(Kind::Kill);
        }
    }
}
