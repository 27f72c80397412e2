//! `bazaar warehouse` and `bazaar peer`: one node in the foreground, started by hand or by `up`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::size::{self, Bytes};
use super::value::{self, NodeAddr, Range};
use crate::config;
use crate::limits::{KEEP_BYTES, LOG_FILES, LOG_SIZE, TRACE_EVENTS_MAX, TRADER_QUEUE_ORDERS_MAX};
use crate::types::{Consistency, PeerId, Role};

/// The warehouse's port unless said otherwise; a peer's is this plus its id.
pub(crate) const BASE_PORT: u16 = 7700;

/// How a node writes its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One object per line.
    Json,
}

/// What both kinds of node take.
#[derive(Args, Clone, Debug)]
pub struct NodeFlags {
    /// Address to listen on; port 0: any free one [default: 127.0.0.1:7700; of a peer the warehouse's port plus its id]
    #[arg(long, value_name = "ADDR", value_parser = value::listen)]
    pub listen: Option<SocketAddr>,
    /// Address that other nodes are told instead, where the one listened at is not theirs to reach (NAT, containers). A
    /// peer that listens at 0.0.0.0 needs none: others are told where the warehouse sees it
    #[arg(long, value_name = "ADDR", value_parser = value::advertised)]
    pub advertise: Option<NodeAddr>,
    /// Address at which metrics (/metrics) and health (/healthz, /readyz) are served over HTTP; port 0: any free one
    /// [default: none]
    #[arg(long, value_name = "ADDR", value_parser = value::listen, env = "BAZAAR_HTTP")]
    pub http: Option<SocketAddr>,
    /// Messages and other events that the node remembers for `bazaar trace`, in memory, 200 bytes each or less; 0: none
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=TRACE_EVENTS_MAX), allow_hyphen_values = true)]
    pub trace_events: u64,
    /// Format of the log on stderr
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "pretty", env = "BAZAAR_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// See [`LogFlags`].
    #[command(flatten)]
    pub log: LogFlags,
    /// File that is written, with the node's address in it, once the node serves
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// Cluster that the store belongs to
    #[arg(long, value_name = "ID", hide = true)]
    pub cluster: Option<String>,
    /// stdin is a pipe from the parent: end when it closes
    #[arg(long, hide = true)]
    pub parent_pipe: bool,
    /// See [`TimerFlags`].
    #[command(flatten)]
    pub timers: TimerFlags,
}

/// How much of a node's log is kept.
#[derive(Args, Clone, Copy, Debug)]
pub struct LogFlags {
    /// Size at which a node's log is rotated, where stderr is the file `log` in its directory, as with `up`
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(LOG_SIZE), value_parser = size::log_size, allow_hyphen_values = true, env = "BAZAAR_LOG_SIZE")]
    pub log_size: Bytes,
    /// Files that are kept of it: log, and log.1, log.2 ... as it was before
    #[arg(long, value_name = "N", default_value_t = LOG_FILES, value_parser = size::log_files, allow_hyphen_values = true, env = "BAZAAR_LOG_FILES")]
    pub log_files: u32,
}

/// When a silent node is suspected.
#[derive(Args, Clone, Copy, Debug)]
pub struct TimerFlags {
    /// How often the traders make sure that something is sent between them
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value::heartbeat, env = "BAZAAR_HEARTBEAT")]
    pub heartbeat: Duration,
    /// How long something may go unanswered before its receiver is suspected
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value::suspect_after, env = "BAZAAR_SUSPECT_AFTER")]
    pub suspect_after: Duration,
}

/// How much of its journal a peer keeps whole. Its own orders stay.
#[derive(Args, Clone, Copy, Debug)]
pub struct KeepFlags {
    /// What a trader noted of others' orders is removed from its journal once it is this old
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = value::duration, env = "BAZAAR_KEEP")]
    pub keep: Duration,
    /// The same while the journal's older part takes more than this
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(KEEP_BYTES), value_parser = size::bytes, allow_hyphen_values = true, env = "BAZAAR_KEEP_MAX")]
    pub keep_max: Bytes,
}

