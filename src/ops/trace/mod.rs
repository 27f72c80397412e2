//! `bazaar trace`: the space-time diagram of what really happened in a running market.
//!
//! In: what the nodes remember of their messages (`--trace-events`), all of them asked at once. Out: an SVG document, as
//! `simulate --diagram` draws it. Exit codes: 0; 2 bad flags; 3 no node answers; 4 there is nothing to draw.
//!
//! A killed node has forgotten what it sent: those that got it say so. Clocks of several machines may differ, and arrows lean
//! by as much.

mod pair;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

pub(crate) use self::pair::{Pairing, draw};
use super::market::{self, Lines, Reports};
use super::output::{Failure, exit, note};
use super::runtime::runtime;
use crate::cli::{Global, TraceArgs};
use crate::diagram::Point;
use crate::limits::TRACE_LOOK_BACK;
use crate::model::traced::{Deed, Traced, Wanted};
use crate::node::wall_now;
use crate::types::{PeerId, node_name};
use crate::wire::client::Node;

/// What the nodes of a market remember.
#[derive(Default)]
pub(crate) struct Gathered {
    /// Of those that remember anything.
    pub(crate) events: BTreeMap<PeerId, Vec<Traced>>,
    /// Nodes that answer and remember nothing.
    pub(crate) forgetful: Vec<PeerId>,
    /// Nodes that did not answer this question, and why.
    pub(crate) silent: Vec<(PeerId, String)>,
}

/// Draws.
///
/// # Errors
/// See the module's text.
pub fn run(args: &TraceArgs, global: &Global) -> Result<u8, Failure> {
    let wanted = wanted(args);
    let (reports, gathered) = runtime()?.block_on(async {
        let reports = market::everybody(&args.market, global.timeout).await?;
        if reports.answered.is_empty() {
            return Err(nobody(&reports));
        }
        let addrs = reports.answered.values().map(|it| (it.peer, it.addr.clone())).collect();
        let gathered = gather(&Lines::default(), addrs, wanted, global.timeout).await;
        Ok((reports, gathered))
    })?;
    say(&gathered, global);
    if gathered.events.values().all(Vec::is_empty) {
        return Err(nothing(args, &gathered));
    }
    let title = title(wanted);
    let (begin, ends) = (begin(&gathered, wanted), ends(&reports, &gathered));
    let diagram = draw(gathered.events, ends);
    write(args.out.as_deref(), &diagram.svg(&title, begin))?;
    if !global.quiet && args.out.is_some() {
        let (arrows, points) = diagram.things();
        note(format_args!("{arrows} messages and {points} other events drawn"));
    }
    Ok(exit::DONE)
}

fn wanted(args: &TraceArgs) -> Wanted {
    let now = wall_now().0;
    let to = args.to.map_or(now, |it| it.0);
    let back = if args.order.is_some() { u64::MAX } else { TRACE_LOOK_BACK.as_micros() as u64 };
    let from = args.from.map_or(to.saturating_sub(back), |it| it.0);
    Wanted { after: 0, from, to, order: args.order }
}

fn title(Wanted { from, to, order, .. }: Wanted) -> String {
    match order {
        Some(order) => format!("order {order}"),
        None => format!("{} to {}", crate::types::WallMicros(from), crate::types::WallMicros(to)),
    }
}

/// The diagram of the market in which these nodes are. Ends of nodes that are known already are drawn, too.
///
/// # Errors
/// There is nothing to draw; says why.
pub(crate) async fn svg(
    seeds: Vec<(Option<PeerId>, String)>,
    wanted: Wanted,
    known: Vec<End>,
    timeout: Duration,
) -> Result<String, String> {
    let reports = market::reports(seeds, timeout).await;
    let addrs = reports.answered.values().map(|it| (it.peer, it.addr.clone())).collect();
    let gathered = gather(&Lines::default(), addrs, wanted, timeout).await;
    if gathered.events.values().all(Vec::is_empty) {
        return Err("no node remembers anything of that".to_owned());
    }
    let (begin, ends) = (begin(&gathered, wanted), ends(&reports, &gathered));
    let guessed = ends.into_iter().filter(|(node, ..)| !known.iter().any(|(it, ..)| it == node));
    let ends = known.iter().cloned().chain(guessed).filter(|(_, at, ..)| (begin..=wanted.to).contains(at));
    Ok(draw(gathered.events, ends.collect()).svg(&title(wanted), begin))
}

/// Asks each node for what it remembers, all at once.
pub(crate) async fn gather(
    lines: &Lines,
    addrs: Vec<(PeerId, String)>,
    wanted: Wanted,
    timeout: Duration,
) -> Gathered {
    let mut calls = JoinSet::new();
    for (peer, addr) in addrs {
        let lines = lines.clone();
        calls.spawn(async move {
            let asked = lines.ask(&addr, timeout, |node: Node| async move { node.trace(wanted).await });
            (peer, asked.await)
        });
    }
    let mut gathered = Gathered::default();
    while let Some(done) = calls.join_next().await {
        match done {
            Ok((peer, Ok((0, _)))) => gathered.forgetful.push(peer),
            Ok((peer, Ok((_, events)))) => drop(gathered.events.insert(peer, events)),
            Ok((peer, Err(error))) => gathered.silent.push((peer, error.to_string())),
            // A call that panicked has nothing to tell.
            Err(_) => {}
        }
    }
    if wanted.order.is_some() {
        gathered.keep_an_orders_time();
    }
    gathered
}

