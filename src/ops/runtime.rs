//! What futures of a command run on.

use tokio::runtime::{Builder, Runtime};

use super::output::{Failure, exit};

/// Runs futures on the calling thread alone: for a command that only asks, and for one that is measured.
///
/// # Errors
/// The system refuses.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    built(&mut Builder::new_current_thread())
}

/// The same with a thread beside the calling one: connections and watchers live on while the caller is busy.
///
/// # Errors
/// The system refuses.
pub(crate) fn runtime_with_thread() -> Result<Runtime, Failure> {
    built(Builder::new_multi_thread().worker_threads(1))
}

fn built(builder: &mut Builder) -> Result<Runtime, Failure> {
    let built = builder.enable_all().build();
    built.map_err(|error| Failure::new(exit::FAILURE, format!("no runtime: {error}")))
}
