//! Asking every node of a market that can be found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;

use super::lines::Lines;
use crate::model::report::Report;
use crate::types::{Office, PeerId};
use crate::wire::client::Node;

/// What asking every node came to: its report, or why there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    /// The nodes that answered.
    pub(crate) answered: BTreeMap<PeerId, Report>,
    /// The nodes that are known and did not answer, and why.
    pub(crate) silent: BTreeMap<PeerId, String>,
    /// The peers that left on purpose.
    pub(crate) left: BTreeSet<PeerId>,
    /// Why an address did not answer, of those whose node is not known.
    pub(crate) nobody: Vec<String>,
}

impl Reports {
    /// The report of one node; without one all that was found, which says why.
    pub(crate) fn of(mut self, node: PeerId) -> Result<Report, Reports> {
        self.answered.remove(&node).ok_or(self)
    }
}

/// Asks the nodes at `seeds`, and those that they know of, all at once.
pub(crate) async fn reports(seeds: Vec<(Option<PeerId>, String)>, timeout: Duration) -> Reports {
    reports_over(&Lines::default(), seeds, false, timeout).await
}

/// The same over lines that are kept. `sure`: a node of the seeds is nowhere else.
pub(crate) async fn reports_over(
    lines: &Lines,
    seeds: Vec<(Option<PeerId>, String)>,
    sure: bool,
    timeout: Duration,
) -> Reports {
    let mut reports = Reports::default();
    let placed: BTreeSet<PeerId> = seeds.iter().filter(|_| sure).filter_map(|(node, _)| *node).collect();
    let mut asked = BTreeSet::new();
    let mut calls = JoinSet::new();
    let mut next = seeds;
    loop {
        for (node, addr) in next.drain(..) {
            if !addr.is_empty() && asked.insert(addr.clone()) {
                let lines = lines.clone();
                calls.spawn(async move {
                    let report =
                        lines.ask(&addr, timeout, |node: Node| async move { node.status().await }).await;
                    (node, report)
                });
            }
        }
        // A call that panicked has nothing to tell.
        let Some(done) = calls.join_next().await else { break };
        match done {
            Ok((_, Ok(report))) => {
                next = known_to(&report);
                next.retain(|(node, _)| node.is_none_or(|node| !placed.contains(&node)));
                reports.answered.insert(report.peer, report);
            }
            Ok((Some(node), Err(error))) => drop(reports.silent.insert(node, error.to_string())),
            Ok((None, Err(error))) => reports.nobody.push(error.to_string()),
            Err(_) => {}
        }
    }
    // A node may be silent at an old address and answer at its present one, or have left on purpose: it is not counted
    // as silent then.
    let left = left(reports.answered.values());
    reports.silent.retain(|node, _| !reports.answered.contains_key(node) && !left.contains(node));
    reports.left = left.into_iter().filter(|node| !reports.answered.contains_key(node)).collect();
    reports
}

/// The peers that have left, each by the newest account of it.
fn left<'a>(reports: impl Iterator<Item = &'a Report>) -> BTreeSet<PeerId> {
    let mut newest = BTreeMap::new();
    for member in reports.flat_map(|report| &report.members) {
        let account = newest.entry(member.id).or_insert((member.process, member.left));
        *account = (*account).max((member.process, member.left));
    }
    newest.into_iter().filter(|(_, (_, left))| *left).map(|(id, _)| id).collect()
}

fn known_to(report: &Report) -> Vec<(Option<PeerId>, String)> {
    let present = report.members.iter().filter(|member| !member.left);
    let mut known: Vec<_> = present.map(|member| (Some(member.id), member.addr.clone())).collect();
    let seats = Office::BOTH.into_iter().filter_map(|office| report.roster.get(office));
    known.extend(seats.map(|seat| (Some(seat.peer), seat.addr.clone())));
    known.push((Some(PeerId::WAREHOUSE), report.warehouse.clone()));
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::runtime::runtime;

    #[test]
    fn asking_nobody_ends_and_says_why() {
        let runtime = runtime().unwrap();
        let gone = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().to_string()
        });
        let asked = runtime.block_on(reports(vec![(Some(PeerId(3)), gone.clone())], Duration::from_secs(1)));
        assert!(asked.answered.is_empty() && asked.silent[&PeerId(3)].contains(&gone), "{asked:?}");
    }
}