/// What peers buy and sell on their own.
#[derive(Args, Clone, Debug)]
pub struct ShopperFlags {
    /// New orders of this run per buyer [default: no end]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_hyphen_values = true)]
    pub requests: Option<u64>,
    /// Pause between a buyer's orders
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = value::duration, env = "BAZAAR_INTERVAL")]
    pub interval: Duration,
    /// Pieces per order of a buyer
    #[arg(long, value_name = "RANGE", default_value = "1-3", value_parser = value::range, allow_hyphen_values = true, env = "BAZAAR_QUANTITY")]
    pub quantity: Range,
    /// Buyers take fewer pieces than asked when the stock is short
    #[arg(long)]
    pub partial: bool,
    /// Pieces per deposit of a seller
    #[arg(long, value_name = "RANGE", default_value = "5-20", value_parser = value::range, allow_hyphen_values = true, env = "BAZAAR_DEPOSIT")]
    pub deposit: Range,
    /// Pause between a seller's deposits
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = value::duration, env = "BAZAAR_DEPOSIT_EVERY")]
    pub deposit_every: Duration,
    /// Makes what is bought and sold the same from run to run [default: random]
    #[arg(long, value_name = "N", env = "BAZAAR_SEED")]
    pub seed: Option<u64>,
    /// A higher id never takes the primary office from a lower one that lives
    #[arg(long)]
    pub no_preempt: bool,
    /// Orders that a trader goes on accepting for a warehouse that is away; beyond it they are refused
    #[arg(long, value_name = "N", default_value_t = TRADER_QUEUE_ORDERS_MAX, value_parser = value::queue, allow_hyphen_values = true, env = "BAZAAR_QUEUE_MAX")]
    pub queue_max: usize,
}

/// Properties of the whole market, which the warehouse keeps.
#[derive(Args, Clone, Debug)]
pub struct MarketFlags {
    /// Directory with topology.json, config_buyers_sellers.json and stock.json
    #[arg(long, value_name = "DIR", default_value = config::DEFAULT_DIR, env = "BAZAAR_CONFIG_DIR")]
    pub config_dir: PathBuf,
    /// When traders of a new market answer; cacheless: after the warehouse has settled; cached: from their caches, settled
    /// later; escrow: from goods set aside for each. A market keeps its mode until bazaar mode changes it [default:
    /// cacheless]
    #[arg(long, value_name = "MODE", value_parser = value::consistency, env = "BAZAAR_CONSISTENCY")]
    pub consistency: Option<Consistency>,
    /// The trader's share of each sale
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = value::percent, allow_hyphen_values = true, env = "BAZAAR_COMMISSION_PERCENT")]
    pub commission_percent: u8,
}

/// `bazaar warehouse`.
#[derive(Args, Clone, Debug)]
pub struct WarehouseArgs {
    /// The warehouse's directory
    #[arg(long, value_name = "DIR", default_value = "bazaar-data/warehouse")]
    pub data_dir: PathBuf,
    /// See [`MarketFlags`].
    #[command(flatten)]
    pub market: MarketFlags,
    /// See [`NodeFlags`].
    #[command(flatten)]
    pub node: NodeFlags,
}

impl WarehouseArgs {
    /// Where it listens.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.node.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, BASE_PORT)))
    }
}

/// `bazaar peer`.
#[derive(Args, Clone, Debug)]
pub struct PeerArgs {
    /// The peer's id, 1 to 1000
    #[arg(long, value_name = "N", value_parser = value::peer, allow_hyphen_values = true)]
    pub id: PeerId,
    /// What the peer does for itself while it holds no office
    #[arg(long, value_name = "ROLE", value_parser = role(), default_value = "idle")]
    pub role: Role,
    /// The peer's directory [default: bazaar-data/peer-N]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the warehouse listens [default: what the node of --join says; without one 127.0.0.1:7700]
    #[arg(long, value_name = "ADDR", value_parser = value::addr, env = "BAZAAR_WAREHOUSE")]
    pub warehouse: Option<NodeAddr>,
    /// A node of the market to join through (repeatable)
    #[arg(long, value_name = "ADDR", value_parser = value::addr)]
    pub join: Vec<NodeAddr>,
    /// A linked peer and its address (repeatable)
    #[arg(long, value_name = "ID[=ADDR]", value_parser = value::neighbour, hide = true)]
    pub neighbour: Vec<(PeerId, Option<NodeAddr>)>,
    /// See [`ShopperFlags`].
    #[command(flatten)]
    pub shopper: ShopperFlags,
    /// See [`KeepFlags`].
    #[command(flatten)]
    pub keep: KeepFlags,
    /// See [`NodeFlags`].
    #[command(flatten)]
    pub node: NodeFlags,
}

impl PeerArgs {
    /// Where it listens: beside its warehouse's port, so that two markets on a machine do not meet.
    pub(crate) fn listen(&self, warehouse: &str) -> SocketAddr {
        let id = self.id.0 as u16;
        let port = warehouse.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()?.checked_add(id));
        let port = port.unwrap_or(BASE_PORT + id);
        self.node.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Where its store is.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("bazaar-data/peer-{}", self.id)))
    }
}

/// `bazaar join`.
#[derive(Args, Clone, Debug)]
pub struct JoinArgs {
    /// Any living node of the market
    #[arg(value_name = "ADDR", value_parser = value::addr)]
    pub at: NodeAddr,
    /// See [`PeerArgs`].
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// The roles as typed.
fn role() -> impl clap::builder::TypedValueParser<Value = Role> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new([Role::Buyer, Role::Seller, Role::Idle].map(Role::name)).map(|name| match name
        .as_str()
    {
        "buyer" => Role::Buyer,
        "seller" => Role::Seller,
        _ => Role::Idle,
    })
}
