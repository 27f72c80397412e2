//! Sources of what was named: stores on disk, running nodes, or directories that a running node has open.
//!
//! In: directories or an address. Out: sources for `dump`, `verify` and `backup`. A store that its node has open is never
//! touched: its owner is asked, and stderr says so.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::market;
use super::nodes::directory;
use super::output::{Failure, exit, note};
use super::progress::Progress;
use super::rows::generation_id;
use super::source::{InUse, of_one_market, open_archives, open_stores, open_stores_as_closed};
use crate::audit::{BlockSource, Blocks, Fact, Source, SourceError, SourceMeta, StockCache};
use crate::cli::Global;
use crate::journal::{NodeDir, OpenError};
use crate::model::catalogue::Catalogue;
use crate::model::report::Report;
use crate::types::{PeerId, Seq, node_name};
use crate::wire::client::{CallError, Dumped, Node};

/// The ledger in a warehouse's directory, or, of a running one, as it tells it.
///
/// # Errors
/// There is no store, or its owner does not answer.
pub(crate) fn ledger_in(dir: &Path, archives: &[PathBuf], global: &Global) -> Result<Source, Failure> {
    let absent = || directory(&OpenError::Absent(dir.to_owned()));
    Asking::new(global, false)?.stores(&[dir.to_owned()], archives)?.pop().ok_or_else(absent)
}

/// The ledger of the running market that the node at `addr` is of.
///
/// # Errors
/// It does not answer.
pub(crate) fn warehouse_at(addr: &str, global: &Global) -> Result<Source, Failure> {
    let asking = Asking::new(global, false)?;
    let (source, report) = asking.connect(addr).map_err(|error| market::unreachable(addr, &error))?;
    match report.peer {
        PeerId::WAREHOUSE => Ok(asking.progress.watch(source)),
        _ => asking.node(&report.warehouse),
    }
}

/// How running nodes are asked.
pub(super) struct Asking {
    /// It has a thread of its own, so that connections live on while what they brought is looked at.
    runtime: Arc<Runtime>,
    timeout: Duration,
    quiet: bool,
    follow: bool,
    progress: Progress,
}

impl Asking {
    pub(super) fn new(global: &Global, follow: bool) -> Result<Asking, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(exit::FAILURE, format!("no runtime: {error}")))?;
        let (timeout, quiet) = (global.timeout, global.quiet);
        // A follower prints what comes when it comes.
        let progress = if follow { Progress::hidden() } else { Progress::new(global) };
        Ok(Asking { runtime: Arc::new(runtime), timeout, quiet, follow, progress })
    }

    /// Without signs of life: what is read is printed at once on the same terminal.
    pub(super) fn unseen(self) -> Asking {
        Asking { progress: Progress::hidden(), ..self }
    }

    /// Stores on disk, a ledger's with its archives; of those in use their owners.
    pub(super) fn stores(&self, dirs: &[PathBuf], archives: &[PathBuf]) -> Result<Vec<Source>, Failure> {
        let archived = open_archives(archives)?;
        self.opened(|in_use| open_stores(dirs, &archived, in_use))
    }

    /// The same for who shows what is in them; see [`open_stores_as_closed`].
    pub(super) fn stores_as_closed(
        &self,
        dirs: &[PathBuf],
        archives: &[PathBuf],
    ) -> Result<Vec<Source>, Failure> {
        let archived = open_archives(archives)?;
        self.opened(|in_use| open_stores_as_closed(dirs, &archived, in_use))
    }

    fn opened(
        &self,
        open: impl FnOnce(&mut InUse<'_>) -> Result<Vec<Source>, Failure>,
    ) -> Result<Vec<Source>, Failure> {
        let mut asked = Vec::new();
        let sources = open(&mut |dir, error| {
            let owner = self.owner(dir, error)?;
            asked.extend(
                owner.iter().map(|owner| format!("{} at {}", owner.meta().name(), owner.meta().origin)),
            );
            Ok(owner)
        })?;
        of_one_market(&sources)?;
        if !asked.is_empty() {
            self.note(&format!("in use, so the running node was asked: {}", asked.join(", ")));
        }
        Ok(sources.into_iter().map(|source| self.progress.watch(source)).collect())
    }

    pub(super) fn node(&self, addr: &str) -> Result<Source, Failure> {
        let connected = self.connect(addr).map_err(|error| market::unreachable(addr, &error))?;
        Ok(self.progress.watch(connected.0))
    }

    /// All nodes of a node's market that answer.
    pub(super) fn market(&self, addr: &str) -> Result<Vec<Source>, Failure> {
        let (source, first) = self.connect(addr).map_err(|error| market::unreachable(addr, &error))?;
        let mut sources = vec![source];
        let all = self.runtime.block_on(market::reports(vec![(None, addr.to_owned())], self.timeout));
        for report in all.answered.into_values().filter(|report| report.peer != first.peer) {
            sources.extend(self.connect(&report.addr).map(|(source, _)| source));
        }
        for (node, why) in &all.silent {
            self.note(&format!("{} does not answer and is left out: {why}", node_name(*node)));
        }
        Ok(sources.into_iter().map(|source| self.progress.watch(source)).collect())
    }

    /// The node that has a directory open. None for a client: it has its directory only for the time of an order, and
    /// listens nowhere.
    fn owner(&self, dir: &Path, error: &OpenError) -> Result<Option<Source>, Failure> {
        let json = NodeDir::new(dir).read_node_json().ok_or_else(|| directory(error))?;
        if json.addr.is_empty() {
            self.note(&format!("{} is in use by an order under way, and left out", dir.display()));
            return Ok(None);
        }
        match self.connect(&json.addr) {
            Ok((source, report)) if report.peer == json.node && report.cluster == json.cluster => {
                Ok(Some(source))
            }
            Ok(_) => Err(directory(error).hint(format!("at {} another node answers", json.addr))),
            Err(why) => Err(directory(error).hint(format!("its owner does not answer: {why}"))),
        }
    }

    fn connect(&self, addr: &str) -> Result<(Source, Report), CallError> {
        let (node, report) = self.runtime.block_on(async {
            let node = Node::connect(addr, self.timeout).await?;
            let report = node.status().await?;
            Ok::<_, CallError>((node, report))
        })?;
        let (runtime, timeout) = (Arc::clone(&self.runtime), self.timeout);
        let live = Live { runtime, node, meta: meta(&report), timeout, follow: self.follow };
        Ok((Box::new(live), report))
    }

    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }
}

