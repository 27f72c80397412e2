//! Cut links: the two traders hear nothing of each other, while both are healthy and reach everybody else. One of them
//! is fenced, trade goes on, and when the link is whole again there is a pair again.
//!
//! A proxy stands in front of each trader (`--advertise`). It finds out which process dials through it, and cuts only
//! what goes between the two.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::by_hand::{ByHand, QUICK};
use super::market::{SOON, children, until};

const OPEN: u8 = 0;
/// Bytes stay where they are, and come when the link is whole again.
const SILENT: u8 = 1;
/// Connections end, and new ones end at once.
const RESET: u8 = 2;

/// What happens between the two traders, and how often it did.
#[derive(Default)]
struct Link {
    state: AtomicU8,
    cut: AtomicU64,
}

impl Link {
    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::SeqCst) == state
    }

    /// Waits while the link is silent; whether it may carry anything.
    fn carries(&self) -> bool {
        while self.is(SILENT) {
            self.cut.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
        }
        !self.is(RESET)
    }
}

/// The id of the peer that holds a socket from `from` to `to`, if one does.
fn dialer(from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let hex = |addr: SocketAddr| match addr {
        SocketAddr::V4(addr) => format!("{:08X}:{:04X}", u32::from_le_bytes(addr.ip().octets()), addr.port()),
        SocketAddr::V6(_) => unreachable!("the market listens at 127.x.y.z"),
    };
    let (from, to) = (hex(from), hex(to));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = table.lines().map(fields).find(|row| row.len() > 9 && row[1] == from && row[2] == to)?;
    let socket = format!("socket:[{}]", row[9]);
    let holds = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| *target == *socket)
    };
    let pid = children(std::process::id()).into_iter().find(holds)?;
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split('\0').skip_while(|word| *word != "--id");
    words.nth(1)?.parse().ok()
}

/// Carries connections from `at` to `target`, the node `id`; those of the other trader only while the link is whole.
fn proxy(link: Arc<Link>, at: &str, target: String, id: u32, other: u32) {
    let listener = TcpListener::bind(at).unwrap();
    std::thread::spawn(move || {
        for dialed in listener.incoming().flatten() {
            let (link, target) = (link.clone(), target.clone());
            std::thread::spawn(move || carry(&link, dialed, &target, id, other));
        }
    });
}

fn carry(link: &Arc<Link>, dialed: TcpStream, target: &str, id: u32, other: u32) {
    assert_ne!(id, other);
    let ends = (dialed.peer_addr(), dialed.local_addr());
    let (Ok(from), Ok(to)) = ends else { return };
    // A process that is gone already has nothing to say. A process that is no node is a test that asks for a status.
    let cut = (dialer(from, to) == Some(other)).then(|| link.clone());
    if cut.as_ref().is_some_and(|link| !link.carries()) {
        link.cut.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let Ok(target) = TcpStream::connect(target) else { return };
    for stream in [&dialed, &target] {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    }
    let (back, back_to, back_cut) = (target.try_clone().unwrap(), dialed.try_clone().unwrap(), cut.clone());
    std::thread::spawn(move || pump(back, back_to, back_cut.as_deref()));
    pump(dialed, target, cut.as_deref());
}

fn pump(mut from: TcpStream, mut to: TcpStream, cut: Option<&Link>) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock)
                    && cut.is_none_or(|link| !link.is(RESET)) =>
            {
                0
            }
            Err(_) => break,
        };
        if cut.is_some_and(|link| !link.carries()) {
            break;
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // Either may be gone already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// A market whose traders, 6 and 5, stand behind proxies.
fn behind_proxies() -> (ByHand, Arc<Link>) {
    let (mut hands, link) = (ByHand::empty(&QUICK), Arc::new(Link::default()));
    for (id, other) in [(5, 6), (6, 5)] {
        let (at, target) = (format!("{}:{}", hands.host, 9250 + id), hands.addr(id));
        proxy(link.clone(), &at, target, id, other);
        hands.advertise(id, at);
    }
    hands.start_in_order();
    (hands, link)
}

fn cut_and_heal(what: &str, how: u8) {
    let (hands, link) = behind_proxies();
    let before = hands.roster().unwrap();
    assert_eq!(link.cut.load(Ordering::SeqCst), 0);
    let cut = Instant::now();
    link.state.store(how, Ordering::SeqCst);
    let ended = until("one of the two is fenced", SOON, || {
        let roster = hands.roster()?;
        let ended = [&before.primary, &before.secondary].into_iter().flatten().filter(|old| {
            [&roster.primary, &roster.secondary]
                .into_iter()
                .flatten()
                .all(|new| new.peer != old.peer || new.process != old.process || new.term != old.term)
        });
        ended.map(|seat| seat.peer.0).next()
    });
    let took = hands.trade_goes_on(what, cut);
    assert!(link.cut.load(Ordering::SeqCst) > 0, "something was cut");
    let pair = until("a pair of traders that hear each other", SOON, || {
        let roster = hands.roster().filter(|roster| roster.paired)?;
        let pair = [roster.primary?.peer.0, roster.secondary?.peer.0];
        (pair != [6, 5] && pair != [5, 6]).then_some(pair)
    });
    let (paired, quiet) = (cut.elapsed(), hands.roster().unwrap().seq);
    // Long enough for a ping-pong to show.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(hands.roster().unwrap().seq, quiet, "offices stay as they are while the link is cut");
    hands.trade_goes_on("some time with a cut link", Instant::now());
    let fences = |hands: &ByHand| ByHand::rows(&hands.market, "fence");
    let during = fences(&hands);
    assert!(
        during.iter().filter(|row| [5, 6].contains(&row["trader"].as_u64().unwrap())).count() <= 3,
        "{during:?}"
    );
    link.state.store(OPEN, Ordering::SeqCst);
    let healed = Instant::now();
    hands.wait_for_pair();
    eprintln!(
        "worst day: {what}: {ended} fenced, {pair:?} a pair after {} ms, {} fences, a pair {} ms after healing",
        paired.as_millis(),
        during.len(),
        healed.elapsed().as_millis()
    );
    hands.trade_goes_on("the link is whole again", Instant::now());
    let market = hands.ends_well(what, took);
    let fences = ByHand::rows(&market, "fence");
    // Those of the clean end included.
    assert!(fences.len() <= during.len() + 4, "{fences:?}");
}

#[test]
fn traders_that_hear_nothing_of_each_other() {
    cut_and_heal("link between the traders silent", SILENT);
}

#[test]
fn traders_whose_connections_are_reset() {
    cut_and_heal("link between the traders reset", RESET);
}
