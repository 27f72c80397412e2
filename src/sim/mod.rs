//! The simulator: whole markets on one thread, each from one seed.
//!
//! A world has a warehouse and 3 to 9 peers. They are the real machines, run by the real driver over the real journal;
//! time, network and disks are simulated, and processes are killed at any moment and started again. The same seed gives
//! the same run, to the last byte, on every machine and with any number of threads: nothing here reads a clock, the
//! system's randomness or a map without order.
//!
//! ```text
//! batch ---seeds---> world --events--> node: driver + machine + journal ---> disks
//!                      |  \                \--effects--> port --> network, calls --events--> world
//!                    faults load            \-> trace, marks
//!                      at the end: check
//! ```
//!
//! In: a seed and [`Options`]. Out: an [`Outcome`], which says what failed, what went wrong on purpose, and what was seen.
//! After the faults everything heals; then all open orders are answered within a bound, the audit passes over all disks,
//! and whatever shoppers were told is in the ledger.

mod batch;
mod boot;
mod calls;
mod chance;
mod check;
mod disks;
mod engine;
mod faults;
mod frozen;
mod heard;
mod lag;
mod line;
mod load;
mod losses;
mod marks;
mod network;
mod node;
mod people;
mod placing;
mod port;
mod queue;
mod shorten;
mod sights;
mod trace;
mod weather;
mod world;

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use batch::{Batch, Report};
pub use check::Failure;
pub(crate) use faults::{Counts, Kind, Schedule};
pub use marks::Mark;
pub(crate) use marks::Seen;
pub(crate) use shorten::shorten;

use self::chance::Chance;
use self::faults::Setting;
use self::trace::Trace;
use self::world::World;
use crate::types::Hash;

/// How worlds are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many peers, within 3 to 9: each seed draws one of these numbers.
    pub peers: RangeInclusive<u32>,
    /// Orders that are placed in a seed, at least.
    pub orders: u64,
    /// Which faults a seed may draw.
    pub faults: Vec<Kind>,
    /// Keep a line for each effect.
    pub trace: bool,
    /// Draw a diagram.
    pub diagram: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { peers: 3..=9, orders: 200, faults: Kind::ALL.to_vec(), trace: false, diagram: false }
    }
}

/// What came of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which one.
    pub seed: u64,
    /// Why it failed, if it did.
    pub failed: Option<Failure>,
    /// Orders placed.
    pub orders: u64,
    /// What went wrong on purpose.
    pub faults: Counts,
    /// What was seen.
    pub marks: Seen,
    /// BLAKE3 over all that happened.
    pub hash: Hash,
    /// What happened, if it was asked for.
    pub lines: Vec<String>,
    /// A diagram of it, if it was asked for.
    pub svg: Option<String>,
}

/// What is left of a world.
type Lived = (Option<Failure>, u64, Counts, Seen);

impl Options {
    /// The schedule that a seed draws.
    pub(crate) fn schedule(&self, seed: u64) -> Schedule {
        let (least, most) = (*self.peers.start(), *self.peers.end());
        let peers = Chance::of(seed, "peers").between(least.into(), most.into()) as u32;
        Schedule::draw(&Setting { seed, peers, orders: self.orders, faults: &self.faults })
    }
}

/// Lives through one seed's world and checks it. A panic in it is a failure like others.
pub(crate) fn run(seed: u64, options: &Options) -> Outcome {
    play(&options.schedule(seed), Show { lines: options.trace, diagram: options.diagram })
}

/// What is kept of a run, to be shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Show {
    /// A line for each effect.
    pub lines: bool,
    /// A space-time diagram.
    pub diagram: bool,
}

/// Lives through a schedule's world and checks it.
pub(crate) fn play(schedule: &Schedule, show: Show) -> Outcome {
    let trace = Trace::new(show);
    let (failed, orders, faults, marks) = guarded(|| {
        let mut world = World::new(schedule, trace.clone());
        (world.run().err(), world.orders(), world.faults().clone(), world.marks().clone())
    });
    Outcome {
        seed: schedule.seed,
        failed,
        orders,
        faults,
        marks,
        hash: trace.hash(),
        lines: trace.take_lines(),
        svg: trace.svg(&schedule.to_string()),
    }
}

fn guarded(live: impl FnOnce() -> Lived) -> Lived {
    catch_unwind(AssertUnwindSafe(live)).unwrap_or_else(|panic| {
        let failure = Failure::new("panic", panic_text(&*panic));
        (Some(failure), 0, Counts::new(), Seen::new())
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

#[cfg(test)]
mod tests;
