//! The links between the nodes of a soak: a proxy in front of each node, which carries, holds or resets.
//!
//! In: connections to the address that a node tells others. Which node has dialed is found by the socket's owner, from
//! `/proc`; what is no node (a client, a check) is always carried. A node that is down has no listener, so that dialing it
//! is refused as it would be without a proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::limits::{BACKOFF_MIN, CONNECT_MAX, SOAK_LISTEN_MAX};
use crate::types::{PeerId, node_name};

/// What is read at once.
const CARRIED_BYTES: usize = 64 << 10;

/// Pieces that are on a long way at once.
const UNDER_WAY_MAX: usize = 1_024;

/// What a link does that is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Cut {
    /// Bytes stay where they are, and come when the link is whole again.
    Silent,
    /// Connections end, and new ones end at once.
    Reset,
}

type Pair = (PeerId, PeerId);

fn pair(one: PeerId, other: PeerId) -> Pair {
    (one.min(other), one.max(other))
}

#[derive(Default)]
struct State {
    cuts: BTreeMap<Pair, Cut>,
    /// Nodes that listen.
    up: BTreeSet<PeerId>,
    /// Which process is which node.
    pids: BTreeMap<u32, PeerId>,
    /// Proxies that could not listen for long, and why; each is said once.
    failed: Vec<String>,
}

/// See the module's text.
pub(in crate::ops) struct Links {
    /// What goes to or comes from the warehouse takes so long each way.
    far: Duration,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Links {
    /// Links whose warehouse is so far away, each way.
    pub(in crate::ops) fn new(far: Duration) -> Arc<Links> {
        Arc::new(Links { far, state: Mutex::default(), changed: watch::Sender::new(()) })
    }

    fn is_far(&self, link: Option<Pair>) -> bool {
        let with_warehouse =
            link.is_some_and(|(one, other)| PeerId::WAREHOUSE == one || PeerId::WAREHOUSE == other);
        with_warehouse && self.far > Duration::ZERO
    }

    /// Proxies that could not listen since this was asked last.
    pub(in crate::ops) fn take_failed(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).failed)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A node listens, as that process.
    pub(in crate::ops) fn is_up(&self, node: PeerId, pid: u32) {
        self.change(|state| {
            state.up.insert(node);
            state.pids.insert(pid, node);
        });
    }

    /// A node was killed.
    pub(in crate::ops) fn is_down(&self, node: PeerId) {
        self.change(|state| {
            state.up.remove(&node);
            state.pids.retain(|_, of| *of != node);
        });
    }

    /// Cuts the links between these.
    pub(in crate::ops) fn cut(&self, pairs: &[Pair], how: Cut) {
        self.change(|state| state.cuts.extend(pairs.iter().map(|(one, other)| (pair(*one, *other), how))));
    }

    /// Makes them whole.
    pub(in crate::ops) fn heal(&self, pairs: &[Pair]) {
        self.change(|state| {
            for (one, other) in pairs {
                state.cuts.remove(&pair(*one, *other));
            }
        });
    }

    fn cut_of(&self, link: Option<Pair>) -> Option<Cut> {
        self.look(|state| state.cuts.get(&link?).copied())
    }

    /// Waits while the link is silent; whether it carries then.
    async fn carries(&self, link: Option<Pair>, changed: &mut watch::Receiver<()>) -> bool {
        loop {
            changed.borrow_and_update();
            match self.cut_of(link) {
                None => return true,
                Some(Cut::Reset) => return false,
                Some(Cut::Silent) => {
                    if changed.changed().await.is_err() {
                        return false;
                    }
                }
            }
        }
    }

    /// The node whose socket leads from `from` to `to`.
    fn dialer(&self, from: SocketAddr, to: SocketAddr) -> Option<PeerId> {
        let socket = format!("socket:[{}]", inode_of(from, to)?);
        let nodes = self.look(|state| state.pids.clone());
        nodes.into_iter().find(|(pid, _)| holds(*pid, &socket)).map(|(_, node)| node)
    }
}

fn inode_of(from: SocketAddr, to: SocketAddr) -> Option<String> {
    let hex = |addr: SocketAddr| match addr {
        SocketAddr::V4(addr) => {
            Some(format!("{:08X}:{:04X}", u32::from_le_bytes(addr.ip().octets()), addr.port()))
        }
        SocketAddr::V6(_) => None,
    };
    let (from, to) = (hex(from)?, hex(to)?);
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = table.lines().map(fields).find(|row| row.len() > 9 && row[1] == from && row[2] == to)?;
    row.get(9).cloned()
}

