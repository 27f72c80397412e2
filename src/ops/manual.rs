//! `completions` and `man`: the command tree in the words of shells and of man.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap_complete::Shell;

use super::output::{Failure, exit};
use crate::cli;

/// Prints the completion script for a shell.
pub fn completions(shell: Shell, out: &mut dyn Write) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "bazaar", &mut script);
    out.write_all(&script).and_then(|()| out.flush()).map_err(Failure::writing)?;
    Ok(exit::DONE)
}

/// Writes `bazaar.1` and a page per command into `dir`, which is made if it is not there, and prints their paths.
pub fn man(dir: &Path, out: &mut dyn Write) -> Result<u8, Failure> {
    let failed = |error: io::Error| {
        Failure::new(exit::FAILURE, format!("cannot write man pages to {}: {error}", dir.display()))
    };
    fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(cli::command(), dir).map_err(failed)?;
    let paths = fs::read_dir(dir).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()));
    let mut pages = paths.collect::<io::Result<Vec<PathBuf>>>().map_err(failed)?;
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "1"));
    pages.sort();
    let printed = pages.iter().try_for_each(|page| writeln!(out, "{}", page.display()));
    printed.map_err(Failure::writing)?;
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_command_has_a_page_and_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        assert_eq!(man(dir.path(), &mut out), Ok(exit::DONE));
        let pages = String::from_utf8(out).unwrap();
        assert!(
            pages.contains("bazaar.1") && pages.contains("bazaar-dump.1") && !pages.contains("bench-load"),
            "{pages}"
        );
        let mut script = Vec::new();
        assert_eq!(completions(Shell::Bash, &mut script), Ok(exit::DONE));
        assert!(String::from_utf8(script).unwrap().contains("--suspect-after"));
    }
}
