//! Child processes of `up` and `bench`: started in a group of their own, holding a pipe that ends them with us, with
//! their log in their directory, and ready when they have printed their one line.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::output::{Failure, exit};
use crate::journal::{NodeDir, is_file_or_absent, mend};
use crate::limits::{CALL_DEADLINE, LOG_TAIL_BYTES, START_MAX};
use crate::node::notify::VARIABLES;

/// A node that this process started.
#[derive(Debug)]
pub(crate) struct Child {
    /// `warehouse` or `peer-4`.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Where it listens.
    pub addr: String,
    /// The line that it printed when it served.
    pub line: String,
    /// Where this process begins: in which file, and behind which byte. The file may have been rotated since.
    log_from: (u64, u64),
    process: Process,
    /// Closing it ends the child: dropped with us, however we go.
    _pipe: Option<ChildStdin>,
}

/// A child that was started and has not said yet that it serves.
#[derive(Debug)]
pub(crate) struct Starting {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

/// One more flag with its value.
pub(crate) fn push(line: &mut Vec<OsString>, flag: &str, value: impl Into<OsString>) {
    line.extend([flag.into(), value.into()]);
}

/// Starts `bazaar ARGS...` as a node with this directory.
///
/// # Errors
/// The directory or the process cannot be made.
pub(crate) fn start(name: &str, dir: &Path, args: &[OsString]) -> Result<Starting, Failure> {
    let failed = |error: std::io::Error| Failure::new(exit::FAILURE, format!("cannot start {name}: {error}"));
    fs::create_dir_all(dir).map_err(failed)?;
    let path = NodeDir::new(dir).log();
    if !is_file_or_absent(&path) {
        let what = format!("cannot start {name}: {} is no file", path.display());
        return Err(Failure::new(exit::DIRECTORY, what).hint(mend::clear_place(&path)));
    }
    let log = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    let log_from = log.metadata().map(|log| (log.ino(), log.len())).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    // A supervisor of this process is none of its children's.
    for name in VARIABLES {
        command.env_remove(name);
    }
    let mut process = command
        .args(args)
        .arg("--parent-pipe")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let pipe = process.stdin.take();
    let lines = first_line(&mut process);
    let child = Child {
        name: name.to_owned(),
        dir: dir.to_owned(),
        addr: String::new(),
        line: String::new(),
        log_from,
        process,
        _pipe: pipe,
    };
    Ok(Starting { child, lines })
}

/// The first line of the child's stdout, read on a thread that ends with it. Nothing else is ever printed there.
fn first_line(process: &mut Process) -> std::sync::mpsc::Receiver<String> {
    let (sender, lines) = std::sync::mpsc::channel();
    if let Some(stdout) = process.stdout.take() {
        std::thread::spawn(move || {
            let mut line = String::new();
            // Without a line the sender is dropped, and the receiver hears that.
            if BufReader::new(stdout).read_line(&mut line).is_ok_and(|read| read > 0) {
                let _ = sender.send(line.trim_end().to_owned());
            }
        });
    }
    lines
}

impl Starting {
    /// Its process id of the operating system.
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// It ended, or took longer than [`START_MAX`]; with the end of its log.
    pub(crate) fn ready(mut self) -> Result<Child, Failure> {
        match self.lines.recv_timeout(START_MAX) {
            Ok(line) => {
                let json = NodeDir::new(&self.child.dir).read_node_json();
                self.child.addr = json.map(|json| json.addr).unwrap_or_default();
                self.child.line = line;
                Ok(self.child)
            }
            // A node that does not serve in time is of no use.
            Err(RecvTimeoutError::Timeout) => {
                self.child.wait(Duration::ZERO);
                Err(said_last(&self.child, &format!("did not start within {START_MAX:?}"), exit::FAILURE))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait(CALL_DEADLINE);
                let code = status.and_then(|status| u8::try_from(status.code()?).ok());
                let killed = status.filter(|_| code.is_none());
                let how = killed.map_or(String::new(), |status| format!(", {}", how(status)));
                let code = code.unwrap_or(exit::FAILURE);
                Err(said_last(&self.child, &format!("did not start{how}"), code))
            }
        }
    }
}

/// How a process ended.
pub(crate) fn how(status: ExitStatus) -> String {
    let named = |signal| match signal {
        4 => "SIGILL".to_owned(),
        6 => "SIGABRT (it ran out of memory, or found a fault of its own)".to_owned(),
        7 => "SIGBUS".to_owned(),
        8 => "SIGFPE".to_owned(),
        11 => "SIGSEGV".to_owned(),
        15 => "SIGTERM".to_owned(),
        signal => format!("signal {signal}"),
    };
    match (status.signal(), status.code()) {
        (Some(9), _) => "killed by SIGKILL".to_owned(),
        (Some(signal), _) => format!("ended by {}", named(signal)),
        (_, Some(0)) => "left, or was told to stop".to_owned(),
        (_, Some(code)) => format!("ended with exit code {code}"),
        _ => "ended".to_owned(),
    }
}

/// What a node that ended said last.
pub(crate) fn said_last(child: &Child, how: &str, code: u8) -> Failure {
    let log = NodeDir::new(&child.dir).log();
    // A log that cannot be read does not say why.
    let text = end_of(&log, child.log_from).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let tail = text.rfind("error: ").map(|at| text[at + "error: ".len()..].trim_end().to_owned());
    let (what, hint) = match tail {
        Some(tail) => match tail.split_once("\n  hint: ") {
            Some((what, hint)) => (what.to_owned(), hint.to_owned()),
            None => (tail, format!("see {}", mend::word(&log))),
        },
        None => ("its log does not say why".to_owned(), format!("see {}", mend::word(&log))),
    };
    Failure::new(code, format!("{} {how}: {what}", child.name)).hint(hint)
}

/// The end of a log, as far as it is of the process that began behind a byte of a file.
fn end_of(log: &Path, (began_in, behind): (u64, u64)) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let found = file.metadata()?;
    let from = if found.ino() == began_in { behind } else { 0 };
    file.seek(SeekFrom::Start(from.max(found.len().saturating_sub(LOG_TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map(|_| bytes)
}

impl Child {
    /// Its process id of the operating system.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Asks it to hand over, sync and end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal; nothing happens if it is gone. It must not have been waited for yet, for its number may be
    /// another's then.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.process.id() as i32) {
            // Gone already: nothing to signal to.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end; kills it when it takes longer.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.wait_and(limit, || {})
    }

    /// The same, and does something all the while.
    pub(crate) fn wait_and(&mut self, limit: Duration, meanwhile: impl Fn()) -> Option<ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            meanwhile();
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.process.kill();
        self.process.wait().ok()
    }

    /// Processor time that it used so far, in seconds, and its resident memory in MiB.
    pub(crate) fn usage(&self) -> (f64, f64) {
        usage_of(self.process.id())
    }
}

/// The most memory that a process had, in MiB; 0 where it is gone.
pub(crate) fn peak_of(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

/// Processor seconds and resident MiB of a process, from /proc; zeros where there is none.
pub(crate) fn usage_of(pid: u32) -> (f64, f64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field =
        |at: usize| after.split_whitespace().nth(at).and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0);
    // Fields 14 and 15 of stat are ticks of 10 ms, field 24 is in pages of 4 KiB.
    ((field(11) + field(12)) / 100.0, field(21) * 4096.0 / (1 << 20) as f64)
}
