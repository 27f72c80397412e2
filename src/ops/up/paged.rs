//! What the page of `up` is told of its children, and does to them.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::mpsc;

use super::Up;
use super::fleet::Fleet;
use crate::cli::UpArgs;
use crate::ops::children;
use crate::ops::output::Failure;
use crate::ops::page::{self, Act, Asked, Life, Market, Refused, Served, Shown, Target};
use crate::types::{PeerId, node_name};

/// All children that were started.
pub(super) fn shown(fleet: &Fleet<'_>) -> Shown {
    let shown = Shown::default();
    for (node, _) in fleet.addrs() {
        lives(&shown, fleet, node);
    }
    shown
}

/// A child was started.
pub(super) fn lives(shown: &Shown, fleet: &Fleet<'_>, node: PeerId) {
    let Some(child) = fleet.child(node) else { return };
    let role = fleet.plan().peer(node).map_or("warehouse", |peer| peer.role.name());
    let (addr, pid, dir) = (child.addr.clone(), child.pid(), child.dir.clone());
    shown.lives_now(node, Life { addr, pid, role: role.to_owned(), dir, ..Life::default() });
}

/// Serves the page, unless nobody wants one.
pub(super) async fn serve(
    args: &UpArgs,
    fleet: &mut Fleet<'_>,
    shown: &Shown,
    asks: mpsc::Sender<Asked>,
    timeout: Duration,
) -> Result<Option<Served>, Failure> {
    if args.no_page {
        return Ok(None);
    }
    let target = Target::Dir(args.data_dir.clone());
    let market =
        Market { target, shown: shown.clone(), acts: Some(asks), cuttable: args.proxied, record: None };
    let served = page::serve(args.http, market, timeout).await?;
    fleet.page_at(served.addr);
    fleet.write_cluster()?;
    Ok(Some(served))
}

impl Up<'_> {
    /// A child has ended, perhaps a trader.
    pub(super) fn show_death(&self, node: PeerId, status: ExitStatus) {
        self.shown.failed_over(self.failovers.with_times());
        self.shown.died(node, children::how(status));
    }

    /// Does to a child what the page asks for.
    pub(super) fn act(&mut self, Asked { act, node, reply }: Asked) {
        let done = self.done_to(act, node);
        if let Ok(line) = &done {
            self.tell(&format!("page      {line}"));
        }
        // Who asked may have gone.
        let _ = reply.send(done);
    }

    fn done_to(&mut self, act: Act, node: PeerId) -> Result<String, Refused> {
        let name = node_name(node);
        // One that has ended is said to have, before anything is done to its number.
        self.bury();
        let dead = self.fleet.is_dead(node);
        let Some(pid) = self.fleet.child(node).map(|child| child.pid()) else {
            return Err(Refused::now(format!("{name} was not started here"), "choose another node"));
        };
        match act {
            Act::Cut(other, cut) => self.cut(node, other, cut),
            Act::Restart if !dead => Err(Refused::now(format!("{name} is running"), "kill it first")),
            Act::Restart => {
                self.revive(node);
                match self.fleet.is_dead(node) {
                    true => Err(Refused::now(format!("{name} did not start"), "see what bazaar up says")),
                    false => Ok(format!("{name} was started again")),
                }
            }
            _ if dead => Err(Refused::now(format!("{name} has ended"), "restart it")),
            Act::Kill => {
                self.fleet.kill(node);
                self.bury();
                Ok(format!("{name} (pid {pid}) was killed"))
            }
            Act::Pause => {
                self.shown.paused(node, true);
                Ok(self.signal(node, Signal::STOP, format!("{name} (pid {pid}) was stopped")))
            }
            Act::Resume => {
                self.shown.paused(node, false);
                Ok(self.signal(node, Signal::CONT, format!("{name} (pid {pid}) goes on")))
            }
        }
    }

    fn cut(&self, node: PeerId, other: PeerId, cut: bool) -> Result<String, Refused> {
        let Some(proxies) = self.fleet.proxies() else {
            return Err(Refused::now(
                "links cannot be cut".to_owned(),
                "start the market with bazaar up --proxied",
            ));
        };
        let names = format!("{} and {}", node_name(node), node_name(other));
        if node == other || self.fleet.child(other).is_none() {
            return Err(Refused::now(format!("there is no link of {names}"), "choose another node"));
        }
        proxies.cut(node, other, cut);
        self.shown.cut(node, other, cut);
        Ok(format!("the link of {names} {}", if cut { "was cut" } else { "carries again" }))
    }

    fn signal(&self, node: PeerId, signal: Signal, did: String) -> String {
        if let Some(child) = self.fleet.child(node) {
            child.signal(signal);
        }
        did
    }
}
