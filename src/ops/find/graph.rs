//! The topology, as the peers that answer know it: who is linked to whom, and how far apart they are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::report::Report;
use crate::types::PeerId;

/// An undirected graph: a link that one of its two peers knows is one.
#[derive(Debug, Default)]
pub(super) struct Graph(BTreeMap<PeerId, BTreeSet<PeerId>>);

impl Graph {
    /// Of the peers that have answered: a dead one passes nothing on.
    pub(super) fn of<'a>(reports: impl Iterator<Item = &'a Report>) -> Graph {
        let reports: Vec<&Report> = reports.filter(|report| report.peer != PeerId::WAREHOUSE).collect();
        let mut links: BTreeMap<PeerId, BTreeSet<PeerId>> =
            reports.iter().map(|report| (report.peer, BTreeSet::new())).collect();
        for report in reports {
            for neighbour in &report.neighbours {
                for (one, other) in [(report.peer, *neighbour), (*neighbour, report.peer)] {
                    if links.contains_key(&other) {
                        links.get_mut(&one).into_iter().for_each(|linked| {
                            linked.insert(other);
                        });
                    }
                }
            }
        }
        Graph(links)
    }

    pub(super) fn peers(&self) -> usize {
        self.0.len()
    }

    /// The greatest distance between two peers that are joined at all.
    pub(super) fn diameter(&self) -> u32 {
        self.0.keys().map(|peer| self.farthest(*peer)).max().unwrap_or_default()
    }

    /// Breadth first.
    fn farthest(&self, from: PeerId) -> u32 {
        let (mut seen, mut queue, mut farthest) = (BTreeSet::from([from]), VecDeque::from([(from, 0)]), 0);
        while let Some((peer, hops)) = queue.pop_front() {
            farthest = hops;
            for next in self.0.get(&peer).into_iter().flatten() {
                if seen.insert(*next) {
                    queue.push_back((*next, hops + 1));
                }
            }
        }
        farthest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(links: &[(u32, &[u32])]) -> Graph {
        let reports: Vec<Report> = links
            .iter()
            .map(|(peer, neighbours)| Report {
                peer: PeerId(*peer),
                neighbours: neighbours.iter().map(|id| PeerId(*id)).collect(),
                ..Report::default()
            })
            .collect();
        Graph::of(reports.iter())
    }

    #[test]
    fn the_diameter_is_the_longest_of_the_shortest_ways() {
        let ring: [(u32, &[u32]); 6] = [(1, &[2]), (2, &[3]), (3, &[4]), (4, &[5]), (5, &[6]), (6, &[1])];
        assert_eq!((graph(&ring).diameter(), graph(&ring).peers()), (3, 6));
        assert_eq!(
            graph(&[(1, &[2, 3]), (2, &[]), (3, &[])]).diameter(),
            2,
            "a link is known to one of them"
        );
        assert_eq!(graph(&[(1, &[2]), (3, &[])]).diameter(), 0, "a dead peer passes nothing on");
        assert_eq!(graph(&[]).diameter(), 0);
    }
}
