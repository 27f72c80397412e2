//! `topology.json` and `config_buyers_sellers.json`: who is in the market, and who is linked to whom.
//!
//! Links are undirected: a link that only one side lists is one all the same. Peers on neither list buy, but for the two
//! highest of them, which are idle: with the highest ids of the shipped files they become the traders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::ConfigError;
use super::file::{self, Entries, File, Object};
use crate::types::{PeerId, Role};

/// The peers of a market, by ascending id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Market {
    /// At least two.
    pub peers: Vec<PeerPlan>,
}

/// One peer as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerPlan {
    /// Its id.
    pub id: PeerId,
    /// What it does for itself.
    pub role: Role,
    /// Whom it is linked to, ascending.
    pub neighbours: Vec<PeerId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    buyers: Vec<u32>,
    sellers: Vec<u32>,
}

type Links = BTreeMap<PeerId, BTreeSet<PeerId>>;

/// The entry for `nodes` peers of the two files in `dir`.
pub(crate) fn market(dir: &Path, nodes: u32) -> Result<Market, ConfigError> {
    if nodes < 2 {
        return Err(ConfigError::TooFewPeers { nodes });
    }
    let topology = file::read::<Entries<Vec<u32>>>(dir, "topology.json")?;
    let links = links(&topology.path, nodes, entry(&topology, nodes)?)?;
    let lists = file::read::<Object<Lists>>(dir, "config_buyers_sellers.json")?;
    let roles = roles(&lists.path, nodes, &entry(&lists, nodes)?.0, &links)?;
    Ok(plan(&links, &roles))
}

/// Peers of a ring that neither buy nor sell.
pub(super) const IDLE_OF_RING: u32 = 2;

/// Buyers 1..=B, sellers B+1..=B+S and two idle peers on top, in a ring.
pub(crate) fn ring(buyers: u32, sellers: u32) -> Market {
    let nodes = buyers + sellers + IDLE_OF_RING;
    let mut links = Links::new();
    for id in 1..=nodes {
        link(&mut links, PeerId(id), PeerId(id % nodes + 1));
    }
    let role = |id: u32| match id {
        _ if id <= buyers => Role::Buyer,
        _ if id <= buyers + sellers => Role::Seller,
        _ => Role::Idle,
    };
    plan(&links, &(1..=nodes).map(|id| (PeerId(id), role(id))).collect())
}

fn plan(links: &Links, roles: &BTreeMap<PeerId, Role>) -> Market {
    let peer = |(id, neighbours): (&PeerId, &BTreeSet<PeerId>)| PeerPlan {
        id: *id,
        role: roles.get(id).copied().unwrap_or_default(),
        neighbours: neighbours.iter().copied().collect(),
    };
    Market { peers: links.iter().map(peer).collect() }
}

fn entry<T>(file: &File<T>, nodes: u32) -> Result<&T, ConfigError> {
    file.entries.get(&nodes.to_string()).ok_or_else(|| ConfigError::NoEntry {
        file: file.path.clone(),
        nodes,
        entries: file.entries.keys(),
    })
}

fn link(links: &mut Links, one: PeerId, other: PeerId) {
    links.entry(one).or_default().insert(other);
    links.entry(other).or_default().insert(one);
}

fn links(file: &Path, nodes: u32, listed: &Entries<Vec<u32>>) -> Result<Links, ConfigError> {
    if listed.0.len() != nodes as usize {
        return Err(ConfigError::WrongCount { file: file.into(), nodes, found: listed.0.len() });
    }
    let mut links = Links::new();
    for (key, _) in &listed.0 {
        links.insert(peer_id(file, nodes, key)?, BTreeSet::new());
    }
    for (key, neighbours) in &listed.0 {
        let peer = peer_id(file, nodes, key)?;
        for neighbour in neighbours.iter().map(|id| PeerId(*id)) {
            check_neighbour(file, nodes, &links, peer, neighbour)?;
            link(&mut links, peer, neighbour);
        }
    }
    check_connected(file, nodes, &links)?;
    Ok(links)
}

