//! Results on a terminal: a table, with a sparkline for each line of a sweep.

use super::catalogue::Experiment;
use super::draw::{rounded, table};
use super::results::{Results, Store};
use crate::ops::output::Failure;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar for each value, up to the highest.
fn sparkline(values: &[f64]) -> String {
    let highest = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        let share = if highest > 0.0 { value / highest } else { 0.0 };
        BARS[((share * 7.0).round() as usize).min(7)]
    };
    values.iter().map(bar).collect()
}

/// The table of one experiment, and its main figure as sparklines.
pub(super) fn shown(experiment: &Experiment, results: &Results) -> String {
    let table = table(experiment, results);
    let mut widths: Vec<usize> = table.head.iter().map(|cell| cell.chars().count()).collect();
    for row in &table.rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![format!("{}: {}", experiment.name, experiment.asks), line(&table.head)];
    lines.extend(table.rows.iter().map(line));
    lines.extend(sparklines(experiment, results));
    lines.extend(results.left_out.iter().map(|why| format!("left out: {why}")));
    lines.join("\n")
}

fn sparklines(experiment: &Experiment, results: &Results) -> Vec<String> {
    let main = experiment.main();
    let values = |belongs: &dyn Fn(&[String]) -> bool| -> Vec<f64> {
        let cells = results.cells.iter().filter(|cell| belongs(&cell.at));
        cells.filter_map(|cell| cell.spread(main)).map(|it| it.median).collect()
    };
    if experiment.dimensions.len() == 1 {
        return vec![format!("  {main} {}", sparkline(&values(&|_| true)))];
    }
    let of =
        |name: &String| format!("  {main} {name} {}", sparkline(&values(&|at| at.first() == Some(name))));
    results.places(0).iter().map(of).collect()
}

/// How medians stand to earlier ones: those that moved out of the spread of both are named.
///
/// # Errors
/// The earlier results cannot be read.
pub(super) fn compared(
    experiment: &Experiment,
    now: &Results,
    before: &Store,
) -> Result<Vec<String>, Failure> {
    let Some(before) = before.read(experiment.name)? else {
        return Ok(vec![format!("{}: no earlier results", experiment.name)]);
    };
    let mut lines = Vec::new();
    for cell in &now.cells {
        let Some(earlier) = before.cells.iter().find(|it| it.at == cell.at) else { continue };
        for (figure, unit) in experiment.figures {
            let (Some(now), Some(then)) = (cell.spread(figure), earlier.spread(figure)) else { continue };
            if now.low > then.high || now.high < then.low {
                let (at, from, to) = (cell.at.join(", "), rounded(then.median), rounded(now.median));
                lines.push(format!("{} {at}: {figure} was {from}, is {to} {unit}", experiment.name));
            }
        }
    }
    if lines.is_empty() {
        lines.push(format!("{}: all medians are within the spread of the earlier runs", experiment.name));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::experiment::catalogue::named;
    use crate::ops::experiment::results::Figures;

    fn results(ms: &[f64]) -> Results {
        let mut results = Results { dimensions: vec!["peers".into()], ..Results::default() };
        results.experiment = "election".to_owned();
        for (peers, ms) in ["4", "8"].into_iter().zip(ms) {
            let figures = [("messages", 40.0 * ms), ("ms", *ms)].map(|(key, value)| (key.to_owned(), value));
            results.cell(&[peers.to_owned()]).runs.push(Figures::from(figures));
        }
        results
    }

    #[test]
    fn a_table_and_sparklines_are_shown() {
        let text = shown(named("election"), &results(&[10.0, 20.0]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "peers  messages (messages)  ms (ms)  elections (elections)");
        assert_eq!(lines[2], "4      400                  10.0");
        assert_eq!(lines[4], "  messages ▅█");
    }

    #[test]
    fn what_moved_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let said = |now: &[f64]| compared(named("election"), &results(now), &store).unwrap();
        assert_eq!(said(&[10.0]), ["election: no earlier results"]);
        store.keep(&results(&[10.0, 20.0])).unwrap();
        assert!(said(&[10.0, 20.0])[0].contains("within the spread"));
        let moved = said(&[10.0, 30.0]);
        assert_eq!(moved[1], "election 8: ms was 20.0, is 30.0 ms");
    }
}
