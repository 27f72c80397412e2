//! Traders that ended, and what came after: put together from what the system and several nodes tell, in any order.

use serde_json::{Value, json};

use crate::model::happening::Replayed;
use crate::types::PeerId;

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
        }
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
pub(crate) struct Failovers(Vec<Failover>);

impl Failovers {
    /// A trader ended. Its partner may have noticed before the system told us.
    pub(crate) fn ended(&mut self, trader: PeerId, at: u64) {
        match self.last_of(trader, |failover| failover.reaped.is_none()) {
            Some(failover) => failover.reaped = Some(at),
            None => self.0.push(Failover { reaped: Some(at), ..Failover::killed(trader, at) }),
        }
    }

    /// A trader was suspected.
    pub(crate) fn suspected(&mut self, trader: PeerId, at: u64) {
        match self.last_of(trader, |failover| failover.to.is_none()) {
            Some(failover) => {
                failover.detected.get_or_insert(at);
            }
            None => self.0.push(Failover { detected: Some(at), ..Failover::killed(trader, at) }),
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
        self.0.iter_mut().rev().find(|failover| failover.from == trader && is(failover))
    }

    /// Milliseconds until each trader was suspected, and from then until trade went on, as far as both are known.
    pub(crate) fn times(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let both = |failover: &Failover| Some((failover.detected_ms()?, failover.took_over_ms()?));
        // A trader that stood still for a moment, and was taken over long after that, has not ended then.
        self.0
            .iter()
            .filter_map(both)
            .filter(|(detected, took_over)| detected.max(*took_over) < FAILOVER_MS_MAX)
    }

    pub(crate) fn json(&self) -> Vec<Value> {
        self.0.iter().map(Failover::json).collect()
    }

    /// The same with the times of their begin, for the page.
    pub(crate) fn with_times(&self) -> Vec<Value> {
        let with_time = |failover: &Failover| {
            let mut json = failover.json();
            json["time"] = failover.ended.into();
            json
        };
        self.0.iter().map(with_time).collect()
    }
}
