//! `bazaar experiment`: which ones, how often, and what must come out.

use std::path::PathBuf;

use clap::Args;

use super::value::{self, ValueError};

/// What can be tried.
pub(crate) const EXPERIMENTS: [&str; 14] = [
    "throughput",
    "ratio",
    "oversell",
    "deposit",
    "traders",
    "failure",
    "detection",
    "staleness",
    "ordering",
    "election",
    "recovery",
    "warehouse-down",
    "sync",
    "distance",
];

/// `bazaar experiment`.
#[derive(Args, Clone, Debug)]
pub struct ExperimentArgs {
    /// Which one, or all: throughput, ratio, oversell, deposit, traders, failure, detection, staleness, ordering, election,
    /// recovery, warehouse-down, sync, distance
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,
    /// Fewer and shorter runs: to see that it works, not to publish
    #[arg(long)]
    pub quick: bool,
    /// Runs of each cell, of which the median counts [default: 5, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100), allow_hyphen_values = true)]
    pub repeat: Option<u32>,
    /// Where figures and pictures go; runs that are there already are not made again
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    /// What must hold of the medians, else exit 8: 'oversell(cached)==0', 'throughput.p99_ms(cacheless,500/s)<50'
    /// (repeatable)
    #[arg(long, value_name = "EXPR")]
    pub assert: Vec<String>,
    /// Earlier results to compare with
    #[arg(long, value_name = "DIR")]
    pub compare: Option<PathBuf>,
}

impl ExperimentArgs {
    /// Runs of each cell.
    pub(crate) fn repeats(&self) -> u32 {
        self.repeat.unwrap_or(if self.quick { 1 } else { 5 })
    }

    /// Those that are to be made, in their order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        EXPERIMENTS.into_iter().filter(|name| self.name == "all" || self.name == *name).collect()
    }
}

fn name(text: &str) -> Result<String, ValueError> {
    if text == "all" || EXPERIMENTS.contains(&text) {
        return Ok(text.to_owned());
    }
    value::refuse("no such experiment", format!("there are all, {}", EXPERIMENTS.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_named() {
        assert_eq!(name("ratio"), Ok("ratio".to_owned()));
        assert!(name("speed").unwrap_err().mend.contains("warehouse-down"));
    }
}
