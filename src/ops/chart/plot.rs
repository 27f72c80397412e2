//! Pictures of experiments: medians with their spread over the cells of a sweep, and heat maps.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{COLOURS, GRID, INK, Svg, short, themed};

const SIZE: (u32, u32) = (1_000, 420);
const FONT: u32 = 15;

/// A median, and the lowest and highest of the runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// A line over the places of the x axis; where there was no run there is a gap.
pub(crate) struct Series {
    pub name: String,
    pub points: Vec<Option<Spread>>,
}

/// Series over one sweep.
pub(crate) struct Plot<'a> {
    /// Below the x axis.
    pub x: &'a str,
    /// Beside the y axis.
    pub y: &'a str,
    pub labels: &'a [String],
    pub series: Vec<Series>,
    /// A figure that somebody else has published.
    pub reference: Option<(&'a str, f64)>,
    /// The places are steps of one thing: a line joins their points.
    pub joined: bool,
}

impl Plot<'_> {
    /// As an SVG element, with a legend in it.
    ///
    /// # Errors
    /// It cannot be drawn; says why.
    pub(crate) fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        let drawn = self.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area());
        drawn.map(|()| themed(&svg)).map_err(|error| error.to_string())
    }

    fn highest(&self) -> f64 {
        let values = self.series.iter().flat_map(|series| series.points.iter().flatten()).map(|it| it.high);
        let highest = values.fold(0.0, f64::max).max(self.reference.map_or(0.0, |(_, value)| value));
        if highest > 0.0 { highest * 1.12 } else { 1.0 }
    }

    fn draw(&self, area: &Svg<'_>) -> Result<(), super::DrawError> {
        area.fill(&WHITE)?;
        let last = self.labels.len().max(1) as f64 - 0.5;
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .x_label_area_size(52)
            .y_label_area_size(78)
            .build_cartesian_2d(-0.5..last, 0.0..self.highest())?;
        let name = |x: &f64| {
            let at = x.round();
            let is_place = (x - at).abs() < 1e-6 && at >= 0.0;
            is_place.then(|| self.labels.get(at as usize).cloned()).flatten().unwrap_or_default()
        };
        let font = ("sans-serif", FONT).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_labels(self.labels.len() * 2 + 1)
            .x_label_formatter(&name)
            .y_label_formatter(&|value| short(*value))
            .x_desc(self.x)
            .y_desc(self.y)
            .label_style(font.clone())
            .axis_desc_style(font.clone())
            .draw()?;
        for (at, series) in self.series.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            // Where lines lie on one another each earlier one is seen on both sides of the next.
            let below = (self.series.len() - 1 - at) as u32;
            let points = || series.points.iter().enumerate().filter_map(|(x, it)| Some((x as f64, (*it)?)));
            // Of things that are not steps of one another only the points are shown, beside each other.
            let aside = if self.joined { 0.0 } else { 0.08 * at as f64 };
            let points = || points().map(move |(x, it)| (x + aside, it));
            let line = points().take(if self.joined { usize::MAX } else { 0 }).map(|(x, it)| (x, it.median));
            let drawn = chart.draw_series(LineSeries::new(line, colour.stroke_width(2 + 3 * below)))?;
            drawn
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)));
            chart.draw_series(
                points().map(|(x, it)| Circle::new((x, it.median), 4 + 2 * below as i32, colour.filled())),
            )?;
            chart.draw_series(
                points().map(|(x, it)| PathElement::new([(x, it.low), (x, it.high)], colour.stroke_width(1))),
            )?;
        }
        if let Some((name, value)) = self.reference {
            let dashed = DashedLineSeries::new([(-0.5, value), (last, value)], 8, 6, INK.stroke_width(2));
            chart
                .draw_series(dashed)?
                .label(name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 22, y)], INK.stroke_width(2)));
        }
        if self.series.len() > 1 || self.reference.is_some() {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.8))
                .label_font(font)
                .draw()?;
        }
        area.present()
    }
}

