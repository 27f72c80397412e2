//! `bazaar simulate`: which seeds, how large, with what going wrong.

use std::ops::RangeInclusive;

use clap::{ArgGroup, Args};

use super::value::{self, ValueError};
use crate::sim::{Kind, Options, Schedule};

/// `bazaar simulate`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct SimulateArgs {
    /// One seed
    #[arg(long, value_name = "N", group = "which")]
    pub seed: Option<u64>,
    /// Seeds from A to B, both included
    #[arg(long, value_name = "A..B", value_parser = seeds, group = "which")]
    pub seeds: Option<RangeInclusive<u64>>,
    /// One schedule, as a failed seed prints it; @FILE reads it from a file
    #[arg(long, value_name = "TEXT", value_parser = schedule, group = "which", conflicts_with_all = ["peers", "orders", "faults"])]
    pub(crate) schedule: Option<Schedule>,
    /// Peers of a market, from 3 to 9: a number, or a range of which each seed draws one
    #[arg(long, value_name = "N", default_value = "3-9", value_parser = peers)]
    pub peers: RangeInclusive<u32>,
    /// Orders placed in each seed, at least
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub orders: u64,
    /// What goes wrong: kinds with commas between, all, or none
    #[arg(long, value_name = "KINDS", default_value = "all", value_parser = faults)]
    pub faults: Faults,
    /// Print a line for each thing that happens
    #[arg(long)]
    pub trace: bool,
    /// Stop at the first seed that fails
    #[arg(long)]
    pub until_failure: bool,
    /// Threads; the result is the same for any number
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: u32,
}

impl SimulateArgs {
    /// The seeds that were typed.
    pub(crate) fn seeds(&self) -> RangeInclusive<u64> {
        match (&self.seeds, self.seed) {
            (Some(seeds), _) => seeds.clone(),
            (None, seed) => seed.unwrap_or_default()..=seed.unwrap_or_default(),
        }
    }

    /// How each seed's world is made.
    pub(crate) fn options(&self) -> Options {
        let (peers, orders, faults) = (self.peers.clone(), self.orders, self.faults.0.clone());
        Options { peers, orders, faults, trace: self.trace }
    }
}

/// Kinds of faults, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Kind>);

fn seeds(text: &str) -> Result<RangeInclusive<u64>, ValueError> {
    let parsed = text.split_once("..").map(|(from, to)| (from.parse::<u64>(), to.parse::<u64>()));
    match parsed {
        Some((Ok(from), Ok(to))) if from <= to => Ok(from..=to),
        Some((Ok(from), Ok(to))) => value::refuse("the range is upside down", format!("write {to}..{from}")),
        _ => value::refuse("not a range of seeds", "write it like 1..200, both included"),
    }
}

fn schedule(text: &str) -> Result<Schedule, ValueError> {
    let read = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}")),
        None => Ok(text.to_owned()),
    };
    let parsed =
        read.and_then(|text| text.lines().find(|line| !line.starts_with("//")).unwrap_or_default().parse());
    parsed.or_else(|why: String| value::refuse(why, "copy it from where it was printed, in quotes"))
}

fn peers(text: &str) -> Result<RangeInclusive<u32>, ValueError> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    match (least.parse(), most.parse()) {
        (Ok(least), Ok(most)) if 3 <= least && least <= most && most <= 9 => Ok(least..=most),
        (Ok(least), Ok(most)) if 3 <= most && most < least && least <= 9 => {
            value::refuse("the range is upside down", format!("write {most}-{least}"))
        }
        _ => value::refuse("not a number of peers", "use 3 to 9, or a range like 3-9"),
    }
}

fn faults(text: &str) -> Result<Faults, ValueError> {
    match text {
        "all" => Ok(Faults(Kind::ALL.to_vec())),
        "none" => Ok(Faults(Vec::new())),
        list => {
            let mut kinds = list.split(',').map(kind).collect::<Result<Vec<Kind>, ValueError>>()?;
            kinds.sort_unstable();
            kinds.dedup();
            Ok(Faults(kinds))
        }
    }
}

fn kind(name: &str) -> Result<Kind, ValueError> {
    let known = || Kind::ALL.map(Kind::name).join(", ");
    match Kind::named(name) {
        Some(kind) => Ok(kind),
        None => value::refuse(
            format!("'{name}' is not a kind of fault"),
            format!("use all, none, or of {}", known()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_with_both_ends() {
        assert_eq!(seeds("1..200"), Ok(1..=200));
        assert_eq!(seeds("7..7"), Ok(7..=7));
        assert_eq!(seeds("9..3").unwrap_err().mend, "write 3..9");
        for bad in ["", "1", "1-3", "..3", "1..", "a..b", "-1..3"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn peers_are_three_to_nine() {
        assert_eq!((peers("3-9"), peers("5")), (Ok(3..=9), Ok(5..=5)));
        assert_eq!(peers("9-3").unwrap_err().mend, "write 3-9");
        for bad in ["2", "10", "2-9", "3-10", "", "-", "3-", "x"] {
            assert!(peers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(faults("all").unwrap().0, Kind::ALL);
        assert_eq!(faults("none").unwrap().0, []);
        assert_eq!(faults("kill,kill").unwrap().0, [Kind::Kill]);
        assert_eq!(faults("kill,flood").unwrap_err().why, "'flood' is not a kind of fault");
    }
}
