//! What the warehouse waits for after its start: those who may have seen more of the ledger than it holds.
//!
//! A directory that was put back to an earlier state looks whole. If it served at once, the first trader that comes would
//! have orders settled, before the peers that were told more of the ledger have said so. So nothing is granted, settled
//! or shown until every peer with a session has said hello, or [`WITNESSES_MAX_MS`] has passed, in which each that runs
//! has dialed again. A ledger that is not new and knows no peer waits for that long: a copy from before the first session
//! looks like that, and all peers have seen more. What comes until then is kept, and taken in afterwards in its order.

use std::collections::BTreeSet;

use super::{Effect, Warehouse};
use crate::limits::{WITNESS_INPUTS_MAX, WITNESSES_MAX_MS};
use crate::model::call::{Ask, Refusal};
use crate::model::market::Market;
use crate::model::message::{Message, Stream};
use crate::model::row::Record;
use crate::model::step::{At, Because, ConnId, Input, Turn};
use crate::types::{Now, PeerId, Seq};

/// See the module's text.
pub(super) struct Witnesses {
    /// Peers that have not said hello in this life.
    missing: BTreeSet<PeerId>,
    /// The ledger is not new and knows no peer.
    knows_none: bool,
    until: Now,
    /// What came meanwhile.
    kept: Vec<Input>,
}

impl Witnesses {
    /// Waits for the peers that have a session. Anybody may become a client, so clients are none.
    pub(super) fn new(market: &Market, now: Now) -> Witnesses {
        let peers = market.sessions.keys().copied().filter(|id| *id != PeerId::WAREHOUSE && !id.is_client());
        let missing: BTreeSet<PeerId> = peers.collect();
        let knows_none = missing.is_empty() && market.seq > Seq(0);
        Witnesses { missing, knows_none, until: now.after_ms(WITNESSES_MAX_MS), kept: Vec::new() }
    }

    /// They are all heard already.
    #[cfg(test)]
    pub(super) fn none() -> Witnesses {
        Witnesses { missing: BTreeSet::new(), knows_none: false, until: Now(0), kept: Vec::new() }
    }

    fn are_missing(&self) -> bool {
        self.knows_none || !self.missing.is_empty()
    }

    /// All have been heard, or time is up.
    pub(super) fn are_heard(&self, now: Now) -> bool {
        !self.are_missing() || now >= self.until
    }

    /// When time is up, while something waits for it.
    pub(super) fn due(&self) -> Option<Now> {
        self.are_missing().then_some(self.until)
    }

    /// The stream is over: what it said and was not taken in yet is void.
    fn forget(&mut self, conn: ConnId) {
        self.kept.retain(|input| !matches!(input, Input::Said(of, _) | Input::Opened(of, _) if *of == conn));
    }
}

impl Warehouse {
    /// Whether the input is for later: the witnesses are not heard yet.
    pub(super) fn waits_for_witnesses(
        &mut self,
        at: At,
        input: Input,
        turn: &mut Turn<Record>,
    ) -> Option<Input> {
        if self.witnesses.are_heard(at.now) {
            return Some(input);
        }
        match &input {
            Input::Said(_, Message::ControlUp(up)) => {
                if let Some(hello) = up.hello.as_ref().filter(|hello| self.knows(hello)) {
                    self.witnesses.missing.remove(&hello.peer);
                }
            }
            Input::Ended(conn, _) => self.witnesses.forget(*conn),
            _ => {}
        }
        if !tells_of_the_ledger(&input) {
            return Some(input);
        }
        if self.witnesses.kept.len() < WITNESS_INPUTS_MAX {
            self.witnesses.kept.push(input);
        } else {
            self.turn_away(input, turn);
        }
        None
    }

    fn turn_away(&mut self, input: Input, turn: &mut Turn<Record>) {
        match input {
            Input::Asked(reply, _) => {
                let why = "the warehouse has just started and hears its peers first; ask again".to_owned();
                turn.at_once(Because::TellsNothing, Effect::Reply(reply, Err(Refusal::Unavailable(why))));
            }
            Input::Said(conn, _) => self.hang_up(conn, "too much came before the peers were heard", turn),
            // It is not among the streams yet.
            Input::Opened(conn, _) => turn.hold(Effect::HangUp(conn)),
            _ => {}
        }
    }

    /// What came before the witnesses were heard, once they are. From now on holders count as present for a while.
    pub(super) fn after_witnesses(&mut self, now: Now) -> Vec<Input> {
        if !self.witnesses.are_heard(now) {
            return Vec::new();
        }
        if self.witnesses.are_missing() || !self.witnesses.kept.is_empty() {
            self.presence.serves_from(now);
        }
        self.witnesses.missing.clear();
        self.witnesses.knows_none = false;
        std::mem::take(&mut self.witnesses.kept)
    }
}

/// Whether it asks for something that the ledger decides or shows.
fn tells_of_the_ledger(input: &Input) -> bool {
    match input {
        Input::Said(..) | Input::Opened(_, Stream::Watch) => true,
        Input::Asked(_, ask) => !matches!(ask, Ask::Catalogue | Ask::Probe | Ask::Status),
        _ => false,
    }
}
