//! A node's Lamport clock (L. Lamport, *Time, Clocks, and the Ordering of Events in a Distributed System*, CACM 1978).
//!
//! In: local events and the clocks of received messages. Out: stamps. It never goes back, and a stamp that it gives is
//! greater than every stamp that it gave or took before, so stamp order extends happens-before. One clock that is far
//! ahead, by a bug or by malice, would drag every node's along for ever: such a leap is refused. The node makes the
//! clock outlive its process: it starts one at the value that is reserved on disk.

use crate::limits::CLOCK_LEAP_MAX;
use crate::types::Stamp;

/// A received clock was more than [`CLOCK_LEAP_MAX`] ahead of this node's, which is unchanged. The receiver decides
/// what becomes of the message: Trade and Control end, a batch on Settle and an order by a call are refused; everywhere
/// else the message is taken, and only its clock is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a clock of {other} is more than {CLOCK_LEAP_MAX} ahead of the own {own}")]
pub(crate) struct ClockLeap {
    /// This node's clock.
    pub own: Stamp,
    /// The clock that was received.
    pub other: Stamp,
}

/// A Lamport clock. At `u64::MAX`, which no run reaches, it would stand still instead of going back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock(Stamp);

impl Clock {
    /// A clock whose next tick is one more than `stamp`: 0 for a new store, else what was reserved on disk.
    pub fn starting_at(stamp: Stamp) -> Clock {
        Clock(stamp)
    }

    /// The time of the last event.
    pub(crate) fn now(&self) -> Stamp {
        self.0
    }

    /// A send or a local event: one more. Gives the event's time.
    pub(crate) fn tick(&mut self) -> Stamp {
        self.0 = Stamp(self.0.0.saturating_add(1));
        self.0
    }

    /// A message with the clock `other` came: one more than the greater of both.
    ///
    /// # Errors
    /// [`ClockLeap`], and the clock is unchanged, if `other` is more than [`CLOCK_LEAP_MAX`] ahead.
    pub(crate) fn receive(&mut self, other: Stamp) -> Result<Stamp, ClockLeap> {
        if other.0.saturating_sub(self.0.0) > CLOCK_LEAP_MAX {
            return Err(ClockLeap { own: self.0, other });
        }
        Ok(self.adopt(other))
    }

    /// Like [`Clock::receive`] without the bound: for the first clock of a process, which the warehouse gives. A store
    /// that was lost starts at 0 in a market that may be any number of events old.
    pub(crate) fn adopt(&mut self, other: Stamp) -> Stamp {
        self.0 = self.0.max(other);
        self.tick()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_later_than_its_sending() {
        let mut clock = Clock::starting_at(Stamp(5));
        assert_eq!(clock.receive(Stamp(9)), Ok(Stamp(10)));
        assert_eq!(clock.receive(Stamp(3)), Ok(Stamp(11)), "an old message does not turn it back");
        assert_eq!((clock.tick(), clock.now()), (Stamp(12), Stamp(12)));
    }

    #[test]
    fn one_mad_clock_does_not_drag_the_others_along() {
        let mut clock = Clock::starting_at(Stamp(5));
        let (far, too_far) = (Stamp(5 + CLOCK_LEAP_MAX), Stamp(6 + CLOCK_LEAP_MAX));
        assert_eq!(clock.receive(too_far), Err(ClockLeap { own: Stamp(5), other: too_far }));
        assert_eq!(clock.now(), Stamp(5));
        assert_eq!(clock.receive(far), Ok(too_far));
    }

    #[test]
    fn a_lost_store_can_join_an_old_market() {
        let old = Stamp(CLOCK_LEAP_MAX * 3);
        let mut clock = Clock::starting_at(Stamp(0));
        assert!(clock.receive(old).is_err());
        assert_eq!(clock.adopt(old), Stamp(old.0 + 1));
        assert_eq!(clock.adopt(Stamp(1)), Stamp(old.0 + 2));
    }

    #[test]
    fn the_end_of_time_is_no_wrap_around() {
        let mut clock = Clock::starting_at(Stamp(0));
        assert_eq!(clock.adopt(Stamp(u64::MAX)), Stamp(u64::MAX));
        assert_eq!(clock.tick(), Stamp(u64::MAX));
    }

    /// What happens at one of three nodes.
    #[derive(Clone, Debug)]
    enum Event {
        Local(usize),
        Send(usize),
        /// Node, and which of the messages sent so far (modulo).
        Receive(usize, usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..3_usize).prop_map(Event::Local),
            (0..3_usize).prop_map(Event::Send),
            (0..3_usize, any::<usize>()).prop_map(|(node, message)| Event::Receive(node, message)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Lamport's clock condition, by its two clauses: messages may be late, repeated, lost.
        #[test]
        fn stamps_extend_happens_before(
            starts in prop::array::uniform3(0..1_000_u64),
            events in prop::collection::vec(event(), 0..60),
        ) {
            let mut clocks = starts.map(|start| Clock::starting_at(Stamp(start)));
            let mut sent = Vec::new();
            for event in events {
                let (node, cause) = match event {
                    Event::Local(node) | Event::Send(node) => (node, None),
                    Event::Receive(_, _) if sent.is_empty() => continue,
                    Event::Receive(node, message) => (node, Some(sent[message % sent.len()])),
                };
                let before = clocks[node].now();
                let at = match cause {
                    Some(stamp) => clocks[node].receive(stamp).expect("no leap among small clocks"),
                    None => clocks[node].tick(),
                };
                prop_assert!(at > before && Some(at) > cause);
                if matches!(event, Event::Send(_)) {
                    sent.push(at);
                }
            }
        }

        #[test]
        fn a_refusal_changes_nothing_and_only_leaps_are_refused(own: u64, other: u64) {
            let mut clock = Clock::starting_at(Stamp(own));
            match clock.receive(Stamp(other)) {
                Ok(at) => prop_assert_eq!(at, Stamp(own.max(other).saturating_add(1))),
                Err(leap) => {
                    prop_assert!(other > own && other - own > CLOCK_LEAP_MAX);
                    prop_assert_eq!((leap.own, leap.other, clock.now()), (Stamp(own), Stamp(other), Stamp(own)));
                }
            }
        }
    }
}
