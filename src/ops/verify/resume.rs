//! `--resume FILE`: what an earlier verify kept, and what this one keeps for the next.
//!
//! The file is made of what was verified and never of what was not. One that is absent, damaged or of other logs costs
//! nothing but time: all rows are looked at. A file of something else is refused, so that it is not written over.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::audit::{Source, Verified, VerifiedError};
use crate::ops::output::{Failure, exit};
use crate::types::Seq;

/// See the module's text.
pub(super) struct Resume {
    path: PathBuf,
    /// What was kept, if these logs go on from there.
    bytes: Option<Vec<u8>>,
    /// The last row of the ledger that was looked at then; 0: all are looked at now.
    pub from: Seq,
    /// Why not all was as it was wanted.
    pub note: Option<String>,
}

impl Resume {
    /// Reads the file and compares it with the logs.
    ///
    /// # Errors
    /// It is something else's, or cannot be read; a source cannot be read.
    pub(super) fn read(path: &Path, sources: &mut [Source]) -> Result<Resume, Failure> {
        let anew = |why: Option<String>| Resume {
            path: path.to_owned(),
            bytes: None,
            from: Seq(0),
            note: why.map(|why| format!("{}: {why}, so all rows are looked at", path.display())),
        };
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(anew(None)),
            Err(error) => return Err(failed(path, "cannot be read", &error)),
            // It was made for the file to be, as mktemp does.
            Ok(bytes) if bytes.is_empty() => return Ok(anew(None)),
            Ok(bytes) => bytes,
        };
        let verified = match Verified::decode(&bytes) {
            Err(VerifiedError::Foreign) => {
                let what = format!("{} is not what verify keeps, and stays as it is", path.display());
                let hint = "name a file that is not there yet, or one that an earlier verify wrote";
                return Err(Failure::new(exit::USAGE, what).hint(hint));
            }
            Err(error) => return Ok(anew(Some(error.to_string()))),
            Ok(verified) => verified,
        };
        match verified.fits(sources)? {
            Err(why) => Ok(anew(Some(why))),
            Ok(()) => {
                Ok(Resume { path: path.to_owned(), bytes: Some(bytes), from: verified.seq(), note: None })
            }
        }
    }

    /// What was kept; each look begins with it.
    pub(super) fn verified(&self) -> Option<Verified> {
        // It was decoded before.
        Verified::decode(self.bytes.as_ref()?).ok()
    }

    /// Writes what the next verify goes on from: whole, or not at all.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) fn write(&self, verified: &Verified) -> Result<(), Failure> {
        let bytes = verified.encode().map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
        replace(&self.path, &bytes).map_err(|error| failed(&self.path, "cannot be written", &error))
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut aside = tempfile::NamedTempFile::new_in(dir)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    aside.persist(path)?;
    File::open(dir)?.sync_all()
}

fn failed(path: &Path, what: &str, error: &io::Error) -> Failure {
    let hint = "name a file in a directory that you may write to, with --resume FILE";
    Failure::new(exit::FAILURE, format!("{} {what}: {error}", path.display())).hint(hint)
}
