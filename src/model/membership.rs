//! What a peer knows of the other peers: id, address, process, and whether it left for good.
//!
//! In: members as the warehouse tells of them, or as they tell of themselves. Out: which of them were news. What one
//! member tells of another does not come here: it is a hint. Invariants:
//! - a member's entry only rises: by process id, and within one process from present to left. Any two nodes that were
//!   told the same things, in whatever order and however often, know the same;
//! - only this peer writes its entry: what others say of it is old, or tells of another process on a copy of its store,
//!   which the warehouse sorts out;
//! - ids other than 1..=1000 (clients, the warehouse) are never members, so the view is bounded.
//!
//! A dead process stays a member: whether it answers is found by asking it.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Hash, Now, PeerId, ProcessId};

/// A peer as others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// 1..=1000.
    pub id: PeerId,
    /// Where this process listens, `host:port`. Never changes within one process.
    pub addr: String,
    /// The peer's present run; of two runs the higher one is the newer.
    pub process: ProcessId,
    /// It went on purpose, and is not to be asked any more until a newer process of it joins.
    pub left: bool,
}

impl Member {
    /// Of two accounts of one member the greater one stands.
    fn age(&self) -> (ProcessId, bool) {
        (self.process, self.left)
    }
}

/// One node's view of all peers, itself included.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    me: PeerId,
    members: BTreeMap<PeerId, Member>,
    changed: Now,
}

impl Membership {
    /// A view that holds this peer alone.
    pub(crate) fn new(me: Member, now: Now) -> Membership {
        Membership { me: me.id, members: BTreeMap::from([(me.id, me)]), changed: now }
    }

    /// Takes in what members told of themselves, and gives what was news, by id: to be passed on to neighbours.
    ///
    /// The higher process id wins; of one process, the account that says it left. Anything else is no news.
    pub(crate) fn merge(&mut self, now: Now, told: Vec<Member>) -> Vec<Member> {
        let mut news = BTreeSet::new();
        for member in told {
            if self.is_news(&member) {
                news.insert(member.id);
                self.members.insert(member.id, member);
            }
        }
        if !news.is_empty() {
            self.changed = now;
        }
        news.iter().map(|id| self.members[id].clone()).collect()
    }

    /// Takes in what the warehouse told, and gives what was news. It has the last word on where a process listens: a peer
    /// that listens on all addresses does not know by which it is seen.
    pub(crate) fn told(&mut self, now: Now, told: Vec<Member>) -> Vec<Member> {
        let mut news = Vec::new();
        for member in told {
            let known = self.get(member.id).filter(|known| known.age() == member.age());
            let moved = known.is_some_and(|known| known.addr != member.addr) && member.id != self.me;
            if moved || self.is_news(&member) {
                self.changed = now;
                self.members.insert(member.id, member.clone());
                news.push(member);
            }
        }
        news
    }

    /// All members, those that left and this peer included, by id.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// What is known of one peer.
    pub(crate) fn get(&self, peer: PeerId) -> Option<&Member> {
        self.members.get(&peer)
    }

    /// Whether this peer has heard that the other one left for good.
    pub(crate) fn has_left(&self, peer: PeerId) -> bool {
        self.get(peer).is_some_and(|member| member.left)
    }

    /// This peer, as it tells of itself.
    pub(crate) fn own(&self) -> &Member {
        &self.members[&self.me]
    }

    /// The other peers that have not left. An election asks them.
    pub(crate) fn others(&self) -> BTreeSet<PeerId> {
        self.all().filter(|member| member.id != self.me && !member.left).map(|member| member.id).collect()
    }

    /// Milliseconds since the view last changed.
    pub(crate) fn quiet_for_ms(&self, now: Now) -> u64 {
        now.ms_since(self.changed)
    }

