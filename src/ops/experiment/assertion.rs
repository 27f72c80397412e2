//! What must hold of the medians: `NAME[.FIGURE](PLACE,...) OP NUMBER`, for each cell that has all those places.
//!
//! `oversell(cached)==0` is about the main figure of `oversell` in all cells of `cached`.

use super::catalogue::Experiment;
use super::results::Results;
use crate::ops::output::{Failure, exit};

/// See the module's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assertion {
    text: String,
    pub experiment: &'static str,
    figure: String,
    places: Vec<String>,
    comparison: Comparison,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Less,
    Greater,
}

/// The longer ones first: `<=` is not `<`.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Comparison {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Comparison::Equal => (value - bound).abs() < 1e-9,
            Comparison::Unequal => (value - bound).abs() >= 1e-9,
            Comparison::AtMost => value <= bound,
            Comparison::AtLeast => value >= bound,
            Comparison::Less => value < bound,
            Comparison::Greater => value > bound,
        }
    }
}

impl Assertion {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, or names what there is not: exit 2, with what there is.
    pub(super) fn parse(text: &str, made: &[&'static Experiment]) -> Result<Assertion, Failure> {
        let wrong = |why: String, hint: String| {
            Failure::new(exit::USAGE, format!("--assert '{text}': {why}")).hint(hint)
        };
        let shape = || "write it like 'oversell(cached)==0' or 'throughput.p99_ms(cacheless)<50'".to_owned();
        let split = COMPARISONS.iter().find_map(|(sign, it)| Some((text.split_once(sign)?, *it)));
        let Some(((left, right), comparison)) = split else {
            return Err(wrong("it compares nothing".to_owned(), shape()));
        };
        let bound: f64 =
            right.trim().parse().map_err(|_| wrong(format!("{right:?} is no number"), shape()))?;
        let (name, places) = match left.trim().split_once('(') {
            Some((name, places)) => {
                let places = places.strip_suffix(')');
                let places = places.ok_or_else(|| wrong("a bracket stays open".to_owned(), shape()))?;
                (
                    name,
                    places
                        .split(',')
                        .map(|place| place.trim().to_owned())
                        .filter(|it| !it.is_empty())
                        .collect(),
                )
            }
            None => (left.trim(), Vec::new()),
        };
        let (name, figure) = name.split_once('.').map_or((name, None), |(name, figure)| (name, Some(figure)));
        let experiment = made.iter().find(|it| it.name == name).ok_or_else(|| {
            let names: Vec<&str> = made.iter().map(|it| it.name).collect();
            wrong(format!("{name:?} is not made in this run"), format!("there are {}", names.join(", ")))
        })?;
        let figures: Vec<&str> = experiment.figures.iter().map(|(name, _)| *name).collect();
        let figure = figure.unwrap_or(experiment.main());
        if !figures.contains(&figure) {
            let why = format!("{name} has no figure {figure:?}");
            return Err(wrong(why, format!("there are {}", figures.join(", "))));
        }
        let (text, figure) = (text.to_owned(), figure.to_owned());
        Ok(Assertion { text, experiment: experiment.name, figure, places, comparison, bound })
    }

    /// Whether it holds in every cell that it is about; says of each in which it does not.
    ///
    /// # Errors
    /// It is about no cell.
    pub(super) fn judge(&self, results: &Results) -> Result<Vec<String>, Failure> {
        let about = |at: &[String]| self.places.iter().all(|place| at.contains(place));
        let cells = results.cells.iter().filter(|cell| about(&cell.at));
        let medians: Vec<(String, f64)> =
            cells.filter_map(|cell| Some((cell.at.join(", "), cell.spread(&self.figure)?.median))).collect();
        if medians.is_empty() {
            let places: Vec<String> =
                (0..results.dimensions.len()).flat_map(|at| results.places(at)).collect();
            return Err(Failure::new(
                exit::USAGE,
                format!("--assert '{}': there is no such cell", self.text),
            )
            .hint(format!("there are {}", places.join(", "))));
        }
        let broken = medians.into_iter().filter(|(_, value)| !self.comparison.holds(*value, self.bound));
        Ok(broken.map(|(at, value)| format!("'{}' does not hold: {value:.3} at {at}", self.text)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::experiment::catalogue::named;
    use crate::ops::experiment::results::Figures;

    fn parsed(text: &str) -> Result<Assertion, (u8, String)> {
        let made = [named("oversell"), named("throughput")];
        Assertion::parse(text, &made).map_err(|failure| {
            (failure.exit, format!("{} {}", failure.what, failure.hint.unwrap_or_default()))
        })
    }

    #[test]
    fn an_expression_is_about_cells_and_their_medians() {
        let mut results = Results { dimensions: vec!["mode".into(), "ratio".into()], ..Results::default() };
        for (mode, oversold) in [("cacheless", 0.0), ("cached", 7.0)] {
            let cell = results.cell(&[mode.to_owned(), "2".to_owned()]);
            cell.runs.push(Figures::from([("oversold".to_owned(), oversold)]));
        }
        let judged = |text: &str| parsed(text).unwrap().judge(&results).map_err(|failure| failure.exit);
        assert_eq!(judged("oversell(cacheless)==0"), Ok(Vec::new()));
        assert_eq!(judged("oversell.oversold(cached, 2) >= 7"), Ok(Vec::new()));
        let broken = judged("oversell(cached)==0").unwrap();
        assert_eq!(broken, ["'oversell(cached)==0' does not hold: 7.000 at cached, 2"]);
        assert_eq!(judged("oversell<1").map(|broken| broken.len()), Ok(1), "in all cells");
        assert_eq!(judged("oversell(escrow)==0"), Err(exit::USAGE));
    }

    #[test]
    fn what_is_no_expression_is_refused_with_what_there_is() {
        for (text, said) in [
            ("oversell", "compares nothing"),
            ("oversell==many", "no number"),
            ("oversell(cached==0", "stays open"),
            ("speed==0", "there are oversell, throughput"),
            ("oversell.speed==0", "oversold"),
        ] {
            let (code, what) = parsed(text).unwrap_err();
            assert!(code == exit::USAGE && what.contains(said), "{text}: {what}");
        }
    }
}
