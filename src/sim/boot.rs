//! From a disk to a process that runs, as `node::boot` does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chance::Chance;
use super::disks::Disk;
use super::engine::{Engine, Running, View};
use super::node::{Node, World, addr};
use super::port::{Outbox, SimPort};
use crate::journal::{Birth, Journal, Meta, OpenError, Pump, Recovered, Recovery};
use crate::limits::TRADER_QUEUE_ORDERS_MAX;
use crate::model::clock::Clock;
use crate::model::market::Market;
use crate::model::peer::{self, Peer, PeerState};
use crate::model::step::{Machine, Numbers};
use crate::model::warehouse::{self, Rules, Warehouse};
use crate::node::driver::{Driver, TOKEN};
use crate::types::{Now, PeerId, ProcessId, SecretKey, Token};

/// Milliseconds between heartbeats, and of silence before suspicion.
const TIMERS_MS: u64 = 1_000;
/// The trader's share.
const COMMISSION_PERCENT: u8 = 5;

/// A process that has recovered.
pub(super) struct Booted {
    pub engine: Box<dyn Engine>,
    pub numbers: Numbers,
    pub outbox: Outbox,
    pub recovery: Recovery,
}

/// Starts the node's next process on its disk.
pub(super) fn boot(node: &Node, world: &World<'_>) -> Result<Booted, OpenError> {
    let process = node.process();
    let secrets = Chance::of(world.seed, &format!("secrets of {}, life {}", node.id, process.life));
    node.disk.drop_pages();
    match node.id {
        PeerId::WAREHOUSE => boot_warehouse(&node.disk, secrets, world),
        _ => boot_peer(node, secrets, world),
    }
}

/// What the market of a seed is called.
pub(super) fn cluster(seed: u64) -> String {
    format!("{:08x}", seed as u32)
}

fn birth(id: PeerId, role: &str, secrets: &mut Chance, seed: u64) -> Birth {
    let (cluster, token) = (cluster(seed), Token(secrets.bytes()));
    Birth { cluster, node: id, role: role.to_owned(), token, key: None, extra: BTreeMap::new() }
}

fn boot_warehouse(disk: &Disk, mut secrets: Chance, world: &World<'_>) -> Result<Booted, OpenError> {
    let key = SecretKey(Chance::of(world.seed, "key of the warehouse").bytes());
    let birth = Birth { key: Some(key), ..birth(PeerId::WAREHOUSE, "warehouse", &mut secrets, world.seed) };
    let (recovered, pump) = disk.open::<Market>(birth, Arc::clone(world.time) as _)?;
    let Recovered { journal, state: market, recovery, clock } = recovered;
    let Meta { starts, cluster, token, key, .. } = journal.meta().clone();
    let rules = Rules { commission_percent: COMMISSION_PERCENT, suspect_after_ms: TIMERS_MS, starts };
    let parts = warehouse::Parts {
        market,
        clock: Clock::starting_at(clock),
        rules,
        cluster,
        store: token.store_id(),
        key,
        process: ProcessId { starts, random: secrets.between(0, u64::MAX), ..ProcessId::default() },
        addr: addr(PeerId::WAREHOUSE),
        restore: String::new(),
        pid: starts as u32,
        heartbeat_ms: TIMERS_MS,
        goods: world.load.goods.clone(),
        mode: world.load.mode,
    };
    Ok(run(Warehouse::new(parts, Now(0)), journal, pump, recovery, secrets))
}

fn boot_peer(node: &Node, mut secrets: Chance, world: &World<'_>) -> Result<Booted, OpenError> {
    let (id, disk) = (node.id, &node.disk);
    let plan = world.load.plan(id);
    let birth = birth(id, plan.habits.role.name(), &mut secrets, world.seed);
    let (recovered, pump) = disk.open::<PeerState>(birth, Arc::clone(world.time) as _)?;
    let Recovered { journal, state, recovery, clock } = recovered;
    let Meta { starts, cluster, token, extra, .. } = journal.meta().clone();
    let epoch = state.opened.map(|(_, epoch)| epoch).unwrap_or_default();
    let me = peer::Me {
        id,
        cluster,
        epoch,
        secret: peer::Secret::new(replaced_token(&extra).unwrap_or(token)),
        process: ProcessId { epoch, starts, random: secrets.between(0, u64::MAX) },
        addr: addr(id),
        role: plan.habits.role,
        pid: starts as u32,
        heartbeat_ms: TIMERS_MS,
        suspect_after_ms: TIMERS_MS,
    };
    let parts = peer::Parts {
        state,
        clock: Clock::starting_at(clock),
        me,
        habits: world.load.habits(id, starts),
        goods: world.load.goods.iter().map(|(name, _, price)| (name.clone(), *price)).collect(),
        warehouse: addr(PeerId::WAREHOUSE),
        neighbours: match node.joins {
            Some(_) => Default::default(),
            None => plan.neighbours.iter().map(|peer| (*peer, addr(*peer))).collect(),
        },
        join: node.joins.into_iter().map(addr).collect(),
        no_preempt: world.load.no_preempt,
        queue_max: TRADER_QUEUE_ORDERS_MAX,
    };
    Ok(run(Peer::new(parts, Now(0)), journal, pump, recovery, secrets))
}

/// The token that replaced the store's first one, if any.
fn replaced_token(extra: &BTreeMap<String, Vec<u8>>) -> Option<Token> {
    extra.get(TOKEN)?.as_slice().try_into().ok().map(Token)
}

fn run<M: Machine + 'static>(
    machine: M,
    journal: Journal<M::State>,
    pump: Pump<M::State>,
    recovery: Recovery,
    secrets: Chance,
) -> Booted
where
    for<'a> View<'a>: From<&'a M::State>,
{
    let (outbox, numbers) = (Outbox::default(), Numbers::default());
    let port = SimPort::new(outbox.clone(), secrets);
    let driver = Driver::new(machine, journal, port, numbers.clone());
    Booted { engine: Box::new(Running { driver, pump }), numbers, outbox, recovery }
}
