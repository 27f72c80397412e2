//! Lines to stdout and stderr. `println` and `eprintln` panic where nobody reads, or the disk is full: nothing here uses
//! them.

use std::fmt::Display;
use std::io::{self, Write};

use super::Failure;

/// Prints a result on stdout, all of it at once.
///
/// # Errors
/// It cannot be written; that its reader went away ends the command quietly.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::writing)
}

/// The same as a line.
///
/// # Errors
/// See [`print`].
pub(crate) fn print_line(line: impl Display) -> Result<(), Failure> {
    print(format_args!("{line}\n"))
}

/// Says something beside the result, on stderr. One that cannot be written changes nothing: what a command does and how it
/// exits does not depend on its remarks.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
