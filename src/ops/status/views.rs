//! What the nodes believe, side by side: the market, who holds the offices, and who is a member.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::model::membership;
use crate::model::offices::Roster;
use crate::ops::market::Reports;
use crate::types::node_name;
use crate::types::{Office, PeerId};

/// Each view, with the nodes that hold it.
type Held = BTreeMap<String, Vec<PeerId>>;

/// See the module's text. The warehouse sees presence, not membership, so it has no say in the latter.
#[derive(Clone, Debug, Default)]
pub(super) struct Views {
    cluster: Held,
    roster: Held,
    membership: Held,
}

impl Views {
    /// The views of those that answered. Of the members those count that the warehouse sees, or without it those that
    /// answered: a peer that was started after another one had died need not have heard of that.
    pub(super) fn of(reports: &Reports) -> Views {
        let mut views = Views::default();
        let seen: BTreeSet<PeerId> = match reports.answered.get(&PeerId::WAREHOUSE) {
            Some(report) => report.members.iter().map(|member| member.id).collect(),
            None => reports.answered.keys().copied().collect(),
        };
        for (node, report) in &reports.answered {
            let hold = |held: &mut Held, view: String| held.entry(view).or_default().push(*node);
            hold(&mut views.cluster, format!("cluster {}", report.cluster));
            hold(&mut views.roster, roster(&report.roster));
            if *node != PeerId::WAREHOUSE {
                let members: Vec<_> =
                    report.members.iter().filter(|member| seen.contains(&member.id)).collect();
                let (digest, present) = (membership::digest(members.iter().copied()), members.len());
                hold(&mut views.membership, format!("membership {digest:016x} of {present} peers"));
            }
        }
        views
    }

    fn all(&self) -> [&Held; 3] {
        [&self.cluster, &self.roster, &self.membership]
    }

    /// Everybody believes the same.
    pub(super) fn agree(&self) -> bool {
        self.all().iter().all(|held| held.len() <= 1)
    }

    /// One line, or one per disagreement, for people.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.agree() {
            let views: Vec<_> = self.all().iter().flat_map(|held| held.keys().cloned()).collect();
            return vec![format!("views agree: {}", views.join(", "))];
        }
        let differing = self.all().into_iter().filter(|held| held.len() > 1);
        differing.map(|held| format!("views disagree: {}", line(held))).collect()
    }

    /// `{"roster": {"roster 5": ["warehouse", "peer-4"]}, ...}`.
    pub(super) fn json(&self) -> Value {
        json!({ "cluster": held(&self.cluster), "roster": held(&self.roster), "membership": held(&self.membership) })
    }
}

/// Sequence of the last office row, and who holds which term, in case two nodes read that row differently.
fn roster(roster: &Roster) -> String {
    let seat = |office: Office| {
        let seat = roster.get(office)?;
        Some(format!(" {office} {} term {}", seat.peer, seat.term))
    };
    let seats: String = Office::BOTH.into_iter().filter_map(seat).collect();
    let paired = if roster.paired { " (paired)" } else { "" };
    format!("roster {}{seats}{paired}", roster.seq)
}

fn line(held: &Held) -> String {
    let views: Vec<_> =
        held.iter().map(|(view, nodes)| format!("{view} at {}", names(nodes).join(", "))).collect();
    views.join("; ")
}

fn held(held: &Held) -> BTreeMap<&String, Vec<String>> {
    held.iter().map(|(view, nodes)| (view, names(nodes))).collect()
}

fn names(nodes: &[PeerId]) -> Vec<String> {
    nodes.iter().map(|node| node_name(*node)).collect()
}
