//! One stream of the simulated network: its two ends, and what goes wrong on it alone.

use super::network::Process;
use super::queue::Moment;
use crate::model::message::Stream;
use crate::model::step::ConnId;
use crate::types::PeerId;

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Dialer,
    Listener,
}

impl Side {
    /// The other one.
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Dialer => Side::Listener,
            Side::Listener => Side::Dialer,
        }
    }
}

/// What goes to one end of a stream.
#[derive(Default)]
pub(super) struct Way {
    /// When the last message arrives.
    pub last: Moment,
    /// What would arrive later than this is lost.
    pub cut: Option<Moment>,
    /// The next message on it is cut off, and the stream ends.
    pub snaps: bool,
}

/// A process's end of a stream.
pub(super) type End = (Process, ConnId);

/// A stream between two processes.
pub(super) struct Line {
    pub kind: Stream,
    pub addr: String,
    /// Where it was dialed from, and where it leads.
    pub nodes: (PeerId, PeerId),
    /// Until that end is gone.
    pub dialer: Option<End>,
    /// Once it is connected, until that end is gone.
    pub listener: Option<End>,
    pub connected: bool,
    /// Its ends have begun to give it up.
    pub given_up: bool,
    /// Said before it was connected.
    pub waiting: Vec<Vec<u8>>,
    /// What becomes of the next messages to the listener.
    pub damage: Option<Damage>,
    pub to_dialer: Way,
    pub to_listener: Way,
}

impl Line {
    /// What goes to that end.
    pub(crate) fn way(&mut self, to: Side) -> &mut Way {
        match to {
            Side::Dialer => &mut self.to_dialer,
            Side::Listener => &mut self.to_listener,
        }
    }

    /// The process at that end.
    pub(crate) fn end(&mut self, side: Side) -> &mut Option<End> {
        match side {
            Side::Dialer => &mut self.dialer,
            Side::Listener => &mut self.listener,
        }
    }

    /// From which node to which a message goes that is for this end.
    pub(crate) fn path(&self, to: Side) -> (PeerId, PeerId) {
        match to {
            Side::Dialer => (self.nodes.1, self.nodes.0),
            Side::Listener => self.nodes,
        }
    }

    /// A message to the listener, as its damage has it: what is said of it now.
    pub(crate) fn damage(&mut self, message: Vec<u8>) -> Vec<Vec<u8>> {
        let Some(damage) = &mut self.damage else { return vec![message] };
        let said = damage.strike(message);
        self.damage.take_if(|damage| damage.times == 0 && damage.held.is_none());
        said
    }

    /// A message is held back.
    pub(crate) fn holds(&self) -> bool {
        self.damage.as_ref().is_some_and(|damage| damage.held.is_some())
    }

    /// What is held back waits no longer.
    pub(crate) fn release(&mut self) -> Option<Vec<u8>> {
        self.damage.as_mut()?.held.take()
    }

    /// From now on every message arrives once. What is held back still follows.
    pub(crate) fn mend(&mut self) {
        self.damage.take_if(|damage| damage.held.is_none());
        if let Some(damage) = &mut self.damage {
            damage.times = 0;
        }
    }
}

/// Messages that arrive twice, or in the place of each other, as only a member could say them: a connection keeps its
/// order.
pub(super) struct Damage {
    swaps: bool,
    /// How often that is to happen yet.
    times: u32,
    held: Option<Vec<u8>>,
}

impl Damage {
    /// So many messages are said twice, or swapped with the one behind them.
    pub(crate) fn new(swaps: bool, times: u32) -> Damage {
        Damage { swaps, times, held: None }
    }

    fn strike(&mut self, message: Vec<u8>) -> Vec<Vec<u8>> {
        match self.held.take() {
            Some(before) => vec![message, before],
            None if self.times == 0 => vec![message],
            None => {
                self.times -= 1;
                if !self.swaps {
                    return vec![message.clone(), message];
                }
                self.held = Some(message);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(damage: Damage) -> Line {
        let (nodes, addr) = ((PeerId(1), PeerId(2)), String::new());
        Line {
            kind: Stream::Trade,
            addr,
            nodes,
            dialer: None,
            listener: None,
            connected: true,
            given_up: false,
            waiting: Vec::new(),
            damage: Some(damage),
            to_dialer: Way::default(),
            to_listener: Way::default(),
        }
    }

    fn said(line: &mut Line, message: u8) -> Vec<u8> {
        line.damage(vec![message]).concat()
    }

    #[test]
    fn messages_are_swapped_with_the_one_behind_them() {
        let mut line = line(Damage::new(true, 1));
        assert_eq!((said(&mut line, 1), line.holds()), (vec![], true));
        assert_eq!((said(&mut line, 2), line.holds()), (vec![2, 1], false));
        assert_eq!(said(&mut line, 3), [3]);
    }

    #[test]
    fn what_nothing_follows_is_said_all_the_same() {
        let mut line = line(Damage::new(true, 1));
        said(&mut line, 1);
        line.mend();
        assert_eq!((line.release(), line.release()), (Some(vec![1]), None));
        assert_eq!(said(&mut line, 2), [2]);
    }

    #[test]
    fn messages_are_said_twice_as_often_as_they_should() {
        let mut line = line(Damage::new(false, 2));
        assert_eq!(
            (said(&mut line, 1), said(&mut line, 2), said(&mut line, 3)),
            (vec![1, 1], vec![2, 2], vec![3])
        );
        assert!(line.damage.is_none());
    }
}