fn peer_id(file: &Path, nodes: u32, key: &str) -> Result<PeerId, ConfigError> {
    let id = key
        .parse()
        .map(PeerId)
        .ok()
        .filter(|id| *id >= PeerId(1) && !id.is_client() && id.to_string() == key);
    id.ok_or_else(|| ConfigError::NotAPeer { file: file.into(), nodes, peer: key.into() })
}

fn check_neighbour(
    file: &Path,
    nodes: u32,
    links: &Links,
    peer: PeerId,
    neighbour: PeerId,
) -> Result<(), ConfigError> {
    let why = match neighbour {
        _ if neighbour == peer => "is that peer itself",
        _ if !links.contains_key(&neighbour) => "does not exist",
        _ => return Ok(()),
    };
    Err(ConfigError::BadNeighbour { file: file.into(), nodes, peer, neighbour, why })
}

fn check_connected(file: &Path, nodes: u32, links: &Links) -> Result<(), ConfigError> {
    let Some(from) = links.keys().next().copied() else { return Ok(()) };
    let (mut reached, mut ahead) = (BTreeSet::from([from]), vec![from]);
    while let Some(peer) = ahead.pop() {
        ahead.extend(links[&peer].iter().filter(|neighbour| reached.insert(**neighbour)));
    }
    match links.keys().find(|peer| !reached.contains(peer)) {
        Some(to) => Err(ConfigError::Unconnected { file: file.into(), nodes, from, to: *to }),
        None => Ok(()),
    }
}

