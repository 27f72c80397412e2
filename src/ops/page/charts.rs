//! The pictures of the run so far: those of a soak's report, with bands where something was wrong.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Mark, Shown};
use crate::limits::{PAGE_ACT_MAX, PAGE_CONNECTIONS_MAX, PAGE_ROWS};
use crate::ops::chart::{Band, Chart, SMALL, colour_of};
use crate::ops::record::{Frame, Interval, Record};
use crate::types::PeerId;

/// A moment that is looked at, if it is not now, and who waits for the pictures.
type Job = (Option<u64>, oneshot::Sender<Result<Arc<str>, String>>);

/// Draws on a thread of its own, one after the other: pictures are large, and the memory of one is used for the next.
pub(super) struct Drawer(SyncSender<Job>);

impl Drawer {
    /// Begins the thread, which ends with the drawer.
    ///
    /// # Errors
    /// The system has no thread.
    pub(super) fn new(record: Record, shown: Shown) -> io::Result<Drawer> {
        let (sender, jobs) = sync_channel::<Job>(PAGE_CONNECTIONS_MAX);
        std::thread::Builder::new().name("charts".to_owned()).spawn(move || {
            let mut last = Last::default();
            for (time, reply) in jobs {
                // Who asked may have gone.
                let _ = reply.send(last.charts(&record, &shown, time));
            }
        })?;
        Ok(Drawer(sender))
    }

    /// The pictures as JSON.
    ///
    /// # Errors
    /// One cannot be drawn, or too many ask; says why.
    pub(super) async fn charts(&self, time: Option<u64>) -> Result<Arc<str>, String> {
        let (reply, drawn) = oneshot::channel();
        self.0.try_send((time, reply)).map_err(|_| "too many ask for charts: try again".to_owned())?;
        match tokio::time::timeout(PAGE_ACT_MAX, drawn).await {
            Ok(Ok(drawn)) => drawn,
            _ => Err("the charts were not drawn in time".to_owned()),
        }
    }
}

/// What pictures are of: the moment that is looked at, the end of the record as bits, how many marks there were.
type What = (Option<u64>, u64, usize);

/// What was drawn last.
#[derive(Default)]
struct Last(Option<(What, Arc<str>)>);

impl Last {
    fn charts(&mut self, record: &Record, shown: &Shown, time: Option<u64>) -> Result<Arc<str>, String> {
        let (marks, end) = (shown.marks(), record.last().map_or(0.0, |it| it.at_s));
        let of: What = (time, end.to_bits(), marks.len());
        if let Some((_, drawn)) = self.0.as_ref().filter(|(it, _)| *it == of) {
            return Ok(Arc::clone(drawn));
        }
        let drawn: Arc<str> = charts(record, &marks, end, time)?.to_string().into();
        self.0 = Some((of, Arc::clone(&drawn)));
        Ok(drawn)
    }
}

/// The pictures until `end`, in seconds after the run's begin.
fn charts(record: &Record, marks: &[Mark], end: f64, time: Option<u64>) -> Result<Value, String> {
    let (bands, kinds) = bands(marks, record, record.time(end));
    let frame = Frame { bands: &bands, seconds: end, at: time.map(|time| record.seconds(time)) };
    let drawn = |charts: &[Chart<'_>]| charts.iter().map(drawn).collect::<Result<Vec<Value>, String>>();
    let row = |it: &Interval| json!({ "time": record.time(it.at_s), "orders_per_s": it.per_s, "p50_ms": it.p50_ms, "p99_ms": it.p99_ms });
    Ok(json!({
        "kinds": kinds.iter().enumerate().map(|(at, name)| key(&colour_of(at), name)).collect::<Vec<_>>(),
        "load": drawn(&record.load_charts(&frame))?,
        "nodes": drawn(&record.node_charts(&frame))?,
        "rows": record.last_ones(PAGE_ROWS).iter().map(row).collect::<Vec<_>>(),
    }))
}

fn key(colour: &str, name: &str) -> Value {
    json!({ "colour": colour, "name": name })
}

fn drawn(chart: &Chart<'_>) -> Result<Value, String> {
    let lines: Vec<Value> = chart.legend().iter().map(|(colour, name)| key(colour, name)).collect();
    Ok(json!({ "title": chart.title, "unit": chart.unit, "lines": lines, "svg": chart.svg(SMALL)? }))
}

/// What was wrong, from a mark that says so to the one that says that it is over; and the kinds of it.
fn bands(marks: &[Mark], record: &Record, now: u64) -> (Vec<Band>, Vec<String>) {
    let (mut kinds, mut bands) = (Vec::new(), Vec::new());
    let mut begun: BTreeMap<(PeerId, &str), u64> = BTreeMap::new();
    let mut band = |what: &str, from: u64, to: u64| {
        let name = what.split(' ').next().unwrap_or_default();
        let kind = kinds.iter().position(|it| it == name).unwrap_or_else(|| {
            kinds.push(name.to_owned());
            kinds.len() - 1
        });
        bands.push(Band { from: record.seconds(from), to: record.seconds(to), kind });
    };
    for mark in marks {
        let what = if matches!(mark.kind, "crashed" | "started") { "ended" } else { mark.text.as_str() };
        match mark.kind {
            "crashed" | "fault" => drop(begun.entry((mark.node, what)).or_insert(mark.time)),
            "started" | "healed" => {
                begun.remove(&(mark.node, what)).into_iter().for_each(|from| band(what, from, mark.time));
            }
            _ => {}
        }
    }
    begun.into_iter().for_each(|((_, what), from)| band(what, from, now));
    (joined(bands), kinds)
}

/// Those of a kind that overlap, as one: several nodes may have the same trouble at once.
fn joined(mut bands: Vec<Band>) -> Vec<Band> {
    bands.sort_by(|one, other| {
        (one.kind, one.from).partial_cmp(&(other.kind, other.from)).unwrap_or(Ordering::Equal)
    });
    let mut joined: Vec<Band> = Vec::new();
    for band in bands {
        match joined.last_mut().filter(|last| last.kind == band.kind && band.from <= last.to) {
            Some(last) => last.to = last.to.max(band.to),
            None => joined.push(band),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_lasts_until_it_is_well_again() {
        let record = Record::default();
        let at = |s: u64| record.time(s as f64);
        let mark =
            |s, kind, node, text: &str| Mark { time: at(s), kind, node: PeerId(node), text: text.into() };
        let marks = [
            mark(1, "crashed", 6, "killed by SIGKILL"),
            mark(2, "fault", 5, "paused"),
            mark(3, "crashed", 4, "killed by SIGKILL"),
            mark(3, "fence", 0, "term 1 is over"),
            mark(4, "started", 6, "pid 7"),
            mark(5, "started", 4, "pid 8"),
            mark(5, "fault", 5, "cut off from peer-4"),
            mark(6, "healed", 5, "paused"),
        ];
        let (bands, kinds) = bands(&marks, &record, at(9));
        assert_eq!(kinds, ["ended", "paused", "cut"]);
        let bands: Vec<_> = bands.iter().map(|it| (it.from.round(), it.to.round(), it.kind)).collect();
        assert_eq!(bands, [(1.0, 5.0, 0), (2.0, 6.0, 1), (5.0, 9.0, 2)]);
    }
}
