use super::*;
use crate::audit::fixture::Market;
use crate::model::row::Record;
use crate::types::{Number, OrderId, PeerId};

#[test]
fn a_missing_store_is_a_failure_only_when_all_are_required() {
    let mut alone: Vec<Source> = Market::lived().sources().into_iter().take(1).collect();
    let found = audit(&mut alone, 5).unwrap();
    assert_eq!(code(&found, &Check::ALL, true), exit::UNDETERMINED);
    assert_eq!(code(&found, &Check::ALL, false), exit::DONE);
}

#[test]
fn the_verdict_names_the_command_that_shows_the_case() {
    use clap::Parser as _;
    let cli =
        crate::cli::Cli::parse_from(["bazaar", "verify", "--data-dir", "here", "--check", "V03", "--json"]);
    let crate::cli::Command::Verify(args) = cli.command else { unreachable!("verify") };
    let mut market = Market::lived();
    let sales = market.ledger.iter_mut().flatten().filter_map(|record| match record {
        Record::Sale { decision, .. } => Some(decision),
        _ => None,
    });
    sales.skip(1).take(1).for_each(|sale| sale.order.id = OrderId { peer: PeerId(4), number: Number(1) });
    let mut out = Vec::new();
    assert_eq!(run(&args, &cli.global, market.sources(), &mut out), Ok(exit::BROKEN));
    let verdict: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(verdict["pass"], false);
    assert_eq!(verdict["checks"].as_array().unwrap().len(), 1);
    assert_eq!(verdict["checks"][0]["examples"][0]["command"], "bazaar dump --order 4-1 --data-dir here");
}
