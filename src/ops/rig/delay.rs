//! Syncs of a running process that are late, as on a slow disk: strace delays them.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::cluster::Node;
use crate::limits::{BACKOFF_MIN, CALL_DEADLINE};

/// strace delays the syncs of a running process.
pub(in crate::ops) fn lacks_strace() -> Option<String> {
    let version = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return Some("strace is not installed".to_owned());
    }
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let free = scope.trim().is_empty() || scope.trim() == "0" || rustix::process::getuid().is_root();
    (!free).then(|| "strace may not attach to other processes (kernel.yama.ptrace_scope)".to_owned())
}

/// Each sync of the node is late.
pub(in crate::ops) fn slow(node: &Node, late_ms: u64) -> Option<Child> {
    let inject = format!("inject=fdatasync,fsync,sync_file_range:delay_enter={}", late_ms * 1_000);
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync,fsync,sync_file_range",
        "-e",
        &inject,
    ]);
    command.args(["-p", &node.pid()?.to_string()]);
    // A node that is gone has no syncs to delay.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}

/// strace lets the process go where it is told to end, and not where it is killed.
pub(in crate::ops) fn detach(mut strace: Child) {
    if let Some(pid) = Pid::from_raw(strace.id() as i32) {
        // It has ended with its node.
        let _ = kill_process(pid, Signal::INT);
    }
    let began = Instant::now();
    while began.elapsed() < CALL_DEADLINE && !matches!(strace.try_wait(), Ok(Some(_))) {
        std::thread::sleep(BACKOFF_MIN);
    }
    // It has ended, or is not heard of again.
    let _ = (strace.kill(), strace.wait());
}
