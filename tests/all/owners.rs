//! Two owners of one directory, on a file system that takes locks and does nothing: strace answers each flock in the
//! kernel's place, with success.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::market::{Market, Running, SOON, bazaar, kill, status, turn, until};

/// The older owner looks each second.
const NOTICED: Duration = Duration::from_secs(4);

fn without_locks(market: &Market, ready: &Path) -> Running {
    let program = bazaar(market.cwd());
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", "inject=flock:retval=0"]);
    command.arg(program.get_program()).current_dir(market.cwd());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["warehouse", "--listen", "127.0.0.1:0", "--ready-file"]).arg(ready);
    Running::start(command)
}

/// Ends the node itself when its test fails: strace would only let go of it.
struct Ends<'a>(&'a Market);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            kill(pid(self.0), Signal::KILL);
        }
    }
}

fn addr(node: &mut Running, ready: &Path) -> String {
    until("it serves", SOON, || {
        assert!(!node.has_ended(), "{}", node.stderr());
        fs::read_to_string(ready).ok()?.strip_suffix('\n').map(str::to_owned)
    })
}

fn pid(market: &Market) -> u32 {
    let json = fs::read(market.node_dir("warehouse").join("node.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&json).unwrap()["pid"].as_u64().unwrap() as u32
}

#[test]
fn of_two_owners_the_older_one_ends_though_no_lock_keeps_them_apart() {
    let _turn = turn();
    let market = Market::new();
    let at = |name: &str| market.cwd().join(name);
    let _ends = Ends(&market);
    let mut first = without_locks(&market, &at("first"));
    addr(&mut first, &at("first"));
    let one = pid(&market);
    let mut second = without_locks(&market, &at("second"));
    let began = until("the second one is named", SOON, || (pid(&market) != one).then(Instant::now));
    until("the first one ends", SOON, || first.has_ended().then_some(()));
    assert!(began.elapsed() < NOTICED, "it took {:?}", began.elapsed());
    let ended = first.wait(SOON).expect(7);
    for said in ["error: ", "has taken the directory", "locks do nothing", "\n  hint: ", "flock"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    let addr = addr(&mut second, &at("second"));
    assert!(status(&addr).is_some(), "the second one serves");
    kill(pid(&market), Signal::TERM);
    second.wait(SOON).expect(0);
    market.verify();
}