    /// The warehouse gave this store another epoch, so this process has another name. Gives what to tell all neighbours.
    pub(crate) fn set_own_process(&mut self, now: Now, process: ProcessId) -> Member {
        self.changed = now;
        self.own_mut().process = process;
        self.own().clone()
    }

    /// The warehouse sees this peer at that address.
    pub(crate) fn set_own_addr(&mut self, addr: String) {
        self.own_mut().addr = addr;
    }

    /// This peer leaves for good. Gives what to tell all neighbours.
    pub(crate) fn leave(&mut self, now: Now) -> Member {
        self.changed = now;
        self.own_mut().left = true;
        self.own().clone()
    }

    /// A digest of the whole view: equal at two nodes if they know the same of the same peers.
    #[cfg(test)]
    pub(crate) fn digest(&self) -> u64 {
        digest(self.all())
    }

    /// Whether it is newer than what is known of that peer.
    pub(crate) fn is_news(&self, told: &Member) -> bool {
        let may_be_told = told.id != self.me && told.id != PeerId::WAREHOUSE && !told.id.is_client();
        may_be_told
            && !is_everywhere(&told.addr)
            && self.get(told.id).is_none_or(|known| told.age() > known.age())
    }

    fn own_mut(&mut self) -> &mut Member {
        match self.members.get_mut(&self.me) {
            Some(own) => own,
            None => unreachable!("a view is made with this peer's entry, which is never removed"),
        }
    }
}

/// An address to listen on, at which nobody can be found.
pub(crate) fn is_everywhere(addr: &str) -> bool {
    addr.starts_with("0.0.0.0:") || addr.starts_with("[::]:")
}

/// The next of `peers` behind `me` in the ring of ids: `wanted` that answer, and the silent ones between them, which may
/// come back. If each peer keeps a link to the next one that answers, the links join all of them: they form the ring.
pub(crate) fn next_in_ring(
    me: PeerId,
    peers: &BTreeSet<PeerId>,
    answers: impl Fn(PeerId) -> bool,
    wanted: usize,
) -> BTreeSet<PeerId> {
    let (before, behind): (Vec<PeerId>, Vec<PeerId>) =
        peers.iter().filter(|peer| **peer != me).partition(|peer| **peer < me);
    let mut found = 0;
    let mut next = BTreeSet::new();
    for peer in behind.into_iter().chain(before) {
        if found == wanted {
            break;
        }
        next.insert(peer);
        found += usize::from(answers(peer));
    }
    next
}

/// The digest of a view that lists these members, ascending by id.
pub(crate) fn digest<'a>(members: impl IntoIterator<Item = &'a Member>) -> u64 {
    let mut bytes = Vec::new();
    for member in members {
        bytes.extend(member.id.0.to_le_bytes());
        bytes.extend(member.process.epoch.0.to_le_bytes());
        bytes.extend(member.process.starts.to_le_bytes());
        bytes.extend(member.process.random.to_le_bytes());
        bytes.push(u8::from(member.left));
        bytes.extend((member.addr.len() as u64).to_le_bytes());
        bytes.extend(member.addr.as_bytes());
    }
    Hash::of(&bytes).first_u64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Epoch;

    fn process(starts: u64) -> ProcessId {
        ProcessId { epoch: Epoch(0), starts, random: 7 }
    }

    fn member(id: u32, starts: u64) -> Member {
        Member {
            id: PeerId(id),
            addr: format!("127.0.0.1:{id}{starts}"),
            process: process(starts),
            left: false,
        }
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
        let next = |me, dead: &[u32], wanted| {
            next_in_ring(PeerId(me), &peers, |peer| !dead.contains(&peer.0), wanted)
        };
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
        let differing =
            [vec![], vec![member(2, 1)], vec![member(2, 2)], vec![gone(2, 1)], vec![member(3, 1)]];
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
            Market {
                views,
                links: (1..nodes).map(|b| (b - 1, b)).chain(more).collect(),
                under_way: Vec::new(),
            }
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
}
