//! From a command line to a running node: directory, recovery, runtime, server, loop, and a clean end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{broadcast, mpsc};

use super::life::{Settings, Stop, announce, end_with_parent, stop_at_signals, wire_runtime};
use super::{peer, warehouse};
use crate::journal::{self, Birth, OpenError, Reader, Recovered, exit_on_failure};
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, CALL_DEADLINE, CLOSE_MAX, EVENTS_MAX, INBOX_MAX};
use crate::model::catalogue;
use crate::model::clock::Clock;
use crate::model::fold::Fold;
use crate::model::market::Market;
use crate::model::peer::PeerState;
use crate::model::shopper::Habits;
use crate::model::warehouse::Rules;
use crate::types::{Money, PeerId, ProcessId, Quantity, Role, Seq, Token};
use crate::wire::client::{CallError, Dialer, Node};
use crate::wire::messages::Catalogue;
use crate::wire::server::{BlockReader, DumpHead, Serving, listen, serve_peer, serve_warehouse};

/// Name in `meta` of a token that replaced the store's first one.
pub const TOKEN: &str = "token";

/// Why a node did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address cannot be listened at.
    #[error("cannot listen at {addr}: {why}")]
    Listen {
        /// Where.
        addr: String,
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
    /// The system refused something that every process needs.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// The store has a warehouse's identity and not a peer's, or another peer's.
    #[error("{0}")]
    Identity(String),
    /// The node ended badly.
    #[error("{0}")]
    Ended(String),
}

/// What a warehouse is told.
#[derive(Clone, Debug)]
pub struct WarehouseSpec {
    /// Common to all nodes.
    pub settings: Settings,
    /// The market's id, if somebody chose one; else a new store makes one.
    pub cluster: Option<String>,
    /// The trader's share in percent.
    pub commission_percent: u8,
    /// Initial goods of a new ledger.
    pub goods: Vec<(String, Quantity, Money)>,
}

/// What a peer is told.
#[derive(Clone, Debug)]
pub struct PeerSpec {
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
pub fn new_token() -> Result<Token, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Token(bytes))
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
pub fn run_warehouse(spec: WarehouseSpec) -> Result<(), BootError> {
    let (wire, stops, settings) = (wire_runtime()?, Stops::default(), spec.settings);
    watch_for_the_end(&wire, &stops, &settings)?;
    let listener = bind(&wire, &settings)?;
    let addr = listener.local_addr()?;
    let cluster = spec.cluster.clone().unwrap_or_else(new_cluster);
    let token = new_token().map_err(std::io::Error::other)?;
    let birth = Birth::new(&cluster, PeerId::WAREHOUSE, "warehouse", token);
    let Recovered { journal, state, recovery, clock } =
        open::<Market>(&settings, birth, spec.cluster.as_deref(), addr)?;
    let meta = journal.meta().clone();
    let process = ProcessId { starts: meta.starts, random: random_u64(), ..ProcessId::default() };
    let (happenings, _) = broadcast::channel(EVENTS_MAX);
    let rules = Rules {
        commission_percent: spec.commission_percent,
        suspect_after_ms: settings.suspect_after_ms,
        starts: meta.starts,
    };
    let head = DumpHead { peer: PeerId::WAREHOUSE, cluster: meta.cluster.clone(), ..DumpHead::default() };
    let blocks = Arc::new(Blocks { reader: journal.reader(), head });
    let parts = warehouse::Parts {
        market: state,
        clock: Clock::starting_at(clock),
        journal,
        rules,
        cluster: meta.cluster,
        process,
        settings: settings.clone(),
        addr: settings.advertise.unwrap_or(addr).to_string(),
        happenings: happenings.clone(),
    };
    let (inbox, inputs) = mpsc::channel(INBOX_MAX);
    let serving = Serving { listener, shutdown: Box::pin(stops.closed.stopped()), blocks, happenings };
    let server = wire.spawn(serve_warehouse(inbox, serving));
    let line = recovery.line("ledger", 0);
    let goods = spec.goods;
    let run = move |stop: Stop| {
        on_loop_thread(async move {
            let mut node = warehouse::Loop::new(parts);
            node.stock_if_new(&goods);
            node.run(inputs, stop).await
        })
    };
    live(&wire, stops, server, run, || announce(&line, addr, settings.ready_file.as_ref()))
}

