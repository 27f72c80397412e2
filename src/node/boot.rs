//! From a command line to a running node: directory, recovery, runtime, server, loop, and a clean end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};

use super::Stopwatch;
use super::birth::{goods_in, peer_birth};
use super::driver::{self, Driver};
use super::grpc::Grpc;
use super::http;
use super::life::{Settings, Stop, announce, end_with_parent, stop_at_signals, wire_runtime};
use super::meter::{Counts, Meter};
use super::notify::Notify;
use super::opening::said_while_it_lasts;
use super::tracing::Tracing;
use crate::journal::{self, Birth, Journal, OpenError, Reader, Recovered, Sealing, exit_on_failure};
use crate::limits::{CALL_DEADLINE, CLOSE_MAX, EVENTS_MAX, INBOX_MAX};
use crate::model::clock::Clock;
use crate::model::fold::Fold;
use crate::model::market::Market;
use crate::model::peer::{self, Me, Peer, PeerState, Secret};
use crate::model::shopper::Habits;
use crate::model::step::{Machine, Numbers};
use crate::model::warehouse::{self, Rules, Warehouse};
use crate::types::{
    Consistency, Generation, Money, Now, PeerId, ProcessId, Quantity, Role, SecretKey, Seq, Token,
};
use crate::wire::arrival::Arrival;
use crate::wire::client::CallError;
use crate::wire::client::dial::Dialer;
use crate::wire::descriptors::{TooFew, connections_max};
use crate::wire::serve::dump::{BlockReader, DumpHead};
use crate::wire::serve::trace::TraceReader;
use crate::wire::serve::{ServeError, Serving, listen, serve_peer, serve_warehouse};

pub(crate) use super::driver::TOKEN;

/// Why a node did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address cannot be listened at.
    #[error("cannot listen at {addr}: {why}")]
    Listen {
        /// Where.
        addr: String,
        /// The flag that says so.
        flag: &'static str,
        /// What the system said.
        why: String,
    },
    /// The warehouse said no, or did not answer in time.
    #[error("the warehouse at {addr} did not take this node in: {why}")]
    Warehouse {
        /// Where.
        addr: String,
        /// What it said.
        why: CallError,
    },
    /// There are too few descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// The system refused something that every process needs.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// There is no randomness to be had.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The store has a warehouse's identity and not a peer's, or another peer's.
    #[error("{0}")]
    Identity(String),
    /// The node ended badly.
    #[error("{0}")]
    Ended(String),
}

/// What a warehouse is told.
#[derive(Clone, Debug)]
pub(crate) struct WarehouseSpec {
    /// Common to all nodes.
    pub settings: Settings,
    /// The market's id, if somebody chose one; else a new store makes one.
    pub cluster: Option<String>,
    /// The trader's share in percent.
    pub commission_percent: u8,
    /// Initial goods of a new ledger.
    pub goods: Vec<(String, Quantity, Money)>,
    /// Mode of a new ledger.
    pub mode: Consistency,
}

/// What a peer is told.
#[derive(Clone, Debug)]
pub(crate) struct PeerSpec {
    /// Common to all nodes.
    pub settings: Settings,
    /// The market that its store must belong to, if somebody said so.
    pub cluster: Option<String>,
    /// Its id.
    pub id: PeerId,
    /// What it does for itself.
    pub role: Role,
    /// Where the warehouse is.
    pub warehouse: String,
    /// Neighbours of the topology.
    pub neighbours: Vec<(PeerId, String)>,
    /// Nodes to join at.
    pub join: Vec<String>,
    /// How it shops.
    pub habits: Habits,
    /// It does not take the primary office over.
    pub no_preempt: bool,
    /// Orders that it queues in office.
    pub queue_max: usize,
}

/// Makes a token from the operating system's randomness.
///
/// # Errors
/// There is none.
pub(crate) fn new_token() -> Result<Token, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Token(bytes))
}

