//! A market that cannot trade: the warehouse is dead, or all traders are. It is said again, ever less often, while it is so.

use std::time::{Duration, Instant};

use super::Up;
use crate::limits::{MISSING_SAY_EVERY_MAX, MISSING_SAY_FIRST};
use crate::types::PeerId;

/// Since when something is missing, and when to say so.
#[derive(Default)]
pub(super) struct Missing {
    since: Option<Instant>,
    next: Option<Instant>,
    pause: Duration,
}

impl Missing {
    /// Something is missing, or nothing.
    pub(super) fn note(&mut self, missing: bool, now: Instant) {
        match (missing, self.since) {
            (true, None) => {
                let pause = MISSING_SAY_FIRST;
                *self = Missing { since: Some(now), next: Some(now + pause), pause };
            }
            (true, Some(_)) => {}
            (false, _) => *self = Missing::default(),
        }
    }

    /// When it is to be said.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// It is said now. Gives for how long it has been so.
    fn says(&mut self, now: Instant) -> Duration {
        self.pause = (self.pause * 2).min(MISSING_SAY_EVERY_MAX);
        self.next = Some(now + self.pause);
        self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

impl Up<'_> {
    /// The node without which nobody trades, if it is dead.
    pub(super) fn lacks(&self) -> Option<PeerId> {
        let dead = |node: &PeerId| self.fleet.is_dead(*node);
        if dead(&PeerId::WAREHOUSE) {
            return Some(PeerId::WAREHOUSE);
        }
        let seats: Vec<PeerId> = self.roster.seats().map(|seat| seat.peer).collect();
        let traders_are_dead = seats.iter().all(dead);
        seats.into_iter().find(dead).filter(|_| traders_are_dead)
    }

    /// Says who is missing, how many orders wait, since when, and the command that starts it. One that was started by hand
    /// is not missing.
    pub(super) async fn say_missing(&mut self) {
        let Some(node) = self.lacks() else { return self.missing.note(false, Instant::now()) };
        let timeout = self.global.timeout.min(MISSING_SAY_FIRST);
        if self.fleet.ask(node, timeout).await.is_ok() {
            return self.missing.note(false, Instant::now());
        }
        let mut waiting = 0;
        for peer in self.fleet.living() {
            // A peer that does not answer counts none.
            waiting += self.fleet.ask(peer, timeout).await.map_or(0, |report| report.shopping.open);
        }
        let (seconds, command) = (self.missing.says(Instant::now()).as_secs(), self.fleet.command(node));
        let what = if node == PeerId::WAREHOUSE { "warehouse" } else { "trader" };
        self.tell_of_harm(&format!(
            "up        no {what} for {seconds} s, {waiting} orders wait; start it with: {command}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_ever_less_often_until_it_is_there() {
        let (mut missing, began) = (Missing::default(), Instant::now());
        missing.note(false, began);
        assert_eq!(missing.due(), None);
        missing.note(true, began);
        let mut times = Vec::new();
        while times.len() < 8 {
            let due = missing.due().unwrap();
            missing.note(true, due);
            times.push(missing.says(due).as_secs());
        }
        assert_eq!(times, [3, 9, 21, 45, 93, 153, 213, 273]);
        missing.note(false, began);
        assert_eq!(missing.due(), None);
    }
}
