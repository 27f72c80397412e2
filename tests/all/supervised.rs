//! What those who start nodes rely on: the ready file tells of this start and of no earlier one, and a supervisor with a
//! notify socket hears what is true.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::market::{Market, Running, SOON, bazaar, children, kill, shell, turn, until};

#[test]
fn a_start_that_fails_leaves_no_ready_file_of_an_earlier_one() {
    let market = Market::new();
    let ready = market.cwd().join("ready");
    fs::write(market.cwd().join("file"), "").unwrap();
    fs::create_dir(market.cwd().join("theirs")).unwrap();
    fs::write(market.cwd().join("theirs/letter"), "").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let cases = [
        (2, "peer --ready-file ready".to_owned()),
        (2, "warehouse --listen nowhere --ready-file=ready".to_owned()),
        (2, "warehouse --suspect-after 10ms --ready-file ready".to_owned()),
        (2, "warehouse --ready-file ready --config-dir absent".to_owned()),
        (2, "warehouse --ready-file ready --listen 127.0.0.1:0 --data-dir file".to_owned()),
        (7, "warehouse --ready-file ready --listen 127.0.0.1:0 --data-dir theirs".to_owned()),
        (1, format!("warehouse --ready-file ready --listen {taken}")),
        (3, "join 127.0.0.1:1 --id 7 --ready-file ready".to_owned()),
    ];
    for (code, line) in cases {
        fs::write(&ready, "127.0.0.1:1\n").unwrap();
        shell(market.cwd(), &format!("bazaar {line}")).expect(code);
        assert!(!ready.exists(), "{line}");
    }
    // What cannot be written is refused before anything starts, not when all others count on the node.
    let ended = shell(market.cwd(), "bazaar warehouse --listen 127.0.0.1:0 --ready-file absent/ready");
    ended.refused(2, "--ready-file absent/ready");
    assert!(!market.dir().exists());
}

/// A supervisor's socket.
struct Supervisor {
    socket: UnixDatagram,
    name: String,
}

impl Supervisor {
    fn new(dir: Option<&Path>) -> Supervisor {
        let (addr, name) = match dir {
            Some(dir) => {
                let path = dir.join("notify");
                (SocketAddr::from_pathname(&path).unwrap(), path.to_str().unwrap().to_owned())
            }
            None => {
                let name = format!("bazaar-test-{}", fastrand::u64(..));
                (SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}"))
            }
        };
        let socket = UnixDatagram::bind_addr(&addr).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Supervisor { socket, name }
    }

    fn start(&self, market: &Market, args: &[&str]) -> Running {
        let mut command = bazaar(market.cwd());
        command.args(args).env("NOTIFY_SOCKET", &self.name).env("WATCHDOG_USEC", "400000");
        Running::start(command)
    }

    fn heard(&self) -> String {
        let mut bytes = [0; 512];
        let read = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    /// Everything up to this.
    fn heard_until(&self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        while !all.last().is_some_and(|it: &String| it.contains(last)) {
            all.push(self.heard());
        }
        all
    }
}

#[test]
fn a_supervisor_hears_that_a_node_serves_gets_on_and_stops() {
    let _turn = turn();
    let market = Market::new();
    for (supervisor, lives) in [(Supervisor::new(None), 1), (Supervisor::new(Some(market.cwd())), 2)] {
        let node = supervisor.start(&market, &["warehouse", "--listen", "127.0.0.1:0"]);
        let first = supervisor.heard();
        assert!(first.starts_with("READY=1\nSTATUS=at 127.0.0.1:"), "{first}");
        assert_eq!(node.stdout().lines().count(), 1, "it said that it serves, in life {lives}");
        let began = Instant::now();
        for _ in 0..5 {
            let alive = supervisor.heard();
            assert!(alive.starts_with("WATCHDOG=1\nSTATUS=warehouse at 127.0.0.1:"), "{alive}");
            assert!(alive.ends_with(": no trader in office"), "{alive}");
        }
        // The first comes at once, the others each half of the watchdog's time.
        let took = began.elapsed();
        assert!(took > Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
        node.signal(Signal::TERM);
        supervisor.heard_until("STOPPING=1");
        node.wait(SOON).expect(0);
    }
}

#[test]
fn a_supervisor_of_up_hears_of_up_alone() {
    let _turn = turn();
    let market = Market::new();
    let supervisor = Supervisor::new(None);
    let up = supervisor.start(&market, &["up", "--base-port", "0", "--json"]);
    let mut heard: Vec<String> = (0..4).map(|_| supervisor.heard()).collect();
    kill(up.pid(), Signal::INT);
    heard.extend(supervisor.heard_until("STOPPING=1"));
    up.wait(SOON).expect(0);
    assert!(heard[0].starts_with("READY=1\nSTATUS=7 nodes, 0 dead, warehouse at 127.0.0.1:"), "{heard:?}");
    // Its nodes do not speak, or there would be other words and more of them.
    let alive = heard[1..heard.len() - 1].iter();
    assert!(alive.clone().all(|it| it.starts_with("WATCHDOG=1\nSTATUS=7 nodes")), "{heard:?}");
    supervisor.socket.set_nonblocking(true).unwrap();
    assert!(supervisor.socket.recv(&mut [0; 9]).is_err(), "somebody spoke after it had stopped");
}

#[test]
fn a_supervisor_that_is_not_there_costs_nothing() {
    let _turn = turn();
    let market = Market::new();
    for name in ["/nowhere/notify", "@bazaar-nobody", "", "vsock:2:1234"] {
        let mut command = bazaar(market.cwd());
        command.args(["warehouse", "--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", name);
        let node = Running::start(command);
        until("it serves", SOON, || node.stdout().contains("recovered").then_some(()));
        node.signal(Signal::TERM);
        node.wait(SOON).expect(0);
    }
    let mut command = bazaar(market.cwd());
    command.args(["up", "--base-port", "0"]).env("NOTIFY_SOCKET", "/nowhere/notify");
    let up = Running::start(command);
    until("its nodes run", SOON, || {
        (children(up.pid()).len() == 7 && market.cluster().is_some()).then_some(())
    });
    kill(up.pid(), Signal::INT);
    up.wait(SOON).expect(0);
}
