//! `bazaar up`, `buy`, `sell` and `status`: running a market and trading in it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::node::{KeepFlags, LogFlags, MarketFlags, ShopperFlags, TimerFlags};
use super::value::{self, Pieces};
use crate::limits::{HOPS_MAX, PEERS_MAX, TRACE_EVENTS_MAX, TRACE_EVENTS_UP};
use crate::types::{Consistency, Number, OrderId, PeerId, WallMicros};

/// The market's directory unless said otherwise.
pub(crate) const MARKET_DIR: &str = crate::journal::mend::MARKET_DIR;
/// The entry of the configuration files unless said otherwise.
const NODES: u32 = 6;

/// What `up` does about a node that dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    /// Nothing.
    #[default]
    Never,
    /// Starts it again on its store.
    OnCrash,
}

/// Who is in the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// This entry of the configuration files.
    Configured {
        /// Number of peers.
        nodes: u32,
    },
    /// A ring of buyers, sellers and two idle peers.
    Ring {
        /// Buyers.
        buyers: u32,
        /// Sellers.
        sellers: u32,
    },
}

/// `bazaar up`.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Peers: the entry of that number in the configuration files [default: 6]
    #[arg(long, value_name = "N", conflicts_with_all = ["buyers", "sellers"], allow_hyphen_values = true)]
    nodes: Option<u32>,
    /// Buyers of a ring: peers 1 to B, with two idle peers on top
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(..=i64::from(PEERS_MAX)), requires = "sellers", allow_hyphen_values = true)]
    buyers: Option<u32>,
    /// Sellers of a ring: peers B+1 to B+S
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(..=i64::from(PEERS_MAX)), requires = "buyers", allow_hyphen_values = true)]
    sellers: Option<u32>,
    /// The market's directory
    #[arg(long, value_name = "DIR", default_value = MARKET_DIR, env = "BAZAAR_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The warehouse's port; peer i listens on it plus i; 0: any free ones
    #[arg(long, value_name = "PORT", default_value = "7700", value_parser = value::base_port, allow_hyphen_values = true, env = "BAZAAR_BASE_PORT")]
    pub base_port: u16,
    /// End after this time [default: at Ctrl-C, or when the requests are done]
    #[arg(long, value_name = "TIME", value_parser = value::period)]
    pub duration: Option<Duration>,
    /// See [`ShopperFlags`].
    #[command(flatten)]
    pub shopper: ShopperFlags,
    /// See [`MarketFlags`].
    #[command(flatten)]
    pub market: MarketFlags,
    /// See [`KeepFlags`].
    #[command(flatten)]
    pub keep: KeepFlags,
    /// See [`TimerFlags`].
    #[command(flatten)]
    pub timers: TimerFlags,
    /// See [`LogFlags`].
    #[command(flatten)]
    pub log: LogFlags,
    /// Messages and other events that each node remembers for `bazaar trace`, in memory; 0: none
    #[arg(long, value_name = "N", default_value_t = TRACE_EVENTS_UP, value_parser = clap::value_parser!(u64).range(0..=TRACE_EVENTS_MAX), allow_hyphen_values = true)]
    pub trace_events: u64,
    /// Address at which the market's page is served, with metrics of this process; port 0: any free one
    #[arg(long, value_name = "ADDR", value_parser = value::listen, default_value = "127.0.0.1:0")]
    pub http: SocketAddr,
    /// Serve no page
    #[arg(long, conflicts_with = "http")]
    pub no_page: bool,
    /// Nodes reach each other through this process, so that the page can cut the link between two
    #[arg(long, conflicts_with = "no_page")]
    pub proxied: bool,
    /// What to do about a node that dies
    #[arg(long, value_name = "WHEN", value_enum, default_value = "never")]
    pub restart: Restart,
    /// Remove the market that is in the directory and begin a new one
    #[arg(long)]
    pub fresh: bool,
}

impl UpArgs {
    /// Who is in the market, whose last run had so many peers: unless another number is asked for, no fewer.
    pub(crate) fn shape(&self, before: u32) -> Shape {
        match (self.buyers, self.sellers) {
            (Some(buyers), Some(sellers)) => Shape::Ring { buyers, sellers },
            _ => Shape::Configured { nodes: self.nodes.unwrap_or(NODES.max(before)) },
        }
    }

    /// What no single flag's parser can see.
    pub(super) fn check(&self) -> Result<(), value::ValueError> {
        match self.shape(0) {
            Shape::Ring { buyers, sellers } if buyers + sellers + 2 > PEERS_MAX => Err(value::ValueError {
                why: format!(
                    "--buyers {buyers} and --sellers {sellers} with two traders exceed {PEERS_MAX} peers"
                ),
                mend: format!("ask for at most {} in all", PEERS_MAX - 2),
            }),
            Shape::Configured { nodes } if nodes < 2 => Err(value::ValueError {
                why: format!("--nodes {nodes}: more traders than peers, the market has two traders"),
                mend: "ask for at least 2, or leave --nodes out".into(),
            }),
            _ => Ok(()),
        }
    }
}

