//! The members of a row on their way to a map, to a line of JSON or to a line of CSV. A long ledger is printed without a
//! map for each row.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Column, Row};
use crate::model::row::Share;
use crate::types::Money;

/// Where the members of a row go, in the order of the columns.
pub(crate) trait Members {
    /// A count or an id.
    fn number(&mut self, key: &'static str, value: u64);
    /// Money in minor units.
    fn money(&mut self, key: &'static str, value: Money);
    /// A text.
    fn text(&mut self, key: &'static str, value: &str);
    /// What each seller of a sale got.
    fn sellers(&mut self, key: &'static str, shares: &[Share]);
}

impl Members for Row {
    fn number(&mut self, key: &'static str, value: u64) {
        self.insert(key.into(), value.into());
    }

    fn money(&mut self, key: &'static str, value: Money) {
        self.insert(key.into(), value.0.into());
    }

    fn text(&mut self, key: &'static str, value: &str) {
        self.insert(key.into(), value.into());
    }

    fn sellers(&mut self, key: &'static str, shares: &[Share]) {
        let share = |share: &Share| {
            let mut object = Row::new();
            object.number("peer", share.peer.0.into());
            object.number("quantity", share.quantity.0);
            object.money("amount", share.amount);
            Value::Object(object)
        };
        self.insert(key.into(), shares.iter().map(share).collect());
    }
}

/// Text that rows are appended to, a line each.
pub(crate) trait Lines: Members {
    /// Begins a row.
    fn begin(&mut self);
    /// Ends it.
    fn end(&mut self);
    /// Gives the text so far, and goes on with an empty one.
    fn take(&mut self) -> String;
}

/// JSON, an object a line.
#[derive(Default)]
pub(crate) struct JsonLines {
    text: String,
    digits: itoa::Buffer,
}

impl JsonLines {
    fn key(&mut self, key: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    /// A string as JSON has it.
    fn quoted(&mut self, value: &str) {
        let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if value.bytes().all(plain) {
            self.text.push('"');
            self.text.push_str(value);
            self.text.push('"');
        } else {
            self.text.push_str(&Value::from(value).to_string());
        }
    }
}

impl Members for JsonLines {
    fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        self.text.push_str(self.digits.format(value));
    }

    fn money(&mut self, key: &'static str, value: Money) {
        self.key(key);
        self.text.push_str(self.digits.format(value.0));
    }

    fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        self.quoted(value);
    }

    fn sellers(&mut self, key: &'static str, shares: &[Share]) {
        self.key(key);
        self.text.push('[');
        for (nth, share) in shares.iter().enumerate() {
            self.text.push_str(if nth == 0 { "{" } else { ",{" });
            self.number("peer", share.peer.0.into());
            self.number("quantity", share.quantity.0);
            self.money("amount", share.amount);
            self.text.push('}');
        }
        self.text.push(']');
    }
}

impl Lines for JsonLines {
    fn begin(&mut self) {
        self.text.push('{');
    }

    fn end(&mut self) {
        self.text.push_str("}\n");
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

/// CSV: a value for each column, empty where a row has none.
pub(crate) struct CsvLines {
    text: String,
    digits: itoa::Buffer,
    columns: Vec<Column>,
    /// The column that comes next.
    at: usize,
}

impl CsvLines {
    /// Rows with these columns.
    pub(crate) fn new(columns: &[Column]) -> CsvLines {
        CsvLines { text: String::new(), digits: itoa::Buffer::new(), columns: columns.to_vec(), at: 0 }
    }

    /// Goes to the column of that key; false if rows do not show it.
    fn reach(&mut self, key: &str) -> bool {
        let ahead = self.columns[self.at..].iter().position(|column| column.key == key);
        let Some(skipped) = ahead else { return false };
        self.pass(skipped);
        self.at += 1;
        true
    }

    /// Leaves columns empty, and separates the next one from what is before it.
    fn pass(&mut self, columns: usize) {
        let commas = if self.at == 0 { columns } else { columns + 1 };
        self.text.extend(std::iter::repeat_n(',', commas));
        self.at += columns;
    }
}

impl Members for CsvLines {
    fn number(&mut self, key: &'static str, value: u64) {
        if self.reach(key) {
            self.text.push_str(self.digits.format(value));
        }
    }

    fn money(&mut self, key: &'static str, value: Money) {
        if self.reach(key) {
            self.text.push_str(self.digits.format(value.0));
        }
    }

    fn text(&mut self, key: &'static str, value: &str) {
        if !self.reach(key) {
            return;
        }
        if !value.contains([',', '"', '\n', '\r']) {
            return self.text.push_str(value);
        }
        self.text.push('"');
        self.text.push_str(&value.replace('"', "\"\""));
        self.text.push('"');
    }

    fn sellers(&mut self, key: &'static str, shares: &[Share]) {
        if !self.reach(key) {
            return;
        }
        for (nth, Share { peer, quantity, amount }) in shares.iter().enumerate() {
            let space = if nth == 0 { "" } else { " " };
            // Writing to a string does not fail.
            let _ = write!(self.text, "{space}{peer}:{quantity}:{}", amount.0);
        }
    }
}

impl Lines for CsvLines {
    fn begin(&mut self) {
        self.at = 0;
    }

    fn end(&mut self) {
        let left = self.columns.len() - self.at;
        if left > 0 {
            self.pass(left - 1);
        }
        self.text.push('\n');
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}
