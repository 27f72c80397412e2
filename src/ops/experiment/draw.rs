//! Pictures and pages of results.

use std::collections::BTreeMap;

use super::catalogue::{Draw, Experiment};
use super::results::{Cell, Results, Store};
use crate::ops::chart::{Band, Chart, Heat, Line, Page, Plot, Series, Table, colour_of};
use crate::ops::output::{Failure, exit};

fn undrawn(why: String) -> Failure {
    Failure::new(exit::FAILURE, format!("a picture cannot be drawn: {why}"))
}

/// What is on the page of all, and the pictures beside it.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(store: &Store, all: &[(&'static Experiment, Results)]) -> Result<(), Failure> {
    let mut page = Page::new("bazaar: experiments");
    if let Some((_, first)) = all.first() {
        let setting = &first.setting;
        let runs = if setting.repeat == 1 { "one run a cell" } else { "medians of the runs of a cell" };
        let quick = if setting.quick { ", quick: to see that it works" } else { "" };
        page.text(&format!(
            "bazaar {} on {}: {runs} ({}){quick}",
            setting.version, setting.machine, setting.repeat
        ));
    }
    for (experiment, results) in all {
        section(&mut page, store, experiment, results)?;
    }
    store.write("index.html", &page.finish())
}

fn section(
    page: &mut Page,
    store: &Store,
    experiment: &Experiment,
    results: &Results,
) -> Result<(), Failure> {
    page.section(experiment.name);
    page.text(experiment.asks);
    page.text(experiment.note);
    for left_out in &results.left_out {
        page.verdict(false, &format!("left out: {left_out}"));
    }
    for (figure, unit) in experiment.figures {
        let svg = match experiment.draw {
            Draw::Lines | Draw::Time => lines(experiment, results, figure, unit),
            Draw::Heat(marked) => heat(experiment, results, figure, marked),
        };
        let svg = svg.map_err(undrawn)?;
        page.picture(&format!("{figure} ({unit})"), &svg);
        store.write(&format!("{}-{figure}.svg", experiment.name), &svg)?;
    }
    if matches!(experiment.draw, Draw::Time) {
        for cell in results.cells.iter().filter(|cell| !cell.series.is_empty()) {
            over_time(page, cell)?;
        }
    }
    page.table(&table(experiment, results));
    Ok(())
}

/// The lines are the places of the first dimension, if there are two.
fn lines(experiment: &Experiment, results: &Results, figure: &str, unit: &str) -> Result<String, String> {
    let last = experiment.dimensions.len() - 1;
    let labels = results.places(last);
    let of = |name: &str, belongs: &dyn Fn(&Cell) -> bool| {
        let point = |label: &String| {
            let cell = results.cells.iter().find(|cell| belongs(cell) && cell.at.get(last) == Some(label));
            cell.and_then(|cell| cell.spread(figure))
        };
        Series { name: name.to_owned(), points: labels.iter().map(point).collect() }
    };
    let series = match last {
        0 => vec![of(figure, &|_| true)],
        _ => {
            let names = results.places(0);
            names.iter().map(|name| of(name, &|cell| cell.at.first() == Some(name))).collect()
        }
    };
    let reference =
        experiment.reference.filter(|(of, ..)| *of == figure).map(|(_, name, value)| (name, value));
    let joined = !matches!(experiment.draw, Draw::Time);
    Plot { x: experiment.dimensions[last], y: unit, labels: &labels, series, reference, joined }.svg()
}

fn heat(
    experiment: &Experiment,
    results: &Results,
    figure: &str,
    marked: &[(&str, &str)],
) -> Result<String, String> {
    let (rows, columns) = (results.places(0), results.places(1));
    let value = |row: &String, column: &String| {
        let cell = results.cells.iter().find(|cell| cell.at == [row.clone(), column.clone()])?;
        cell.spread(figure).map(|it| it.median)
    };
    let values = rows.iter().map(|row| columns.iter().map(|column| value(row, column)).collect()).collect();
    let place = |(row, column): &(&str, &str)| {
        let at = |places: &[String], of: &str| places.iter().position(|place| place == of);
        Some((at(&columns, column)?, at(&rows, row)?))
    };
    let marked = marked.iter().filter_map(place).collect();
    let [y, x] = [experiment.dimensions[0], experiment.dimensions[1]];
    Heat { x, y, columns: &columns, rows: &rows, values, marked }.svg()
}