/// How a client command finds the market.
#[derive(Args, Clone, Debug)]
pub struct ConnectFlags {
    /// Address of a node [default: the warehouse in DIR/cluster.json]
    #[arg(long, value_name = "ADDR", value_parser = value::addr, env = "BAZAAR_CONNECT")]
    pub connect: Option<value::NodeAddr>,
    /// The market's directory
    #[arg(long, value_name = "DIR", default_value = MARKET_DIR, env = "BAZAAR_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// What `buy` and `sell` have in common.
#[derive(Args, Clone, Debug)]
pub struct OrderFlags {
    /// See [`ConnectFlags`].
    #[command(flatten)]
    pub market: ConnectFlags,
    /// A running peer's id: that peer places the order [default: a client identity kept with the market]
    #[arg(long = "as", value_name = "PEER", value_parser = value::orderer, allow_hyphen_values = true, env = "BAZAAR_AS")]
    pub orderer: Option<PeerId>,
    /// Trader to ask first
    #[arg(long, value_name = "TRADER", value_parser = value::peer, allow_hyphen_values = true)]
    pub via: Option<PeerId>,
    /// Number of the order, to ask an earlier one again [default: the next one]
    #[arg(long, value_name = "N", value_parser = value::number, allow_hyphen_values = true)]
    pub number: Option<Number>,
    /// Bound of the whole order; --timeout bounds one call
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::period, env = "BAZAAR_DEADLINE")]
    pub deadline: Duration,
}

/// `bazaar buy`.
#[derive(Args, Clone, Debug)]
pub struct BuyArgs {
    /// What to buy, and how many pieces (1 if left out)
    #[arg(value_name = "GOOD[=N]", value_parser = value::wanted)]
    pub pieces: Pieces,
    /// Take fewer pieces than asked when the stock is short
    #[arg(long)]
    pub partial: bool,
    /// See [`OrderFlags`].
    #[command(flatten)]
    pub order: OrderFlags,
}

/// `bazaar sell`.
#[derive(Args, Clone, Debug)]
pub struct SellArgs {
    /// What to deposit for sale, and how many pieces
    #[arg(value_name = "GOOD=N", value_parser = value::offered)]
    pub pieces: Pieces,
    /// See [`OrderFlags`].
    #[command(flatten)]
    pub order: OrderFlags,
}

/// A running peer, by its address or by its id.
#[derive(Args, Clone, Debug)]
pub struct PeerFlags {
    /// See [`ConnectFlags`].
    #[command(flatten)]
    pub market: ConnectFlags,
    /// The peer's id; --connect may then name any node
    #[arg(long, value_name = "N", value_parser = value::peer, allow_hyphen_values = true)]
    pub peer: Option<PeerId>,
}

/// `bazaar leave`.
#[derive(Args, Clone, Debug)]
pub struct LeaveArgs {
    /// See [`PeerFlags`].
    #[command(flatten)]
    pub of: PeerFlags,
}

/// `bazaar resign`.
#[derive(Args, Clone, Debug)]
pub struct ResignArgs {
    /// See [`PeerFlags`].
    #[command(flatten)]
    pub of: PeerFlags,
    /// Who takes the office over [default: whom the peers elect]
    #[arg(long, value_name = "PEER", value_parser = value::peer, allow_hyphen_values = true)]
    pub to: Option<PeerId>,
}

/// `bazaar find`.
#[derive(Args, Clone, Debug)]
pub struct FindArgs {
    /// What is looked for
    #[arg(value_name = "GOOD")]
    pub good: String,
    /// Links that the lookup may go over [default: as many as reach every peer]
    #[arg(long, value_name = "H", value_parser = clap::value_parser!(u32).range(0..=i64::from(HOPS_MAX)), allow_hyphen_values = true)]
    pub hops: Option<u32>,
    /// The peer that looks for it [default: the lowest that answers]
    #[arg(long, value_name = "PEER", value_parser = value::peer, allow_hyphen_values = true)]
    pub from: Option<PeerId>,
    /// See [`ConnectFlags`].
    #[command(flatten)]
    pub market: ConnectFlags,
}

/// `bazaar trace`.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Draw what carried this order and told of it
    #[arg(long, value_name = "P-N", value_parser = value::order_id)]
    pub order: Option<OrderId>,
    /// From this time on: 30s (that long ago) or 2026-11-25T10:00Z [default: 10s before --to; of an order all]
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    pub from: Option<WallMicros>,
    /// Up to this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    pub to: Option<WallMicros>,
    /// The file to write [default: stdout]
    #[arg(long, value_name = "FILE.svg")]
    pub out: Option<PathBuf>,
    /// See [`ConnectFlags`].
    #[command(flatten)]
    pub market: ConnectFlags,
}

impl TraceArgs {
    /// What no single flag's parser can see.
    pub(super) fn check(&self) -> Result<(), value::ValueError> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => Err(value::ValueError {
                why: format!("--from {from} is after --to {to}"),
                mend: "swap them".into(),
            }),
            _ => Ok(()),
        }
    }
}

/// `bazaar page`.
#[derive(Args, Clone, Debug)]
pub struct PageArgs {
    /// Address at which the page is served; port 0: any free one
    #[arg(long, value_name = "ADDR", value_parser = value::listen, default_value = "127.0.0.1:0")]
    pub http: SocketAddr,
    /// See [`ConnectFlags`].
    #[command(flatten)]
    pub market: ConnectFlags,
}

/// `bazaar mode`.
#[derive(Args, Clone, Debug)]
pub struct ModeArgs {
    /// When traders answer from now on: cacheless, cached or escrow
    #[arg(value_name = "MODE", value_parser = value::consistency)]
    pub mode: Consistency,
    /// See [`ConnectFlags`].
    #[command(flatten)]
    pub market: ConnectFlags,
}

/// `bazaar release`.
#[derive(Args, Clone, Debug)]
pub struct ReleaseArgs {
    /// The term, as status names it
    #[arg(long, value_name = "N")]
    pub term: u64,
    /// What the term had sold and nobody has reported is lost: without this nothing is done
    #[arg(long)]
    pub accept_loss: bool,
    /// See [`ConnectFlags`].
    #[command(flatten)]
    pub market: ConnectFlags,
}

/// `bazaar status`.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// See [`ConnectFlags`].
    #[command(flatten)]
    pub market: ConnectFlags,
    /// Keep showing it until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// How often --watch looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = value::period, requires = "watch")]
    pub interval: Duration,
}
