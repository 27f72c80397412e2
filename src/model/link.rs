//! How the two ends of a link prove to each other who they are, without showing a token.
//!
//! The warehouse, which is shown everybody's token, tells each present peer a key for each other one: the other's
//! [`LinkKey`] to it. So a key is known to its maker, to the peer that it is for, and to the warehouse. The dialer proves
//! itself by a hash over the key, the stream's number and the address that it dials; the answer is a hash over the answering
//! side's key and that same stream. So a proof that goes to a wrong address opens nothing elsewhere.

use std::fmt;

use crate::types::{Hash, PeerId, ProcessId, Token};

/// What a peer proves itself with to one other peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkKey(pub [u8; 32]);

impl LinkKey {
    /// The key of the store with this token, for that peer.
    pub(crate) fn new(token: &Token, to: PeerId) -> LinkKey {
        LinkKey(Hash::of(&[b"link".as_slice(), &token.0, &to.0.to_le_bytes()].concat()).0)
    }

    /// Proves the side that dials.
    pub(crate) fn dial(&self, stream: (ProcessId, u64), addr: &str) -> Hash {
        self.over(b"dial", stream, addr)
    }

    /// Proves the side that was dialed; the stream is the dialer's.
    pub(crate) fn answer(&self, stream: (ProcessId, u64)) -> Hash {
        self.over(b"answer", stream, "")
    }

    fn over(&self, side: &[u8], (process, stream): (ProcessId, u64), addr: &str) -> Hash {
        let ProcessId { epoch, starts, random } = process;
        let numbers = [epoch.0, starts, random, stream].map(u64::to_le_bytes);
        Hash::of(&[&self.0, side, numbers.as_flattened(), addr.as_bytes()].concat())
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;

    #[test]
    fn a_proof_holds_for_its_key_its_stream_its_side_and_its_address_only() {
        let token = Token([7; 32]);
        let key = LinkKey::new(&token, PeerId(5));
        let process = ProcessId { epoch: Epoch(1), starts: 2, random: 3 };
        let proof = key.dial((process, 9), "here");
        assert_eq!(proof, LinkKey::new(&token, PeerId(5)).dial((process, 9), "here"));
        let others = [
            LinkKey::new(&token, PeerId(6)).dial((process, 9), "here"),
            LinkKey::new(&Token([8; 32]), PeerId(5)).dial((process, 9), "here"),
            key.dial((process, 10), "here"),
            key.dial((ProcessId { starts: 3, ..process }, 9), "here"),
            key.dial((process, 9), "there"),
            key.answer((process, 9)),
        ];
        assert!(!others.contains(&proof));
        assert!(!format!("{key:?}").contains('7'), "it is in no log");
    }
}
