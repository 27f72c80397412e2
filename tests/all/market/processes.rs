//! Commands of the built program and their processes.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{SOON, until};

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The one object on stdout, and nothing else.
    #[track_caller]
    pub fn object(&self) -> Value {
        let object: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(object.is_object(), "{object}");
        object
    }

    /// The command that the hint names, to be typed as it stands.
    #[track_caller]
    pub fn hinted(&self) -> String {
        let said = self.said();
        let hint = said.rsplit_once("\n  hint: ").unwrap_or_else(|| panic!("no hint: {self:?}")).1;
        let hint = hint.lines().next().unwrap_or_default();
        let begins =
            ["mv ", "bazaar ", "kill "].iter().filter_map(|word| hint.find(&format!(": {word}"))).min();
        hint[begins.unwrap_or_else(|| panic!("no command: {self:?}")) + 2..].to_owned()
    }

    /// Stderr in the words for people; with `--json` an error is one object there.
    pub fn said(&self) -> String {
        let line = |line: &str| {
            let object: Option<Value> = serde_json::from_str(line).ok();
            let Some(error) = object.as_ref().and_then(|it| it.get("error")) else {
                return format!("{line}\n");
            };
            let text = |key: &str| error[key].as_str().unwrap_or_default();
            let why = if error["why"].is_string() { format!(": {}", text("why")) } else { String::new() };
            let hint =
                if error["hint"].is_string() { format!("  hint: {}\n", text("hint")) } else { String::new() };
            format!("error: {}{why}\n{hint}", text("what"))
        };
        self.stderr.lines().map(line).collect()
    }

    /// A refusal in the form that people and scripts rely on: `error: ... NAMED ...`, then a hint.
    #[track_caller]
    pub fn refused(self, code: i32, named: &str) -> Ended {
        let ended = self.expect(code);
        let said = ended.said();
        assert!(said.lines().any(|line| line.starts_with("error: ")), "no error line: {ended:?}");
        assert!(said.contains(named), "{named:?} is not named: {ended:?}");
        assert!(said.contains("\n  hint: "), "no hint: {ended:?}");
        assert_eq!(ended.stdout, "", "a refusal says nothing on stdout");
        ended
    }
}

/// The program, in a directory of its own choice, without what this environment says.
pub fn bazaar(cwd: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bazaar"));
    command.current_dir(cwd).stdin(Stdio::null());
    without_settings(&mut command);
    command
}

fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BAZAAR_") {
            command.env_remove(name);
        }
    }
}

/// A line typed into a shell, where `bazaar` is this program.
pub fn shell(cwd: &Path, line: &str) -> Ended {
    let program = Path::new(env!("CARGO_BIN_EXE_bazaar")).parent().unwrap().display().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(cwd).stdin(Stdio::null());
    command.env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap_or_default()));
    without_settings(&mut command);
    Running::start(command).wait(Duration::from_secs(90))
}

/// The same command, with at most so many open files; `-Sn 256` is a limit that it may raise.
pub fn limited(command: &Command, open_files: &str) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit {open_files} && exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    limited.current_dir(command.get_current_dir().unwrap());
    without_settings(&mut limited);
    limited
}

/// Open files of a process.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A running command with its output in files, so that nobody waits for a reader.
pub struct Running {
    child: Option<Child>,
    out: TempDir,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        let out = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(out.path().join(name)).unwrap();
        let child = command.stdout(file("out")).stderr(file("err")).spawn().unwrap();
        Running { child: Some(child), out }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(self.out.path().join("out")).unwrap()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.out.path().join("err")).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Its end; fails, and kills it, when it takes longer than `limit`.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let mut child = self.child.take().unwrap();
        let began = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if began.elapsed() < limit => std::thread::sleep(Duration::from_millis(5)),
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    panic!("not ended within {limit:?}\n{}\n{}", self.stdout(), self.stderr());
                }
            }
        };
        Ended { code: status.code().unwrap_or(-1), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end.
pub fn run(cwd: &Path, args: &[&str]) -> Ended {
    let mut command = bazaar(cwd);
    command.args(args);
    Running::start(command).wait(Duration::from_secs(90))
}

/// A signal to one process that this test started.
pub fn kill(pid: u32, signal: Signal) {
    // Gone already: nothing to end.
    let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), signal);
}

/// Parent of a living process; a zombie lives no more.
pub fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.next()?.parse().ok() }
}

pub fn lives(pid: u32) -> bool {
    parent(pid).is_some()
}

/// Living children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let names =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    names.filter(|child| parent(*child) == Some(pid)).collect()
}

/// `kill -9` of a process and all its children, as near to at once as can be; returns when they are gone.
pub(super) fn kill_with_children(running: Running) {
    // Stopped first, so that it starts no child unseen.
    running.signal(Signal::STOP);
    let nodes = children(running.pid());
    running.signal(Signal::KILL);
    nodes.iter().for_each(|node| kill(*node, Signal::KILL));
    drop(running);
    until("all nodes are gone", SOON, || (!nodes.iter().any(|node| lives(*node))).then_some(()));
}
