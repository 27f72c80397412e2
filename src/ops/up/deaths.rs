//! Children that ended: said, counted, and started again where that is asked for.

use std::time::Instant;

use super::fleet::Death;
use super::{Up, paged};
use crate::cli::Restart;
use crate::node::wall_now;
use crate::ops::children::how;
use crate::ops::output::note;
use crate::types::{PeerId, node_name};

impl Up<'_> {
    /// Says which children died, and starts them again if that is asked for.
    pub(super) fn bury(&mut self) {
        for death in self.fleet.bury() {
            self.say_death(&death);
            if self.args.restart == Restart::OnCrash && death.is_crash() {
                self.revive(death.node);
            }
        }
        self.missing.note(self.lacks().is_some(), Instant::now());
    }

    fn say_death(&mut self, death: &Death) {
        let Death { node, pid, status } = *death;
        let in_office = self.roster.held_by(node).is_some();
        let name = match node {
            PeerId::WAREHOUSE => "warehouse".to_owned(),
            _ if in_office => format!("trader {node}"),
            _ => format!("peer {node}"),
        };
        let line = format!("up        {name} (pid {pid}) {}", how(status));
        if status.success() {
            self.tell(&line)
        } else {
            self.tell_of_harm(&line)
        }
        // A trader that ends in order has given its office up, so that no peer has to find out.
        if in_office && !status.success() {
            self.failovers.ended(node, wall_now().0);
        }
        self.show_death(node, status);
    }

    pub(super) fn revive(&mut self, node: PeerId) {
        let revived = self.fleet.revive(node).and_then(|pid| {
            self.watch(node);
            self.tell(&format!("up        {} started again (pid {pid})", node_name(node)));
            self.done.remove(&node);
            paged::lives(&self.shown, &self.fleet, node);
            self.fleet.write_cluster()
        });
        if let Err(failure) = revived {
            note(failure.render(false).trim_end());
        }
    }
}
