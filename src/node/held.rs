//! Effects that wait until the records they depend on are durable.
//!
//! Without it: a number is decided in a staged group, asked again through another path, answered from the session,
//! power fails, and someone was told what never was.

use std::collections::VecDeque;

use crate::journal::Ticket;

/// Effects in the order of their tickets.
#[derive(Debug)]
pub(crate) struct Held<E> {
    waiting: VecDeque<(Ticket, E)>,
}

impl<E> Default for Held<E> {
    fn default() -> Self {
        Held { waiting: VecDeque::new() }
    }
}

impl<E> Held<E> {
    /// Keeps an effect until `ticket` is durable. Tickets come in order.
    pub(crate) fn until(&mut self, ticket: Ticket, effect: E) {
        debug_assert!(self.waiting.back().is_none_or(|(last, _)| *last <= ticket), "tickets come in order");
        self.waiting.push_back((ticket, effect));
    }

    /// The next effect that may leave now that `durable` is reached.
    pub(crate) fn release(&mut self, durable: Ticket) -> Option<E> {
        if self.waiting.front()?.0 > durable {
            return None;
        }
        self.waiting.pop_front().map(|(_, effect)| effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_before_its_ticket() {
        let mut held = Held::default();
        held.until(Ticket(1), 'a');
        held.until(Ticket(3), 'b');
        assert_eq!(held.release(Ticket(0)), None);
        assert_eq!(held.release(Ticket(2)), Some('a'));
        assert_eq!(held.release(Ticket(2)), None);
        assert_eq!(held.release(Ticket(3)), Some('b'));
    }
}