fn meta(report: &Report) -> SourceMeta {
    let mut facts = vec![
        ("process", Fact::Text(report.process.to_string())),
        ("addr", Fact::Text(report.addr.clone())),
        ("pid", Fact::Number(report.pid.into())),
        ("generation", Fact::Number(report.generation.count)),
    ];
    if report.generation.random != 0 {
        facts.push(("generation_id", Fact::Text(generation_id(report.generation))));
    }
    SourceMeta {
        node: report.peer,
        role: report.role.clone(),
        cluster: report.cluster.clone(),
        catalogue: Catalogue::from_iter(report.goods.iter().cloned()),
        mark: Some(report.log).filter(|(seq, _)| *seq > Seq(0)),
        clock_reserve: None,
        origin: report.addr.clone(),
        facts,
        live: true,
    }
}

/// A running node as a source: its durable blocks, as they are when they are asked for.
struct Live {
    runtime: Arc<Runtime>,
    node: Node,
    meta: SourceMeta,
    timeout: Duration,
    follow: bool,
}

impl BlockSource for Live {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    fn blocks(&mut self, from: Seq) -> Blocks<'_> {
        let stream = self.runtime.block_on(self.node.dump(from, Seq(0), self.follow));
        let (stream, failed) = match stream {
            Ok(stream) => (Some(stream), None),
            Err(error) => (None, Some(broken(&self.meta, error.to_string()))),
        };
        Box::new(LiveBlocks { live: self, stream, failed, waiting: VecDeque::new() })
    }

    fn cache(&mut self) -> Option<StockCache> {
        // A node that does not answer any more is noticed when its blocks are read.
        let report = self.runtime.block_on(self.node.status()).ok()?;
        let (_, seat) = report.roster.held_by(report.peer)?;
        let (term, in_office) = (seat.term, seat.process == report.process);
        let Report { stock_seq: seq, stock, .. } = report;
        (in_office && seq > Seq(0)).then_some(StockCache { term, seq, stock })
    }
}

fn broken(meta: &SourceMeta, why: String) -> SourceError {
    SourceError::BrokeOff { node: meta.name(), addr: meta.origin.clone(), why }
}

/// Ends after an error.
struct LiveBlocks<'a> {
    live: &'a Live,
    stream: Option<Dumped>,
    failed: Option<SourceError>,
    waiting: VecDeque<Vec<u8>>,
}

impl LiveBlocks<'_> {
    /// The next blocks; none at the end. A follower waits as long as it takes.
    fn fill(&mut self) -> Result<(), SourceError> {
        let Live { runtime, meta, timeout, follow, .. } = self.live;
        while let (true, Some(stream)) = (self.waiting.is_empty(), self.stream.as_mut()) {
            let next = runtime.block_on(async {
                match follow {
                    true => stream.next().await.map_err(|error| error.to_string()),
                    false => match tokio::time::timeout(*timeout, stream.next()).await {
                        Ok(next) => next.map_err(|error| error.to_string()),
                        Err(_) => Err(format!("nothing came for {timeout:?}")),
                    },
                }
            });
            match next.map_err(|why| broken(meta, why))? {
                Some(blocks) => self.waiting.extend(blocks),
                None => self.stream = None,
            }
        }
        Ok(())
    }
}

impl Iterator for LiveBlocks<'_> {
    type Item = Result<Vec<u8>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        if let Err(error) = self.fill() {
            self.stream = None;
            return Some(Err(error));
        }
        self.waiting.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::ops::dump::dump;
    use crate::ops::verify::verify;

    fn run(line: &str) -> Failure {
        let cli = Cli::parse_from_args(line.split(' ').map(Into::into)).unwrap();
        match &cli.command {
            Command::Dump(args) => dump(args, &cli.global).unwrap_err(),
            Command::Verify(args) => verify(args, &cli.global).unwrap_err(),
            _ => panic!("neither dump nor verify"),
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_code() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        assert_eq!(run(&format!("bazaar dump ledger --data-dir {at}/none")).exit, exit::USAGE);
        assert_eq!(run(&format!("bazaar dump orders --follow --data-dir {at}")).exit, exit::USAGE);
        // Port 1 is nobody's here.
        assert_eq!(run("bazaar verify --connect 127.0.0.1:1").exit, exit::UNREACHABLE);
        assert_eq!(run("bazaar dump --connect 127.0.0.1:1").exit, exit::UNREACHABLE);
    }

    #[test]
    fn a_report_says_whose_blocks_they_are() {
        let report = Report {
            peer: PeerId(4),
            role: "buyer".into(),
            addr: "127.0.0.1:7704".into(),
            ..Report::default()
        };
        let meta = meta(&report);
        assert!(meta.live && !meta.is_ledger() && meta.mark.is_none());
        assert_eq!((meta.name().as_str(), meta.origin.as_str()), ("peer-4", "127.0.0.1:7704"));
    }
}