fn over_time(page: &mut Page, cell: &Cell) -> Result<(), Failure> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, what) in &cell.bands {
        let next = kinds.len() + 1;
        kinds.entry(what).or_insert(next);
    }
    let band =
        |(from, to, what): &(f64, f64, String)| Band { from: *from, to: *to, kind: kinds[what.as_str()] };
    let bands: Vec<Band> = cell.bands.iter().map(band).collect();
    let seconds = cell.series.last().map_or(1.0, |(at, ..)| *at);
    let pick = |pick: fn(&(f64, f64, f64)) -> f64| cell.series.iter().map(|it| (it.0, pick(it))).collect();
    for (title, unit, points) in
        [("answered", "orders/s", pick(|it| it.1)), ("waited, p99 of each 100 ms", "ms", pick(|it| it.2))]
    {
        let title = format!("{}: {title}", cell.at.join(", "));
        let lines = vec![Line { name: title.clone(), points }];
        let chart = Chart { title: &title, unit, lines, bands: &bands, dots: false, seconds, at: None };
        page.chart(&chart).map_err(undrawn)?;
    }
    let legend = |(what, kind): (&&str, &usize)| (colour_of(*kind), (*what).to_owned());
    page.legend(&kinds.iter().map(legend).collect::<Vec<_>>());
    Ok(())
}

/// Medians, with the lowest and highest of several runs.
pub(super) fn table(experiment: &Experiment, results: &Results) -> Table {
    let figures = experiment.figures.iter().map(|(name, unit)| format!("{name} ({unit})"));
    let head = experiment.dimensions.iter().map(|it| (*it).to_owned()).chain(figures).collect();
    let row = |cell: &Cell| {
        let figures = experiment.figures.iter().map(|(name, _)| match cell.spread(name) {
            None => String::new(),
            Some(it) if cell.runs.len() == 1 => rounded(it.median),
            Some(it) => format!("{} ({}..{})", rounded(it.median), rounded(it.low), rounded(it.high)),
        });
        cell.at.iter().cloned().chain(figures).collect()
    };
    Table { head, rows: results.cells.iter().map(row).collect() }
}

/// Three digits are as many as a run is good for.
pub(super) fn rounded(value: f64) -> String {
    match value.abs() {
        size if !(1e-9..100.0).contains(&size) => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::experiment::catalogue::named;
    use crate::ops::experiment::results::Figures;

    fn measured(name: &str) -> Results {
        let experiment = named(name);
        let mut results = Results {
            experiment: name.to_owned(),
            dimensions: experiment.dimensions.iter().map(|it| (*it).to_owned()).collect(),
            ..Results::default()
        };
        for (nth, (at, _)) in (experiment.cells)(true).into_iter().enumerate() {
            let cell = results.cell(&at);
            let figures = experiment.figures.iter().map(|(name, _)| ((*name).to_owned(), nth as f64 + 1.0));
            cell.runs = vec![figures.collect::<Figures>()];
            cell.series = vec![(0.1, 300.0, 4.0), (0.2, 0.0, 0.0)];
            cell.bands = vec![(0.1, 0.15, "kill".to_owned())];
        }
        results
    }

    #[test]
    fn a_page_holds_a_picture_of_each_figure_of_each_experiment() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let all: Vec<_> = crate::cli::EXPERIMENTS.map(|name| (named(name), measured(name))).into();
        write(&store, &all).unwrap();
        let page = std::fs::read_to_string(dir.path().join("index.html")).unwrap();
        let figures: usize = all.iter().map(|(experiment, _)| experiment.figures.len()).sum();
        assert!(page.matches("<svg").count() >= figures + 2 * 6, "and pictures over time");
        assert!(page.contains("prefers-color-scheme:dark") && !page.contains("<script"));
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, figures + 1);
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.0, 1.234, 12.34, 123.4, -5.0].map(rounded), ["0", "1.23", "12.3", "123", "-5.00"]);
    }
}
