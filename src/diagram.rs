//! A space-time diagram (Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978): a line a node,
//! time from left to right, an arrow a message; and what befell the nodes. One SVG document, with a text for each arrow
//! and point that a browser shows when it is pointed at. Of simulated markets and of running ones.

use std::fmt::Write as _;

use crate::types::{PeerId, node_name};

/// Arrows and points that are kept; a run with more is cut off there, and the diagram says so.
pub const THINGS_MAX: usize = 40_000;
/// Characters of one text.
const TEXT_MAX: usize = 300;
/// Microseconds of a second.
const SECOND: f64 = 1e6;
/// The whole is as wide as this, or wider where a second is narrower than [`SECOND_WIDTH_MIN`],
const WIDTH: f64 = 1_600.0;
const SECOND_WIDTH_MIN: f64 = 400.0;
/// up to this.
const WIDTH_MAX: f64 = 60_000.0;
/// Height of a node's lane.
const LANE: f64 = 70.0;
/// Room for the names.
const LEFT: f64 = 90.0;
const TOP: f64 = 40.0;
/// Length of an arrow one end of which is not known, along the time and across the lanes.
const STUB: f64 = 14.0;
/// Width between two times that are written on top, at least.
const TICK_WIDTH: f64 = 80.0;

/// What happened to a node, or what it did, apart from messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Its process began.
    Started,
    /// Its process ended.
    Crashed,
    /// Nobody hears of it any more.
    Silent,
    /// All that it had written until then is durable.
    Synced,
    /// A peer was told what became of its order.
    Told,
    /// What was done to it on purpose.
    Fault,
    /// The warehouse ended a term.
    Fence,
    /// The offices changed.
    Office,
    /// A stream to another node broke off.
    Broke,
}

impl Point {
    /// As it is written, and its class in the document.
    pub fn name(self) -> &'static str {
        match self {
            Point::Started => "started",
            Point::Crashed => "crashed",
            Point::Silent => "silent",
            Point::Synced => "synced",
            Point::Told => "told",
            Point::Fault => "fault",
            Point::Fence => "fence",
            Point::Office => "office",
            Point::Broke => "broke",
        }
    }
}

/// A message, by the ends of it that are known. Times are microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// Who sent it.
    pub from: PeerId,
    /// Whom it is for.
    pub to: PeerId,
    /// When it was sent; none: its sender does not remember.
    pub sent: Option<u64>,
    /// When it came; none: it was lost, or its receiver does not remember.
    pub came: Option<u64>,
    /// What it says. The first word is its kind, and its class in the document.
    pub text: String,
}

impl Arrow {
    /// The kind of message.
    pub fn kind(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }
}

/// What is drawn. Times are microseconds since any moment.
#[derive(Clone, Debug, Default)]
pub struct Diagram {
    arrows: Vec<Arrow>,
    points: Vec<(PeerId, u64, Point, String)>,
    cut_off: bool,
}

impl Diagram {
    /// A message.
    pub fn arrow(&mut self, arrow: impl FnOnce() -> Arrow) {
        self.add(|it| it.arrows.push(arrow()));
    }

    /// Something happened at a node.
    pub fn point(&mut self, node: PeerId, at: u64, point: Point, text: impl FnOnce() -> String) {
        self.add(|it| it.points.push((node, at, point, text())));
    }

    fn add(&mut self, add: impl FnOnce(&mut Diagram)) {
        match self.arrows.len() + self.points.len() < THINGS_MAX {
            true => add(self),
            false => self.cut_off = true,
        }
    }

    /// How many arrows and points there are.
    pub fn things(&self) -> (usize, usize) {
        (self.arrows.len(), self.points.len())
    }

    /// The document: from `begin` to the last thing that happened.
    pub fn svg(&self, title: &str, begin: u64) -> String {
        Page::of(self, begin).document(self, title)
    }
}

/// Where things stand on the page.
struct Page {
    lanes: u32,
    begin: u64,
    per_second: f64,
    width: f64,
}

impl Page {
    fn of(drawing: &Diagram, begin: u64) -> Page {
        let arrows = drawing.arrows.iter();
        let arrows = arrows.map(|it| (it.from.max(it.to), it.came.or(it.sent).unwrap_or_default()));
        let points = drawing.points.iter().map(|(node, at, ..)| (*node, *at));
        let (node, end) = arrows
            .chain(points)
            .fold((PeerId(0), begin + 1), |(node, end), (other, at)| (node.max(other), end.max(at)));
        let seconds = (end - begin) as f64 / SECOND;
        let per_second = (WIDTH / seconds).max(SECOND_WIDTH_MIN).min(WIDTH_MAX / seconds);
        Page { lanes: node.0 + 1, begin, per_second, width: LEFT * 2.0 + seconds * per_second }
    }

