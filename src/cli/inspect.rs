//! `bazaar dump` and `verify`: reading stores after the fact.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::market::MARKET_DIR;
use super::value::{self, ValueError};
use crate::types::{OrderId, PeerId, Seq, Term, WallMicros};

/// What of a store is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum View {
    /// The warehouse's rows, one per record
    Ledger,
    /// Stock per product
    Inventory,
    /// Money per peer
    Accounts,
    /// Orders that a trader has accepted and that have no outcome yet
    Queue,
    /// A peer's own orders and what it was told
    Orders,
    /// Sessions of the peers' stores
    Sessions,
    /// Who holds the offices
    Offices,
    /// What the store says of itself
    Meta,
    /// Counts, chain head and time span
    #[default]
    Summary,
}

impl View {
    /// As typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            View::Ledger => "ledger",
            View::Inventory => "inventory",
            View::Accounts => "accounts",
            View::Queue => "queue",
            View::Orders => "orders",
            View::Sessions => "sessions",
            View::Offices => "offices",
            View::Meta => "meta",
            View::Summary => "summary",
        }
    }
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// One object per line
    Jsonl,
    /// With a header line
    Csv,
}

/// What is read: stores on disk, or a running node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Directories of nodes or markets.
    Dirs(Vec<PathBuf>),
    /// A running node.
    Node(value::NodeAddr),
}

/// Which stores are read.
#[derive(Args, Clone, Debug)]
pub struct StoreFlags {
    /// Directory of a node or of a whole market; of a running node, its owner is asked (repeatable)
    #[arg(long, value_name = "DIR", default_value = MARKET_DIR, env = "BAZAAR_DATA_DIR")]
    data_dir: Vec<PathBuf>,
    /// A running node, instead of a directory
    #[arg(long, value_name = "ADDR", value_parser = value::addr)]
    connect: Option<value::NodeAddr>,
    /// A file that `archive` made of the ledger, read before what the store still has (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with = "connect")]
    archive: Vec<PathBuf>,
}

impl StoreFlags {
    /// Archives of the ledger.
    pub(crate) fn archives(&self) -> &[PathBuf] {
        &self.archive
    }

    /// What is read.
    pub(crate) fn target(&self) -> Target {
        match &self.connect {
            Some(addr) => Target::Node(addr.clone()),
            None => Target::Dirs(self.data_dir.clone()),
        }
    }
}

/// `bazaar dump`.
#[derive(Args, Clone, Debug)]
pub struct DumpArgs {
    /// What to show
    #[arg(value_enum, default_value = "summary", hide_possible_values = false)]
    pub view: View,
    /// See [`StoreFlags`].
    #[command(flatten)]
    pub stores: StoreFlags,
    /// See [`Filter`].
    #[command(flatten)]
    pub filter: Filter,
    /// State as it was after that row, or at that time: 10s (that long ago) or 2026-11-25T10:00:01.5Z (inventory,
    /// accounts, sessions, offices, queue, orders)
    #[arg(long, value_name = "SEQ|TIME", value_parser = at)]
    pub at: Option<At>,
    /// Look at every row, instead of the node's checkpoint and what came after it
    #[arg(long)]
    pub scan: bool,
    /// Stay, and print new rows of a running node as they become durable; earlier ones with --tail or --from (ledger)
    #[arg(short, long, conflicts_with_all = ["reverse", "at", "diff"])]
    pub follow: bool,
    /// Newest first
    #[arg(long)]
    pub reverse: bool,
    /// The last so many rows, in their order (ledger)
    #[arg(short = 'n', long, value_name = "N", conflicts_with_all = ["reverse", "limit"])]
    pub tail: Option<usize>,
    /// At most so many rows [default: 50 in a table, else no limit]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// These columns only, in this order; of a table or of CSV
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// All columns of a table, whether or not they fit the terminal
    #[arg(long, conflicts_with = "columns")]
    pub wide: bool,
    /// How rows are printed [default: table]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Format>,
    /// Print keys in which this store's ledger differs, exit 5 if any
    #[arg(long, value_name = "DIR")]
    pub diff: Option<PathBuf>,
}