/// Makes a key for a warehouse.
///
/// # Errors
/// There is no randomness.
pub(crate) fn new_key() -> Result<SecretKey, getrandom::Error> {
    Ok(SecretKey(new_token()?.0))
}

/// A generation of a ledger that goes on from a backup: nobody else draws the same.
///
/// # Errors
/// There is no randomness.
pub(crate) fn new_generation(count: u64) -> Result<Generation, getrandom::Error> {
    Ok(Generation { count, random: getrandom::u64()?.max(1) })
}

fn random_u64() -> u64 {
    // The third part of a process id only tells copies of one store apart.
    getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
}

fn new_cluster() -> String {
    format!("{:08x}", random_u64() as u32)
}

struct Blocks {
    reader: Reader,
    head: DumpHead,
}

impl BlockReader for Blocks {
    fn blocks(&self, from: Seq, max_bytes: usize) -> Result<Vec<Vec<u8>>, String> {
        self.reader.blocks(from, max_bytes).map_err(|error| error.to_string())
    }

    fn after(&self, block: &[u8]) -> Option<Seq> {
        let header = journal::BlockHeader::peek(block).ok()?;
        Some(Seq(header.first.0 + u64::from(header.count)))
    }

    fn changed(&self, seen: Seq) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut durable = self.reader.subscribe();
        Box::pin(async move {
            // An error means that the journal is closed: nothing will change any more.
            let _ = durable.wait_for(|durable| durable.seq > seen).await;
        })
    }

    fn head(&self) -> DumpHead {
        let durable = self.reader.durable();
        DumpHead { mark: (durable.seq, durable.hash), ..self.head.clone() }
    }
}

/// Runs a warehouse until it is told to stop.
///
/// # Errors
/// See [`BootError`].
pub(crate) fn run_warehouse(spec: WarehouseSpec) -> Result<(), BootError> {
    let start = Start::new(spec.settings)?;
    let cluster = spec.cluster.clone().unwrap_or_else(new_cluster);
    let birth = Birth::new(&cluster, PeerId::WAREHOUSE, "warehouse", new_token()?);
    let birth = Birth { key: Some(new_key()?), ..birth };
    let recovered = start.open::<Market>(Some(birth), spec.cluster.as_deref())?;
    let meta = recovered.journal.meta();
    let rules = Rules {
        commission_percent: spec.commission_percent,
        suspect_after_ms: start.settings.suspect_after_ms,
        starts: meta.starts,
    };
    let parts = warehouse::Parts {
        rules,
        cluster: meta.cluster.clone(),
        store: meta.token.store_id(),
        key: meta.key,
        process: ProcessId { starts: meta.starts, random: random_u64(), ..ProcessId::default() },
        market: recovered.state,
        clock: Clock::starting_at(recovered.clock),
        addr: start.addr(),
        pid: std::process::id(),
        restore: journal::mend::restore_in_place(&start.settings.data_dir),
        heartbeat_ms: start.settings.heartbeat_ms,
        goods: spec.goods,
        mode: spec.mode,
    };
    let line = recovered.recovery.line("ledger", 0);
    let machine = |now| Warehouse::new(parts, now);
    start.live(PeerId::WAREHOUSE, recovered.journal, machine, line, |inbox, serving| {
        Box::pin(serve_warehouse(inbox, serving))
    })
}

