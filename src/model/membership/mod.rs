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
mod tests;
