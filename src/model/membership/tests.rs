use proptest::prelude::*;

use super::*;
use crate::types::Epoch;

fn process(starts: u64) -> ProcessId {
    ProcessId { epoch: Epoch(0), starts, random: 7 }
}

fn member(id: u32, starts: u64) -> Member {
    Member { id: PeerId(id), addr: format!("127.0.0.1:{id}{starts}"), process: process(starts), left: false }
}

fn gone(id: u32, starts: u64) -> Member {
    Member { left: true, ..member(id, starts) }
}

fn view() -> Membership {
    Membership::new(member(1, 1), Now(0))
}

fn ids(ids: &[u32]) -> BTreeSet<PeerId> {
    ids.iter().copied().map(PeerId).collect()
}

#[test]
fn the_dead_are_passed_over_and_not_forgotten() {
    let peers = ids(&[1, 2, 4, 5, 7]);
    let next =
        |me, dead: &[u32], wanted| next_in_ring(PeerId(me), &peers, |peer| !dead.contains(&peer.0), wanted);
    assert_eq!(next(4, &[], 1), ids(&[5]));
    assert_eq!(next(7, &[], 2), ids(&[1, 2]), "round the end");
    assert_eq!(next(4, &[5, 7], 1), ids(&[5, 7, 1]));
    assert_eq!(next(4, &[1, 2, 5, 7], 1), ids(&[1, 2, 5, 7]), "alone: everybody is tried");
    assert_eq!(next(3, &[], 9), peers, "more than there are");
}

#[test]
fn old_news_is_not_passed_on_for_ever() {
    let mut view = view();
    assert_eq!(view.merge(Now(1), vec![member(2, 1)]), [member(2, 1)]);
    assert_eq!(view.merge(Now(2), vec![member(2, 1)]), []);
    assert_eq!(
        view.merge(Now(3), vec![member(3, 1), member(3, 2)]),
        [member(3, 2)],
        "the newest account only"
    );
}

#[test]
fn a_dead_process_does_not_come_back_over_its_successor() {
    let mut view = view();
    view.merge(Now(1), vec![member(2, 2)]);
    assert_eq!(view.merge(Now(2), vec![member(2, 1), gone(2, 1)]), []);
    assert_eq!(view.get(PeerId(2)), Some(&member(2, 2)));
}

#[test]
fn a_peer_that_left_comes_back_as_a_new_process_only() {
    let mut view = view();
    view.merge(Now(1), vec![member(2, 1)]);
    assert_eq!(view.merge(Now(2), vec![gone(2, 1)]), [gone(2, 1)]);
    assert_eq!(view.others(), BTreeSet::new());
    assert_eq!(view.merge(Now(3), vec![member(2, 1)]), [], "a neighbour that has not heard of it yet");
    assert_eq!(view.merge(Now(4), vec![member(2, 2)]), [member(2, 2)]);
    assert_eq!(view.others(), BTreeSet::from([PeerId(2)]));
}

#[test]
fn others_have_no_say_in_what_this_peer_is() {
    let mut view = view();
    assert_eq!(view.merge(Now(1), vec![gone(1, 1), member(1, 9)]), []);
    assert_eq!(view.own(), &member(1, 1));
}

#[test]
fn clients_and_the_warehouse_are_no_members() {
    let mut view = view();
    assert_eq!(view.merge(Now(1), vec![member(0, 1), member(1_001, 1)]), []);
    assert_eq!(view.all().count(), 1);
    assert_eq!(view.merge(Now(1), vec![member(1_000, 1)]).len(), 1);
}

#[test]
fn only_news_disturbs_the_quiet() {
    let mut view = view();
    assert_eq!(view.quiet_for_ms(Now(100)), 100);
    view.merge(Now(100), vec![member(2, 1)]);
    view.merge(Now(300), vec![member(2, 1)]);
    assert_eq!(view.quiet_for_ms(Now(400)), 300);
    assert_eq!(view.quiet_for_ms(Now(50)), 0, "a time before the change");
    view.leave(Now(500));
    assert_eq!(view.quiet_for_ms(Now(500)), 0);
}

