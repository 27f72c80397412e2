//! The whole machine, whatever comes.

mod session;