    fn x(&self, at: u64) -> f64 {
        LEFT + at.saturating_sub(self.begin) as f64 / SECOND * self.per_second
    }

    fn y(node: PeerId) -> f64 {
        TOP + LANE * (f64::from(node.0) + 0.5)
    }

    fn document(&self, drawing: &Diagram, title: &str) -> String {
        let (width, height) = (self.width, TOP + LANE * f64::from(self.lanes) + TOP);
        let mut out = String::new();
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             font-family=\"sans-serif\" font-size=\"11\"><title>{}</title>{STYLE}{MARKER}",
            escaped(title)
        );
        self.lanes(&mut out);
        drawing.arrows.iter().for_each(|arrow| self.arrow(&mut out, arrow));
        drawing
            .points
            .iter()
            .for_each(|(node, at, point, text)| self.point(&mut out, *node, *at, *point, text));
        if drawing.cut_off {
            let _ = write!(
                out,
                "<text x=\"{LEFT}\" y=\"14\">only the first {THINGS_MAX} things are drawn</text>"
            );
        }
        out.push_str("</svg>\n");
        out
    }

    fn lanes(&self, out: &mut String) {
        for node in (0..self.lanes).map(PeerId) {
            let (y, end) = (Page::y(node), self.width);
            let name = node_name(node);
            let _ = write!(out, "<text x=\"4\" y=\"{:.0}\">{name}</text>", y + 4.0);
            let _ = write!(out, "<line class=\"lane\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{end:.0}\" y2=\"{y}\"/>");
        }
        let tick = tick(self.per_second);
        let last = ((self.width - 2.0 * LEFT) / self.per_second * SECOND) as u64;
        for at in (0..=last).step_by(tick as usize) {
            let (x, y) = (self.x(self.begin + at), TOP - 8.0);
            let _ = write!(out, "<text class=\"time\" x=\"{x:.0}\" y=\"{y:.0}\">{}</text>", time(at));
        }
    }

    fn arrow(&self, out: &mut String, arrow: &Arrow) {
        let (up, down) = (Page::y(arrow.from), Page::y(arrow.to));
        let aside = STUB.copysign(down - up);
        let (class, (x1, y1, x2, y2)) = match (arrow.sent, arrow.came) {
            (Some(sent), Some(came)) => ("", (self.x(sent), up, self.x(came), down)),
            (Some(sent), None) => (" lost", (self.x(sent), up, self.x(sent) + STUB, up + aside)),
            (None, Some(came)) => (" unsent", (self.x(came) - STUB, down - aside, self.x(came), down)),
            (None, None) => return,
        };
        let kind = escaped(arrow.kind());
        let _ = write!(
            out,
            "<line class=\"{kind}{class}\" x1=\"{x1:.2}\" y1=\"{y1}\" x2=\"{x2:.2}\" y2=\"{y2}\" marker-end=\"url(#head)\">\
             <title>{} -> {}: {}{}</title></line>",
            node_name(arrow.from),
            node_name(arrow.to),
            escaped(&arrow.text),
            self.times(arrow)
        );
    }

    /// When it was sent and came, from the begin on.
    fn times(&self, arrow: &Arrow) -> String {
        let ms = |at: u64| format!("{:.3} ms", at.saturating_sub(self.begin) as f64 / 1e3);
        match (arrow.sent, arrow.came) {
            (Some(sent), Some(came)) => format!(" (sent at {}, came at {})", ms(sent), ms(came)),
            (Some(sent), None) => format!(" (sent at {}; nobody says that it came)", ms(sent)),
            (None, came) => {
                format!(" (came at {}; its sender does not say when)", ms(came.unwrap_or_default()))
            }
        }
    }

    fn point(&self, out: &mut String, node: PeerId, at: u64, point: Point, text: &str) {
        let (x, y, name) = (self.x(at), Page::y(node), point.name());
        let ms = at.saturating_sub(self.begin) as f64 / 1e3;
        let _ = write!(
            out,
            "<circle class=\"{name}\" cx=\"{x:.2}\" cy=\"{y}\" r=\"4\"><title>{} {name} at {ms:.3} ms: {}</title></circle>",
            node_name(node),
            escaped(text)
        );
    }
}