#[test]
fn a_store_of_a_new_epoch_is_heard_over_the_lost_one() {
    let (mut reborn, mut other) = (view(), Membership::new(member(2, 1), Now(0)));
    other.merge(Now(1), vec![member(1, 40)]);
    assert_eq!(other.merge(Now(2), vec![reborn.own().clone()]), [], "epoch 0, first start: looks old");
    let process = ProcessId { epoch: Epoch(1), ..process(1) };
    let own = reborn.set_own_process(Now(3), process);
    assert_eq!(other.merge(Now(3), vec![own.clone()]), [own]);
}

#[test]
fn views_that_differ_in_anything_differ_in_their_digest() {
    let differing = [vec![], vec![member(2, 1)], vec![member(2, 2)], vec![gone(2, 1)], vec![member(3, 1)]];
    let digests = differing.map(|told| {
        let mut view = view();
        view.merge(Now(1), told);
        view.digest()
    });
    assert_eq!(BTreeSet::from(digests).len(), digests.len());
    let moved = Membership::new(Member { addr: "[::1]:9".into(), ..member(1, 1) }, Now(0));
    assert_ne!(moved.digest(), view().digest());
}

/// A market whose links lose what is under way when they break, and begin anew with all that both sides know.
struct Market {
    views: Vec<Membership>,
    links: Vec<(usize, usize)>,
    /// From, to, what: on each link in order.
    under_way: Vec<(usize, usize, Vec<Member>)>,
}

impl Market {
    /// A line with some more links, each node on its own yet.
    fn new(nodes: usize, more: &[(usize, usize)]) -> Market {
        let views = (1..=nodes).map(|id| Membership::new(member(id as u32, 1), Now(0))).collect();
        let more = more.iter().map(|&(a, b)| (a % nodes, b % nodes)).filter(|(a, b)| a != b);
        Market { views, links: (1..nodes).map(|b| (b - 1, b)).chain(more).collect(), under_way: Vec::new() }
    }

    fn connect(&mut self, link: usize) {
        let (a, b) = self.links[link % self.links.len()];
        self.under_way.retain(|&(from, to, _)| (from, to) != (a, b) && (from, to) != (b, a));
        for (from, to) in [(a, b), (b, a)] {
            let all = self.views[from].all().cloned().collect();
            self.under_way.push((from, to, all));
        }
    }

    fn tell(&mut self, from: usize, except: Option<usize>, news: &[Member]) {
        for &(a, b) in &self.links {
            let to = if a == from { b } else { a };
            if (a == from || b == from) && Some(to) != except && !news.is_empty() {
                self.under_way.push((from, to, news.to_vec()));
            }
        }
    }

    fn deliver(&mut self, which: usize) {
        let (from, to, told) = self.under_way.remove(which % self.under_way.len());
        let news = self.views[to].merge(Now(1), told);
        self.tell(to, Some(from), &news);
    }

