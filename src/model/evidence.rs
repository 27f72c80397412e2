//! What the ledger was seen to hold, and the warehouse's signature under it: evidence wherever it stands.
//!
//! A warehouse whose directory was put back to an earlier state would tell people what never was. Its own store cannot
//! know that; the stores of those who were told more do. They show it in every hello, and a warehouse that lacks what is
//! shown serves nobody. A bare claim ends nothing: anybody could make one. So the warehouse signs what it shows (Ed25519,
//! RFC 8032, by the key in the chain and in its own `meta`), one signature for each durable end of the ledger, shared by
//! all that leaves then.

use serde::{Deserialize, Serialize};

use super::peer::entry::Proof;
use crate::types::{Generation, Hash, PeerId, PublicKey, SecretKey, Seq, Signature, Signing, Stamp, Term};

/// The ledger as the warehouse showed it: evidence that it held this, wherever it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Generation of the ledger.
    pub generation: Generation,
    /// Sequence of a block's end.
    pub seq: Seq,
    /// Hash of that block.
    pub hash: Hash,
    /// That the warehouse said so.
    pub proof: Option<Proof>,
}

/// What a signature is over begins with its title, so that it is none of anything else.
const TITLE: &[u8] = b"bazaar: the ledger holds";
const LICENCE_TITLE: &[u8] = b"bazaar: was granted a term";

/// That the warehouse granted a term to a peer, told with the grant and kept by the holder: only who held an office has
/// orders of others to hand over. The ledger alone cannot say so, since a restore loses grants, and not the orders that
/// were accepted under them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// The grant's number.
    pub term: Term,
    /// By the warehouse's key.
    pub signature: Signature,
}

impl Licence {
    /// One of the warehouse's keys has signed it, for this peer.
    pub(crate) fn proven_by(&self, keys: &[PublicKey], peer: PeerId) -> bool {
        let bytes = Licence::signed_bytes(peer, self.term);
        keys.iter().any(|key| key.verifies(&bytes, &self.signature))
    }

    fn signed_bytes(peer: PeerId, term: Term) -> Vec<u8> {
        [LICENCE_TITLE, &peer.0.to_le_bytes(), &term.0.to_le_bytes()].concat()
    }
}

impl Seen {
    /// Sequence and hash.
    pub(crate) fn ledger(&self) -> (Seq, Hash) {
        (self.seq, self.hash)
    }

    /// It tells more than the other one of the same generation: a later end, or the same with a proof.
    pub(crate) fn tells_more_than(&self, other: &Seen) -> bool {
        (self.seq, self.proof.is_some()) > (other.seq, other.proof.is_some())
    }

    /// Takes in what was seen later, if it is of the same generation and tells more.
    pub(crate) fn learn(&mut self, later: &Seen) {
        if later.generation == self.generation && later.tells_more_than(self) {
            *self = *later;
        }
    }

    /// One of the warehouse's keys has signed it. Gives the warehouse's clock then.
    pub(crate) fn proven_by(&self, keys: &[PublicKey]) -> Option<Stamp> {
        let proof = self.proof?;
        let bytes = self.signed_bytes(proof.clock);
        keys.iter().any(|key| key.verifies(&bytes, &proof.signature)).then_some(proof.clock)
    }

    fn signed_bytes(&self, clock: Stamp) -> Vec<u8> {
        let Generation { count, random } = self.generation;
        let numbers = [count, random, self.seq.0, clock.0].map(u64::to_le_bytes);
        [TITLE, numbers.as_flattened(), &self.hash.0].concat()
    }
}

/// Signs what the ledger holds, each end of it once, and who was granted a term.
pub(crate) struct Signer {
    key: Signing,
    last: Seen,
}

impl Signer {
    /// A signer that has signed nothing yet.
    pub(crate) fn new(key: SecretKey) -> Signer {
        Signer { key: key.signing(), last: Seen::default() }
    }

    /// The public half of its key.
    pub(crate) fn key(&self) -> PublicKey {
        self.key.public()
    }

