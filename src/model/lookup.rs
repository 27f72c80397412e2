//! Lookup by flooding: who sells a good, asked over the links of the topology with a limit of hops.
//!
//! A lookup goes to all neighbours, and from them on to theirs; each peer answers the one that asked it when all that it
//! asked itself have answered (propagation of information with feedback, Segall 1983). So replies take the reverse path,
//! and who began it knows when it is over and how many messages it took.

use crate::limits::{FOUND_MAX, HOPS_MAX};
use crate::types::{PeerId, ProductId};

/// A question to a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Of the one that asks: its answer says it.
    pub token: u64,
    /// Which lookup of the peer that the path begins with.
    pub nonce: u64,
    /// What is looked for.
    pub product: ProductId,
    /// How many links further it may go.
    pub hops: u32,
    /// The way that it has come.
    pub path: Vec<PeerId>,
}

/// What was found behind a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookupAnswer {
    /// Of the question.
    pub token: u64,
    /// What was found.
    pub found: Found,
}

/// What came of a lookup, or of a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The ways to peers that sell it: each begins with the peer that looks for it, and ends with a seller.
    pub sellers: Vec<Vec<PeerId>>,
    /// Peers that it came to.
    pub reached: Vec<PeerId>,
    /// Questions that it took; each has one answer.
    pub lookups: u64,
}

impl Found {
    /// Takes in what was found elsewhere. Of two ways to a seller the shorter one stays; of more than there is room for the
    /// first ones do.
    pub(crate) fn add(&mut self, other: Found) {
        let makes_sense = |way: &Vec<PeerId>| (1..=HOPS_MAX as usize + 1).contains(&way.len());
        self.lookups = self.lookups.saturating_add(other.lookups);
        self.reached.extend(other.reached.into_iter().take(FOUND_MAX));
        self.reached.sort_unstable();
        self.reached.dedup();
        self.reached.truncate(FOUND_MAX);
        self.sellers.extend(other.sellers.into_iter().filter(makes_sense).take(FOUND_MAX));
        self.sellers.sort_by_key(|path| (path.last().copied(), path.len()));
        self.sellers.dedup_by_key(|path| path.last().copied());
        self.sellers.truncate(FOUND_MAX);
    }

    /// Upper estimate of its bytes in memory.
    pub(crate) fn weight(&self) -> usize {
        let ids = self.reached.len() + self.sellers.iter().map(Vec::len).sum::<usize>();
        ids * size_of::<PeerId>() + self.sellers.len() * size_of::<Vec<PeerId>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seller_is_found_once_by_the_shortest_way() {
        let path = |ids: &[u32]| ids.iter().map(|id| PeerId(*id)).collect::<Vec<_>>();
        let part = |sellers: &[&[u32]], lookups| Found {
            sellers: sellers.iter().map(|ids| path(ids)).collect(),
            reached: path(&[2, 3]),
            lookups,
        };
        let mut found = part(&[&[1, 2, 3]], 2);
        found.add(part(&[&[1, 3], &[1, 2]], 3));
        assert_eq!(found.sellers, [path(&[1, 2]), path(&[1, 3])]);
        assert_eq!((&found.reached, found.lookups), (&path(&[2, 3]), 5));
        let wild = Found {
            sellers: vec![Vec::new(), path(&[7; 99])],
            reached: path(&[9; 5_000]),
            lookups: u64::MAX,
        };
        found.add(wild);
        assert_eq!((found.sellers.len(), found.reached.len(), found.lookups), (2, 3, u64::MAX));
    }
}
