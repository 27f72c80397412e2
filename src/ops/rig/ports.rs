//! Ports for nodes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

use crate::ops::output::{Failure, exit};

/// Where nodes listen: above what servers have, below what Linux gives to who dials.
const OWN_PORTS: Range<u16> = 12_000..32_768;
const PORTS_TRIED_MAX: usize = 10_000;

/// Addresses that nobody listens at now. Their ports are none that the kernel gives to who dials: a node that is started
/// again finds its own free.
pub(in crate::ops) fn free_addrs(count: usize) -> Result<Vec<SocketAddr>, Failure> {
    let ports = OWN_PORTS.start..dialed_from().clamp(OWN_PORTS.start + 1, OWN_PORTS.end);
    let mut held = Vec::new();
    for _ in 0..PORTS_TRIED_MAX {
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(ports.clone()))));
        if held.len() == count {
            let addrs = held.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>();
            return addrs
                .map_err(|error| Failure::new(exit::FAILURE, format!("a port has no address: {error}")));
        }
    }
    Err(Failure::new(exit::FAILURE, format!("{count} free ports were not found in {ports:?}")))
}

/// The first port that the kernel gives to who dials; Linux's own if it does not say.
fn dialed_from() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(OWN_PORTS.end)
}
