//! Too little memory, by a limit of the shell: refused in words before anything is begun, with a mend that mends. And a
//! node that ends on its own all the same: `up` says how.

use rustix::process::Signal;

use super::market::{Market, SOON, kill, shell, turn, until};

#[test]
fn an_address_space_that_is_too_small_is_refused_by_name() {
    let market = Market::new();
    for command in ["warehouse --listen 127.0.0.1:0", "peer --id 1", "up --base-port 0", "dump", "verify"] {
        let line = format!("ulimit -Sv 200000; bazaar {command}");
        let ended = shell(market.cwd(), &line).refused(1, "limited to 195 MiB, and a node needs 512 MiB");
        let mend = ended.stderr.rsplit_once("raise it in this shell: ").unwrap().1.trim();
        // With what the hint names it goes as far as it goes without any limit.
        let mended = shell(market.cwd(), &format!("ulimit -Sv 200000; {mend}; bazaar {command} --help"));
        assert_eq!(mended.code, 0, "{mended:?}");
        let hard = shell(market.cwd(), &format!("ulimit -v 200000; bazaar {command}"));
        assert!(hard.code == 1 && hard.stderr.contains("cannot be raised here"), "{hard:?}");
    }
    assert!(!market.dir().exists(), "nothing was begun");
    let mended = "ulimit -Sv 200000; ulimit -Sv 524288; bazaar verify";
    shell(market.cwd(), mended).refused(2, "holds no data");
}

#[test]
fn a_node_that_ends_on_its_own_is_said_to_have_aborted() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&["--buyers", "2", "--sellers", "1", "--interval", "5ms"]);
    up.wait_for_pair();
    let node = up.node("peer-1");
    kill(node.pid, Signal::ABORT);
    until("it is gone", SOON, || (!super::market::lives(node.pid)).then_some(()));
    // The death is told before what is traded after it.
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 20);
    let ended = up.interrupt().expect(0);
    assert!(ended.stderr.contains(&format!("(pid {}) ended by SIGABRT", node.pid)), "{}", ended.stderr);
}
