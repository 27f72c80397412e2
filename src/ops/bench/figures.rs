//! What a run came to, as a table or as one object.

use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::raw::Raw;
use crate::cli::{BenchFlags, Global};
use crate::ops::output::{Column, Printer, Row, Shape, Show, colored, json_line, rounded};

/// What one process cost.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// `warehouse`, `peer-4`, `load-1`.
    pub name: String,
    /// Processor seconds.
    pub cpu_s: f64,
    /// Resident memory at the end.
    pub rss_mib: f64,
}

/// What was counted; sums over all nodes of the run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Orders answered.
    pub orders: u64,
    /// From the first order sent to the last outcome in hand.
    pub elapsed_s: f64,
    /// See the target: of a batch at the warehouse, of an order in a market.
    pub latency_us: Histogram<u64>,
    /// Syncs of all stores.
    pub syncs: u64,
    /// Bytes given to all stores.
    pub bytes: u64,
    /// Outcomes: bought, deposited, sold out.
    pub outcomes: [u64; 3],
    /// Nodes and load.
    pub processes: Vec<Process>,
}

/// A run beside the disk's own speed.
pub(super) struct Figures {
    pub run: Run,
    pub raw: Raw,
    pub flags: BenchFlags,
}

impl Figures {
    /// The floor, if one was stated and not reached.
    pub(crate) fn missed_floor(&self) -> Option<u64> {
        self.flags.floor.filter(|floor| self.orders_per_s() < *floor as f64)
    }

    pub(crate) fn orders_per_s(&self) -> f64 {
        self.run.orders as f64 / self.run.elapsed_s.max(1e-6)
    }

    fn row(&self) -> Row {
        let Run { orders, elapsed_s, latency_us, syncs, bytes, outcomes, processes } = &self.run;
        let ms = |quantile: f64| rounded(latency_us.value_at_quantile(quantile) as f64 / 1000.0, 3);
        let sum = |of: fn(&Process) -> f64| processes.iter().map(of).sum::<f64>();
        let mut row = Row::new();
        let mut put = |key: &str, value: Value| row.insert(key.to_owned(), value);
        put("orders", (*orders).into());
        put("elapsed_s", rounded(*elapsed_s, 3).into());
        put("orders_per_s", rounded(self.orders_per_s(), 0).into());
        put("p50_ms", ms(0.5).into());
        put("p99_ms", ms(0.99).into());
        put("max_ms", ms(1.0).into());
        put("syncs_per_s", rounded(*syncs as f64 / elapsed_s, 0).into());
        put("bytes_per_order", rounded(*bytes as f64 / (*orders).max(1) as f64, 1).into());
        put("rss_mib", rounded(sum(|process| process.rss_mib), 1).into());
        put("cpu_s", rounded(sum(|process| process.cpu_s), 2).into());
        let [bought, deposits, sold_out] = *outcomes;
        put("bought", bought.into());
        put("deposits", deposits.into());
        put("sold_out", sold_out.into());
        put("raw_1_per_s", rounded(self.raw.by_1, 0).into());
        put("raw_64_per_s", rounded(self.raw.by_64, 0).into());
        put("raw_1024_per_s", rounded(self.raw.by_1024, 0).into());
        row
    }

    /// One object, or a table of figures and one of processes.
    pub(crate) fn print(&self, global: &Global) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let mut row = self.row();
        if global.json {
            row.insert("processes".to_owned(), self.run.processes.iter().map(process).collect());
            return writeln!(out, "{}", json_line(row.into()));
        }
        let shape = Shape::Table { color: colored(global.color, &io::stdout()) };
        let mut printer =
            Printer::new(&mut out, shape, &[column("figure", Show::Text), column("value", Show::Count)]);
        for (key, value) in row {
            let figure = json!({ "figure": key, "value": value });
            printer.row(&object(figure))?;
        }
        printer.finish()?;
        writeln!(out)?;
        let columns =
            [column("process", Show::Text), column("cpu_s", Show::Number), column("rss_mib", Show::Number)];
        let mut printer = Printer::new(&mut out, shape, &columns);
        self.run.processes.iter().try_for_each(|it| printer.row(&object(process(it))))?;
        printer.finish().map(drop)
    }
}

fn column(key: &'static str, show: Show) -> Column {
    Column { key, show }
}

fn process(process: &Process) -> Value {
    let Process { name, cpu_s, rss_mib } = process;
    json!({ "process": name, "cpu_s": rounded(*cpu_s, 2), "rss_mib": rounded(*rss_mib, 1) })
}

fn object(value: Value) -> Row {
    match value {
        Value::Object(row) => row,
        _ => Row::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::histogram::latencies;

    #[test]
    fn a_floor_is_missed_only_if_stated() {
        let run = Run {
            orders: 100,
            elapsed_s: 2.0,
            latency_us: latencies(),
            syncs: 0,
            bytes: 0,
            outcomes: [0; 3],
            processes: Vec::new(),
        };
        let raw = Raw { by_1: 1.0, by_64: 1.0, by_1024: 1.0 };
        let flags = |floor| BenchFlags { floor, ..BenchFlags::default() };
        let misses = |floor| Figures { run: run.clone(), raw, flags: flags(floor) }.missed_floor();
        assert_eq!([misses(None), misses(Some(50)), misses(Some(51))], [None, None, Some(51)]);
    }
}
