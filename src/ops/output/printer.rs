//! Rows out: JSON objects as JSON lines, as one object, as CSV or as aligned columns.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::fit::{Fit, displayed, padded};
use super::{JSON_VERSION, grouped};
use crate::types::Money;

/// One row; keys in the order of the contract.
pub(crate) type Row = Map<String, Value>;

/// In which form rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Aligned columns; the header in bold if `color`.
    Table {
        /// Whether to colour.
        color: bool,
    },
    /// A header line, then values; money in minor units.
    Csv,
    /// One object per line.
    Jsonl,
    /// One object `{"view": ..., "rows": [...], "version": 1}`: `--json`.
    Object {
        /// Value of its `view`.
        view: &'static str,
    },
}

/// How a column's values look in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// As text, to the left.
    Text,
    /// A time; where it must fit, without its year and in milliseconds.
    Time,
    /// As a number, to the right: one that names something, such as a row.
    Number,
    /// How many, to the right; for people in groups of three digits.
    Count,
    /// Minor units as 3.00, to the right.
    Money,
    /// `[{peer, quantity, amount}]` as `2:1 0:2`, pieces per seller.
    Sellers,
}

/// A column of table and CSV: a key of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Key in the row, and heading.
    pub key: &'static str,
    /// How its values look.
    pub show: Show,
}

/// Rows that a table waits for before it settles the widths of its columns.
const TABLE_BATCH: usize = 512;

/// Prints rows of one kind. Nothing is complete before [`Printer::finish`].
pub(crate) struct Printer<'a> {
    out: &'a mut dyn Write,
    shape: Shape,
    columns: Vec<Column>,
    /// Rows of a table that wait for their widths.
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
    batch: usize,
    /// Header, or beginning of the object, is out.
    begun: bool,
    /// A table is to fit a terminal.
    fit: Option<Fit>,
    /// Columns that do not.
    left_out: Vec<&'static str>,
}

