//! The page: a running market as a browser shows it. `up` serves it for its own market; `bazaar page` for any.
//!
//! In: the nodes' reports, what they remember of their messages, their stores; of `up` and `soak` also which of their
//! children live. Out: one document, and what it asks for: news as server-sent events, states of the past, marks, charts,
//! diagrams. With `up` it also acts on nodes, for whoever knows the run's token, which is in the address that `up` prints and
//! nowhere else.
//!
//! Holds: while nobody looks, nodes are asked for nothing but their reports, and that seldom.

mod act;
mod charts;
mod past;
mod rates;
mod serve;
mod shown;
mod snapshot;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, broadcast, mpsc};

pub(crate) use self::act::{Act, Asked, Refused};
use self::charts::Drawer;
use self::past::Marks;
pub(crate) use self::shown::{Life, Mark, Shown};
use self::watch::News;
pub(crate) use self::watch::verdict;
use super::market::{self, Lines};
use super::output::{Failure, exit, note, print_line};
use super::record::Record;
use super::runtime::runtime_with_thread;
use crate::cli::{Global, PageArgs};
use crate::limits::{PAGE_CONNECTION_MAX, PAGE_CONNECTIONS_MAX, PAGE_DUMPS_MAX, PAGE_NEWS_MAX};
use crate::model::report::Report;
use crate::node::http;
use crate::types::PeerId;
use crate::wire::client::Node;
use crate::wire::serve::listen;

/// Where the market is.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Its directory on this machine.
    Dir(PathBuf),
    /// One of its nodes.
    Addr(String),
}

/// A market, as who serves its page knows it.
pub(crate) struct Market {
    /// Where it is.
    pub(crate) target: Target,
    /// What is known of one's own children; nothing of another's market.
    pub(crate) shown: Shown,
    /// To who does what the page asks for; none: the page only looks.
    pub(crate) acts: Option<mpsc::Sender<Asked>>,
    /// Links can be cut.
    pub(crate) cuttable: bool,
    /// What was done so far, by who measures it; none: it is asked of the nodes.
    pub(crate) record: Option<Record>,
}

/// What the page's parts share.
pub(crate) struct Hub {
    target: Target,
    shown: Shown,
    record: Record,
    drawer: Drawer,
    lines: Lines,
    /// Places of processes that read the past.
    dumps: Semaphore,
    marks: Mutex<Marks>,
    /// The record, and the checks of all stores, come from elsewhere.
    measured: bool,
    news: broadcast::Sender<News>,
    acts: Option<mpsc::Sender<Asked>>,
    cuttable: bool,
    token: String,
    timeout: Duration,
}

impl Hub {
    /// What may be asked for.
    fn acts(&self) -> Vec<&'static str> {
        let links: &[&str] = if self.cuttable { &act::LINK_ACTS } else { &[] };
        if self.acts.is_some() { [&act::ACTS, links].concat() } else { Vec::new() }
    }

    /// Where nodes may be found: the children of `up`, or what was named.
    fn seeds(&self) -> Vec<(Option<PeerId>, String)> {
        let lives = self.shown.lives();
        match (&self.target, lives.is_empty()) {
            (_, false) => lives.into_iter().map(|(node, life)| (Some(node), life.addr)).collect(),
            (Target::Addr(addr), true) => vec![(None, addr.clone())],
            (Target::Dir(dir), true) => market::ClusterJson::find(dir)
                .map(|it| it.nodes.into_iter().map(|node| (node.id(), node.addr)).collect())
                .unwrap_or_default(),
        }
    }

    /// What all nodes say now.
    async fn reports(&self, timeout: Duration) -> market::Reports {
        let dead = |node: &Option<PeerId>| node.is_some_and(|node| self.shown.is_dead(node));
        let seeds = self.seeds().into_iter().filter(|(node, _)| !dead(node)).collect();
        // One's own children are where they were started.
        let sure = !self.shown.lives().is_empty();
        market::reports_over(&self.lines, seeds, sure, timeout).await
    }
}

/// A page that is served.
pub(crate) struct Served {
    /// Where.
    pub(crate) addr: SocketAddr,
    /// What acts must show.
    token: String,
}

impl Served {
    /// What is typed into a browser.
    pub(crate) fn url(&self) -> String {
        match self.token.is_empty() {
            true => format!("http://{}/", self.addr),
            false => format!("http://{}/#{}", self.addr, self.token),
        }
    }
}

/// Serves the page at an address until this process ends.
///
/// # Errors
/// The address cannot be listened at.
pub(crate) async fn serve(
    at: SocketAddr,
    Market { target, shown, acts, cuttable, record }: Market,
    timeout: Duration,
) -> Result<Served, Failure> {
    let failed = |why: String| {
        Failure::new(exit::FAILURE, format!("the page cannot be served at {at}: {why}"))
            .hint("name another address with --http, like --http 127.0.0.1:0")
    };
    let listener = listen(at).await.map_err(|error| failed(error.to_string()))?;
    let addr = listener.local_addr().map_err(|error| failed(error.to_string()))?;
    let token = match &acts {
        Some(_) => serve::secret().map_err(failed)?,
        None => String::new(),
    };
    let (news, _) = broadcast::channel(PAGE_NEWS_MAX);
    let (measured, record) = (record.is_some(), record.unwrap_or_default());
    let token_of = token.clone();
    let drawer = Drawer::new(record.clone(), shown.clone()).map_err(|error| failed(error.to_string()))?;
    let (lines, dumps, marks) = (Lines::default(), Semaphore::new(PAGE_DUMPS_MAX), Mutex::default());
    let hub = Arc::new(Hub {
        target,
        shown,
        record,
        lines,
        dumps,
        marks,
        drawer,
        measured,
        news,
        acts,
        cuttable,
        token: token_of,
        timeout,
    });
    watch::begin(&hub);
    let router = serve::router(hub);
    let room = http::Room { connections: PAGE_CONNECTIONS_MAX, lasts: PAGE_CONNECTION_MAX };
    tokio::spawn(http::serve(listener, router, room, std::future::pending()));
    Ok(Served { addr, token })
}

/// `bazaar page`: of a market that somebody else started. It looks, and does not act.
///
/// # Errors
/// There is no market, nobody answers, or the address cannot be listened at.
pub fn run(args: &PageArgs, global: &Global) -> Result<u8, Failure> {
    runtime_with_thread()?.block_on(async {
        let reports = market::everybody(&args.market, global.timeout).await?;
        let Some(report) = reports.answered.into_values().next() else {
            return Err(Failure::new(exit::UNREACHABLE, "no node of the market answers")
                .hint("start the market with bazaar up, or name a node with --connect"));
        };
        let target = match &args.market.connect {
            Some(addr) => Target::Addr(addr.to_string()),
            None => Target::Dir(args.market.data_dir.clone()),
        };
        let market = Market { target, shown: Shown::default(), acts: None, cuttable: false, record: None };
        let served = serve(args.http, market, global.timeout).await?;
        if !global.quiet {
            note(format_args!("the market {} as a page, until Ctrl-C:", report.cluster));
        }
        print_line(served.url())?;
        let _ = tokio::signal::ctrl_c().await;
        Ok(exit::DONE)
    })
}

/// Connects to the node that a report is of.
async fn node_of(report: &Report, timeout: Duration) -> Result<Node, String> {
    Node::connect(&report.addr, timeout).await.map_err(|error| error.to_string())
}