    /// A new process, which knows nobody, or a departure.
    fn change(&mut self, node: usize, leaves: bool) {
        let own = self.views[node].own().clone();
        if leaves {
            let own = self.views[node].leave(Now(1));
            return self.tell(node, None, &[own]);
        }
        self.views[node] = Membership::new(member(own.id.0, own.process.starts + 1), Now(1));
        for link in 0..self.links.len() {
            if [self.links[link].0, self.links[link].1].contains(&node) {
                self.connect(link);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_view_becomes_complete_and_the_talk_ends(
        nodes in 2..9_usize,
        more in prop::collection::vec((0..9_usize, 0..9_usize), 0..4),
        steps in prop::collection::vec((0..10_u8, any::<usize>()), 0..60),
    ) {
        let mut market = Market::new(nodes, &more);
        (0..market.links.len()).for_each(|link| market.connect(link));
        for (step, pick) in steps {
            match step {
                0 => market.connect(pick),
                1 => market.change(pick % nodes, false),
                2 => market.change(pick % nodes, true),
                _ if market.under_way.is_empty() => {}
                _ => market.deliver(pick),
            }
        }
        let mut delivered = 0;
        while !market.under_way.is_empty() {
            market.deliver(0);
            delivered += 1;
            prop_assert!(delivered < 20_000, "news goes round and round");
        }
        let digest = market.views[0].digest();
        prop_assert_eq!(market.views[0].all().count(), nodes);
        prop_assert!(market.views.iter().all(|view| view.digest() == digest));
        for view in &market.views {
            let newest = view.own();
            prop_assert!(market.views.iter().all(|other| other.get(newest.id) == Some(newest)));
        }
    }

    /// Any peers may die: the others stay joined to each other, each by few links.
    #[test]
    fn the_ring_joins_all_that_live(
        living in prop::collection::btree_set(1..40_u32, 1..20),
        dead in prop::collection::btree_set(1..40_u32, 0..20),
    ) {
        let living: BTreeSet<PeerId> = living.into_iter().map(PeerId).collect();
        let all = dead.into_iter().map(PeerId).chain(living.iter().copied()).collect();
        let answers = |peer: PeerId| living.contains(&peer);
        let mut reached: BTreeSet<PeerId> = living.iter().take(1).copied().collect();
        for _ in &living {
            for peer in reached.clone() {
                let next = next_in_ring(peer, &all, answers, 1);
                prop_assert!(next.iter().filter(|peer| answers(**peer)).count() <= 1);
                reached.extend(next.into_iter().filter(|peer| answers(*peer)));
            }
        }
        prop_assert_eq!(reached, living);
    }

    #[test]
    fn order_and_repetition_do_not_matter(
        told in prop::collection::vec((2..6_u32, 1..5_u64, any::<bool>()), 0..20),
        shuffle: u64,
    ) {
        let told: Vec<Member> =
            told.iter().map(|&(id, starts, left)| Member { left, ..member(id, starts) }).collect();
        let mut shuffled = [told.clone(), told.clone()].concat();
        fastrand::Rng::with_seed(shuffle).shuffle(&mut shuffled);
        let (mut at_once, mut one_by_one) = (view(), view());
        at_once.merge(Now(1), told);
        for member in shuffled {
            one_by_one.merge(Now(1), vec![member]);
        }
        prop_assert!(at_once.all().eq(one_by_one.all()));
        prop_assert_eq!(at_once.digest(), one_by_one.digest());
    }
}

/// A peer that listens on all addresses does not know by which it is seen.
#[test]
fn the_warehouse_says_where_a_process_listens() {
    let mut view = view();
    view.merge(Now(1), vec![member(2, 1)]);
    let moved = Member { addr: "192.0.2.7:7702".into(), ..member(2, 1) };
    assert_eq!(view.merge(Now(2), vec![moved.clone()]), [], "not another peer");
    assert_eq!(view.told(Now(300), vec![member(2, 1)]), [], "as it was");
    assert_eq!(view.told(Now(300), vec![moved.clone()]), std::slice::from_ref(&moved));
    assert_eq!((view.get(PeerId(2)), view.quiet_for_ms(Now(300))), (Some(&moved), 0));
    assert_eq!(view.told(Now(301), vec![member(2, 2)]), [member(2, 2)], "a newer process");
    assert_eq!(view.told(Now(302), vec![moved]), [], "an older one");
    let own = Member { addr: "192.0.2.7:7701".into(), ..member(1, 1) };
    assert_eq!(view.told(Now(303), vec![own]), []);
    assert_eq!(view.own(), &member(1, 1));
}

#[test]
fn an_address_to_listen_on_is_no_news() {
    for addr in ["0.0.0.0:7702", "[::]:7702"] {
        let everywhere = Member { addr: addr.into(), ..member(2, 1) };
        assert_eq!(view().merge(Now(1), vec![everywhere]), [], "{addr}");
    }
}

#[test]
fn only_those_that_are_gone_have_left() {
    let mut view = view();
    view.merge(Now(1), vec![member(2, 1), gone(3, 1)]);
    assert_eq!([2, 3, 4].map(|peer| view.has_left(PeerId(peer))), [false, true, false]);
}
