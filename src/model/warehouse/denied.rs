//! Why the warehouse does not grant what it is asked for.

use crate::limits::CLIENTS_MAX;
use crate::types::{Generation, Office, PeerId, Term};

/// Why a claim, fence, resignation or session was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The token does not belong to the peer's present store.
    #[error("peer {0} is not a member with this store's token; open a session first")]
    NotMember(PeerId),
    /// Ids above 1000 never hold office, id 0 is the warehouse.
    #[error("peer {0} may not hold an office")]
    NotEligible(PeerId),
    /// Another process of the peer is connected.
    #[error("another store of peer {0} is connected; stop that process first")]
    StoreAlive(PeerId),
    /// The office's holder is seen alive.
    #[error("{office} is held by peer {holder}, which is alive")]
    Held {
        /// Which office.
        office: Office,
        /// By whom.
        holder: PeerId,
    },
    /// The claimant's process has no control stream, so nobody would notice its death.
    #[error("peer {0} has no control stream to the warehouse")]
    NotPresent(PeerId),
    /// Only the paired partner or the holder's own peer may fence.
    #[error("term {0} can be fenced only by its paired partner or its own peer")]
    NotPartner(Term),
    /// Only those who have all that the term told may report it.
    #[error("what term {0} had sold is reported by its trader's store, or that of its last partner")]
    NotReporter(Term),
    /// The ledger has not what the term should have had.
    #[error(
        "what term {0} had sold cannot all be booked; if its goods must be free all the same: bazaar release --term {0} \
         --accept-loss"
    )]
    ReportShort(Term),
    /// The clock is too far ahead to be believed.
    #[error("the clock of peer {0} is too far ahead")]
    ClockAhead(PeerId),
    /// A short while ago the claimant could not be brought up to date, or resigned.
    #[error("peer {0} is passed over for a while")]
    PassedOver(PeerId),
    /// No more client identities.
    #[error("no more than {CLIENTS_MAX} clients are served")]
    TooManyClients,
    /// The store is another market's.
    #[error("that store belongs to cluster '{store}', this warehouse to '{own}'")]
    OtherCluster {
        /// The store's market.
        store: String,
        /// The warehouse's market.
        own: String,
    },
    /// The store has seen a later generation of the ledger: this one is an older copy.
    #[error(
        "this warehouse is of generation {own}, and the store has seen generation {seen}: its ledger is an older copy"
    )]
    OlderCopy {
        /// What the store has seen.
        seen: Generation,
        /// The generation of this warehouse.
        own: Generation,
    },
    /// The store has seen another restore with the same count.
    #[error("{}", .own.rival(*.seen))]
    OtherGeneration {
        /// What the store has seen.
        seen: Generation,
        /// The generation of this warehouse.
        own: Generation,
    },
    /// So many stores of one peer were opened that no epoch is left.
    #[error(
        "peer {0} has had all the stores that one generation of the ledger has epochs for; stop the warehouse, move its \
         directory away, and begin another generation with it: bazaar restore --from DIRECTORY --accept-loss"
    )]
    EpochsSpent(PeerId),
    /// The id is not a peer's and no session has it.
    #[error("peer {0} is unknown; ids of peers are 1 to 1000")]
    UnknownPeer(PeerId),
}