/// Runs a peer until it is told to stop.
///
/// # Errors
/// See [`BootError`].
pub fn run_peer(spec: PeerSpec) -> Result<(), BootError> {
    let (wire, stops, settings) = (wire_runtime()?, Stops::default(), spec.settings);
    watch_for_the_end(&wire, &stops, &settings)?;
    let listener = bind(&wire, &settings)?;
    let addr = listener.local_addr()?;
    let birth = if journal::exists(&settings.data_dir)? {
        None
    } else {
        Some(peer_birth(&wire, &spec.warehouse, spec.id, spec.role)?)
    };
    let Recovered { journal, state, recovery, clock } =
        open_maybe::<PeerState>(&settings, birth, spec.cluster.as_deref(), addr)?;
    let meta = journal.meta().clone();
    if meta.node != spec.id {
        let text = format!(
            "{} is the directory of peer {}, not of peer {}",
            settings.data_dir.display(),
            meta.node,
            spec.id
        );
        return Err(BootError::Identity(text));
    }
    let token = replaced_token(&meta.extra).unwrap_or(meta.token);
    let epoch = state.opened.map(|(_, epoch)| epoch).unwrap_or_default();
    let process = ProcessId { epoch, starts: meta.starts, random: random_u64() };
    let (inbox, inputs) = mpsc::channel(INBOX_MAX);
    let (happenings, _) = broadcast::channel(EVENTS_MAX);
    let head = DumpHead { peer: spec.id, cluster: meta.cluster.clone(), ..DumpHead::default() };
    let blocks = Arc::new(Blocks { reader: journal.reader(), head });
    let pending = state.accepted.len() + state.open.len();
    let me = peer::Me {
        id: spec.id,
        cluster: meta.cluster,
        epoch,
        token,
        process,
        addr: settings.advertise.unwrap_or(addr).to_string(),
        role: spec.role,
        settings: settings.clone(),
    };
    let parts = peer::Parts {
        state,
        clock: Clock::starting_at(clock),
        journal,
        me,
        habits: spec.habits,
        goods: goods_in(&meta.extra),
        warehouse: spec.warehouse,
        neighbours: spec.neighbours,
        join: spec.join,
        no_preempt: spec.no_preempt,
        queue_max: spec.queue_max,
        dialer: Dialer { wire: wire.handle().clone(), inbox: inbox.clone(), deadline: CALL_DEADLINE },
        happenings: happenings.clone(),
    };
    let serving = Serving { listener, shutdown: Box::pin(stops.closed.stopped()), blocks, happenings };
    let server = wire.spawn(serve_peer(inbox, serving));
    let line = recovery.line("journal", pending);
    let run = move |stop: Stop| on_loop_thread(async move { peer::Loop::new(parts).run(inputs, stop).await });
    live(&wire, stops, server, run, || announce(&line, addr, settings.ready_file.as_ref()))
}

fn bind(wire: &tokio::runtime::Runtime, settings: &Settings) -> Result<tokio::net::TcpListener, BootError> {
    let addr = settings.listen;
    wire.block_on(listen(addr))
        .map_err(|error| BootError::Listen { addr: addr.to_string(), why: error.to_string() })
}

fn open<F: Fold>(
    settings: &Settings,
    birth: Birth,
    cluster: Option<&str>,
    addr: std::net::SocketAddr,
) -> Result<Recovered<F>, BootError> {
    open_maybe(settings, Some(birth), cluster, addr)
}

fn open_maybe<F: Fold>(
    settings: &Settings,
    birth: Option<Birth>,
    cluster: Option<&str>,
    addr: std::net::SocketAddr,
) -> Result<Recovered<F>, BootError> {
    let dir: &Path = &settings.data_dir;
    Ok(journal::open::<F>(dir, birth, cluster, &addr.to_string(), exit_on_failure())?)
}

