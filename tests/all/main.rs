//! All integration tests in one binary: it links once. Modules are named by the danger that they test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    unreachable_pub
)]

mod by_hand;
mod cli_contract;
mod crash;
mod cycles;
mod damage;
mod descriptors;
mod disks;
mod failed_sync;
mod failover;
mod fencing;
mod foreign_clients;
mod hostile;
mod imports;
mod links;
mod logs;
mod market;
mod membership;
mod metrics;
mod missing;
mod modes;
mod names;
mod owners;
mod page;
mod power_cut;
mod resign;
mod restore;
mod returning;
mod room;
mod schema;
mod soak;
mod supervised;
mod terminal;
mod vacant;
mod worst_days;