fn roles(
    file: &Path,
    nodes: u32,
    lists: &Lists,
    links: &Links,
) -> Result<BTreeMap<PeerId, Role>, ConfigError> {
    let mut roles = BTreeMap::new();
    for (role, ids) in [(Role::Buyer, &lists.buyers), (Role::Seller, &lists.sellers)] {
        for peer in ids.iter().map(|id| PeerId(*id)) {
            if !links.contains_key(&peer) {
                return Err(ConfigError::NotInTopology { file: file.into(), nodes, role: role.name(), peer });
            }
            if roles.insert(peer, role).is_some_and(|before| before != role) {
                return Err(ConfigError::OnBothLists { file: file.into(), nodes, peer });
            }
        }
    }
    let unlisted: Vec<PeerId> = links.keys().filter(|peer| !roles.contains_key(peer)).copied().collect();
    let idle_from = unlisted.len().saturating_sub(2);
    roles.extend(
        unlisted
            .iter()
            .enumerate()
            .map(|(index, peer)| (*peer, if index < idle_from { Role::Buyer } else { Role::Idle })),
    );
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market_of(topology: &str, lists: &str, nodes: u32) -> Result<Market, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("topology.json"), topology).unwrap();
        std::fs::write(dir.path().join("config_buyers_sellers.json"), lists).unwrap();
        market(dir.path(), nodes)
    }

    fn with_role(market: &Market, role: Role) -> Vec<u32> {
        market.peers.iter().filter(|peer| peer.role == role).map(|peer| peer.id.0).collect()
    }

    #[test]
    fn the_default_market_of_six_is_a_ring_with_two_idle_on_top() {
        let six = market(Path::new("data"), 6).unwrap();
        assert_eq!(with_role(&six, Role::Buyer), [1, 4]);
        assert_eq!(with_role(&six, Role::Seller), [2, 3]);
        assert_eq!(with_role(&six, Role::Idle), [5, 6]);
        assert_eq!(six.peers[0].neighbours, [PeerId(2), PeerId(6)]);
    }

    #[test]
    fn the_other_shipped_sizes_are_lines() {
        for (nodes, buyers) in [(7, vec![1, 4, 5]), (8, vec![1, 4, 5, 6])] {
            let market = market(Path::new("data"), nodes).unwrap();
            assert_eq!(with_role(&market, Role::Buyer), buyers);
            assert_eq!(market.peers[0].neighbours, [PeerId(2)]);
        }
    }

    #[test]
    fn rings_have_buyers_then_sellers_then_idle() {
        let market = ring(2, 1);
        assert_eq!(with_role(&market, Role::Buyer), [1, 2]);
        assert_eq!(with_role(&market, Role::Seller), [3]);
        assert_eq!(with_role(&market, Role::Idle), [4, 5]);
        assert_eq!(market.peers[4].neighbours, [PeerId(1), PeerId(4)]);
        assert_eq!(ring(0, 0).peers[0].neighbours, [PeerId(2)]);
    }

    #[test]
    fn links_are_undirected_and_the_unlisted_buy_but_for_the_two_highest() {
        let market = market_of(
            r#"{"5": {"1": [2, 3, 4, 5], "2": [], "3": [], "4": [], "5": []}}"#,
            r#"{"5": {"buyers": [1], "sellers": [4]}}"#,
            5,
        )
        .unwrap();
        assert_eq!(market.peers[1].neighbours, [PeerId(1)]);
        assert_eq!(with_role(&market, Role::Buyer), [1, 2]);
        assert_eq!(with_role(&market, Role::Idle), [3, 5]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let line = r#"{"3": {"1": [2], "2": [3], "3": []}}"#;
        let none = r#"{"3": {"buyers": [], "sellers": []}}"#;
        let cases = [
            (line, r#"{"3": {"buyers": [1], "sellers": [1]}}"#, "peer 1 is on both lists"),
            (line, r#"{"3": {"buyers": [9], "sellers": []}}"#, "buyer 9"),
            (line, r#"{"4": {"buyers": [], "sellers": []}}"#, "no entry for 3 nodes, only for 4"),
            (r#"{"3": {"1": [2], "2": [7], "3": []}}"#, none, "neighbour 7 of peer 2"),
            (r#"{"3": {"1": [1], "2": [3], "3": []}}"#, none, "that peer itself"),
            (r#"{"3": {"1": [2], "2": [], "3": []}}"#, none, "from peer 1 to peer 3"),
            (r#"{"3": {"1": [2], "2": []}}"#, none, "lists 2 peers"),
            (r#"{"3": {"1": [2], "2": [3], "x": []}}"#, none, "\"x\""),
            (r#"{"6": {}, "7": {}}"#, none, "no entry for 3 nodes, only for 6, 7"),
            ("{\n  \"3\": [\n}", none, "topology.json:2:8: invalid type: sequence, expected an object"),
            ("[1, 2]", none, "topology.json:1:1: "),
            (r#"{"3": {"1": 2}}"#, none, "topology.json:1:13: invalid type: integer `2`"),
            (r#"{"3": {"1": [-2]}}"#, none, "expected a whole number"),
            (
                line,
                r#"{"3": [1]}"#,
                "config_buyers_sellers.json:1:7: invalid type: sequence, expected an object",
            ),
        ];
        for (topology, lists, named) in cases {
            let error = market_of(topology, lists, 3).unwrap_err();
            assert!(error.to_string().contains(named), "{error} lacks {named}");
            assert!(!error.hint().is_empty());
        }
        let hint = |topology, lists| market_of(topology, lists, 3).unwrap_err().hint();
        assert!(hint("[1, 2]", none).contains(r#"{"3": {"1": [2], "2": [1, 3]"#));
        assert!(hint(line, "[1]").contains(r#"{"3": {"buyers": [1], "sellers": [2]}}"#));
        assert!(hint("{", none).contains("mend that place"), "no JSON");
        let other = |nodes| market_of(line, none, nodes).unwrap_err().hint();
        assert!(
            other(9).ends_with("bazaar up --buyers 5 --sellers 2"),
            "nine with the idle ones: {}",
            other(9)
        );
        assert!(other(2).ends_with("bazaar up --buyers 0 --sellers 0"), "{}", other(2));
        assert!(matches!(market(Path::new("data"), 1), Err(ConfigError::TooFewPeers { nodes: 1 })));
    }
}