/// A new peer's store belongs to the warehouse's market and knows its goods: waits for the warehouse to say so.
fn peer_birth(
    wire: &tokio::runtime::Runtime,
    addr: &str,
    node: PeerId,
    role: Role,
) -> Result<Birth, BootError> {
    let catalogue = wire
        .block_on(catalogue_within(addr, crate::limits::START_MAX))
        .map_err(|why| BootError::Warehouse { addr: addr.to_owned(), why })?;
    let token = new_token().map_err(std::io::Error::other)?;
    Ok(birth_in(&catalogue, node, role.name(), token))
}

/// A new store in the market of this catalogue, which it keeps.
pub fn birth_in(catalogue: &Catalogue, node: PeerId, role: &str, token: Token) -> Birth {
    let goods = catalogue::Catalogue::from_iter(catalogue.goods.iter().cloned());
    let extra = BTreeMap::from([(catalogue::GOODS.to_owned(), goods.to_json())]);
    Birth { extra, ..Birth::new(&catalogue.cluster, node, role, token) }
}

/// Asks for the catalogue until the warehouse answers or time is up.
async fn catalogue_within(addr: &str, limit: Duration) -> Result<Catalogue, CallError> {
    let began = tokio::time::Instant::now();
    let mut wait = BACKOFF_MIN;
    loop {
        let asked = async { Node::connect(addr, CALL_DEADLINE).await?.catalogue().await };
        match asked.await {
            Ok(catalogue) => return Ok(catalogue),
            Err(error) if began.elapsed() > limit => return Err(error),
            Err(_) => tokio::time::sleep(wait).await,
        }
        wait = (wait * 2).min(BACKOFF_MAX);
    }
}

/// The token that replaced the store's first one, if any.
pub fn replaced_token(extra: &BTreeMap<String, Vec<u8>>) -> Option<Token> {
    extra.get(TOKEN)?.as_slice().try_into().ok().map(Token)
}

/// The goods as a peer's store keeps them.
fn goods_in(extra: &BTreeMap<String, Vec<u8>>) -> Vec<(String, Money)> {
    let json = extra.get(catalogue::GOODS).map(Vec::as_slice).unwrap_or_default();
    catalogue::Catalogue::from_json(json).0.into_iter().map(|good| (good.name, good.unit_price)).collect()
}

fn on_loop_thread(
    node: impl Future<Output = Result<(), String>> + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<Result<(), String>>> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new().name("loop".to_owned()).spawn(move || runtime.block_on(node))
}

/// The switches of a life.
#[derive(Default)]
struct Stops {
    /// The loop is to end.
    stop: Stop,
    /// The loop runs: from here on it is asked before the process ends.
    begun: Stop,
    /// The server is to end.
    closed: Stop,
}

/// First of all: a start may take long, and has to end with the parent and at signals, too.
fn watch_for_the_end(
    wire: &tokio::runtime::Runtime,
    stops: &Stops,
    settings: &Settings,
) -> std::io::Result<()> {
    wire.block_on(async { stop_at_signals(stops.stop.clone(), stops.begun.clone()) })?;
    if settings.parent_pipe {
        end_with_parent(stops.stop.clone());
    }
    Ok(())
}

/// The common life: the loop, then the end of the server.
fn live(
    wire: &tokio::runtime::Runtime,
    stops: Stops,
    server: tokio::task::JoinHandle<Result<(), crate::wire::server::ServeError>>,
    run: impl FnOnce(Stop) -> std::io::Result<std::thread::JoinHandle<Result<(), String>>>,
    serving: impl FnOnce() -> std::io::Result<()>,
) -> Result<(), BootError> {
    let Stops { stop, begun, closed } = stops;
    let node = run(stop)?;
    begun.stop();
    serving()?;
    let ended = node.join().unwrap_or_else(|_| Err("the loop panicked; see the log".to_owned()));
    closed.stop();
    wire.block_on(async {
        // Streams are given a moment to end; the process leaves anyway.
        let _ = tokio::time::timeout(CLOSE_MAX, server).await;
    });
    ended.map_err(BootError::Ended)
}
