//! `status --watch`: one screen, whose columns stay where they are from one look to the next.
//!
//! In: the reports of one look, and when it was. Out: lines that fit a terminal. What does not fit is cut or counted, so that no
//! line is broken and none scrolls away.

use std::time::Instant;

use super::Picture;
use super::node::{bytes, office, office_cell, pairing};
use crate::model::report::Report;
use crate::node::wall_now;
use crate::ops::output::{clipped, exit, grouped, padded};
use crate::types::{PeerId, Seq, node_name};

/// Columns of the nodes: heading, cells, and whether to the right.
const NODES: [(&str, usize, bool); 8] = [
    ("node", 9, false),
    ("role", 9, false),
    ("office", 19, false),
    ("term", 5, true),
    ("ledger", 9, true),
    ("queue", 6, true),
    ("disk free", 9, true),
    ("health", 12, false),
];
/// Lines that are not of nodes: title, blank, heading, blank, stock, two of views, generation.
const OTHER_LINES: usize = 8;

/// Columns and lines that there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) columns: usize,
    pub(super) lines: usize,
}

/// The ledger's growth between two looks.
#[derive(Default)]
pub(super) struct Pace(Option<(Instant, Seq)>);

impl Pace {
    /// Rows per second since the look before, nearly all of which are orders; none at the first look.
    pub(super) fn of(&mut self, at: Instant, ledger: Seq) -> Option<f64> {
        let (before, seq) = self.0.replace((at, ledger))?;
        let seconds = at.saturating_duration_since(before).as_secs_f64();
        (seconds > 0.0).then(|| ledger.0.saturating_sub(seq.0) as f64 / seconds)
    }
}

/// How far the ledger is, as the best informed node knows.
pub(super) fn ledger(picture: &Picture) -> Seq {
    picture.reports.answered.values().map(|report| report.ledger.0).max().unwrap_or_default()
}

/// The lines of one look.
pub(super) fn lines(picture: &Picture, pace: Option<f64>, screen: Screen) -> Vec<String> {
    let mut lines = vec![title(picture, pace), String::new(), heading()];
    let nodes = nodes(picture);
    let room = screen.lines.saturating_sub(OTHER_LINES).max(1);
    let shown = if nodes.len() > room { room - 1 } else { nodes.len() };
    lines.extend(nodes[..shown].iter().cloned());
    if shown < nodes.len() {
        lines.push(format!("and {} more: bazaar status shows all", nodes.len() - shown));
    }
    lines.extend([String::new(), stock(picture)]);
    lines.extend(picture.views.lines().into_iter().take(2));
    lines.extend(picture.generation_line());
    lines.extend(picture.frozen_lines());
    lines.iter().map(|line| clipped(line, screen.columns)).collect()
}

fn title(picture: &Picture, pace: Option<f64>) -> String {
    let now = wall_now().to_string();
    let pace = pace.map_or("-".to_owned(), |pace| grouped(pace.round() as u64));
    let health = if picture.exit() == exit::DONE { "healthy" } else { "not healthy" };
    let clock = now.get(11..19).unwrap_or(&now);
    format!("{clock} UTC  cluster {}  {} orders/s  {health}", picture.cluster(), padded(&pace, 9, true))
}

fn line(cells: [String; 8]) -> String {
    let cells = NODES
        .iter()
        .zip(cells)
        .map(|((_, width, right), cell)| padded(&clipped(&cell, *width), *width, *right));
    cells.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

fn heading() -> String {
    line(NODES.map(|(heading, ..)| heading.to_owned()))
}

fn nodes(picture: &Picture) -> Vec<String> {
    let reports = &picture.reports;
    let answered = reports.answered.iter().map(|(node, report)| (*node, answered(report)));
    let silent = reports.silent.keys().map(|node| (*node, absent(*node, "unreachable")));
    let left = reports.left.iter().map(|node| (*node, absent(*node, "left")));
    let mut all: Vec<(PeerId, String)> = answered.chain(silent).chain(left).collect();
    all.sort_by_key(|(node, _)| *node);
    all.into_iter().map(|(_, line)| line).collect()
}

fn answered(report: &Report) -> String {
    let held = office(report);
    let in_office = |text: String| if held.is_some() { text } else { String::new() };
    line([
        node_name(report.peer),
        report.role.clone(),
        held.map(|(office, _)| office_cell(office, pairing(report))).unwrap_or_default(),
        held.map(|(_, term)| term.to_string()).unwrap_or_default(),
        report.ledger.0.to_string(),
        in_office(report.queue_depth.to_string()),
        bytes(report.disk_free),
        report.health.clone(),
    ])
}

fn absent(node: PeerId, health: &str) -> String {
    let mut cells = NODES.map(|_| String::new());
    (cells[0], cells[7]) = (node_name(node), health.to_owned());
    line(cells)
}

fn stock(picture: &Picture) -> String {
    let Some(report) = picture.stock() else { return "stock unknown".to_owned() };
    let good =
        |((name, _), left): (&(String, _), &crate::types::Quantity)| format!("{name} {}", grouped(left.0));
    let goods: Vec<String> = report.goods.iter().zip(&report.stock).map(good).collect();
    format!("stock  {}", goods.join("  "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ops::status::tests::{picture, report};

    const SCREEN: Screen = Screen { columns: 80, lines: 24 };

    #[test]
    fn a_look_fits_a_small_terminal_however_many_nodes_there_are() {
        let mut picture = picture(&[5]);
        for peer in 7..60 {
            let long =
                Report { health: "no trader in office, and a long story".into(), ..report(peer, "buyer") };
            picture.reports.answered.insert(long.peer, long);
        }
        let lines = lines(&picture, Some(1234.4), SCREEN);
        assert!(lines.len() <= 24 && lines.iter().all(|line| *line == clipped(line, 80)), "{lines:#?}");
        assert!(
            lines[0].contains(" UTC  cluster 3f2a ") && lines[0].contains(" 1,234 orders/s  not healthy")
        );
        assert!(lines.iter().any(|line| line.starts_with("and 42 more")), "{lines:#?}");
        assert!(lines.iter().any(|line| line == "stock  fish 12"), "{lines:#?}");
    }

    /// Columns moved whenever a node came into office.
    #[test]
    fn columns_stay_where_they_are() {
        let place = |lines: &[String]| lines[2].find("health").unwrap();
        let mut idle = picture(&[]);
        let before = lines(&idle, None, SCREEN);
        let primary = before.iter().find(|line| line.contains("primary")).unwrap();
        assert_eq!(&primary[place(&before)..], "ok");
        idle.reports.answered.remove(&PeerId(6));
        assert_eq!(place(&lines(&idle, None, SCREEN)), place(&before));
    }

    #[test]
    fn pace_is_what_the_ledger_gained() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        assert_eq!(pace.of(began, Seq(100)), None);
        assert_eq!(pace.of(began + Duration::from_secs(2), Seq(300)), Some(100.0));
        assert_eq!(pace.of(began + Duration::from_secs(3), Seq(7)), Some(0.0), "another ledger");
    }
}