/// Runs a peer until it is told to stop.
///
/// # Errors
/// See [`BootError`].
pub(crate) fn run_peer(spec: PeerSpec) -> Result<(), BootError> {
    let start = Start::new(spec.settings)?;
    let birth = match journal::exists(&start.settings.data_dir)? {
        true => None,
        false => Some(peer_birth(&start.wire, &spec.warehouse, spec.id, spec.role)?),
    };
    let recovered = start.open::<PeerState>(birth, spec.cluster.as_deref())?;
    let meta = recovered.journal.meta();
    if meta.node != spec.id {
        let dir = start.settings.data_dir.display();
        let text = format!("{dir} is the directory of peer {}, not of peer {}", meta.node, spec.id);
        return Err(BootError::Identity(text));
    }
    let state = recovered.state;
    let epoch = state.opened.map(|(_, epoch)| epoch).unwrap_or_default();
    let line = recovered.recovery.line("journal", state.accepted.len() + state.open.len());
    let me = Me {
        id: spec.id,
        cluster: meta.cluster.clone(),
        epoch,
        secret: Secret::new(replaced_token(&meta.extra).unwrap_or(meta.token)),
        process: ProcessId { epoch, starts: meta.starts, random: random_u64() },
        addr: start.addr(),
        role: spec.role,
        pid: std::process::id(),
        heartbeat_ms: start.settings.heartbeat_ms,
        suspect_after_ms: start.settings.suspect_after_ms,
    };
    let parts = peer::Parts {
        state,
        clock: Clock::starting_at(recovered.clock),
        me,
        habits: spec.habits,
        goods: goods_in(&meta.extra),
        warehouse: spec.warehouse,
        neighbours: spec.neighbours,
        join: spec.join,
        no_preempt: spec.no_preempt,
        queue_max: spec.queue_max,
    };
    let machine = |now| Peer::new(parts, now);
    start.live(spec.id, recovered.journal, machine, line, |inbox, serving| {
        Box::pin(serve_peer(inbox, serving))
    })
}

/// What every node needs before it has a store: a runtime, an address, and the switches of its life.
struct Start {
    settings: Settings,
    wire: Runtime,
    stops: Stops,
    listener: TcpListener,
    /// For HTTP, if it is wanted.
    web: Option<TcpListener>,
    connections_max: usize,
    addr: SocketAddr,
}

/// The switches of a life.
#[derive(Default)]
struct Stops {
    /// The machine is to end.
    stop: Stop,
    /// The loop runs: from here on it is told to stop first, and the process ends when it has.
    begun: Stop,
    /// The server is to end.
    closed: Stop,
}

type Server = Pin<Box<dyn Future<Output = Result<(), ServeError>> + Send>>;

impl Start {
    /// Signals and the parent's pipe are watched from the beginning: a start may take long, and must be ended by them,
    /// too.
    fn new(settings: Settings) -> Result<Start, BootError> {
        let connections_max = connections_max()?;
        let (wire, stops) = (wire_runtime()?, Stops::default());
        wire.block_on(async { stop_at_signals(stops.stop.clone(), stops.begun.clone()) })?;
        if settings.parent_pipe {
            end_with_parent(stops.stop.clone());
        }
        let at = |addr: SocketAddr, flag| {
            wire.block_on(listen(addr)).map_err(|error| {
                let (addr, why) = (addr.to_string(), error.to_string());
                BootError::Listen { addr, flag, why }
            })
        };
        let listener = at(settings.listen, "--listen")?;
        let web = settings.http.map(|addr| at(addr, "--http")).transpose()?;
        let addr = listener.local_addr()?;
        Ok(Start { settings, wire, stops, listener, web, connections_max, addr })
    }

    /// Where others are told to find the node.
    fn addr(&self) -> String {
        self.settings.advertise.clone().unwrap_or_else(|| self.addr.to_string())
    }

    fn open<F: Fold>(&self, birth: Option<Birth>, cluster: Option<&str>) -> Result<Recovered<F>, BootError> {
        let dir: &Path = &self.settings.data_dir;
        let sealing = Sealing { keep: self.settings.keep, ..Sealing::default() };
        let addr = self.addr.to_string();
        let open = || journal::open_sealing::<F>(dir, birth, cluster, &addr, sealing, exit_on_failure());
        Ok(said_while_it_lasts(dir, open)?)
    }

