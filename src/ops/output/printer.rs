//! Rows out: JSON objects as JSON lines, as one object, as CSV or as aligned columns.

use std::io::{self, Write};

use serde_json::{Map, Value};

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
    /// One object `{"rows": [...]}` with this name in front: `--json`.
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
    /// As a number, to the right.
    Number,
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
}

impl<'a> Printer<'a> {
    /// Prints `columns` (in JSON: all keys) to `out`.
    pub(crate) fn new(out: &'a mut dyn Write, shape: Shape, columns: &[Column]) -> Printer<'a> {
        let widths = columns.iter().map(|column| column.key.len()).collect();
        let columns = columns.to_vec();
        Printer { out, shape, columns, waiting: Vec::new(), widths, batch: TABLE_BATCH, begun: false }
    }

    /// Prints every row at once: for rows that come as things happen.
    pub(crate) fn unbuffered(mut self) -> Self {
        self.batch = 1;
        self
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

    /// Prints what waits, and what must stand around the rows even if there were none.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.print_waiting()?;
        self.begin()?;
        if let Shape::Object { .. } = self.shape {
            writeln!(self.out, "]}}")?;
        }
        self.out.flush()
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
        let rows = std::mem::take(&mut self.waiting);
        for row in &rows {
            let cells = self.widths.iter_mut().zip(row);
            cells.for_each(|(width, text)| *width = text.chars().count().max(*width));
        }
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
        keep(&mut self.columns, &used);
        keep(&mut self.widths, &used);
        self.waiting.iter_mut().for_each(|row| keep(row, &used));
    }

    fn cells(&self, row: &Row, for_people: bool) -> Vec<String> {
        self.columns.iter().map(|column| cell(row, *column, for_people)).collect()
    }

    fn line(&self, cells: &[String]) -> String {
        let padded = self.columns.iter().zip(&self.widths).zip(cells).map(|((column, width), cell)| {
            match column.show {
                Show::Text | Show::Sellers => format!("{cell:<width$}"),
                Show::Number | Show::Money => format!("{cell:>width$}"),
            }
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
        (Some(value), Show::Sellers) => sellers(value, for_people),
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), _) => value.to_string(),
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
        Column { key: "on_hand", show: Show::Number },
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
        assert_eq!(object, json!({"view": "x", "rows": rows}));
    }

    #[test]
    fn a_table_leaves_out_what_no_row_has() {
        let rows = [json!({"product": "boar", "unit_price": 300})];
        assert_eq!(print(Shape::Table { color: false }, &rows), "product  unit_price\nboar           3.00\n");
    }

    #[test]
    fn no_rows_are_a_header_or_an_empty_list() {
        assert_eq!(print(Shape::Table { color: false }, &[]), "product  on_hand  unit_price\n");
        assert_eq!(print(Shape::Csv, &[]), "product,on_hand,unit_price\n");
        assert_eq!(print(Shape::Jsonl, &[]), "");
        let object: Value = serde_json::from_str(&print(Shape::Object { view: "x" }, &[])).unwrap();
        assert_eq!(object, json!({"view": "x", "rows": []}));
    }
}