impl<'a> Printer<'a> {
    /// Prints `columns` (in JSON: all keys) to `out`.
    pub(crate) fn new(out: &'a mut dyn Write, shape: Shape, columns: &[Column]) -> Printer<'a> {
        let widths = columns.iter().map(|column| column.key.len()).collect();
        let columns = columns.to_vec();
        Printer {
            out,
            shape,
            columns,
            waiting: Vec::new(),
            widths,
            batch: TABLE_BATCH,
            begun: false,
            fit: None,
            left_out: Vec::new(),
        }
    }

    /// Leaves columns of a table out that are beyond a line's end.
    pub(crate) fn fitting(mut self, fit: Option<Fit>) -> Self {
        self.fit = fit.filter(|_| matches!(self.shape, Shape::Table { .. }));
        self
    }

    /// Prints every row at once: for rows that come as things happen. Columns are as wide as they usually are.
    pub(crate) fn unbuffered(mut self) -> Self {
        self.batch = 1;
        if let Some(fit) = self.fit {
            self.widths = self.columns.iter().map(|column| fit.usual(*column)).collect();
            self.leave_out_what_does_not_fit(fit);
        }
        self
    }

    /// Prints what stands above the rows, which may be long in coming.
    pub(crate) fn begin_now(&mut self) -> io::Result<()> {
        if let Shape::Table { .. } = self.shape {
            self.begin()?;
        }
        self.out.flush()
    }

    /// Takes one row.
    pub(crate) fn row(&mut self, row: &Row) -> io::Result<()> {
        match self.shape {
            Shape::Table { .. } => self.waiting.push(self.cells(row, true)),
            Shape::Csv => {
                self.begin()?;
                let cells = self.cells(row, false);
                self.print_csv(&cells)?;
            }
            Shape::Jsonl => self.print_json(row, "\n")?,
            Shape::Object { .. } => {
                let comma = if self.begun { "," } else { "" };
                self.begin()?;
                self.out.write_all(comma.as_bytes())?;
                self.print_json(row, "\n")?;
            }
        }
        if self.waiting.len() >= self.batch {
            self.print_waiting()?;
        }
        if self.batch == 1 { self.out.flush() } else { Ok(()) }
    }

    /// Takes rows that are text already: lines of JSON, or of CSV with all columns.
    pub(crate) fn lines(&mut self, lines: &str) -> io::Result<()> {
        match self.shape {
            Shape::Object { .. } => {
                for line in lines.lines() {
                    let comma = if self.begun { "," } else { "" };
                    self.begin()?;
                    writeln!(self.out, "{comma}{line}")?;
                }
            }
            Shape::Table { .. } | Shape::Csv | Shape::Jsonl => {
                self.begin()?;
                self.out.write_all(lines.as_bytes())?;
            }
        }
        if self.batch == 1 { self.out.flush() } else { Ok(()) }
    }

    /// Prints what waits, and what must stand around the rows even if there were none. Gives the columns that were left
    /// out.
    pub(crate) fn finish(mut self) -> io::Result<Vec<&'static str>> {
        self.print_waiting()?;
        self.begin()?;
        if let Shape::Object { .. } = self.shape {
            writeln!(self.out, "],\"version\":{JSON_VERSION}}}")?;
        }
        self.out.flush().map(|()| self.left_out)
    }

    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let keys: Vec<String> = self.columns.iter().map(|column| column.key.to_string()).collect();
        match self.shape {
            Shape::Table { color: true } => writeln!(self.out, "\x1b[1m{}\x1b[0m", self.line(&keys)),
            Shape::Table { color: false } => writeln!(self.out, "{}", self.line(&keys)),
            Shape::Csv => self.print_csv(&keys),
            Shape::Object { view } => writeln!(self.out, "{{\"view\":\"{view}\",\"rows\":["),
            Shape::Jsonl => Ok(()),
        }
    }

    fn print_waiting(&mut self) -> io::Result<()> {
        if !self.begun && self.batch > 1 {
            self.leave_out_empty_columns();
        }
        for row in &self.waiting {
            let cells = self.widths.iter_mut().zip(row);
            cells.for_each(|(width, text)| *width = displayed(text).max(*width));
        }
        if let Some(fit) = self.fit.filter(|_| !self.begun && self.batch > 1) {
            self.leave_out_what_does_not_fit(fit);
        }
        let rows = std::mem::take(&mut self.waiting);
        if !rows.is_empty() {
            self.begin()?;
        }
        rows.iter().try_for_each(|row| writeln!(self.out, "{}", self.line(row)))
    }

    /// A column in which the first rows have nothing only makes the lines long.
    fn leave_out_empty_columns(&mut self) {
        let used: Vec<bool> = (0..self.columns.len())
            .map(|column| self.waiting.is_empty() || self.waiting.iter().any(|row| !row[column].is_empty()))
            .collect();
        self.keep(&used);
    }

    fn leave_out_what_does_not_fit(&mut self, fit: Fit) {
        let shown = fit.choose(&self.columns, &self.widths);
        let out = self.columns.iter().zip(&shown).filter(|(_, shown)| !**shown);
        self.left_out = out.map(|(column, _)| column.key).collect();
        self.keep(&shown);
    }

    fn keep(&mut self, used: &[bool]) {
        keep(&mut self.columns, used);
        keep(&mut self.widths, used);
        self.waiting.iter_mut().for_each(|row| keep(row, used));
    }

    fn cells(&self, row: &Row, for_people: bool) -> Vec<String> {
        let short = self.fit.is_some();
        let cell = |column: &Column| match (column.show, cell(row, *column, for_people)) {
            (Show::Time, time) if short => short_time(&time),
            (_, cell) => cell,
        };
        self.columns.iter().map(cell).collect()
    }

    fn line(&self, cells: &[String]) -> String {
        let padded = self.columns.iter().zip(&self.widths).zip(cells).map(|((column, width), cell)| {
            padded(cell, *width, matches!(column.show, Show::Number | Show::Count | Show::Money))
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    }

    fn print_json(&mut self, row: &Row, after: &str) -> io::Result<()> {
        serde_json::to_writer(&mut *self.out, row)?;
        self.out.write_all(after.as_bytes())
    }

    fn print_csv(&mut self, cells: &[String]) -> io::Result<()> {
        let mut writer = csv::WriterBuilder::new().buffer_capacity(1 << 10).from_writer(&mut *self.out);
        writer.write_record(cells)?;
        writer.flush()
    }
}

fn keep<T>(items: &mut Vec<T>, used: &[bool]) {
    let mut used = used.iter();
    items.retain(|_| used.next().copied().unwrap_or(true));
}

fn cell(row: &Row, column: Column, for_people: bool) -> String {
    match (row.get(column.key), column.show) {
        (None | Some(Value::Null), _) => String::new(),
        (Some(value), Show::Money) if for_people => {
            value.as_i64().map(|minor| Money(minor).to_string()).unwrap_or_default()
        }
        (Some(value), Show::Count) if for_people && value.is_u64() => {
            grouped(value.as_u64().unwrap_or_default())
        }
        (Some(value), Show::Sellers) => sellers(value, for_people),
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), _) => value.to_string(),
    }
}

