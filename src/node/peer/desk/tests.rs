use super::super::testing::bench;
use super::*;
use crate::wire::outbox::outbox;

/// Anybody may become a client: a token proves no more than that it is the same one as before.
#[test]
fn no_client_ends_a_term_with_a_roster_of_its_own() {
    let mut bench = bench();
    let node = &mut bench.node;
    let (client, token) = (PeerId(1_001), Token([9; 32]));
    node.know(SessionInfo { peer: client, epoch: Epoch(0), store: token.store_id() });
    let forged = Roster { generation: u64::MAX, seq: Seq(u64::MAX), ..Roster::default() };
    let hello = Hello {
        peer: client,
        token: Some(token),
        roster: forged,
        cluster: node.me.cluster.clone(),
        ..Hello::default()
    };

    let (answers, _trade) = outbox();
    node.market(MarketCall::Opened(1, answers));
    node.market(MarketCall::Asked(
        1,
        TradeAsk { hello: Some(Box::new(hello.clone())), ..TradeAsk::default() },
    ));
    assert!(node.desk.by_peer.contains_key(&client), "it may trade");
    let (answers, _copies) = outbox();
    node.replica_call(ReplicaCall::Opened(2, answers));
    let ask = ReplicaAsk { hello: Some(Box::new(hello.clone())), ..ReplicaAsk::default() };
    node.replica_call(ReplicaCall::Asked(2, Box::new(ask)));
    let (words, _link) = outbox();
    node.cluster(ClusterCall::Opened(3, words));
    let word = PeerWord::Hello(Box::new(hello));
    node.cluster(ClusterCall::Said(3, PeerMessage { clock: Stamp(1), word }));
    assert_eq!(node.roster, Roster::default());
}

#[test]
fn no_client_puts_a_traders_clock_out_of_reach() {
    let mut bench = bench();
    let node = &mut bench.node;
    let (client, peer, start) = (PeerId(1_001), PeerId(4), node.clock.now().0);
    let lead = crate::limits::CLIENT_CLOCK_LEAD_MAX;
    assert!(node.hear_orderer(client, Stamp(start + lead)), "it may have heard more than this trader");
    for _ in 0..3 {
        let next = node.clock.now().0 + lead;
        assert!(!node.hear_orderer(client, Stamp(next)), "what clients said is no ground to go further");
    }
    assert!(node.clock.now().0 <= start + lead + 1);
    let next = node.clock.now().0 + lead;
    assert!(node.hear_orderer(peer, Stamp(next)), "a peer's word counts");
    assert!(node.hear_orderer(client, Stamp(next + lead)));
}
