//! `bazaar verify` of all stores, in a process of its own: its memory is given back, and a market goes on meanwhile.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::limits::{BACKOFF_MAX, SOAK_CHECK_RETRY_MAX};
use crate::ops::output::exit;

/// What a check came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verified {
    /// Seconds after the begin of the load.
    pub at_s: f64,
    pub took_s: f64,
    /// Its exit code.
    pub exit: u8,
    /// Per check: number, name, result, how many were checked and how many failed.
    pub checks: Vec<Value>,
    /// Of what failed, or why nothing could be told.
    pub examples: Vec<String>,
}

impl Verified {
    /// The stores hold what was promised, as far as they were read.
    pub(crate) fn is_ok(&self) -> bool {
        self.exit == exit::DONE
    }

    /// A promise is broken, or a store is damaged.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.exit, exit::BROKEN | exit::DIRECTORY)
    }

    /// How often a check failed.
    pub(crate) fn failed(&self, check: &str) -> u64 {
        let found = self.checks.iter().find(|it| it["check"] == check);
        found.and_then(|it| it["failed"].as_u64()).unwrap_or_default()
    }

    /// For people: the checks that failed, with examples.
    pub(crate) fn why(&self) -> String {
        let failed = self.checks.iter().filter(|it| it["failed"].as_u64() > Some(0));
        let failed: Vec<String> =
            failed.map(|it| format!("{} {}", text(&it["check"]), it["failed"])).collect();
        let examples = self.examples.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
        if failed.is_empty() { examples } else { format!("{}: {examples}", failed.join(", ")) }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "at_s": self.at_s.round(),
            "took_s": (self.took_s * 100.0).round() / 100.0,
            "exit": self.exit,
            "checks": self.checks,
            "examples": self.examples,
        })
    }
}

/// Looks at all stores in `market`, those in use through their nodes. With `resume` only at what came since.
///
/// A node that is away cannot be read; the check is begun again until it can, for a while.
pub(crate) fn verify(market: &Path, resume: Option<&Path>, at_s: f64) -> Verified {
    let began = Instant::now();
    loop {
        let verified = once(&[OsStr::new("--data-dir"), market.as_os_str()], resume);
        if verified.is_ok() || verified.is_broken() || began.elapsed() >= SOAK_CHECK_RETRY_MAX {
            return Verified { at_s, took_s: began.elapsed().as_secs_f64(), ..verified };
        }
        std::thread::sleep(BACKOFF_MAX);
    }
}

fn once(market: &[&OsStr], resume: Option<&Path>) -> Verified {
    match command(market, resume) {
        Ok(mut command) => ended(command.output()),
        Err(error) => undetermined(error.to_string()),
    }
}

/// Nothing could be told; says why.
pub(crate) fn undetermined(why: String) -> Verified {
    Verified { exit: exit::UNDETERMINED, examples: vec![why], ..Verified::default() }
}

/// The process that checks the market which these flags name.
///
/// # Errors
/// This program is not found.
pub(crate) fn command(market: &[&OsStr], resume: Option<&Path>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("verify").args(market).arg("--json").stdin(Stdio::null());
    if let Some(file) = resume {
        command.arg("--resume").arg(file);
    }
    Ok(command)
}

/// What a process came to.
pub(crate) fn ended(output: io::Result<Output>) -> Verified {
    match output {
        Ok(done) => {
            let code = done.status.code().and_then(|code| u8::try_from(code).ok());
            of(code.unwrap_or(exit::FAILURE), &done.stdout, &done.stderr)
        }
        Err(error) => undetermined(error.to_string()),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn of(exit: u8, stdout: &[u8], stderr: &[u8]) -> Verified {
    let said: Value = serde_json::from_slice(stdout).unwrap_or_default();
    let checks = said["checks"].as_array().cloned().unwrap_or_default();
    let examples = checks.iter().flat_map(|check| check["examples"].as_array().cloned().unwrap_or_default());
    let mut examples: Vec<String> =
        examples.map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned)).collect();
    if checks.is_empty() {
        examples.push(String::from_utf8_lossy(stderr).trim_end().replace('\n', " "));
    }
    let kept = |check: &Value| {
        json!({
            "check": check["check"], "name": check["name"], "result": check["result"],
            "checked": check["checked"], "failed": check["failed"],
        })
    };
    Verified { exit, checks: checks.iter().map(kept).collect(), examples, ..Verified::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_named_and_what_could_not_be_told_is_no_failure() {
        let said = br#"{"checks":[{"check":"V03","name":"exactly once","result":"ok","checked":9,"failed":0,"examples":[]},
            {"check":"V12","name":"durable","result":"FAILED","checked":9,"failed":2,"examples":["peer-4: the log ends"]}]}"#;
        let broken = of(exit::BROKEN, said, b"");
        assert!(broken.is_broken() && broken.failed("V12") == 2 && broken.failed("V03") == 0);
        assert_eq!(broken.why(), "V12 2: peer-4: the log ends");
        let away = of(exit::UNREACHABLE, b"", b"error: peer-4 does not answer\n");
        assert!(!away.is_ok() && !away.is_broken());
        assert_eq!(away.why(), "error: peer-4 does not answer");
        assert!(of(exit::DIRECTORY, b"", b"error: damaged").is_broken());
    }
}
