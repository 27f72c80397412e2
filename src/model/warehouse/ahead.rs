//! A peer says that it has seen more of the ledger than this one holds: is it believed?
//!
//! If it is true, this store is an older copy of the warehouse's and would tell peers what never was, so the process
//! ends. If it is a lie, the liar ends the market. This file decides which; proofs that the ledger itself gives out are to
//! be checked here, too.

use super::Warehouse;
use crate::model::hello::Hello;
use crate::model::step::{Exit, Past};

/// What a hello says of the ledger, held against this one.
pub(super) enum Claim {
    /// This ledger holds what the peer has seen.
    Fits,
    /// It would show an older copy, and nothing speaks for it: the peer is not served, and nothing else happens.
    Bare,
    /// The peer is a witness: this ledger lacks what it has seen.
    Believed(Exit),
}

impl Warehouse {
    /// See the module's text.
    pub(super) fn claim_of(&self, hello: &Hello, past: &dyn Past) -> Claim {
        match self.lacks(hello, past) {
            None => Claim::Fits,
            Some(seen) if self.is_witness(hello) => {
                tracing::error!(peer = %hello.peer, seen, "this store is an older copy of the warehouse's");
                Claim::Believed(exit_as_older_copy(hello, &seen))
            }
            Some(_) => Claim::Bare,
        }
    }

    /// The place where a proof will count. Until there are proofs: a peer whose session this ledger held before this life
    /// of the warehouse, and which shows its token. Anybody may become a client, and anybody may open a session under an
    /// id that nobody uses: with such a session nobody has seen more than this very ledger.
    fn is_witness(&self, hello: &Hello) -> bool {
        !hello.peer.is_client() && self.knows(hello) && !self.opened_here.contains(&hello.peer)
    }

    /// What the peer says that it has seen, if this ledger lacks it.
    fn lacks(&self, hello: &Hello, past: &dyn Past) -> Option<String> {
        let (generation, own) = (hello.generation, self.market.generation);
        if generation < own {
            return None;
        }
        if generation > own {
            return Some(format!("generation {generation} of the ledger"));
        }
        let (seq, hash) = hello.ledger;
        match past.holds(seq, hash) {
            Ok(true) => None,
            Ok(false) => Some(format!("ledger record {seq}")),
            Err(error) => {
                tracing::error!(error, "the ledger cannot be compared with what a peer has seen");
                None
            }
        }
    }
}

fn exit_as_older_copy(hello: &Hello, seen: &str) -> Exit {
    Exit {
        code: 7,
        what: format!(
            "peer {} has seen {seen}, which this store lacks: it is an older copy of the warehouse's",
            hello.peer
        ),
        hint:
            "put the newest copy of the warehouse's directory back; if there is none, move this one away and \
               mend with: bazaar restore --from BACKUP --accept-loss"
                .to_owned(),
    }
}
