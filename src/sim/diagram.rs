//! A run as a space-time diagram (Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978): a line
//! a node, time from left to right, an arrow a message; and what befell the nodes. One SVG document, with a text for
//! each arrow and point that a browser shows when it is pointed at.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use super::queue::{Moment, SECOND};
use crate::types::{PeerId, node_name};

/// Arrows and points that are kept; a run with more is cut off there, and the diagram says so.
const THINGS_MAX: usize = 40_000;
/// Characters of one text.
const TEXT_MAX: usize = 300;
/// Width of a second, and of the whole, at most.
const SECOND_WIDTH: f64 = 400.0;
const WIDTH_MAX: f64 = 60_000.0;
/// Height of a node's lane.
const LANE: f64 = 70.0;
/// Room for the names.
const LEFT: f64 = 90.0;
const TOP: f64 = 40.0;

/// What happened to a node, or what it did, apart from messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Started,
    Crashed,
    Synced,
    Told,
    Fault,
}

impl Point {
    fn name(self) -> &'static str {
        match self {
            Point::Started => "started",
            Point::Crashed => "crashed",
            Point::Synced => "synced",
            Point::Told => "told",
            Point::Fault => "fault",
        }
    }
}

struct Arrow {
    from: (PeerId, Moment),
    to: (PeerId, Moment),
    text: String,
}

#[derive(Default)]
struct Drawing {
    arrows: Vec<Arrow>,
    points: Vec<(PeerId, Moment, Point, String)>,
    cut_off: bool,
}

/// What is drawn; nothing unless it is wanted.
#[derive(Clone, Default)]
pub(super) struct Diagram(Option<Rc<RefCell<Drawing>>>);

impl Diagram {
    /// An empty diagram, to be drawn if it is `wanted`.
    pub(crate) fn new(wanted: bool) -> Diagram {
        Diagram(wanted.then(Rc::default))
    }

    /// A message has arrived.
    pub(crate) fn arrow(&self, from: (PeerId, Moment), to: (PeerId, Moment), text: impl FnOnce() -> String) {
        self.add(|drawing| drawing.arrows.push(Arrow { from, to, text: text() }));
    }

    /// Something happened at a node.
    pub(crate) fn point(&self, node: PeerId, at: Moment, point: Point, text: impl FnOnce() -> String) {
        self.add(|drawing| drawing.points.push((node, at, point, text())));
    }

    fn add(&self, add: impl FnOnce(&mut Drawing)) {
        let Some(drawing) = &self.0 else { return };
        let mut drawing = drawing.borrow_mut();
        match drawing.arrows.len() + drawing.points.len() < THINGS_MAX {
            true => add(&mut drawing),
            false => drawing.cut_off = true,
        }
    }

    /// The document; none if it was not wanted.
    pub(crate) fn svg(&self, title: &str) -> Option<String> {
        self.0.as_ref().map(|drawing| Page::of(&drawing.borrow()).document(&drawing.borrow(), title))
    }
}

/// Where things stand on the page.
struct Page {
    lanes: u32,
    per_second: f64,
    width: f64,
}

impl Page {
    fn of(drawing: &Drawing) -> Page {
        let arrows = drawing.arrows.iter().map(|arrow| (arrow.from.0.max(arrow.to.0), arrow.to.1));
        let points = drawing.points.iter().map(|(node, at, ..)| (*node, *at));
        let (node, end) = arrows
            .chain(points)
            .fold((PeerId(0), Moment(1)), |(node, end), (other, at)| (node.max(other), end.max(at)));
        let seconds = end.0 as f64 / SECOND as f64;
        let per_second = SECOND_WIDTH.min(WIDTH_MAX / seconds);
        Page { lanes: node.0 + 1, per_second, width: LEFT * 2.0 + seconds * per_second }
    }

    fn x(&self, at: Moment) -> f64 {
        LEFT + at.0 as f64 / SECOND as f64 * self.per_second
    }

    fn y(node: PeerId) -> f64 {
        TOP + LANE * (f64::from(node.0) + 0.5)
    }

    fn document(&self, drawing: &Drawing, title: &str) -> String {
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
        let seconds = ((self.width - 2.0 * LEFT) / self.per_second) as u64;
        for second in 0..=seconds {
            let x = self.x(Moment(second * SECOND));
            let _ = write!(out, "<text class=\"time\" x=\"{x:.0}\" y=\"{:.0}\">{second} s</text>", TOP - 8.0);
        }
    }

    fn arrow(&self, out: &mut String, arrow: &Arrow) {
        let ((from, sent), (to, came)) = (arrow.from, arrow.to);
        let (x1, y1, x2, y2) = (self.x(sent), Page::y(from), self.x(came), Page::y(to));
        let kind = escaped(arrow.text.split(' ').next().unwrap_or_default());
        let _ = write!(
            out,
            "<line class=\"{kind}\" x1=\"{x1:.2}\" y1=\"{y1}\" x2=\"{x2:.2}\" y2=\"{y2}\" marker-end=\"url(#head)\">\
             <title>{} -> {}: {}</title></line>",
            node_name(from),
            node_name(to),
            escaped(&arrow.text)
        );
    }

    fn point(&self, out: &mut String, node: PeerId, at: Moment, point: Point, text: &str) {
        let (x, y, name) = (self.x(at), Page::y(node), point.name());
        let _ = write!(
            out,
            "<circle class=\"{name}\" cx=\"{x:.2}\" cy=\"{y}\" r=\"4\"><title>{name} at {at}: {}</title></circle>",
            escaped(text)
        );
    }
}

const STYLE: &str = "<style>\
line{stroke:#888;stroke-width:.8}line:hover{stroke-width:3}.lane{stroke:#ccc}.time{fill:#888}\
.trade{stroke:#1b6ca8}.settle{stroke:#2a9d4a}.link{stroke:#b9b9b9}.control{stroke:#d0a020}.replicate{stroke:#8a4fbf}\
.started{fill:#2a9d4a}.crashed{fill:#d62828}.synced{fill:#bbb}.fenced{fill:#000}.granted{fill:#8a4fbf}.told{fill:#1b6ca8}\
.fault{fill:#ff7f0e}</style>";

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

    #[test]
    fn arrows_lead_from_lane_to_lane_and_texts_are_escaped() {
        let diagram = Diagram::new(true);
        let (sent, came) = (Moment(SECOND / 2), Moment(SECOND));
        diagram.arrow((PeerId(1), sent), (PeerId(0), came), || "trade 1-1 <&>".to_owned());
        diagram.point(PeerId(0), came, Point::Crashed, || "kill".to_owned());
        let svg = diagram.svg("one").unwrap();
        assert!(
            svg.contains("<line class=\"trade\" x1=\"290.00\" y1=\"145\" x2=\"490.00\" y2=\"75\""),
            "{svg}"
        );
        assert!(svg.contains("peer-1 -> warehouse: trade 1-1 &lt;&amp;&gt;"));
        assert!(svg.contains("class=\"crashed\" cx=\"490.00\" cy=\"75\""));
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(escaped(&"<ä".repeat(200)), "&lt;ä".repeat(150) + " ...");
        assert_eq!(escaped(&"x".repeat(300)), "x".repeat(300));
    }

    #[test]
    fn what_is_not_wanted_is_not_drawn() {
        let diagram = Diagram::new(false);
        diagram.point(PeerId(0), Moment(1), Point::Told, || unreachable!());
        assert_eq!(diagram.svg("none"), None);
    }
}
