//! A driver with its journal's pump, whichever machine it runs: what a simulated node needs of them.

use std::collections::VecDeque;
use std::time::Duration;

use super::port::SimPort;
use crate::journal::{Pump, StoreError};
use crate::model::market::Market;
use crate::model::peer::PeerState;
use crate::model::step::{At, Input, Machine};
use crate::node::driver::Driver;
use crate::types::Now;

/// What may be looked at of a running machine.
pub(super) enum View<'a> {
    /// The state of a warehouse.
    Market(&'a Market),
    /// The state of a peer.
    Peer(&'a PeerState),
}

impl<'a> From<&'a Market> for View<'a> {
    fn from(market: &'a Market) -> Self {
        View::Market(market)
    }
}

impl<'a> From<&'a PeerState> for View<'a> {
    fn from(state: &'a PeerState) -> Self {
        View::Peer(state)
    }
}

/// A driver of either machine, with its journal's pump.
pub(super) trait Engine {
    fn turn(&mut self, at: At, inbox: &mut VecDeque<Input>);
    fn due(&self) -> Option<Now>;
    fn has_room(&self) -> bool;
    fn sync_due(&self) -> Option<Duration>;
    fn begin_sync(&mut self) -> Result<bool, StoreError>;
    fn finish_sync(&mut self) -> Result<(), StoreError>;
    fn has_ended(&self) -> bool;
    fn close(self: Box<Self>) -> Result<(), StoreError>;
    fn view(&self) -> View<'_>;
    fn invariants(&self) -> Result<(), String>;
}

pub(super) struct Running<M: Machine> {
    pub driver: Driver<M, SimPort>,
    pub pump: Pump<M::State>,
}

impl<M: Machine> Engine for Running<M>
where
    for<'a> View<'a>: From<&'a M::State>,
{
    fn turn(&mut self, at: At, inbox: &mut VecDeque<Input>) {
        let room = self.driver.has_room();
        self.driver.turn(at, None, || if room { inbox.pop_front() } else { None });
    }

    fn due(&self) -> Option<Now> {
        self.driver.due()
    }

    fn has_room(&self) -> bool {
        self.driver.has_room()
    }

    fn sync_due(&self) -> Option<Duration> {
        self.pump.due()
    }

    fn begin_sync(&mut self) -> Result<bool, StoreError> {
        self.pump.begin_sync()
    }

    fn finish_sync(&mut self) -> Result<(), StoreError> {
        self.pump.finish_sync()
    }

    fn has_ended(&self) -> bool {
        self.driver.has_ended()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        let Running { driver, pump } = *self;
        pump.close()?;
        driver.close().map_err(StoreError::Failed)
    }

    fn view(&self) -> View<'_> {
        self.driver.machine().state().into()
    }

    fn invariants(&self) -> Result<(), String> {
        self.driver.machine().invariants()
    }
}
