//! What holds of the warehouse between turns, whatever came in.

use super::{Conn, Warehouse};
use crate::types::{Office, PeerId};

impl Warehouse {
    /// # Errors
    /// Says what does not hold.
    pub(super) fn sound(&self) -> Result<(), String> {
        self.market.invariants()?;
        self.market.offices.invariants()?;
        self.sees_known_peers()?;
        let lost = self.presence.lost_terms();
        if lost > Office::BOTH.len() {
            return Err(format!("{lost} terms are kept as lost, and there are two offices"));
        }
        let (clock, ledger) = (self.clock.now(), self.market.clock);
        if clock < ledger {
            return Err(format!("V07: the clock {clock} is below {ledger}, which the ledger has"));
        }
        match self.jobs.is_empty() {
            true => Ok(()),
            false => Err(format!("{} batches were left undecided at the end of a turn", self.jobs.len())),
        }
    }

    /// Whoever is present has a session and one control stream, by which it is seen; and whoever has a control stream is
    /// present.
    fn sees_known_peers(&self) -> Result<(), String> {
        let is_greeted = |it: &&Conn| matches!(it, Conn::Control(Some(_)));
        let (greeted, present) =
            (self.conns.values().filter(is_greeted).count(), self.presence.streams().count());
        if greeted > present {
            return Err(format!("{greeted} control streams are up, and only {present} peers are seen"));
        }
        for (peer, conn) in self.presence.streams() {
            let on_stream = |it: &Conn| matches!(it, Conn::Control(Some(on)) if *on == peer);
            if !self.conns.get(&conn).is_some_and(on_stream) {
                return Err(format!("peer {peer} is seen by {conn}, which is not its control stream"));
            }
            if !self.market.sessions.contains_key(&peer) || peer == PeerId::WAREHOUSE || peer.is_client() {
                return Err(format!("peer {peer} is present and has no session"));
            }
        }
        Ok(())
    }
}
