//! The ports of a market on this machine.

use std::fs;
use std::net::TcpListener;

use super::plan::Plan;
use crate::cli::BASE_PORT;
use crate::ops::output::{Failure, exit};

/// Refuses a port that is taken before anything starts, and names the process that has it.
pub(super) fn check(plan: &Plan, base_port: u16) -> Result<(), Failure> {
    if base_port == 0 {
        return Ok(());
    }
    let ids = std::iter::once(0).chain(plan.peers.iter().map(|peer| peer.id.0));
    for port in ids.filter_map(|id| u16::try_from(u32::from(base_port) + id).ok()) {
        if TcpListener::bind(("127.0.0.1", port)).is_err() {
            let by = listener(port).map_or(String::new(), |pid| format!(" by pid {pid}"));
            return Err(Failure::new(exit::FAILURE, format!("port {port} is taken{by}")).hint(format!(
                "stop it, or choose other ports: bazaar up --base-port {}",
                free_base(base_port)
            )));
        }
    }
    Ok(())
}

/// The process that listens at a port of this machine, from /proc.
fn listener(port: u16) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let local = format!(":{port:04X}");
    let line = table.lines().find(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|addr| addr.ends_with(&local)) && fields.nth(1) == Some("0A")
    })?;
    let socket = format!("socket:[{}]", line.split_whitespace().nth(9)?);
    let pids =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
        fds.into_iter()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == socket.as_str()))
    })
}

fn free_base(taken: u16) -> u16 {
    if taken < 60_000 { taken + 100 } else { BASE_PORT }
}
