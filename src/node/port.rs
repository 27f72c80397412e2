//! Where a driver's effects go and its inputs come from. Real connections are one implementation, a simulator's network
//! is another.

use crate::model::fold::Stored;
use crate::model::step::{Effect, Input};
use crate::types::{Seq, Token};

/// See the module's text.
pub trait Port {
    /// What comes in before it has its numbers.
    type Arrival;

    /// An arrival as an input. None: its stream was hung up, so the machine is not told.
    fn arrive(&mut self, arrival: Self::Arrival) -> Option<Input>;

    /// Does what a machine wants done; never waits.
    fn perform(&mut self, effect: Effect);

    /// A record is staged. For who counts.
    fn staged(&mut self, _record: &impl Stored) {}

    /// The log is durable up to this record. For who watches.
    fn synced(&mut self, _seq: Seq) {}

    /// A secret that nobody can guess.
    ///
    /// # Errors
    /// There is no randomness to be had.
    fn draw_token(&mut self) -> Result<Token, String>;

    /// Whether somebody watches what happens at this node.
    fn is_watched(&self) -> bool;
}
