//! The page of a run: verdict, pictures, faults.

use super::verdict::Seen;
use crate::ops::chart::{Band, Line, Page, Table, colour_of};
use crate::ops::output::exit;
use crate::ops::record::Frame;
use crate::types::node_name;

const MIB: f64 = 1_048_576.0;

/// Kinds of faults that were played, in the order of their colours.
fn kinds(seen: &Seen) -> Vec<String> {
    let mut kinds: Vec<String> = seen.faults.iter().map(|fault| fault.planned.kind.clone()).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// The page as text.
///
/// # Errors
/// A picture cannot be drawn; says why.
pub(super) fn page(seen: &Seen) -> Result<String, String> {
    let mut page = Page::new(&format!("bazaar soak, seed {}", seen.seed));
    let well = seen.exit() == exit::DONE;
    seen.lines().iter().for_each(|line| match line {
        line if line.starts_with("pass") || line.starts_with("FAILED") => page.verdict(well, line),
        line => page.text(line),
    });
    let kinds = kinds(seen);
    let kind_of = |name: &str| kinds.iter().position(|kind| kind == name).unwrap_or_default();
    let bands = seen.faults.iter().map(|fault| {
        let to = fault.at_s + fault.planned.for_ms as f64 / 1_000.0;
        Band { from: fault.at_s, to, kind: kind_of(&fault.planned.kind) }
    });
    let bands: Vec<Band> = bands.collect();
    page.section("Load and faults");
    page.legend(
        &kinds.iter().enumerate().map(|(at, kind)| (colour_of(at), kind.clone())).collect::<Vec<_>>(),
    );
    let frame = Frame { bands: &bands, seconds: seen.elapsed.as_secs_f64(), at: None };
    seen.record.load_charts(&frame).iter().try_for_each(|chart| page.chart(chart))?;
    let recovered = kinds.iter().map(|kind| Line { name: kind.clone(), points: recovered(seen, kind) });
    page.chart(&frame.chart("until trade went on after a fault", "ms", recovered.collect(), true))?;
    page.section("Nodes");
    seen.record.node_charts(&frame).iter().try_for_each(|chart| page.chart(chart))?;
    let opened =
        seen.opened.iter().map(|(node, points)| Line { name: node_name(*node), points: points.clone() });
    page.chart(&frame.chart("from start until it serves", "ms", opened.collect(), true))?;
    growth(&mut page, seen);
    listed(&mut page, seen);
    Ok(page.finish())
}

fn recovered(seen: &Seen, kind: &str) -> Vec<(f64, f64)> {
    let of_kind = seen.faults.iter().filter(|fault| fault.planned.kind == kind);
    of_kind.filter_map(|fault| Some((fault.at_s, fault.recovered?.as_secs_f64() * 1_000.0))).collect()
}

fn growth(page: &mut Page, seen: &Seen) {
    page.section("Growth after the warm-up, per hour, with its standard error");
    let (rss, disk) = (seen.trends(|sample| sample.rss), seen.trends(|sample| sample.disk));
    let fds = seen.trends(|sample| sample.fds);
    let rows = rss.iter().map(|(node, memory)| {
        let mib = |slope: f64, error: f64| format!("{:.1} ± {:.1} MiB", slope / MIB, error / MIB);
        let disk = disk.get(node).map_or(String::new(), |it| mib(it.slope_per_h, it.slope_error));
        let fds = fds
            .get(node)
            .map_or(String::new(), |it| format!("{:.1} ± {:.1}", it.slope_per_h, it.slope_error));
        vec![node_name(*node), mib(memory.slope_per_h, memory.slope_error), disk, fds]
    });
    let head = ["node", "memory", "disk", "descriptors"].map(str::to_owned).to_vec();
    page.table(&Table { head, rows: rows.collect() });
}

fn listed(page: &mut Page, seen: &Seen) {
    page.section("Checks of all stores");
    let rows = seen.checks.iter().map(|check| {
        let found = if check.is_ok() { "ok".to_owned() } else { check.why() };
        vec![format!("{:.0} s", check.at_s), format!("{:.1} s", check.took_s), found]
    });
    let head = ["at", "took", "found"].map(str::to_owned).to_vec();
    page.table(&Table { head, rows: rows.collect() });
    page.section("Faults");
    let rows = seen.faults.iter().map(|fault| {
        let recovered =
            fault.recovered.map_or("not in time".to_owned(), |it| format!("{} ms", it.as_millis()));
        let lasted = format!("{} ms", fault.planned.for_ms);
        vec![format!("{:.1} s", fault.at_s), fault.planned.kind.clone(), fault.nodes(), lasted, recovered]
    });
    let head = ["at", "kind", "node", "lasted", "trade went on after"].map(str::to_owned).to_vec();
    page.table(&Table { head, rows: rows.collect() });
}
