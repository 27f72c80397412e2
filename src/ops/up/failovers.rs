//! Traders that ended, and what came after: put together from what the system and several nodes tell, in any order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::happening::Replayed;
use crate::model::offices::Roster;
use crate::types::{PeerId, Term};

/// A trader's end and what came after. Times are Unix microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    /// The trader that died.
    from: PeerId,
    /// The trader that took over.
    to: Option<PeerId>,
    /// When its process ended, as far as is known.
    ended: u64,
    /// When its process was found to have ended, if it did.
    reaped: Option<u64>,
    /// When it was suspected.
    detected: Option<u64>,
    /// When the first order was decided after it.
    took_over: Option<u64>,
    /// What became of the orders that it had accepted.
    replayed: Replayed,
    /// The term that it held, once that is known.
    term: Option<Term>,
    /// It has been in office again since: what befalls it from now on is another failover.
    is_over: bool,
}

impl Failover {
    /// A trader ended at this time.
    fn killed(from: PeerId, ended: u64) -> Failover {
        Failover {
            from,
            to: None,
            ended,
            reaped: None,
            detected: None,
            took_over: None,
            replayed: Replayed::default(),
            term: None,
            is_over: false,
        }
    }

    /// Its trader is seen in office.
    fn sees(&mut self, term: Term) {
        self.is_over |= *self.term.get_or_insert(term) < term;
    }

    fn detected_ms(&self) -> Option<f64> {
        Some(self.detected?.saturating_sub(self.ended) as f64 / 1000.0)
    }

    fn took_over_ms(&self) -> Option<f64> {
        Some(self.took_over?.saturating_sub(self.detected?) as f64 / 1000.0)
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let ms = |value: Option<f64>| value.map_or("?".to_owned(), |ms| format!("{ms:.0}"));
        let Replayed { settled, duplicates, lost } = self.replayed;
        format!(
            "detected {} ms  took over {} ms  replayed {settled}  duplicates suppressed {duplicates}  lost {lost}",
            ms(self.detected_ms()),
            ms(self.took_over_ms())
        )
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "from": self.from.0,
            "to": self.to.map(|peer| peer.0),
            "detected_ms": self.detected_ms(),
            "took_over_ms": self.took_over_ms(),
            "replayed": self.replayed.settled,
            "duplicates": self.replayed.duplicates,
        })
    }
}

/// What takes longer is not one thing.
const FAILOVER_MS_MAX: f64 = 60_000.0;

/// The failovers of a run, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failovers {
    list: Vec<Failover>,
    /// Who was seen in office, in which term last.
    terms: BTreeMap<PeerId, Term>,
}

impl Failovers {
    /// The offices were these. Several nodes tell of them, not all at once.
    pub(crate) fn offices(&mut self, roster: &Roster) {
        for seat in roster.seats() {
            let newest = self.terms.entry(seat.peer).or_default();
            *newest = seat.term.max(*newest);
            let term = *newest;
            self.list.iter_mut().filter(|it| it.from == seat.peer).for_each(|it| it.sees(term));
        }
    }

    fn add(&mut self, failover: Failover) {
        let term = self.terms.get(&failover.from).copied();
        self.list.push(Failover { term, ..failover });
    }

    /// A trader ended. Its partner may have noticed before the system told us.
    pub(crate) fn ended(&mut self, trader: PeerId, at: u64) {
        match self.last_of(trader, |failover| failover.reaped.is_none() && !failover.is_over) {
            Some(failover) => failover.reaped = Some(at),
            None => self.add(Failover { reaped: Some(at), ..Failover::killed(trader, at) }),
        }
    }

    /// A trader was suspected.
    pub(crate) fn suspected(&mut self, trader: PeerId, at: u64) {
        match self.last_of(trader, |failover| failover.to.is_none() && !failover.is_over) {
            Some(failover) => {
                failover.detected.get_or_insert(at);
            }
            None => self.add(Failover { detected: Some(at), ..Failover::killed(trader, at) }),
        }
    }

