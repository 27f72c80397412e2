//! What the nodes believe, side by side: the market, who holds the offices, and who is a member.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::model::membership::{self, Member};
use crate::model::offices::Roster;
use crate::ops::market::Reports;
use crate::types::node_name;
use crate::types::{Office, PeerId};

/// A view: as fields, and the nodes that hold it.
#[derive(Clone, Debug)]
struct View {
    fields: Value,
    nodes: Vec<PeerId>,
}

/// The different views of one thing, by the words that tell them apart.
type Held = BTreeMap<String, View>;

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
            let hold = |held: &mut Held, (words, fields): (String, Value)| {
                held.entry(words).or_insert(View { fields, nodes: Vec::new() }).nodes.push(*node);
            };
            let cluster = &report.cluster;
            hold(&mut views.cluster, (format!("cluster {cluster}"), json!({ "cluster": cluster })));
            hold(&mut views.roster, roster(&report.roster));
            if *node != PeerId::WAREHOUSE {
                let members = report.members.iter().filter(|member| seen.contains(&member.id));
                hold(&mut views.membership, members_of(&members.collect::<Vec<_>>()));
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

    /// `{"roster": [{"seq": 5, "primary": {"peer": 6, "term": 1}, ..., "nodes": ["warehouse", "peer-4"]}], ...}`.
    pub(super) fn json(&self) -> Value {
        json!({ "cluster": held(&self.cluster), "roster": held(&self.roster), "membership": held(&self.membership) })
    }
}

/// Sequence of the last office row, and who holds which term, in case two nodes read that row differently.
fn roster(roster: &Roster) -> (String, Value) {
    let words = |office: Office| {
        let seat = roster.get(office)?;
        Some(format!(" {office} {} term {}", seat.peer, seat.term))
    };
    let seats: String = Office::BOTH.into_iter().filter_map(words).collect();
    let paired = if roster.paired { " (paired)" } else { "" };
    let seat = |office: Office| roster.get(office).map(|it| json!({ "peer": it.peer.0, "term": it.term.0 }));
    let fields = json!({
        "seq": roster.seq.0,
        "primary": seat(Office::Primary),
        "secondary": seat(Office::Secondary),
        "paired": roster.paired,
    });
    (format!("roster {}{seats}{paired}", roster.seq), fields)
}

fn members_of(members: &[&Member]) -> (String, Value) {
    let (digest, peers) = (membership::digest(members.iter().copied()), members.len());
    let digest = format!("{digest:016x}");
    (format!("membership {digest} of {peers} peers"), json!({ "digest": digest, "peers": peers }))
}

fn line(held: &Held) -> String {
    let views: Vec<_> =
        held.iter().map(|(words, view)| format!("{words} at {}", names(&view.nodes).join(", "))).collect();
    views.join("; ")
}

fn held(held: &Held) -> Vec<Value> {
    let with_nodes = |view: &View| {
        let mut fields = view.fields.clone();
        fields["nodes"] = names(&view.nodes).into();
        fields
    };
    held.values().map(with_nodes).collect()
}

fn names(nodes: &[PeerId]) -> Vec<String> {
    nodes.iter().map(|node| node_name(*node)).collect()
}
