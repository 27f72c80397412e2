//! A peer says that it has seen more of the ledger than this one holds: is it believed?
//!
//! If it is true, this store is an older copy of the warehouse's, or another ledger, and would tell peers what never was,
//! so the process ends. If it is a lie, the liar would end the market. So only a proof counts: the warehouse's own
//! signature under what it showed, see [`crate::model::evidence`]. Who claims more without one is not served, and nothing
//! else happens.

use super::Warehouse;
use crate::model::call::Ask;
use crate::model::evidence::Seen;
use crate::model::hello::Hello;
use crate::model::message::Message;
use crate::model::step::{Exit, Input, Past};
use crate::types::PeerId;

impl Warehouse {
    /// Somebody proves that this store is not the market's ledger: the process ends. A proof of anything else lifts the
    /// clock to what the warehouse's was then.
    pub(super) fn is_refuted(&mut self, input: &Input, past: &dyn Past) -> Option<Exit> {
        let (peer, seen) = shown(input)?;
        let lacks = self.lacks(&seen, past);
        if lacks.is_none() && seen.proof.is_none_or(|proof| proof.clock <= self.clock.now()) {
            return None;
        }
        let keys: Vec<_> = self.market.keys.iter().copied().chain(self.me.key).collect();
        let clock = seen.proven_by(&keys)?;
        self.clock.adopt(clock);
        lacks.map(|lacks| self.exit_for_another(peer, &seen, &lacks))
    }

    /// It claims to have seen what this ledger lacks. That it has no proof is known by then: otherwise the process would
    /// have ended.
    pub(super) fn claims_more(&self, hello: &Hello, past: &dyn Past) -> bool {
        self.lacks(&hello.seen(), past).is_some()
    }

    /// What was seen, if this ledger lacks it.
    fn lacks(&self, seen: &Seen, past: &dyn Past) -> Option<String> {
        let own = self.market.generation;
        if seen.generation.count < own.count {
            return None;
        }
        if seen.generation != own {
            return Some(format!("generation {} of the ledger, and this store is of {own}", seen.generation));
        }
        match past.holds(seen.seq, seen.hash) {
            Ok(true) => None,
            Ok(false) => Some(format!("ledger record {}, which this store lacks", seen.seq)),
            Err(error) => {
                tracing::error!(error, "the ledger cannot be compared with what a peer has seen");
                None
            }
        }
    }

    /// The mend begins a generation that no peer can have seen.
    fn exit_for_another(&self, peer: PeerId, seen: &Seen, lacks: &str) -> Exit {
        let above = match seen.generation == self.market.generation {
            true => String::new(),
            false => format!(" --above {}", seen.generation.count),
        };
        Exit {
            code: 7,
            what: format!(
                "peer {peer} proves that the warehouse has shown {lacks}: it is an older copy, or another ledger"
            ),
            hint: format!(
                "put the newest copy of the warehouse's directory back; if there is none, go on from this one, without \
                 what it lacks: {}{above}",
                self.me.restore
            ),
        }
    }
}

/// What of the ledger is shown in a greeting or an opening, and by whom.
fn shown(input: &Input) -> Option<(PeerId, Seen)> {
    let of_hello = |hello: &Hello| (hello.peer, hello.seen());
    match input {
        Input::Said(_, Message::ControlUp(up)) => up.hello.as_deref().map(of_hello),
        Input::Said(_, Message::SettleAsk(ask)) => ask.hello.as_deref().map(of_hello),
        Input::Asked(_, Ask::Open(opening)) => opening.seen.as_deref().map(|seen| (opening.peer, *seen)),
        Input::Asked(
            _,
            Ask::Claim(hello, _) | Ask::Fence(hello, _) | Ask::Pair(hello, ..) | Ask::Resign(hello, _),
        ) => Some(of_hello(hello)),
        _ => None,
    }
}