/// Rows of a table unless said otherwise.
const TABLE_ROWS: usize = 50;

impl DumpArgs {
    /// Rows to print at most.
    pub(crate) fn limit(&self) -> usize {
        let unlimited = self.follow || self.format.unwrap_or_default() != Format::Table;
        self.limit_or(if unlimited { usize::MAX } else { TABLE_ROWS })
    }

    /// Rows to print at most, `default` unless said otherwise.
    pub(crate) fn limit_or(&self, default: usize) -> usize {
        self.limit.unwrap_or(default)
    }

    /// What no single flag's parser can see.
    pub(super) fn check(&self, json: bool) -> Result<(), ValueError> {
        let (view, mend) = (self.view.name(), "leave it out".to_string());
        let state = !matches!(self.view, View::Ledger | View::Meta | View::Summary);
        if self.at.is_some() && !state {
            return Err(ValueError { why: format!("--at asks for a state, and {view} is none"), mend });
        }
        if let (Some(At::Time(_)), View::Orders) = (self.at, self.view) {
            let why = "--at takes no time with orders: they say themselves when they were told".into();
            return Err(ValueError { why, mend: "name a row, like --at 812".into() });
        }
        if let (Some(since), Some(until)) = (self.filter.since, self.filter.until)
            && since > until
        {
            let why = format!("--since {since} is after --until {until}");
            return Err(ValueError { why, mend: "swap them".into() });
        }
        if self.tail.is_some() && self.view != View::Ledger {
            let mend = "use --reverse --limit N".to_string();
            return Err(ValueError { why: format!("--tail shows rows of the ledger, not {view}"), mend });
        }
        if let (Some(from), Some(to)) = (self.filter.from, self.filter.to)
            && from > to
        {
            return Err(ValueError {
                why: format!("--from {from} is above --to {to}"),
                mend: "swap them".into(),
            });
        }
        self.check_idle(json)
    }

    /// Refuses flags that would do nothing.
    fn check_idle(&self, json: bool) -> Result<(), ValueError> {
        let view = self.view.name();
        if let Some(format) = self.format.and_then(|format| format.to_possible_value()).filter(|_| json) {
            let name = format.get_name();
            let why = format!("--json prints one object, and --format {name} prints {name}");
            return Err(ValueError { why, mend: "leave one of them out".into() });
        }
        let table = !json && self.format.unwrap_or_default() == Format::Table;
        if self.wide && !table {
            return value::refuse("--wide is for tables: other formats have all columns", "leave it out");
        }
        if !self.columns.is_empty() && !table && self.format != Some(Format::Csv) {
            return value::refuse(
                "--columns is for a table or CSV: an object has all keys",
                "add --format csv",
            );
        }
        if !matches!(self.view, View::Summary | View::Meta) {
            return Ok(());
        }
        let life = self.view == View::Summary && self.filter.order.is_some();
        let of_rows = [
            ("--reverse", self.reverse),
            ("--limit", self.limit.is_some()),
            ("--columns", !self.columns.is_empty()),
            ("--wide", self.wide),
        ];
        let given = self
            .filter
            .given()
            .into_iter()
            .chain(of_rows)
            .find(|(flag, given)| *given && (!life || *flag != "--order"));
        match given {
            Some((flag, _)) if life => {
                let why = format!("{flag} does nothing beside --order, which shows one order's life");
                Err(ValueError { why, mend: format!("leave {flag} out") })
            }
            Some((flag, _)) => Err(ValueError {
                why: format!("{flag} chooses rows, and {view} has none to choose from"),
                mend: format!("name a view that is made of rows, as in: bazaar dump ledger {flag} ..."),
            }),
            None => Ok(()),
        }
    }
}

/// Of when a state is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After this row of one node's log.
    Row(Seq),
    /// At this time by the nodes' own clocks.
    Time(WallMicros),
}

