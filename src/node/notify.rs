//! What a supervisor is told, systemd or any other that starts this process with `NOTIFY_SOCKET`: that the node serves,
//! how it is, that it gets on, that it stops.
//!
//! Each is a datagram that nothing waits for. One that cannot be sent changes nothing. That the node gets on is said only
//! when it has just answered for itself: its loop took the question, and its disk has what was recorded before it.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::limits::NOTIFY_EVERY;
use crate::model::call::{Answer, Ask};
use crate::wire::arrival::Arrival;

/// Variables that are for this process and for none that it starts.
pub(crate) const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    /// None: there is no supervisor.
    to: Option<(UnixDatagram, SocketAddr)>,
    /// It kills a process that says nothing for this long.
    watchdog: Option<Duration>,
    stopping: AtomicBool,
}

impl Notify {
    /// The supervisor that the environment names, if any.
    pub(crate) fn from_env() -> Notify {
        let text = |name: &str| std::env::var(name).ok();
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let Some(name) = name else { return Notify::default() };
        let to = socket(name.as_bytes()).inspect_err(|error| tracing::warn!(%error, ?name, "no supervisor"));
        let me = std::process::id().to_string();
        let watched = text("WATCHDOG_PID").is_none_or(|pid| pid == me);
        let micros =
            text("WATCHDOG_USEC").and_then(|micros| micros.parse().ok()).filter(|micros| *micros > 0);
        let watchdog = micros.filter(|_| watched).map(Duration::from_micros);
        Notify { to: to.ok(), watchdog, stopping: AtomicBool::default() }
    }

    fn tell(&self, text: &str) {
        if let Some((socket, addr)) = &self.to
            && let Err(error) = socket.send_to_addr(text.as_bytes(), addr)
        {
            tracing::debug!(%error, text, "the supervisor was not told");
        }
    }

    /// The node serves.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\n{}", line(status)));
    }

    /// The node gets on.
    pub(crate) fn alive(&self, status: &str) {
        self.tell(&format!("WATCHDOG=1\n{}", line(status)));
    }

    /// The node begins to stop. Said once.
    pub(crate) fn stopping(&self) {
        if !self.stopping.swap(true, Ordering::Relaxed) {
            self.tell("STOPPING=1");
        }
    }

    /// How often the supervisor hears of a node that gets on.
    pub(crate) fn every(&self) -> Duration {
        self.watchdog.map_or(NOTIFY_EVERY, |watchdog| (watchdog / 2).min(NOTIFY_EVERY))
    }

    /// Asks the node how it is, again and again, and passes it on.
    pub(crate) async fn watch(&self, node: mpsc::Sender<Arrival>) {
        if self.to.is_none() {
            return;
        }
        let mut ticks = interval(self.every());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            // A late answer is none: the node does not get on as it should.
            if let Ok(Some(status)) = timeout(self.every(), how_it_is(&node)).await {
                self.alive(&status);
            }
        }
    }
}

/// `@name`: a name that is in no directory.
fn socket(name: &[u8]) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let addr = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that does not read must not stop the node.
    socket.set_nonblocking(true)?;
    Ok((socket, addr))
}

fn line(status: &str) -> String {
    format!("STATUS={}", status.replace('\n', " "))
}

async fn how_it_is(node: &mpsc::Sender<Arrival>) -> Option<String> {
    let (reply, answer) = oneshot::channel();
    node.send(Arrival::Asked(Ask::Status, reply)).await.ok()?;
    match answer.await.ok()? {
        Ok(Answer::Status(report)) => {
            let office = report.roster.held_by(report.peer);
            let office =
                office.map_or(String::new(), |(office, seat)| format!(", {office} in term {}", seat.term));
            Some(format!("{} at {}{office}: {}", report.role, report.addr, report.health))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::Report;

    /// A supervisor with a socket of that name, and what a node tells it.
    fn supervised(name: &[u8], watchdog: Option<Duration>) -> (UnixDatagram, Notify) {
        let to = socket(name).unwrap();
        let theirs = UnixDatagram::bind_addr(&to.1).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (theirs, Notify { to: Some(to), watchdog, stopping: AtomicBool::default() })
    }

    fn heard(theirs: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let read = theirs.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_in_a_directory_and_one_in_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let none = format!("@bazaar-test-{}", fastrand::u64(..));
        for name in [path.as_os_str().as_bytes(), none.as_bytes()] {
            let (theirs, notify) = supervised(name, None);
            notify.ready("two\nlines\n");
            notify.stopping();
            notify.stopping();
            notify.alive("well");
            assert_eq!(heard(&theirs), "READY=1\nSTATUS=two lines ");
            assert_eq!(heard(&theirs), "STOPPING=1");
            assert_eq!(heard(&theirs), "WATCHDOG=1\nSTATUS=well");
        }
    }

    #[test]
    fn who_reads_nothing_or_is_gone_stops_no_node() {
        let (theirs, notify) = supervised(format!("@bazaar-test-{}", fastrand::u64(..)).as_bytes(), None);
        (0..10_000).for_each(|_| notify.alive("well"));
        drop(theirs);
        notify.alive("well");
        assert!(socket(&[b'x'; 200]).is_err());
        Notify::default().ready("to nobody");
    }

    /// A supervisor must hear nothing of a node that hangs, or it will never end it.
    #[test]
    fn only_a_node_that_answers_gets_on() {
        let name = format!("@bazaar-test-{}", fastrand::u64(..));
        let (theirs, notify) = supervised(name.as_bytes(), Some(Duration::from_millis(40)));
        let (node, mut arrivals) = mpsc::channel(1);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let watch = runtime.spawn(async move { notify.watch(node).await });
        let answer = |arrival: Option<Arrival>| {
            let Some(Arrival::Asked(Ask::Status, reply)) = arrival else { panic!("{arrival:?}") };
            let report =
                Report { role: "idle".into(), addr: "here".into(), health: "ok".into(), ..Report::default() };
            // It is too late for the one that was not answered in time.
            let _ = reply.send(Ok(Answer::Status(Box::new(report))));
        };
        answer(arrivals.blocking_recv());
        assert_eq!(heard(&theirs), "WATCHDOG=1\nSTATUS=idle at here: ok");
        // Asked and not answered: nothing is said until the next question, which is.
        let unanswered = arrivals.blocking_recv();
        let next = arrivals.blocking_recv();
        theirs.set_nonblocking(true).unwrap();
        assert!(theirs.recv(&mut [0; 9]).is_err());
        theirs.set_nonblocking(false).unwrap();
        answer(unanswered);
        answer(next);
        assert!(heard(&theirs).starts_with("WATCHDOG=1"));
        watch.abort();
    }
}
