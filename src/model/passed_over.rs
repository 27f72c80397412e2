//! Candidates that are passed over for a while: a secondary that could not be brought up to date, and a trader that
//! gave its office up by a person's word. Without this Bully would find the same highest id again at once.
//!
//! Kept in memory by the warehouse and told in the roster. A new process of the peer starts with a clean slate. If no
//! other peer is present and answers, nobody is passed over: a bad trader is better than none.

use std::collections::BTreeMap;

use crate::limits::PASS_OVER_MS;
use crate::types::{Now, PeerId, ProcessId};

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(crate) struct PassedOver(BTreeMap<PeerId, (ProcessId, Now)>);

impl PassedOver {
    /// From now on this process is passed over.
    pub(crate) fn add(&mut self, now: Now, peer: PeerId, process: ProcessId) {
        self.0.insert(peer, (process, now.after_ms(PASS_OVER_MS)));
    }

    /// The peers that are passed over now. `present` lists the present peers with their processes, and whether each
    /// answers: a peer that does not answer cannot take the place of one that is passed over.
    pub(crate) fn among(
        &self,
        now: Now,
        present: impl Iterator<Item = (PeerId, ProcessId, bool)>,
    ) -> Vec<PeerId> {
        let is = |(peer, process, _): &(PeerId, ProcessId, bool)| {
            self.0.get(peer).is_some_and(|(passed, until)| passed == process && *until > now)
        };
        let (passed, rest): (Vec<_>, Vec<_>) = present.partition(is);
        let replaced = rest.iter().any(|(_, _, answers)| *answers);
        if replaced { passed.into_iter().map(|(peer, ..)| peer).collect() } else { Vec::new() }
    }

    /// When the next of them stands again.
    pub(crate) fn next_end(&self, now: Now) -> Option<Now> {
        self.0.values().map(|(_, until)| *until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(starts: u64) -> ProcessId {
        ProcessId { starts, ..ProcessId::default() }
    }

    #[test]
    fn it_lasts_for_a_while_and_for_one_process() {
        let mut passed = PassedOver::default();
        passed.add(Now(5), PeerId(6), process(1));
        let among = |now: u64, starts: u64| {
            passed.among(
                Now(now),
                [(PeerId(6), process(starts), true), (PeerId(4), process(1), true)].into_iter(),
            )
        };
        let end = Now(5).after_ms(PASS_OVER_MS);
        assert_eq!((among(6, 1), passed.next_end(Now(6))), (vec![PeerId(6)], Some(end)));
        assert_eq!(among(6, 2), [], "a new process");
        assert_eq!((among(end.0, 1), passed.next_end(end)), (vec![], None));
    }

    #[test]
    fn a_bad_trader_is_better_than_none() {
        let mut passed = PassedOver::default();
        passed.add(Now(5), PeerId(6), process(1));
        assert_eq!(passed.among(Now(6), [(PeerId(6), process(1), true)].into_iter()), []);
        let silent = |answers| [(PeerId(6), process(1), false), (PeerId(4), process(1), answers)].into_iter();
        assert_eq!(passed.among(Now(6), silent(false)), [], "nobody else answers");
        assert_eq!(passed.among(Now(6), silent(true)), [PeerId(6)], "its own silence is no merit");
    }
}
