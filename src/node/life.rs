//! A node's life as a process: its runtime, the signals that end it, its parent's pipe, the line that says it serves.

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::journal::Keep;

/// What every node is told on its command line.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where to listen; port 0: any free one.
    pub listen: SocketAddr,
    /// What other nodes are told instead of the address listened at.
    pub advertise: Option<String>,
    /// Its directory.
    pub data_dir: PathBuf,
    /// Where metrics and health are served over HTTP; none: nowhere.
    pub http: Option<SocketAddr>,
    /// How many events are remembered for a space-time diagram.
    pub trace_events: usize,
    /// Standard input is a pipe from the parent: end when it closes.
    pub parent_pipe: bool,
    /// Written when the node serves, with its address.
    pub ready_file: Option<PathBuf>,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
    /// Milliseconds of silence before suspicion.
    pub suspect_after_ms: u64,
    /// What of a peer's journal is kept whole.
    pub keep: Option<Keep>,
}

/// The runtime that carries the wire.
///
/// # Errors
/// Threads cannot be made.
pub(crate) fn wire_runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).thread_name("wire").enable_all().build()
}

/// A switch that turns once, from "run" to "stop".
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Stop(watch::Sender::new(false))
    }
}

impl Stop {
    /// Turns it.
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was turned.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it is turned.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut receiver = self.0.subscribe();
        async move {
            // An error means that the switch is gone: stop, too.
            let _ = receiver.wait_for(|stopped| *stopped).await;
        }
    }
}

/// Turns `stop` at SIGTERM and SIGINT; a second one ends the process at once. So does the first one before `begun` is
/// turned: a node that does not serve yet has nothing to hand over, and may be waiting for a warehouse.
///
/// # Errors
/// Handlers cannot be installed.
pub(crate) fn stop_at_signals(stop: Stop, begun: Stop) -> std::io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        if !begun.is_stopped() {
            super::log::finish();
            std::process::exit(0);
        }
        stop.stop();
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        super::log::finish();
        std::process::exit(130);
    });
    Ok(())
}

/// Ends the process when its parent's pipe closes: a node never outlives the `up` that started it.
pub(crate) fn end_with_parent(stop: Stop) {
    std::thread::Builder::new()
        .name("parent".to_owned())
        .spawn(move || {
            // Nothing is ever written to the pipe: reading returns when the parent is gone, however it went.
            let _ = std::io::stdin().read(&mut [0]);
            tracing::warn!("the process that started this node is gone");
            stop.stop();
            std::thread::sleep(crate::limits::ORPHAN_MAX);
            super::log::finish();
            std::process::exit(1);
        })
        .map_or_else(|error| tracing::error!(%error, "cannot watch the parent"), drop);
}

/// Says that the node serves: the recovery line on stdout, the address in the ready file.
///
/// # Errors
/// The ready file cannot be written.
pub(crate) fn announce(line: &str, addr: SocketAddr, ready_file: Option<&PathBuf>) -> std::io::Result<()> {
    tracing::info!(%addr, "{line}");
    // A reader that went away is no reason to end.
    let _ = writeln!(std::io::stdout(), "{line}");
    ready_file.map_or(Ok(()), |path| {
        // By rename: who waits for the file never reads half of it.
        let temporary = beside(path);
        std::fs::write(&temporary, format!("{addr}\n"))?;
        std::fs::rename(temporary, path)
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Removes the ready file of an earlier start, before anything of this one can fail.
///
/// # Errors
/// It cannot be removed, or none can be written there.
pub(crate) fn not_ready(ready_file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(ready_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => {
            // Written and removed: a node that serves and cannot say so is of no use to who waits for the file.
            let temporary = beside(ready_file);
            std::fs::write(&temporary, "")?;
            std::fs::remove_file(temporary)
        }
    }
}
