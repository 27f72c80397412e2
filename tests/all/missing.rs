//! A market that cannot trade says so, with the command that helps; and `up` says what it does not heed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::market::{Market, SOON, copy_tree, until};

/// Silence looks like a market that is well.
#[test]
fn a_dead_warehouse_is_said_with_the_command_that_starts_it() {
    let market = Market::new();
    let up = market.start(&[]);
    up.wait_for_pair();
    up.kill("warehouse");
    let said = until("it is said that there is no warehouse", SOON, || {
        let stderr = up.stderr();
        stderr.lines().find(|line| line.contains("no warehouse for")).map(str::to_owned)
    });
    assert!(said.contains("orders wait"), "{said}");
    let bought = market.run(&["buy", "fish", "--deadline", "1s"]);
    assert_eq!(bought.code, 3, "{}", bought.stderr);
    assert!(bought.stderr.contains("the market is up without its warehouse"), "{}", bought.stderr);
    let of_up = said.split_once("start it with: ").unwrap().1;
    let of_buy = bought.stderr.split_once("start that again: ").unwrap().1.trim_end();
    for command in [of_up, of_buy] {
        let program = Path::new(env!("CARGO_BIN_EXE_bazaar")).parent().unwrap().display().to_string();
        let mut warehouse = Command::new("sh");
        warehouse.args(["-c", &format!("exec {command}")]).current_dir(market.cwd());
        warehouse.env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap()));
        let mut warehouse = warehouse.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("it is bought again", SOON, || {
            (market.run(&["buy", "fish", "--deadline", "2s"]).code == 0).then_some(())
        });
        warehouse.kill().unwrap();
        warehouse.wait().unwrap();
    }
}

#[test]
fn a_quiet_run_has_its_summary_and_other_goods_than_the_market_s_are_said_not_to_count() {
    let market = Market::new();
    let quiet = market.run(&["up", "--base-port", "0", "--requests", "1", "--quiet"]).expect(0);
    assert!(quiet.stdout.lines().any(|line| line.starts_with("orders ")), "{}", quiet.stdout);
    assert_eq!(quiet.stderr, "");
    let config = market.cwd().join("other");
    copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data"), &config);
    fs::write(config.join("stock.json"), r#"{"gold": {"quantity": 5, "price": 9}}"#).unwrap();
    let other = ["up", "--base-port", "0", "--requests", "1", "--config-dir", config.to_str().unwrap()];
    let said = market.run(&other).expect(0);
    assert!(said.stderr.contains("keeps its own goods and prices"), "{}", said.stderr);
}