/// Microseconds between two times on top: 1, 2 or 5 of a power of ten.
fn tick(per_second: f64) -> u64 {
    let steps = (0..9).map(|power| 10_u64.pow(power)).flat_map(|ten| [ten, 2 * ten, 5 * ten]);
    let wide = |step: &u64| *step as f64 / SECOND * per_second >= TICK_WIDTH;
    steps.into_iter().find(wide).unwrap_or(1_000_000_000)
}

/// `20 ms`, `3 s`.
fn time(micros: u64) -> String {
    match micros {
        0 => "0".to_owned(),
        _ if micros.is_multiple_of(1_000_000) => format!("{} s", micros / 1_000_000),
        _ => format!("{} ms", micros as f64 / 1e3),
    }
}

const STYLE: &str = "<style>\
line{stroke:#888;stroke-width:.8}line:hover{stroke-width:3}.lane{stroke:#ccc}.time{fill:#888}\
.trade{stroke:#0072b2}.settle{stroke:#009e73}.link{stroke:#b9b9b9}.control{stroke:#e69f00}.replicate{stroke:#cc79a7}\
.stock,.watch{stroke:#56b4e9}.call{stroke:#d55e00}.lost,.unsent{stroke-dasharray:2 2}\
.started{fill:#009e73}.crashed{fill:#d62828}.silent{fill:none;stroke:#d62828;stroke-width:2}.synced{fill:#bbb}.fence{fill:#000}.office{fill:#cc79a7}.told{fill:#0072b2}\
.fault{fill:#d55e00}.broke{fill:#fff;stroke:#d62828}</style>";

const MARKER: &str = "<defs><marker id=\"head\" markerWidth=\"6\" markerHeight=\"6\" refX=\"5\" refY=\"3\" orient=\"auto\">\
<path d=\"M0,0 L6,3 L0,6 z\" fill=\"#666\"/></marker></defs>";

/// As text of an XML document, cut where it says more than one can read there.
fn escaped(text: &str) -> String {
    let end = text.char_indices().nth(TEXT_MAX).map_or(text.len(), |(at, _)| at);
    let cut = if end < text.len() { " ..." } else { "" };
    let text = &text[..end];
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;") + cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(sent: Option<u64>, came: Option<u64>) -> Arrow {
        Arrow { from: PeerId(1), to: PeerId(0), sent, came, text: "trade 1-1 <&>".to_owned() }
    }

    #[test]
    fn arrows_lead_from_lane_to_lane_and_texts_are_escaped() {
        let mut diagram = Diagram::default();
        diagram.arrow(|| arrow(Some(7_500_000), Some(8_000_000)));
        diagram.point(PeerId(0), 11_000_000, Point::Crashed, || "kill".to_owned());
        let svg = diagram.svg("one", 7_000_000);
        assert!(
            svg.contains("<line class=\"trade\" x1=\"290.00\" y1=\"145\" x2=\"490.00\" y2=\"75\""),
            "{svg}"
        );
        assert!(svg.contains(
            "peer-1 -> warehouse: trade 1-1 &lt;&amp;&gt; (sent at 500.000 ms, came at 1000.000 ms)"
        ));
        assert!(svg.contains("class=\"crashed\" cx=\"1690.00\" cy=\"75\"") && svg.contains(">1 s</text>"));
    }

    #[test]
    fn a_message_one_end_of_which_is_unknown_is_a_stub() {
        let mut diagram = Diagram::default();
        diagram.arrow(|| arrow(Some(1_000_000), None));
        diagram.arrow(|| arrow(None, Some(4_000_000)));
        let svg = diagram.svg("one", 0);
        assert!(
            svg.contains("class=\"trade lost\" x1=\"490.00\" y1=\"145\" x2=\"504.00\" y2=\"131\""),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"trade unsent\" x1=\"1676.00\" y1=\"89\" x2=\"1690.00\" y2=\"75\""),
            "{svg}"
        );
        assert!(svg.contains("nobody says that it came") && svg.contains("its sender does not say when"));
    }

    #[test]
    fn a_short_time_is_drawn_as_wide_as_a_long_one() {
        let mut diagram = Diagram::default();
        diagram.arrow(|| arrow(Some(500), Some(2_000)));
        let svg = diagram.svg("one", 0);
        assert!(svg.contains("x1=\"490.00\"") && svg.contains("x2=\"1690.00\""), "{svg}");
        assert!(svg.contains(">0.2 ms</text>"), "{svg}");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(escaped(&"<ä".repeat(200)), "&lt;ä".repeat(150) + " ...");
        assert_eq!(escaped(&"x".repeat(300)), "x".repeat(300));
    }
}
