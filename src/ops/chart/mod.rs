//! Pictures of a run: series over time as SVG, with bands where something was wrong, and a page that holds them.
//!
//! In: figures. Out: text that needs no network and no script to be looked at. The only module that names the plotting
//! crate.

mod page;
mod plot;

use plotters::prelude::*;

pub(crate) use page::{Page, Table};
pub(crate) use plot::{Heat, Plot, Series, Spread};

/// Points of a line, about: more do not show, and make the page large.
const POINTS_MAX: usize = 800;
/// Of a picture on a page of its own, in pixels,
const SIZE: (u32, u32) = (960, 260);
/// and in a column among others.
pub(crate) const SMALL: (u32, u32) = (460, 190);
const INK: RGBColor = RGBColor(70, 70, 70);
const GRID: RGBColor = RGBColor(225, 225, 225);
/// Told apart by those who see colours differently, too (Okabe and Ito, "Color Universal Design", 2008).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 240),
    RGBColor(90, 90, 90),
];

type Svg<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawError = DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>;

/// With the colours of the page that it is on, where that has some: ground, grid and ink of a light or a dark one.
fn themed(svg: &str) -> String {
    let of = |RGBColor(red, green, blue): RGBColor| format!("\"#{red:02X}{green:02X}{blue:02X}\"");
    let var = |name: &str, colour: RGBColor| format!("\"var(--{name},{})\"", of(colour).trim_matches('"'));
    [("ink", INK), ("grid", GRID), ("ground", WHITE)]
        .into_iter()
        .fold(svg.to_owned(), |svg, (name, colour)| svg.replace(&of(colour), &var(name, colour)))
}

/// Points over time, in seconds.
pub(crate) struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A stretch of time, of one of a few kinds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    pub from: f64,
    pub to: f64,
    /// Which kind: bands of a kind have one colour.
    pub kind: usize,
}

/// One picture.
pub(crate) struct Chart<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    pub lines: Vec<Line>,
    /// Drawn behind the lines.
    pub bands: &'a [Band],
    /// Single points, which no line joins.
    pub dots: bool,
    /// Seconds that the picture shows.
    pub seconds: f64,
    /// A moment that is marked.
    pub at: Option<f64>,
}

/// The colour of a kind of band, for a legend.
pub(crate) fn colour_of(kind: usize) -> String {
    let RGBColor(red, green, blue) = COLOURS[kind % COLOURS.len()];
    format!("rgb({red},{green},{blue})")
}

impl Chart<'_> {
    /// Its lines with their colours, where there are several.
    pub(crate) fn legend(&self) -> Vec<(String, String)> {
        let lines = self.lines.iter().enumerate().filter(|_| self.lines.len() > 1);
        lines.map(|(at, line)| (colour_of(at), line.name.clone())).collect()
    }

    /// As an SVG element of that size.
    ///
    /// # Errors
    /// It cannot be drawn; says why.
    pub(crate) fn svg(&self, size: (u32, u32)) -> Result<String, String> {
        let mut svg = String::new();
        let drawn = self.draw(SVGBackend::with_string(&mut svg, size).into_drawing_area());
        drawn.map(|()| themed(&svg)).map_err(|error| error.to_string())
    }

    fn draw(&self, area: Svg<'_>) -> Result<(), DrawError> {
        area.fill(&WHITE)?;
        let highest = self.highest();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(if area.dim_in_pixel() == SIZE { 64 } else { 40 })
            .build_cartesian_2d(0.0..self.seconds.max(1.0), 0.0..highest)?;
        chart.draw_series(self.bands.iter().map(|band| {
            let colour = COLOURS[band.kind % COLOURS.len()].mix(0.18);
            Rectangle::new([(band.from, 0.0), (band.to, highest)], colour.filled())
        }))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .x_label_formatter(&|seconds| clock(*seconds))
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        if let Some(at) = self.at.filter(|at| (0.0..=self.seconds).contains(at)) {
            chart.draw_series(LineSeries::new([(at, 0.0), (at, highest)], INK.stroke_width(2)))?;
        }
        for (at, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let points = thinned(&line.points);
            if self.dots {
                chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
            } else {
                chart.draw_series(LineSeries::new(points, colour.stroke_width(1)))?;
            }
        }
        area.present()
    }

    fn highest(&self) -> f64 {
        let values = self.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
        values.fold(1.0, f64::max) * 1.08
    }
}

/// At most so many points, the highest of each stretch: a peak is what is looked for.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |stretch: &[(f64, f64)]| {
        stretch.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default()
    };
    points.chunks(each).map(highest).collect()
}

/// Minutes and seconds, or hours and minutes where that is longer.
fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds / 3_600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}h{:02}", seconds / 60 % 60),
    }
}

/// A figure with at most four digits.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 10_000.0 => format!("{:.0}k", value / 1e3),
        value if value >= 100.0 || value == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(dots: bool) -> String {
        let points: Vec<(f64, f64)> = (0..5_000).map(|at| (f64::from(at), f64::from(at % 97))).collect();
        let lines = vec![Line { name: "one & only".to_owned(), points }];
        let bands = [Band { from: 10.0, to: 400.0, kind: 2 }];
        let chart = Chart {
            title: "rate",
            unit: "orders/s",
            lines,
            bands: &bands,
            dots,
            seconds: 5_000.0,
            at: Some(9.0),
        };
        chart.svg(SIZE).unwrap()
    }

    #[test]
    fn a_picture_has_its_lines_and_bands() {
        let svg = chart(false);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("<polyline") && svg.contains("16:40"), "lines, and times below");
        assert!(svg.matches("<rect").count() >= 2, "ground and band");
        assert!(chart(true).contains("<circle"));
        assert!(svg.len() < 60_000, "{} bytes", svg.len());
    }

    #[test]
    fn nothing_to_show_is_an_empty_picture() {
        let chart = Chart {
            title: "t",
            unit: "u",
            lines: Vec::new(),
            bands: &[],
            dots: false,
            seconds: 0.0,
            at: None,
        };
        assert!(chart.svg(SMALL).unwrap().contains("0:00"));
    }

    #[test]
    fn peaks_stay_and_figures_are_short() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|at| (f64::from(at), 1.0)).collect();
        points[7_777].1 = 50.0;
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS_MAX && thin.iter().any(|(_, value)| *value == 50.0));
        assert_eq!([0.0, 3.24, 250.0, 20_000.0, 2.5e6].map(short), ["0", "3.2", "250", "20k", "2.5M"]);
        assert_eq!([59.0, 61.0, 7_260.0].map(clock), ["0:59", "1:01", "2h01"]);
    }
}
