//! All integration tests in one binary: it links once. Modules are named by the danger that they test.

mod power_cut;
