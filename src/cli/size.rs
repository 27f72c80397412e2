//! Sizes as people write them, and the bounds of a node's log.

use super::value::{ValueError, refuse};
use crate::limits::{LOG_FILES_MAX, LOG_FILES_MIN, LOG_SIZE_MAX, LOG_SIZE_MIN};

/// A size as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub(crate) u64);

/// What a size may be counted in, the largest first.
const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = UNITS.into_iter().find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift);
        let (unit, shift) = whole.unwrap_or(("B", 0));
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

/// `64MiB`, `512KiB`, `2GiB`, or a number of bytes.
pub(crate) fn bytes(text: &str) -> Result<Bytes, ValueError> {
    let digits = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "B" } else { unit.trim_start() };
    let shift = UNITS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, shift)| shift);
    let count = count.parse::<u64>().ok();
    match count.zip(shift).and_then(|(count, shift)| count.checked_mul(1 << shift)) {
        Some(bytes) => Ok(Bytes(bytes)),
        None => refuse("not a size", "write it like 64MiB, 512KiB or 2GiB"),
    }
}

/// How large one file of a log may be.
pub(crate) fn log_size(text: &str) -> Result<Bytes, ValueError> {
    let (min, max) = (Bytes(LOG_SIZE_MIN), Bytes(LOG_SIZE_MAX));
    match bytes(text)? {
        size if size < min => refuse("too small for a file of a log", format!("use {min} to {max}")),
        size if size > max => refuse("too large for a file of a log", format!("use {min} to {max}")),
        size => Ok(size),
    }
}

/// How many files a log may have.
pub(crate) fn log_files(text: &str) -> Result<u32, ValueError> {
    match text.parse() {
        Ok(files @ LOG_FILES_MIN..=LOG_FILES_MAX) => Ok(files),
        _ => {
            let mend =
                format!("use {LOG_FILES_MIN} to {LOG_FILES_MAX}: the file that is written, and older ones");
            refuse("not a number of files that a log may have", mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, count) in
            [("64MiB", 64 << 20), ("512kib", 512 << 10), ("2 GiB", 2 << 30), ("65536", 65_536)]
        {
            assert_eq!(bytes(text), Ok(Bytes(count)), "{text}");
            assert_eq!(bytes(&Bytes(count).to_string()), Ok(Bytes(count)), "{text}");
        }
        assert_eq!(
            [Bytes(64 << 20), Bytes(1_500), Bytes(0)].map(|it| it.to_string()),
            ["64MiB", "1500B", "0B"]
        );
        for bad in ["", "MiB", "-1", "1.5GiB", "1MB", "64 M", "99999999999GiB"] {
            assert!(bytes(bad).unwrap_err().mend.contains("64MiB"), "{bad}");
        }
    }

    #[test]
    fn a_log_that_cannot_be_kept_is_refused_with_what_would_do() {
        for text in ["0", "1B", "65535", "65GiB"] {
            assert_eq!(log_size(text).unwrap_err().mend, "use 64KiB to 64GiB", "{text}");
        }
        for text in ["0", "1", "11", "-4", "four"] {
            assert!(log_files(text).unwrap_err().mend.starts_with("use 2 to 10"), "{text}");
        }
        assert!(log_size("64KiB").is_ok() && log_files("2").is_ok() && log_files("10").is_ok());
    }
}
