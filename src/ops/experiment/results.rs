//! What was measured, as it is kept: a file for each experiment, written anew after each run, so that a run which was
//! interrupted goes on from there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ops::chart::Spread;
use crate::ops::output::{Failure, exit};

/// Figures of one run, by their names.
pub(super) type Figures = BTreeMap<String, f64>;

/// One cell of a sweep, and its runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    /// Its place in each dimension.
    pub at: Vec<String>,
    pub runs: Vec<Figures>,
    /// Of the last run, if it has one: (second, orders/s, ms that they waited).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<(f64, f64, f64)>,
    /// Of that: from, to, and what was wrong then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<(f64, f64, String)>,
}

/// Where and how it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Setting {
    pub version: String,
    pub machine: String,
    pub quick: bool,
    pub repeat: u32,
}

/// The results of one experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    pub experiment: String,
    pub setting: Setting,
    pub dimensions: Vec<String>,
    pub cells: Vec<Cell>,
    /// What could not be tried here, and why.
    #[serde(default)]
    pub left_out: Vec<String>,
}

impl Cell {
    /// Median and spread of a figure over the runs.
    pub(super) fn spread(&self, figure: &str) -> Option<Spread> {
        let mut values: Vec<f64> = self.runs.iter().filter_map(|run| run.get(figure).copied()).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.first().copied()?, values.last().copied()?);
        let (middle, half) = (values.len() / 2, values.len().is_multiple_of(2));
        let median = if half { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] };
        Some(Spread { median, low, high })
    }
}

impl Results {
    /// The cell at a place; it is made if there is none.
    pub(super) fn cell(&mut self, at: &[String]) -> &mut Cell {
        let there = self.cells.iter().position(|cell| cell.at == at).unwrap_or_else(|| {
            self.cells.push(Cell { at: at.to_vec(), ..Cell::default() });
            self.cells.len() - 1
        });
        &mut self.cells[there]
    }

    /// The places in a dimension, in the order in which they came.
    pub(super) fn places(&self, dimension: usize) -> Vec<String> {
        let mut places: Vec<String> = Vec::new();
        for at in self.cells.iter().filter_map(|cell| cell.at.get(dimension)) {
            if !places.contains(at) {
                places.push(at.clone());
            }
        }
        places
    }

    /// A row for each figure of each cell: its place, median, lowest, highest, and how many runs.
    pub(super) fn csv(&self) -> String {
        let mut text = format!("{},figure,median,low,high,runs\n", self.dimensions.join(","));
        for cell in &self.cells {
            let figures: Vec<&String> = cell.runs.iter().flat_map(BTreeMap::keys).collect();
            let figures: std::collections::BTreeSet<&String> = figures.into_iter().collect();
            for figure in figures {
                let Some(Spread { median, low, high }) = cell.spread(figure) else { continue };
                let (at, runs) = (cell.at.join(","), cell.runs.len());
                // A string takes whatever is written.
                let _ = writeln!(text, "{at},{figure},{median},{low},{high},{runs}");
            }
        }
        text
    }
}

/// A directory of results.
pub(super) struct Store {
    dir: PathBuf,
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |error| Failure::new(exit::FAILURE, format!("{}: {error}", path.display()))
}

impl Store {
    /// Takes a directory that is new or empty, or that has results of these experiments in this setting.
    ///
    /// # Errors
    /// It holds something else, or other results: nothing is overwritten.
    pub(super) fn open(dir: &Path, names: &[&str], setting: &Setting) -> Result<Store, Failure> {
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let store = Store { dir: dir.to_owned() };
        let taken = |why: &str| {
            Failure::new(exit::DIRECTORY, format!("{} {why}", dir.display()))
                .hint("name a new directory with --out")
        };
        let mut files = fs::read_dir(dir).map_err(failed(dir))?.peekable();
        if files.peek().is_none() {
            return Ok(store);
        }
        let mut ours = 0;
        for name in crate::cli::EXPERIMENTS {
            let Some(results) = store.read(name)? else { continue };
            ours += 1;
            if !names.contains(&name) {
                return Err(taken(&format!("holds the results of the experiment {name}")));
            }
            if results.setting != *setting {
                return Err(taken(&format!(
                    "holds results of {name} from another setting, build or machine"
                )));
            }
        }
        if ours > 0 { Ok(store) } else { Err(taken("is not empty, and holds no results")) }
    }

    /// One to look at only.
    pub(super) fn at(dir: &Path) -> Store {
        Store { dir: dir.to_owned() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The results of an experiment, if there are some.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn read(&self, name: &str) -> Result<Option<Results>, Failure> {
        let path = self.path(&format!("{name}.json"));
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path)(error)),
        };
        let results = serde_json::from_slice(&text);
        results.map(Some).map_err(|error| {
            Failure::new(exit::DIRECTORY, format!("{} holds no results: {error}", path.display()))
                .hint("name another directory")
        })
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let (path, new) = (self.path(name), self.path(&format!(".{name}.new")));
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(failed(&path))
    }

    /// Keeps the results of an experiment.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn keep(&self, results: &Results) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(results);
        let text = text.map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
        self.write(&format!("{}.json", results.experiment), &text)?;
        self.write(&format!("{}.csv", results.experiment), &results.csv())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(name: &str) -> Results {
        let (experiment, dimensions) = (name.to_owned(), vec!["mode".to_owned(), "rate".to_owned()]);
        let mut results = Results { experiment, dimensions, ..Results::default() };
        for value in [3.0, 1.0, 2.0] {
            let cell = results.cell(&["cached".to_owned(), "500/s".to_owned()]);
            cell.runs.push(Figures::from([("p50_ms".to_owned(), value)]));
        }
        results
    }

    #[test]
    fn the_median_of_the_runs_counts_and_their_spread_is_kept() {
        let mut results = results("throughput");
        let cell = results.cells[0].clone();
        assert_eq!(cell.spread("p50_ms"), Some(Spread { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(cell.spread("p99_ms"), None);
        assert_eq!(results.csv(), "mode,rate,figure,median,low,high,runs\ncached,500/s,p50_ms,2,1,3,3\n");
        results.cells[0].runs.pop();
        assert_eq!(results.cells[0].spread("p50_ms").unwrap().median, 2.0, "of two their middle");
        assert_eq!(results.places(1), ["500/s"]);
    }

    #[test]
    fn results_are_gone_on_with_and_others_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (setting, names) = (Setting::default(), ["throughput"]);
        let store = Store::open(dir.path(), &names, &setting).unwrap();
        store.keep(&results("throughput")).unwrap();
        let again = Store::open(dir.path(), &names, &setting).unwrap();
        assert_eq!(again.read("throughput").unwrap(), Some(results("throughput")));
        let refused = |names: &[&str], setting: &Setting| {
            Store::open(dir.path(), names, setting).err().map(|failure| (failure.exit, failure.what))
        };
        let (code, what) = refused(&["ratio"], &setting).unwrap();
        assert!(code == exit::DIRECTORY && what.contains("of the experiment throughput"), "{what}");
        let quick = Setting { quick: true, ..Setting::default() };
        assert!(refused(&names, &quick).unwrap().1.contains("another setting"));
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("thesis.txt"), "mine").unwrap();
        assert!(Store::open(other.path(), &names, &setting).is_err());
    }
}
