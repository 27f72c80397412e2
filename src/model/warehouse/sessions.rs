//! Sessions of stores: opening, and the proof that a hello comes from one.

use super::{Denied, Warehouse};
use crate::limits::CLIENTS_MAX;
use crate::model::call::{Answer, OpenAnswer, Opening, Refusal, SessionInfo};
use crate::model::hello::Hello;
use crate::model::row::Record;
use crate::model::step::{At, Turn};
use crate::types::{Epoch, Generation, Hash, Number, PeerId};

/// The answer to opening a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The peer's id; a new client learns it here.
    pub peer: PeerId,
    /// Epoch of the store.
    pub epoch: Epoch,
    /// The lowest number that may still be asked for.
    pub floor: Number,
    /// The highest number decided.
    pub highest: Number,
    /// It was opened just now, not before.
    pub new: bool,
}

impl Opened {
    /// Whether numbers above the last one that a store gave were decided: then it is an old copy. A new epoch begins
    /// above every number of the old ones with nothing decided, which proves nothing.
    pub(crate) fn is_ahead_of(&self, last: Number) -> bool {
        self.highest.k() > 0 && self.highest > last
    }
}

impl Warehouse {
    pub(super) fn open_session(
        &mut self,
        at: At,
        opening: Opening,
        turn: &mut Turn<Record>,
    ) -> Result<Answer, Refusal> {
        let Opening { peer, store, cluster, generation, licence, .. } = opening;
        if !cluster.is_empty() && cluster != self.me.cluster {
            return Err(Denied::OtherCluster { store: cluster, own: self.me.cluster.clone() }.into());
        }
        let opened = self.open(at, peer, store, generation, turn)?;
        if licence.is_some_and(|licence| licence.proven_by(&self.market.keys, opened.peer)) {
            self.holders.insert(opened.peer);
        }
        if opened.new {
            self.tell_session(opened.peer, turn);
        }
        Ok(Answer::Opened(Box::new(OpenAnswer {
            seen: None,
            opened,
            clock: self.clock.now(),
            roster: self.roster(at.now).clone(),
            generation: self.market.generation,
        })))
    }

    /// Opens the session of a store; the same store gets the same answer until a restore. A new store of a known peer,
    /// and every store after a restore, gets a later epoch, and a term that the peer still holds is fenced with it.
    /// `generation` is the one that the store's session is of.
    fn open(
        &mut self,
        at: At,
        peer: PeerId,
        store: Hash,
        generation: Generation,
        turn: &mut Turn<Record>,
    ) -> Result<Opened, Denied> {
        let own = self.market.generation;
        if generation.count > own.count {
            return Err(Denied::OlderCopy { seen: generation, own });
        }
        if generation.rivals(own) {
            return Err(Denied::OtherGeneration { seen: generation, own });
        }
        let owner = self.market.owner(store);
        // The id of a client that the backup does not know may belong to another client by now: the store gets a new
        // id.
        let is_new = peer == PeerId::WAREHOUSE
            || (peer.is_client() && generation.count < own.count && owner != Some(peer));
        let owner = owner.filter(|owner| is_new || *owner == peer);
        if let Some(owner) = owner.filter(|owner| self.is_open(*owner)) {
            return Ok(self.session_of(owner, false));
        }
        let peer = match owner {
            Some(owner) => owner,
            None if is_new => self.market.next_client(),
            None => peer,
        };
        self.may_open(peer)?;
        self.open_epoch(at, peer, store, turn)?;
        Ok(self.session_of(peer, true))
    }

    fn may_open(&self, peer: PeerId) -> Result<(), Denied> {
        let known = self.market.sessions.contains_key(&peer);
        if !known && peer.is_client() && peer != self.market.next_client() {
            return Err(Denied::UnknownPeer(peer));
        }
        if peer.0 > PeerId::PEER_MAX.0 + CLIENTS_MAX {
            return Err(Denied::TooManyClients);
        }
        if self.presence.process_of(peer).is_some() {
            return Err(Denied::StoreAlive(peer));
        }
        Ok(())
    }

    fn open_epoch(
        &mut self,
        at: At,
        peer: PeerId,
        store: Hash,
        turn: &mut Turn<Record>,
    ) -> Result<(), Denied> {
        let (known, generation) = (self.market.sessions.get(&peer), self.market.generation);
        let next = known.map_or(Epoch(0), |session| Epoch(session.epoch.0.saturating_add(1)));
        let epoch = next.max(generation.first_epoch());
        if epoch >= generation.end_of_epochs() {
            return Err(Denied::EpochsSpent(peer));
        }
        if let Some(grant) = self.market.offices.held_by(peer).copied() {
            self.end_term(at.time, &grant, peer, turn);
        }
        let clock = self.clock.tick();
        self.record(at.time, Record::Session { peer, epoch, store, key: None, clock }, turn);
        Ok(())
    }

    fn session_of(&self, peer: PeerId, new: bool) -> Opened {
        let (floor, highest) = self.market.numbers(peer);
        Opened { peer, epoch: floor.epoch(), floor, highest, new }
    }

    /// Whether the peer has a session of this generation.
    fn is_open(&self, peer: PeerId) -> bool {
        let session = self.market.sessions.get(&peer);
        session.is_some_and(|session| session.is_open(self.market.generation))
    }

    /// A peer's session as traders need it.
    pub(super) fn session(&self, peer: PeerId) -> Option<SessionInfo> {
        let session = self.market.sessions.get(&peer).filter(|_| self.is_open(peer))?;
        let held_office = self.holders.contains(&peer);
        Some(SessionInfo { peer, epoch: session.epoch, store: session.store, held_office })
    }

    /// Whether the hello's token is that of the peer's last store, even if a restore has closed the session.
    pub(super) fn knows(&self, hello: &Hello) -> bool {
        let session = self.market.sessions.get(&hello.peer);
        let store = hello.token.map(|token| token.store_id());
        session.is_some_and(|session| Some(session.store) == store)
    }

    /// The peer that a hello proves to be. Denied if the token is missing or not that of the peer's present store.
    pub(super) fn authenticate(&self, hello: &Hello) -> Result<PeerId, Denied> {
        let (seen, own) = (hello.generation, self.market.generation);
        if self.knows(hello) && seen.rivals(own) {
            return Err(Denied::OtherGeneration { seen, own });
        }
        let present = self.market.sessions.get(&hello.peer).is_some_and(|it| it.epoch == hello.epoch);
        let proven = present && self.is_open(hello.peer) && self.knows(hello);
        proven.then_some(hello.peer).ok_or(Denied::NotMember(hello.peer))
    }
}
