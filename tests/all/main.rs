//! All integration tests in one binary: it links once. Modules are named by the danger that they test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli_contract;
mod crash;
mod hostile;
mod imports;
mod market;
mod power_cut;
mod restore;
