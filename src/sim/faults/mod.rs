//! What goes wrong in a seed: which kinds, when, at whom, and for how long.
//!
//! A [`Schedule`] says it all in advance, one [`Planned`] fault a strike; each has a number of its own from which its
//! details are drawn, so that leaving one out changes nothing about the others.

mod kinds;
mod schedule;
mod text;

use std::collections::BTreeMap;

pub(crate) use kinds::Kind;
pub(super) use schedule::Aim;
pub(crate) use schedule::{Planned, Schedule, Setting};

/// How often each kind came about.
pub(crate) type Counts = BTreeMap<Kind, u64>;

/// How many peers there are and who holds the offices: faults are aimed by it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seats {
    pub peers: u32,
    pub primary: Option<u32>,
    pub secondary: Option<u32>,
}
