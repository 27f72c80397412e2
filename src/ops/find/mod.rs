//! `bazaar find`: a lookup floods the links of the topology, with a limit of hops.
//!
//! In: a good, a limit, and the peer that looks. Out: who sells it, over which way, and how many messages that took; and
//! the limit that reaches every peer from anywhere, which is the diameter of the topology. Exit codes: 0; 2 no such good or
//! peer; 3 it cannot be reached; 4 nobody within the limit sells it.

mod graph;

use std::io::Write as _;

use serde_json::{Value, json};

use self::graph::Graph;
use super::market::{self, Reports};
use super::output::{Failure, exit, json_line};
use super::runtime::runtime;
use crate::cli::{FindArgs, Global};
use crate::limits::HOPS_MAX;
use crate::model::lookup::Found;
use crate::model::report::Report;
use crate::types::PeerId;
use crate::wire::client::{CallError, Node};
use crate::wire::status::Cause;

/// What a lookup came to.
struct Looked {
    good: String,
    from: PeerId,
    hops: u32,
    found: Found,
    graph: Graph,
}

/// Looks for a good.
///
/// # Errors
/// See the module's text.
pub fn run(args: &FindArgs, global: &Global) -> Result<u8, Failure> {
    let looked = runtime()?.block_on(look(args, global))?;
    let text = if global.json { json_line(looked.json()) } else { looked.lines() };
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(Failure::writing)?;
    Ok(if looked.found.sellers.is_empty() { exit::NO } else { exit::DONE })
}

async fn look(args: &FindArgs, global: &Global) -> Result<Looked, Failure> {
    let reports = market::everybody(&args.market, global.timeout).await?;
    let report = asked(args, &reports)?;
    let graph = Graph::of(reports.answered.values());
    let hops = args.hops.unwrap_or_else(|| graph.diameter().min(HOPS_MAX));
    let node = Node::connect(&report.addr, global.timeout).await;
    let node = node.map_err(|error| market::unreachable(&report.addr, &error))?;
    let found = node.find(&args.good, hops).await.map_err(|error| match error {
        CallError::Refused { cause: Cause::Invalid, text } => {
            let goods: Vec<&str> = report.goods.iter().map(|(name, _)| name.as_str()).collect();
            Failure::new(exit::USAGE, text).hint(format!("there are {}", goods.join(", ")))
        }
        error => market::unreachable(&report.addr, &error),
    })?;
    Ok(Looked { good: args.good.clone(), from: report.peer, hops, found, graph })
}

/// The peer that is to look.
fn asked<'a>(args: &FindArgs, reports: &'a Reports) -> Result<&'a Report, Failure> {
    let mut peers = reports.answered.values().filter(|report| report.peer != PeerId::WAREHOUSE);
    let Some(from) = args.from else {
        return peers.next().ok_or_else(|| {
            Failure::new(exit::UNREACHABLE, "no peer of the market answers").hint("see with bazaar status")
        });
    };
    peers.find(|report| report.peer == from).ok_or_else(|| match reports.silent.get(&from) {
        Some(why) => Failure::new(exit::UNREACHABLE, format!("peer {from} does not answer: {why}"))
            .hint("name another peer with --from"),
        None => Failure::new(exit::USAGE, format!("--from {from}: there is no peer {from} in this market"))
            .hint("see who is there with bazaar status"),
    })
}

impl Looked {
    fn json(&self) -> Value {
        let seller = |way: &Vec<PeerId>| {
            let ids: Vec<u32> = way.iter().map(|peer| peer.0).collect();
            json!({ "peer": ids.last(), "hops": ids.len().saturating_sub(1), "path": ids })
        };
        json!({
            "good": self.good,
            "from": self.from.0,
            "hops": self.hops,
            "sellers": self.found.sellers.iter().map(seller).collect::<Vec<_>>(),
            "reached": self.found.reached.len(),
            "peers": self.graph.peers(),
            "lookups": self.found.lookups,
            "messages": self.found.lookups.saturating_mul(2),
            "diameter": self.graph.diameter(),
        })
    }

    fn lines(&self) -> String {
        let Looked { good, from, hops, found, graph } = self;
        let mut lines = Vec::new();
        for way in &found.sellers {
            let ids: Vec<String> = way.iter().map(ToString::to_string).collect();
            let (seller, links) = (ids.last().cloned().unwrap_or_default(), way.len().saturating_sub(1));
            lines.push(format!("seller {seller:<4} {:<7} {}", counted(links as u64, "hop"), ids.join(" > ")));
        }
        if lines.is_empty() {
            lines.push(format!(
                "nobody within {} of peer {from} sells {good}",
                counted(u64::from(*hops), "hop")
            ));
        }
        lines.push(format!(
            "{} of {} within {} of peer {from}, by {} and as many answers",
            found.reached.len(),
            counted(graph.peers() as u64, "peer"),
            counted(u64::from(*hops), "hop"),
            counted(found.lookups, "lookup"),
        ));
        lines.push(format!(
            "{} reach every peer from any: the diameter of the topology",
            counted(u64::from(graph.diameter()), "hop")
        ));
        lines.join("\n")
    }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(sellers: &[&[u32]], hops: u32) -> Looked {
        let report = |peer: u32, neighbours: &[u32]| Report {
            peer: PeerId(peer),
            neighbours: neighbours.iter().map(|id| PeerId(*id)).collect(),
            ..Report::default()
        };
        let line = [report(1, &[2]), report(2, &[]), report(3, &[2])];
        let way = |ids: &&[u32]| ids.iter().map(|id| PeerId(*id)).collect();
        let (good, from) = ("fish".to_owned(), PeerId(1));
        let reached = vec![PeerId(1), PeerId(2), PeerId(3)];
        let found = Found { sellers: sellers.iter().map(way).collect(), reached, lookups: 2 };
        Looked { good, from, hops, found, graph: Graph::of(line.iter()) }
    }

    #[test]
    fn ways_and_counts_are_said() {
        let text = looked(&[&[1, 2, 3]], 2).lines();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "seller 3    2 hops  1 > 2 > 3");
        assert_eq!(lines[1], "3 of 3 peers within 2 hops of peer 1, by 2 lookups and as many answers");
        assert_eq!(lines[2], "2 hops reach every peer from any: the diameter of the topology");
        assert!(looked(&[], 1).lines().starts_with("nobody within 1 hop of peer 1 sells fish\n"));
        let object = looked(&[&[1, 2, 3]], 2).json();
        assert_eq!((&object["messages"], &object["sellers"][0]["hops"]), (&4.into(), &2.into()));
    }
}