fn at(text: &str) -> Result<At, ValueError> {
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => seq(text).map(At::Row),
        false => value::moment(text).map(At::Time).map_err(|error| ValueError {
            why: "no row, time ago or moment".into(),
            mend: format!("{}, or 812 for a row", error.mend),
        }),
    }
}

/// Which rows are shown; all that are given must hold.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// From this sequence on
    #[arg(long, value_name = "SEQ", value_parser = seq)]
    pub from: Option<Seq>,
    /// Up to this sequence
    #[arg(long, value_name = "SEQ", value_parser = seq)]
    pub to: Option<Seq>,
    /// From this time on: 1h (that long ago) or 2026-11-25T10:00Z. Clocks may jump: rows are looked at one by one
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    pub since: Option<WallMicros>,
    /// Up to this time
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    pub until: Option<WallMicros>,
    /// Rows of this peer or client
    #[arg(long, value_name = "PEER", value_parser = value::orderer)]
    pub peer: Option<PeerId>,
    /// This order; over several stores: its life
    #[arg(long, value_name = "P-N", value_parser = value::order_id)]
    pub order: Option<OrderId>,
    /// Settled or held by this trader
    #[arg(long, value_name = "PEER", value_parser = value::peer)]
    pub trader: Option<PeerId>,
    /// Of this good
    #[arg(long, value_name = "GOOD")]
    pub product: Option<String>,
    /// Under this grant
    #[arg(long, value_name = "TERM", value_parser = term)]
    pub term: Option<Term>,
    /// Of this kind, for instance sale (repeatable, or with commas)
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<String>,
}

impl Filter {
    /// Its flags, and whether each was given.
    pub(crate) fn given(&self) -> [(&'static str, bool); 10] {
        [
            ("--from", self.from.is_some()),
            ("--to", self.to.is_some()),
            ("--since", self.since.is_some()),
            ("--until", self.until.is_some()),
            ("--peer", self.peer.is_some()),
            ("--order", self.order.is_some()),
            ("--trader", self.trader.is_some()),
            ("--product", self.product.is_some()),
            ("--term", self.term.is_some()),
            ("--kind", !self.kind.is_empty()),
        ]
    }
}

/// `bazaar verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// See [`StoreFlags`].
    #[command(flatten)]
    pub stores: StoreFlags,
    /// Only these checks, V01 to V12 (repeatable, or with commas)
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = check)]
    pub check: Vec<u8>,
    /// Not these checks
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = check)]
    pub skip: Vec<u8>,
    /// Examples shown per failing check
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub max_examples: usize,
    /// A check that lacks a store is exit 6
    #[arg(long)]
    pub require_all: bool,
    /// Go on from where the verify that wrote this file ended; written when all is well
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
}

impl VerifyArgs {
    /// Whether check `number` (1 for V01) is asked for.
    pub(crate) fn wants(&self, number: u8) -> bool {
        (self.check.is_empty() || self.check.contains(&number)) && !self.skip.contains(&number)
    }

    /// What no single flag's parser can see.
    pub(super) fn checked(&self) -> Result<(), ValueError> {
        match (1..=12).any(|number| self.wants(number)) {
            true => Ok(()),
            false => value::refuse("--skip leaves no check to be made", "leave it out, or skip fewer"),
        }
    }
}

pub(super) fn seq(text: &str) -> Result<Seq, ValueError> {
    let mend = "sequences count from 1".into();
    text.parse().map(Seq).map_err(|_| ValueError { why: "not a sequence".into(), mend })
}

fn term(text: &str) -> Result<Term, ValueError> {
    let mend = "terms count from 1".into();
    text.parse().map(Term).map_err(|_| ValueError { why: "not a term".into(), mend })
}

fn check(text: &str) -> Result<u8, ValueError> {
    let number = text.strip_prefix(['V', 'v']).and_then(|digits| digits.parse().ok());
    let mend = "checks are V01 to V12".into();
    number.filter(|number| (1..=12).contains(number)).ok_or(ValueError { why: "not a check".into(), mend })
}