/// `11-25 10:00:00.000` of `2026-11-25T10:00:00.000000Z`.
fn short_time(time: &str) -> String {
    match (time.get(5..10), time.get(11..23)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => time.to_owned(),
    }
}

fn sellers(value: &Value, for_people: bool) -> String {
    let share = |share: &Value| match for_people {
        true => format!("{}:{}", share["peer"], share["quantity"]),
        false => format!("{}:{}:{}", share["peer"], share["quantity"], share["amount"]),
    };
    value.as_array().map(|shares| shares.iter().map(share).collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { key: "product", show: Show::Text },
        Column { key: "on_hand", show: Show::Count },
        Column { key: "unit_price", show: Show::Money },
    ];

    fn print(shape: Shape, rows: &[Value]) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, shape, &COLUMNS);
        rows.iter().for_each(|row| printer.row(row.as_object().unwrap()).unwrap());
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_form_says_the_same() {
        let rows = [
            json!({"product": "boar", "unit_price": 300, "on_hand": 111}),
            json!({"product": "a,b", "unit_price": 5}),
        ];
        let table =
            "product  on_hand  unit_price\nboar         111        3.00\na,b                     0.05\n";
        assert_eq!(print(Shape::Table { color: false }, &rows), table);
        assert_eq!(print(Shape::Csv, &rows), "product,on_hand,unit_price\nboar,111,300\n\"a,b\",,5\n");
        let lines = print(Shape::Jsonl, &rows);
        assert!(lines.starts_with("{\"product\":\"boar\",\"unit_price\":300,\"on_hand\":111}\n"), "{lines}");
        let object: Value = serde_json::from_str(&print(Shape::Object { view: "x" }, &rows)).unwrap();
        assert_eq!(object, json!({"version": JSON_VERSION, "view": "x", "rows": rows}));
    }

    #[test]
    fn a_table_leaves_out_what_no_row_has() {
        let rows = [json!({"product": "boar", "unit_price": 300})];
        assert_eq!(print(Shape::Table { color: false }, &rows), "product  unit_price\nboar           3.00\n");
    }

    #[test]
    fn a_table_that_must_fit_leaves_columns_out_and_says_which() {
        let row = json!({"product": "käse", "unit_price": 300, "on_hand": 111});
        let fit = Some(Fit { width: 20, ranks: &[("on_hand", 9), ("product", 9)] });
        let print = |shape| {
            let mut out = Vec::new();
            let mut printer = Printer::new(&mut out, shape, &COLUMNS).fitting(fit);
            printer.row(row.as_object().unwrap()).unwrap();
            let left_out = printer.finish().unwrap();
            (String::from_utf8(out).unwrap(), left_out)
        };
        let (text, left_out) = print(Shape::Table { color: false });
        assert_eq!((text.as_str(), left_out), ("product  on_hand\nkäse         111\n", vec!["unit_price"]));
        assert!(print(Shape::Csv).1.is_empty(), "scripts get all");

        let mut out = Vec::new();
        let printer = Printer::new(&mut out, Shape::Table { color: false }, &COLUMNS);
        let mut printer = printer.fitting(fit).unbuffered();
        printer.begin_now().unwrap();
        printer.row(row.as_object().unwrap()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "product      on_hand\nkäse             111\n");
        assert_eq!(short_time("2026-11-25T10:00:00.123456Z"), "11-25 10:00:00.123");
    }

    #[test]
    fn no_rows_are_a_header_or_an_empty_list() {
        assert_eq!(print(Shape::Table { color: false }, &[]), "product  on_hand  unit_price\n");
        assert_eq!(print(Shape::Csv, &[]), "product,on_hand,unit_price\n");
        assert_eq!(print(Shape::Jsonl, &[]), "");
        let object: Value = serde_json::from_str(&print(Shape::Object { view: "x" }, &[])).unwrap();
        assert_eq!(object, json!({"version": JSON_VERSION, "view": "x", "rows": []}));
    }
}