    /// What a peer keeps of the grant of this term.
    pub(crate) fn licence(&self, peer: PeerId, term: Term) -> Licence {
        Licence { term, signature: self.key.sign(&Licence::signed_bytes(peer, term)) }
    }

    /// The end of the ledger with a signature: a new one only if the end is another than the last.
    pub(crate) fn sign(&mut self, generation: Generation, (seq, hash): (Seq, Hash), clock: Stamp) -> Seen {
        let seen = Seen { generation, seq, hash, proof: None };
        let known = Seen { proof: None, ..self.last } == seen && self.last.proof.is_some();
        if !known {
            let signature = self.key.sign(&seen.signed_bytes(clock));
            self.last = Seen { proof: Some(Proof { clock, signature }), ..seen };
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (Signer, Seen) {
        let mut signer = Signer::new(SecretKey([7; 32]));
        let seen = signer.sign(Generation::of_test(1), (Seq(9), Hash([3; 32])), Stamp(40));
        (signer, seen)
    }

    #[test]
    fn what_the_key_signed_is_proven_and_nothing_else() {
        let (signer, seen) = signed();
        let (own, other) = (signer.key(), SecretKey([8; 32]).public());
        assert_eq!(seen.proven_by(&[other, own]), Some(Stamp(40)));
        assert_eq!(seen.proven_by(&[other]), None);
        assert_eq!(Seen { proof: None, ..seen }.proven_by(&[own]), None);
        for forged in [
            Seen { seq: Seq(10), ..seen },
            Seen { hash: Hash([4; 32]), ..seen },
            Seen { generation: Generation { random: 8, ..seen.generation }, ..seen },
            Seen { generation: Generation { count: 2, ..seen.generation }, ..seen },
            Seen { proof: seen.proof.map(|proof| Proof { clock: Stamp(41), ..proof }), ..seen },
        ] {
            assert_eq!(forged.proven_by(&[own]), None, "{forged:?}");
        }
    }

    #[test]
    fn a_licence_is_of_one_peer_and_one_term() {
        let (signer, _) = signed();
        let (licence, keys) = (signer.licence(PeerId(6), Term(3)), [signer.key()]);
        assert!(licence.proven_by(&keys, PeerId(6)));
        assert!(!licence.proven_by(&keys, PeerId(7)));
        assert!(!Licence { term: Term(4), ..licence }.proven_by(&keys, PeerId(6)));
        assert!(!licence.proven_by(&[SecretKey([8; 32]).public()], PeerId(6)));
    }

    #[test]
    fn an_end_of_the_ledger_is_signed_once() {
        let (mut signer, seen) = signed();
        let again = signer.sign(seen.generation, seen.ledger(), Stamp(50));
        assert_eq!(again, seen);
        let next = signer.sign(seen.generation, (Seq(10), Hash([5; 32])), Stamp(50));
        assert_eq!(next.proven_by(&[signer.key()]), Some(Stamp(50)));
    }

    #[test]
    fn a_later_end_tells_more_and_so_does_a_proof() {
        let (_, seen) = signed();
        assert!(!seen.tells_more_than(&seen));
        assert!(seen.tells_more_than(&Seen { proof: None, ..seen }));
        assert!(Seen { seq: Seq(10), proof: None, ..seen }.tells_more_than(&seen));
    }

    #[test]
    fn what_tells_more_is_learnt_of_the_same_generation_only() {
        let (_, seen) = signed();
        let rival = Generation { random: 8, ..seen.generation };
        let later = Seen { seq: Seq(10), proof: None, ..seen };
        for (told, learnt) in [
            (later, later),
            (Seen { seq: Seq(8), ..seen }, seen),
            (Seen { generation: rival, ..later }, seen),
            (Seen { generation: Generation::of_test(2), ..later }, seen),
        ] {
            let mut known = seen;
            known.learn(&told);
            assert_eq!(known, learnt, "{told:?}");
        }
    }
}