    /// The common life: server and loop, then the end of both.
    fn live<M>(
        self,
        node: PeerId,
        journal: Journal<M::State>,
        machine: impl FnOnce(Now) -> M,
        line: String,
        serve: impl FnOnce(mpsc::Sender<Arrival>, Serving) -> Server,
    ) -> Result<(), BootError>
    where
        M: Machine + Send + 'static,
    {
        let advertised = self.addr();
        let Start { settings, wire, stops, listener, web, connections_max, addr } = self;
        let Stops { stop, begun, closed } = stops;
        let (numbers, stopwatch) = (Numbers::default(), Stopwatch::default());
        let (inbox, arrivals) = mpsc::channel(INBOX_MAX);
        let (happenings, _) = broadcast::channel(EVENTS_MAX);
        let head = DumpHead { peer: node, cluster: journal.meta().cluster.clone(), ..DumpHead::default() };
        let tracing = (settings.trace_events > 0).then(|| Tracing::new(node, settings.trace_events));
        let serving = Serving {
            listener,
            addr: advertised,
            connections_max,
            shutdown: Box::pin(closed.stopped()),
            numbers: numbers.clone(),
            blocks: Arc::new(Blocks { reader: journal.reader(), head }),
            happenings: happenings.clone(),
            trace: tracing.clone().map(|it| Arc::new(it) as Arc<dyn TraceReader>),
        };
        let server = wire.spawn(serve(inbox.clone(), serving));
        let (notify, asks) = (Arc::new(Notify::from_env()), inbox.clone());
        let meter = match web {
            Some(listener) => Some(serve_web(&wire, listener, inbox.clone(), &journal, &settings, &closed)?),
            None => None,
        };
        let dialer = Dialer { wire: wire.handle().clone(), inbox, deadline: CALL_DEADLINE };
        let port = Grpc::new(node, dialer, numbers.clone(), happenings).metered(meter).traced(tracing);
        let driver = Driver::new(machine(stopwatch.now()), journal, port, numbers);
        let stopping = stop.stopped();
        let node = on_loop_thread(driver::run(driver, arrivals, stop, stopwatch))?;
        begun.stop();
        announce(&line, addr, settings.ready_file.as_ref())?;
        notify.ready(&format!("at {addr}"));
        wire.spawn(supervise(Arc::clone(&notify), asks, stopping));
        let ended = node.join().unwrap_or_else(|_| Err("the loop panicked; see the log".to_owned()));
        notify.stopping();
        closed.stop();
        wire.block_on(async {
            // Streams are given a moment to end; the process leaves anyway.
            let _ = tokio::time::timeout(CLOSE_MAX, server).await;
        });
        // A name that is being looked up would be waited for.
        wire.shutdown_background();
        ended.map_err(BootError::Ended)
    }
}

/// Metrics and health, on an address of their own. Gives what counts for them.
fn serve_web<F: Fold>(
    wire: &Runtime,
    listener: TcpListener,
    node: mpsc::Sender<Arrival>,
    journal: &Journal<F>,
    settings: &Settings,
    closed: &Stop,
) -> Result<Meter, BootError> {
    let counts = Counts::new().map_err(std::io::Error::other)?;
    tracing::info!("{}", http::said(listener.local_addr()?));
    let (stats, dir) = (Box::new(journal.watch_stats()), settings.data_dir.clone());
    let source = http::Source { node, counts: Arc::clone(&counts), stats, dir };
    wire.spawn(http::serve(listener, http::router(source), http::Room::NODE, closed.stopped()));
    Ok(Meter::new(counts))
}

/// The token that replaced the store's first one, if any.
pub(crate) fn replaced_token(extra: &BTreeMap<String, Vec<u8>>) -> Option<Token> {
    extra.get(TOKEN)?.as_slice().try_into().ok().map(Token)
}

/// Keeps a supervisor informed until the node is told to stop.
async fn supervise(notify: Arc<Notify>, node: mpsc::Sender<Arrival>, stopping: impl Future<Output = ()>) {
    let told = async {
        notify.watch(node).await;
        std::future::pending().await
    };
    tokio::select! { () = stopping => notify.stopping(), () = told => {} }
}

fn on_loop_thread(
    node: impl Future<Output = Result<(), String>> + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<Result<(), String>>> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new().name("loop".to_owned()).spawn(move || runtime.block_on(node))
}
