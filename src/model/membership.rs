//! What a peer knows of the other peers: id, address, process, and whether it left for good.
//!
//! In: members that a neighbour told. Out: which of them were news, to be passed on to the *other* neighbours. Each link
//! begins with everything that either side knows; from then on only news flows, so the view is complete at every node of
//! a connected topology, and no message is passed on for ever. No warehouse is needed. Invariants:
//! - a member's entry only rises: by process id, and within one process from present to left. Any two nodes that were
//!   told the same things, in whatever order and however often, know the same;
//! - the own entry is written here alone: what others say of this peer is old, or of another process on a copy of its
//!   store, which is for the warehouse to sort out;
//! - ids other than 1..=1000 (clients, the warehouse) are never members, so the view is bounded.
//!
//! A dead process stays a member: whether it answers is found by asking it.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Hash, Now, PeerId, ProcessId};

/// A peer as others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who: 1..=1000.
    pub id: PeerId,
    /// Where this process listens, `host:port`. Never changes within one process.
    pub addr: String,
    /// Which life of it; the higher one is the newer.
    pub process: ProcessId,
    /// It went on purpose, and is not to be asked any more until a newer process of it joins.
    pub left: bool,
}

impl Member {
    /// What decides between two accounts of one member.
    fn age(&self) -> (ProcessId, bool) {
        (self.process, self.left)
    }
}

/// One node's view of all peers, itself included.
#[derive(Clone, Debug)]
pub struct Membership {
    me: PeerId,
    members: BTreeMap<PeerId, Member>,
    changed: Now,
}

impl Membership {
    /// A view that holds this peer alone.
    pub fn new(me: Member, now: Now) -> Membership {
        Membership { me: me.id, members: BTreeMap::from([(me.id, me)]), changed: now }
    }

    /// Takes in what a neighbour told, and gives what was news, by id: to be passed on to the other neighbours.
    ///
    /// The higher process id wins; of one process, the account that says it left. Anything else is no news.
    pub fn merge(&mut self, now: Now, told: Vec<Member>) -> Vec<Member> {
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

    /// All members, those that left and this peer included, by id.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// What is known of one peer.
    pub fn get(&self, peer: PeerId) -> Option<&Member> {
        self.members.get(&peer)
    }

    /// This peer, as it tells of itself.
    pub fn own(&self) -> &Member {
        &self.members[&self.me]
    }

    /// The other peers that have not left: whom an election asks.
    pub fn others(&self) -> BTreeSet<PeerId> {
        self.all().filter(|member| member.id != self.me && !member.left).map(|member| member.id).collect()
    }

    /// Milliseconds since the view last changed.
    pub fn quiet_for_ms(&self, now: Now) -> u64 {
        now.ms_since(self.changed)
    }

    /// The address that the listener got. Must come before anything is told to a neighbour, since of one process the
    /// first address stands.
    pub fn set_own_addr(&mut self, addr: String) {
        self.own_mut().addr = addr;
    }

    /// The warehouse gave this store another epoch, so this process has another name. Gives what to tell all neighbours.
    pub fn set_own_process(&mut self, now: Now, process: ProcessId) -> Member {
        self.changed = now;
        self.own_mut().process = process;
        self.own().clone()
    }

    /// This peer goes for good. Gives what to tell all neighbours.
    pub fn leave(&mut self, now: Now) -> Member {
        self.changed = now;
        self.own_mut().left = true;
        self.own().clone()
    }

    /// A digest of the whole view: equal at two nodes if they know the same of the same peers.
    pub fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        for member in self.all() {
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

    fn is_news(&self, told: &Member) -> bool {
        let may_be_told = told.id != self.me && told.id != PeerId::WAREHOUSE && !told.id.is_client();
        may_be_told && self.get(told.id).is_none_or(|known| told.age() > known.age())
    }

    fn own_mut(&mut self) -> &mut Member {
        match self.members.get_mut(&self.me) {
            Some(own) => own,
            None => unreachable!("the own entry is made with the view and never removed"),
        }
    }
}
