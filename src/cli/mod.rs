//! What was typed, as validated options; an error names the flag and the value, and how to mend it.
//!
//! In: the arguments and the `BAZAAR_*` environment. Out: a [`Cli`] whose values need no further check, or text to print
//! and an exit code. A flag wins over the environment, that over the configuration files, those over the default.

mod bench;
mod experiment;
mod inspect;
mod keep;
mod market;
mod meant;
mod node;
mod simulate;
mod size;
mod soak;
mod usage;
mod value;
mod variable;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use bench::{BenchArgs, BenchFlags, BenchLoadArgs, BenchTarget, InspectFlags, RecoveryFlags};
use clap::{ArgAction, Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
pub(crate) use experiment::{EXPERIMENTS, ExperimentArgs};
pub(crate) use inspect::{At, DumpArgs, Filter, Format, Target, VerifyArgs, View};
pub(crate) use keep::{ArchiveArgs, BackupArgs, RestoreArgs};
pub(crate) use market::{
    BuyArgs, ConnectFlags, FindArgs, LeaveArgs, MARKET_DIR, ModeArgs, OrderFlags, PageArgs, PeerFlags,
    ReleaseArgs, ResignArgs, Restart, SellArgs, Shape, StatusArgs, TraceArgs, UpArgs,
};
pub(crate) use node::{
    BASE_PORT, JoinArgs, KeepFlags, LogFormat, MarketFlags, NodeFlags, PeerArgs, ShopperFlags, WarehouseArgs,
};
pub(crate) use simulate::SimulateArgs;
pub(crate) use soak::{FaultKind, KeepStores, SoakArgs};
pub(crate) use usage::Stop;
pub(crate) use value::{NodeAddr, Pieces, order_id};
pub(crate) use variable::Setting;

/// A peer-to-peer marketplace whose nodes can be killed at any instruction and lose nothing.
#[derive(Clone, Debug, Parser)]
#[command(name = "bazaar", version, max_term_width = 100, arg_required_else_help = true, disable_help_subcommand = true, before_help = EXAMPLES)]
pub struct Cli {
    /// See [`Global`].
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Variables that values came from.
    #[arg(skip)]
    pub settings: Vec<Setting>,
}

const EXAMPLES: &str = "Examples:
  bazaar up                       a market of six peers on this machine
  bazaar buy fish=3               buy from the shell
  bazaar status --watch           who holds which office, what is in stock
  bazaar dump ledger --limit 20   what happened, row by row
  bazaar verify                   check every promise from the records alone";

/// Flags of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print one JSON object on stdout instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more, and even more when repeated
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// When to colour
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        env = "BAZAAR_COLOR"
    )]
    pub color: ColorChoice,
    /// Bound of one network call
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = value::period, env = "BAZAAR_TIMEOUT")]
    pub timeout: Duration,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a whole market on this machine, each node its own process
    #[command(before_help = "Examples:
  bazaar up                                     six peers until Ctrl-C
  bazaar up --nodes 8 --requests 50             until every buyer had 50 answers
  bazaar up --buyers 10 --sellers 5 --duration 1m --interval 10ms
  bazaar up --fresh --base-port 0 --json        a new market on free ports, its summary as JSON")]
    Up(Box<UpArgs>),
    /// Run the warehouse, in the foreground
    #[command(before_help = "Examples:
  bazaar warehouse
  bazaar warehouse --listen :7700 --data-dir /var/lib/bazaar/warehouse --log-format json")]
    Warehouse(Box<WarehouseArgs>),
    /// Run one peer, in the foreground
    #[command(before_help = "Examples:
  bazaar peer --id 1 --role buyer
  bazaar peer --id 7 --warehouse :7700 --join :7701 --data-dir /var/lib/bazaar/peer-7")]
    Peer(Box<PeerArgs>),
    /// Run one more peer, in the foreground, that joins the market at any of its nodes
    #[command(before_help = "Examples:
  bazaar join :7701 --id 7
  bazaar join 10.0.0.5:7700 --id 7 --role buyer --listen 10.0.0.7:7707 --data-dir /var/lib/bazaar/peer-7")]
    Join(Box<JoinArgs>),
    /// Buy from the shell
    #[command(before_help = "Examples:
  bazaar buy fish                one piece
  bazaar buy salt=3 --partial    three, or what is left
  bazaar buy salt=3 --number 7   ask order 7 again: it is never bought twice")]
    Buy(BuyArgs),
    /// Deposit goods for sale from the shell
    #[command(before_help = "Examples:
  bazaar sell salt=10
  bazaar sell boar=2 --as 3      peer 3 places it")]
    Sell(SellArgs),
    /// Have a trader give its office up
    #[command(before_help = "Examples:
  bazaar resign --peer 6           another one is elected
  bazaar resign --peer 6 --to 4    peer 4 takes over")]
    Resign(ResignArgs),
    /// Show nodes, offices, queues and stock, and whether the nodes agree
    #[command(before_help = "Examples:
  bazaar status
  bazaar status --watch
  bazaar status --connect :7706 --json")]
    Status(StatusArgs),
    /// Let a peer leave the market for good: it finishes what it owes, tells the others, and ends
    #[command(before_help = "Examples:
  bazaar leave --peer 4
  bazaar leave --connect :7704")]
    Leave(LeaveArgs),
    /// Ask over the links of the topology who sells a good, with a limit of hops
    #[command(before_help = "Examples:
  bazaar find fish
  bazaar find fish --hops 2 --from 1")]
    Find(FindArgs),
    /// Draw what really happened in a running market as a space-time diagram (SVG): a line a node, an arrow a message
    #[command(before_help = "Examples:
  bazaar trace --order 3-17 --out order.svg       what carried one order, and told of it
  bazaar trace --from 30s --out failover.svg      the last 30 seconds
  bazaar trace --from 2026-11-25T10:00:01Z --to 2026-11-25T10:00:02Z > second.svg")]
    Trace(TraceArgs),
    /// Serve a page on which a running market is seen, and its past; bazaar up serves one of its own
    #[command(before_help = "Examples:
  bazaar page --connect 10.0.0.5:7700
  bazaar page --data-dir bazaar-data --http 127.0.0.1:8080")]
    Page(PageArgs),
    /// Have the traders answer in another consistency mode, without stopping trade
    #[command(before_help = "Examples:
  bazaar mode cached        answered from the traders' caches, settled later: some are taken back
  bazaar mode escrow        answered from goods that are set aside for each trader: none are taken back
  bazaar mode cacheless     answered when the warehouse has settled")]
    Mode(ModeArgs),
    /// Free the goods of a trader's term that ended, though what it had sold may be lost
    #[command(before_help = "Examples:
  bazaar status                               names terms with frozen goods, and who can report them
  bazaar release --term 12 --accept-loss      both stores that have what term 12 had sold are gone")]
    Release(ReleaseArgs),
    /// Show what stores hold; never writes to them
    #[command(before_help = "Examples:
  bazaar dump                                        summary of the market in ./bazaar-data
  bazaar dump ledger --kind sale --product fish
  bazaar dump ledger --format jsonl > ledger.jsonl
  bazaar dump inventory --at 812                     as it was after row 812
  bazaar dump --order 4-3                            one order's life
  bazaar dump ledger --connect :7700 --follow        rows as they become durable")]
    Dump(Box<DumpArgs>),
    /// Check invariants V01 to V12 from the records alone
    #[command(before_help = "Examples:
  bazaar verify
  bazaar verify --data-dir bazaar-data/warehouse --data-dir bazaar-data/peer-4
  bazaar verify --check V03,V04 --max-examples 20")]
    Verify(VerifyArgs),
    /// Copy the warehouse's ledger, also of a running market
    #[command(before_help = "Examples:
  bazaar backup --out backups/monday
  bazaar backup --out backups/monday --connect :7700")]
    Backup(BackupArgs),
    /// Put a backup in the place of the warehouse's lost store
    #[command(before_help = "Examples:
  mv bazaar-data/warehouse lost
  bazaar restore --from backups/monday --accept-loss
  bazaar up")]
    Restore(RestoreArgs),
    /// Move the older part of a stopped warehouse's ledger into a file
    #[command(before_help = "Examples:
  bazaar archive --before 5000000 --out archives/first
  bazaar verify --archive archives/first")]
    Archive(ArchiveArgs),
    /// Try whole markets on simulated time, network and disks, each from one seed
    #[command(before_help = "Examples:
  bazaar simulate --seeds 1..200
  bazaar simulate --seeds 1..10000 --jobs 8 --until-failure --json
  bazaar simulate --seed 42 --trace              everything that happens, line by line")]
    Simulate(SimulateArgs),
    /// Run a market under load and faults for as long as you like, and judge it
    #[command(before_help = "Examples:
  bazaar soak                                        ten minutes, all kinds of faults
  bazaar soak --duration 24h --rate 500 --report soak-1
  bazaar soak --replay soak-1 --report soak-2        the same faults at the same times
  bazaar soak --faults kill,pause --until-failure    until something is wrong")]
    Soak(Box<SoakArgs>),
    /// Repeat the experiments of the course, and those that it should have made, with pictures
    #[command(before_help = "Examples:
  bazaar experiment oversell --quick
  bazaar experiment all --out results          five runs a cell; Ctrl-C, and the same command goes on
  bazaar experiment oversell --assert 'oversell(cacheless)==0'")]
    Experiment(Box<ExperimentArgs>),
    /// Measure throughput and latency
    #[command(before_help = "Examples:
  bazaar bench warehouse --duration 10s --batch 256
  bazaar bench market --clients 4
  bazaar bench latency --json")]
    Bench(BenchArgs),
    /// One load process of bench
    #[command(hide = true)]
    BenchLoad(BenchLoadArgs),
    /// Explain a command or a topic: exit-codes, invariants, metrics, configuration
    #[command(before_help = "Examples:
  bazaar help dump
  bazaar help exit-codes")]
    Help {
        /// A command, or a topic
        #[arg(value_name = "COMMAND")]
        words: Vec<String>,
    },
    /// Print a completion script
    #[command(before_help = "Examples:
  bazaar completions bash > ~/.local/share/bash-completion/completions/bazaar
  bazaar completions zsh > ~/.zfunc/_bazaar")]
    Completions {
        /// For which shell
        #[arg(value_name = "SHELL", value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write man pages
    #[command(before_help = "Examples:
  bazaar man --out ~/.local/share/man/man1")]
    Man {
        /// Directory for them
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Flags that `up` passes to its peers and that `peer --help` and `join --help` leave out.
const PASSED_TO_PEERS: [&str; 8] =
    ["requests", "interval", "quantity", "partial", "deposit", "deposit_every", "seed", "no_preempt"];

/// The command tree, for parsing, completions and man pages.
pub(crate) fn command() -> clap::Command {
    let hide = |arg: clap::Arg| {
        let hidden = PASSED_TO_PEERS.contains(&arg.get_id().as_str());
        if hidden { arg.hide(true) } else { arg }
    };
    let tree = Cli::command().mut_subcommand("peer", |peer| peer.mut_args(hide));
    variable::without_empty(tree.mut_subcommand("join", |join| join.mut_args(hide)))
}

/// The ready file that a node's command line names, whatever else is wrong with it: clap gives up at the first mistake.
pub(crate) fn ready_file_of(args: &[OsString]) -> Option<PathBuf> {
    const FLAG: &str = "--ready-file";
    args.iter().skip(1).find(|it| ["warehouse", "peer", "join"].iter().any(|node| *it == node))?;
    let after = args.iter().position(|it| it == FLAG).and_then(|at| args.get(at + 1)).cloned();
    let joined =
        || args.iter().find_map(|it| it.as_bytes().strip_prefix(FLAG.as_bytes())?.strip_prefix(b"="));
    after.or_else(|| joined().map(|path| OsStr::from_bytes(path).to_owned())).map(PathBuf::from)
}

impl Cli {
    /// Reads what was typed, program name first. On `Err` print it and exit with its code: that includes `--help`.
    pub fn parse_from_args(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Stop> {
        let args: Vec<_> = args.into_iter().collect();
        let mut tree = command();
        let matches = tree.try_get_matches_from_mut(&args).map_err(|error| usage::stop(&error, &args))?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(|error| usage::stop(&error, &args))?;
        cli.settings = variable::used(&tree, &matches);
        match &cli.command {
            Command::Up(up) => up.check().map_err(usage::refused)?,
            Command::Trace(trace) => trace.check().map_err(usage::refused)?,
            Command::Dump(dump) => dump.check(cli.global.json).map_err(usage::refused)?,
            Command::Verify(verify) => verify.checked().map_err(usage::refused)?,
            _ => {}
        }
        Ok(cli)
    }
}

#[cfg(test)]
mod tests;