impl Gathered {
    /// Leaves out what ended streams before the order's first event and after its last one.
    fn keep_an_orders_time(&mut self) {
        let of_order = self.events.values().flatten().filter(|event| !event.deed.ends_streams());
        let times: Vec<u64> = of_order.map(|event| event.time).collect();
        let (first, last) = (times.iter().min().copied(), times.iter().max().copied());
        let within = |event: &Traced| Some(event.time) >= first && Some(event.time) <= last;
        self.events.values_mut().for_each(|events| events.retain(within));
    }
}

/// The picture begins with the first event: an order's is over in milliseconds.
fn begin(gathered: &Gathered, wanted: Wanted) -> u64 {
    let first = gathered.events.values().flatten().map(|event| event.time).min();
    first.unwrap_or(wanted.from)
}

/// An end of a node, as a point.
pub(crate) type End = (PeerId, u64, Point, String);

/// Nodes that do not answer: nobody heard of them after the last stream to them broke off. Where nobody listens any more the
/// process is gone; one that listens and is silent may be stopped.
fn ends(reports: &Reports, gathered: &Gathered) -> Vec<End> {
    let broke = |node: PeerId| {
        let all = gathered.events.values().flatten();
        all.filter(|it| it.deed == Deed::Broke && it.other == Some(node)).map(|it| it.time).max()
    };
    let kind = |why: &str| if why.contains("refused") { Point::Crashed } else { Point::Silent };
    let gone = |(node, why): (&PeerId, &String)| Some((*node, broke(*node)?, kind(why), why.clone()));
    reports.silent.iter().filter_map(gone).collect()
}

fn say(gathered: &Gathered, global: &Global) {
    if global.quiet {
        return;
    }
    if !gathered.forgetful.is_empty() && !gathered.events.is_empty() {
        note(format_args!("{} remember nothing of their messages", names(&gathered.forgetful)));
    }
    for (node, why) in &gathered.silent {
        note(format_args!("{} does not say what it remembers: {why}", node_name(*node)));
    }
}

fn names(nodes: &[PeerId]) -> String {
    nodes.iter().map(|node| node_name(*node)).collect::<Vec<_>>().join(", ")
}

fn nobody(reports: &Reports) -> Failure {
    let why = reports.silent.values().chain(&reports.nobody).next().cloned().unwrap_or_default();
    Failure::new(exit::UNREACHABLE, format!("no node of the market answers: {why}"))
        .hint("start the market with bazaar up, or name a node with --connect")
}

fn nothing(args: &TraceArgs, gathered: &Gathered) -> Failure {
    if gathered.events.is_empty() {
        return Failure::new(exit::NO, "no node remembers its messages")
            .hint("start nodes with --trace-events 100000; those of bazaar up do");
    }
    let (what, hint) = match args.order {
        Some(order) => (
            format!("no node remembers order {order}"),
            "see it with bazaar dump --order; nodes remember more with --trace-events 1000000",
        ),
        None => (
            "no node remembers anything of that time".to_owned(),
            "see the last seconds: bazaar trace --from 10s",
        ),
    };
    Failure::new(exit::NO, what).hint(hint)
}

fn write(file: Option<&Path>, svg: &str) -> Result<(), Failure> {
    match file {
        Some(file) => std::fs::write(file, svg).map_err(|error| {
            Failure::new(exit::FAILURE, format!("{} cannot be written: {error}", file.display()))
                .hint("name another file with --out")
        }),
        None => std::io::stdout().write_all(svg.as_bytes()).map_err(Failure::writing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_order_only_its_time_is_drawn() {
        let event =
            |time, deed| Traced { number: time, time, deed, other: None, line: 1, text: String::new() };
        let mut gathered = Gathered::default();
        let one = [(1, Deed::Broke), (5, Deed::Sent), (6, Deed::Broke), (7, Deed::Sent), (9, Deed::Started)];
        gathered.events.insert(PeerId(1), one.map(|(time, deed)| event(time, deed)).to_vec());
        gathered.events.insert(PeerId(2), vec![event(8, Deed::Came), event(9, Deed::Broke)]);
        gathered.keep_an_orders_time();
        let times = |node| gathered.events[&PeerId(node)].iter().map(|it| it.time).collect::<Vec<_>>();
        assert_eq!((times(1), times(2)), (vec![5, 6, 7], vec![8]));
        let mut forgotten = Gathered::default();
        forgotten.events.insert(PeerId(1), vec![event(3, Deed::Started)]);
        forgotten.keep_an_orders_time();
        assert!(forgotten.events[&PeerId(1)].is_empty());
    }
}