    /// The first order was decided after a trader's end.
    pub(crate) fn took_over(&mut self, by: PeerId, trader: PeerId, at: u64) {
        if let Some(failover) = self.last_of(trader, |_| true) {
            (failover.to, failover.took_over) = (Some(by), Some(at));
        }
    }

    /// The orders that a dead trader had accepted have their outcomes. Gives the line to print.
    pub(crate) fn replayed(&mut self, trader: PeerId, replayed: Replayed) -> Option<String> {
        let failover = self.last_of(trader, |_| true)?;
        failover.replayed = replayed;
        Some(failover.line())
    }

    fn last_of(&mut self, trader: PeerId, is: impl Fn(&Failover) -> bool) -> Option<&mut Failover> {
        self.list.iter_mut().rev().find(|failover| failover.from == trader && is(failover))
    }

    /// Milliseconds until each trader was suspected, and from then until trade went on, as far as both are known.
    pub(crate) fn times(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let both = |failover: &Failover| Some((failover.detected_ms()?, failover.took_over_ms()?));
        // A trader that stood still for a moment, and was taken over long after that, has not ended then.
        self.list
            .iter()
            .filter_map(both)
            .filter(|(detected, took_over)| detected.max(*took_over) < FAILOVER_MS_MAX)
    }

    pub(crate) fn json(&self) -> Vec<Value> {
        self.list.iter().map(Failover::json).collect()
    }

    /// The same with the times of their begin, for the page.
    pub(crate) fn with_times(&self) -> Vec<Value> {
        let with_time = |failover: &Failover| {
            let mut json = failover.json();
            json["time"] = failover.ended.into();
            json
        };
        self.list.iter().map(with_time).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::offices::Seat;
    use crate::types::ProcessId;

    const TRADER: PeerId = PeerId(6);
    const OTHER: PeerId = PeerId(5);

    fn in_office(term: u64) -> Roster {
        let seat = Seat {
            peer: TRADER,
            process: ProcessId::default(),
            term: Term(term),
            present: true,
            addr: String::new(),
            licence: None,
        };
        Roster { primary: Some(seat), ..Roster::default() }
    }

    fn figures(failovers: &Failovers) -> Vec<(Option<f64>, Option<f64>)> {
        failovers.list.iter().map(|it| (it.detected_ms(), it.took_over_ms())).collect()
    }

    #[test]
    fn what_the_system_and_nodes_tell_of_one_end_is_one_failover() {
        for system_first in [true, false] {
            let mut failovers = Failovers::default();
            failovers.offices(&in_office(3));
            if system_first {
                failovers.ended(TRADER, 1_000);
            }
            failovers.suspected(TRADER, 3_000);
            failovers.suspected(TRADER, 4_000);
            failovers.offices(&in_office(2));
            failovers.took_over(OTHER, TRADER, 8_000);
            if !system_first {
                failovers.ended(TRADER, 9_000);
            }
            let detected = if system_first { 2.0 } else { 0.0 };
            assert_eq!(figures(&failovers), [(Some(detected), Some(5.0))]);
        }
    }

    /// Nobody had taken over when it was back; half a minute later somebody does.
    #[test]
    fn a_trader_that_is_in_office_again_fails_anew() {
        let mut failovers = Failovers::default();
        failovers.offices(&in_office(3));
        failovers.ended(TRADER, 1_000);
        failovers.suspected(TRADER, 3_000);
        failovers.offices(&in_office(5));
        failovers.suspected(TRADER, 30_000_000);
        failovers.took_over(OTHER, TRADER, 30_004_000);
        assert_eq!(figures(&failovers), [(Some(2.0), None), (Some(0.0), Some(4.0))]);
        failovers.offices(&in_office(9));
        failovers.ended(TRADER, 60_000_000);
        assert_eq!(failovers.list.len(), 3, "it was only silent before, and ends now");
    }

    /// The term that it held may be told after its end.
    #[test]
    fn a_term_that_is_learned_late_is_not_another_one() {
        let mut failovers = Failovers::default();
        failovers.ended(TRADER, 1_000);
        failovers.offices(&in_office(3));
        failovers.suspected(TRADER, 3_000);
        assert_eq!(figures(&failovers), [(Some(2.0), None)]);
    }
}