fn holds(pid: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == socket)
}

/// Stands in front of a node, at `at`, for as long as the runtime lives.
pub(in crate::ops) fn proxy(links: Arc<Links>, node: PeerId, at: SocketAddr, target: SocketAddr) {
    tokio::spawn(async move {
        let mut changed = links.changed.subscribe();
        let mut waits = Waits::default();
        loop {
            while !links.look(|state| state.up.contains(&node)) {
                waits = Waits::default();
                if changed.changed().await.is_err() {
                    return;
                }
            }
            match TcpListener::bind(at).await {
                Ok(listener) => {
                    waits = Waits::default();
                    serve(&links, &listener, &mut changed, (node, target)).await;
                }
                // Connections of the listener before are still ending.
                Err(error) => {
                    if waits.too_long() {
                        let what = format!("nobody can dial {} at {at} any more: {error}", node_name(node));
                        links.change(|state| state.failed.push(what));
                    }
                    tokio::time::sleep(BACKOFF_MIN).await;
                }
            }
        }
    });
}

/// How long an address could not be had.
#[derive(Default)]
struct Waits {
    since: Option<Instant>,
    said: bool,
}

impl Waits {
    /// Whether that is too long by now, once.
    fn too_long(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let is = !self.said && since.elapsed() > SOAK_LISTEN_MAX;
        self.said |= is;
        is
    }
}

/// Until the node is down.
async fn serve(
    links: &Arc<Links>,
    listener: &TcpListener,
    changed: &mut watch::Receiver<()>,
    (node, target): (PeerId, SocketAddr),
) {
    while links.look(|state| state.up.contains(&node)) {
        tokio::select! {
            dialed = listener.accept() => {
                // A dialer that is gone already has nothing to say.
                if let Ok((dialed, _)) = dialed {
                    tokio::spawn(carry(Arc::clone(links), dialed, node, target));
                }
            }
            _ = changed.changed() => {}
        }
    }
}

async fn carry(links: Arc<Links>, dialed: TcpStream, node: PeerId, target: SocketAddr) {
    let Ok((from, to)) = dialed.peer_addr().and_then(|from| Ok((from, dialed.local_addr()?))) else { return };
    let looking = Arc::clone(&links);
    let dialer = tokio::task::spawn_blocking(move || looking.dialer(from, to)).await.ok().flatten();
    let link = dialer.map(|dialer| pair(dialer, node));
    if !links.carries(link, &mut links.changed.subscribe()).await {
        return;
    }
    let Ok(Ok(target)) = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(target)).await else { return };
    // Without it small messages wait for acknowledgements of those before.
    let _ = (dialed.set_nodelay(true), target.set_nodelay(true));
    let ((from_dialer, to_dialer), (from_node, to_node)) = (dialed.into_split(), target.into_split());
    if links.is_far(link) {
        tokio::select! {
            () = pump_late(links.far, from_dialer, to_node) => {}
            () = pump_late(links.far, from_node, to_dialer) => {}
        }
        return;
    }
    // One direction that ends takes the other with it: both halves are dropped.
    tokio::select! {
        () = pump(&links, link, from_dialer, to_node) => {}
        () = pump(&links, link, from_node, to_dialer) => {}
    }
}

/// All that is read comes out in its order, each piece so much later.
async fn pump_late(far: Duration, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (under_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY_MAX);
    let sending = async move {
        let mut bytes = vec![0; CARRIED_BYTES];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            let arrives = (Instant::now() + far, bytes[..read].to_vec());
            if under_way.send(arrives).await.is_err() {
                return;
            }
        }
    };
    let receiving = async move {
        while let Some((at, bytes)) = arriving.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(sending, receiving);
}

async fn pump(links: &Links, link: Option<Pair>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (mut changed, mut bytes) = (links.changed.subscribe(), vec![0; CARRIED_BYTES]);
    while links.carries(link, &mut changed).await {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            _ = changed.changed() => continue,
        };
        if read == 0
            || !links.carries(link, &mut changed).await
            || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
    }
}