/// A figure for each pair of two sweeps.
pub(crate) struct Heat<'a> {
    pub x: &'a str,
    pub y: &'a str,
    pub columns: &'a [String],
    pub rows: &'a [String],
    /// By row, then column.
    pub values: Vec<Vec<Option<f64>>>,
    /// Cells (column, row) that somebody else has published figures of.
    pub marked: Vec<(usize, usize)>,
}

impl Heat<'_> {
    /// As an SVG element.
    ///
    /// # Errors
    /// It cannot be drawn; says why.
    pub(crate) fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        let drawn = self.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area());
        drawn.map(|()| themed(&svg)).map_err(|error| error.to_string())
    }

    fn draw(&self, area: &Svg<'_>) -> Result<(), super::DrawError> {
        area.fill(&WHITE)?;
        let (width, height) = (self.columns.len().max(1) as f64, self.rows.len().max(1) as f64);
        let label = |names: &[String], at: f64| {
            let half = at - 0.5;
            let is_place = (half - half.round()).abs() < 1e-6 && half >= 0.0;
            is_place.then(|| names.get(half.round() as usize).cloned()).flatten().unwrap_or_default()
        };
        let font = ("sans-serif", FONT).into_font().color(&INK);
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .x_label_area_size(52)
            .y_label_area_size(78)
            .build_cartesian_2d(0.0..width, 0.0..height)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(INK)
            .x_labels(self.columns.len() * 2 + 1)
            .y_labels(self.rows.len() * 2 + 1)
            .x_label_formatter(&|at| label(self.columns, *at))
            .y_label_formatter(&|at| label(self.rows, *at))
            .x_desc(self.x)
            .y_desc(self.y)
            .label_style(font.clone())
            .axis_desc_style(font)
            .draw()?;
        let highest = self.values.iter().flatten().flatten().copied().fold(0.0, f64::max).max(1e-9);
        for (row, values) in self.values.iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                let Some(value) = value else { continue };
                let corners = [(column as f64, row as f64), (column as f64 + 1.0, row as f64 + 1.0)];
                let share = value / highest;
                chart.draw_series([Rectangle::new(corners, COLOURS[0].mix(0.06 + 0.84 * share).filled())])?;
                let dark = share > 0.55;
                let ink = if dark { &RGBColor(254, 254, 254) } else { &INK };
                let centred = ("sans-serif", FONT + 2).into_font().color(ink);
                let centred = centred.pos(Pos::new(HPos::Center, VPos::Center));
                let star = if self.marked.contains(&(column, row)) { " *" } else { "" };
                let text = format!("{}{star}", short(*value));
                let middle = (column as f64 + 0.5, row as f64 + 0.5);
                chart.draw_series([Text::new(text, middle, centred)])?;
            }
        }
        area.present()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_plot_has_its_series_spread_labels_and_reference() {
        let point = |median| Some(Spread { median, low: median * 0.9, high: median * 1.1 });
        let labels = labels(&["500/s", "1000/s", "2000/s"]);
        let series = ["cacheless", "cached"]
            .map(|name| Series { name: name.to_owned(), points: vec![point(1.0), None, point(3.0)] });
        let reference = Some(("the seed", 2.0));
        let (x, y, series, joined) = ("offered", "ms", series.into(), true);
        let plot = Plot { x, y, labels: &labels, series, reference, joined };
        let svg = plot.svg().unwrap();
        for text in ["cacheless", "cached", "the seed", "500/s", "2000/s", "offered", "var(--ink"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
    }

    #[test]
    fn a_heat_map_shows_each_figure_and_marks_some() {
        let (columns, rows) = (labels(&["3", "5"]), labels(&["10", "20"]));
        let values = vec![vec![Some(0.0), Some(12.0)], vec![None, Some(40.0)]];
        let heat = Heat { x: "Tg", y: "Ng", columns: &columns, rows: &rows, values, marked: vec![(1, 0)] };
        let svg = heat.svg().unwrap();
        assert!(svg.contains("12.0 *") && svg.contains("40.0"), "{svg}");
    }

    #[test]
    fn nothing_measured_is_an_empty_picture() {
        let plot = Plot { x: "x", y: "y", labels: &[], series: Vec::new(), reference: None, joined: true };
        assert!(plot.svg().unwrap().starts_with("<svg"));
    }
}
