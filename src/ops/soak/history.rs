//! The history of a run as JSON lines, written as it happens: what is there after a crash of this process, too.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

/// A file that lines are added to.
pub(super) struct Lines {
    file: BufWriter<File>,
    /// Why a line could not be written: the first time.
    pub failed: Option<String>,
}

impl Lines {
    pub(super) fn create(path: &Path) -> io::Result<Lines> {
        Ok(Lines { file: BufWriter::new(File::create(path)?), failed: None })
    }

    /// Adds one.
    pub(super) fn add(&mut self, line: &impl Serialize) {
        let text = serde_json::to_string(line).map_err(io::Error::other);
        let done = text.and_then(|text| writeln!(self.file, "{text}"));
        self.note(done);
    }

    /// Adds one that says what it is.
    pub(super) fn event(&mut self, what: &str, mut line: Value) {
        if let Some(line) = line.as_object_mut() {
            line.insert("what".to_owned(), what.into());
        }
        self.add(&line);
    }

    /// What was added is in the file.
    pub(super) fn flush(&mut self) {
        let done = self.file.flush();
        self.note(done);
    }

    fn note(&mut self, done: io::Result<()>) {
        if let Err(error) = done {
            self.failed.get_or_insert_with(|| error.to_string());
        }
    }
}
