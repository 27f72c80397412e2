use super::*;
use crate::audit::fixture::{Market, Memory, chain};
use crate::audit::{StockCache, audit};
use crate::model::row::Record;
use crate::types::{Number, OrderId, PeerId, Quantity, Seq, Term};

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

#[test]
fn what_was_verified_is_not_looked_at_again() {
    use clap::Parser as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("verified");
    let line = ["bazaar", "verify", "--data-dir", "here", "--json", "--resume", file.to_str().unwrap()];
    let cli = crate::cli::Cli::parse_from(line);
    let crate::cli::Command::Verify(args) = cli.command else { unreachable!("verify") };
    let verify = |market: &Market| {
        let mut out = Vec::new();
        let code = run(&args, &cli.global, market.stores(), &mut out)?;
        let verdict: serde_json::Value = serde_json::from_slice(&out).unwrap();
        Ok::<_, Failure>((code, verdict["resumed_from"].as_u64().unwrap()))
    };
    let mut market = Market::lived();
    let rows = |market: &Market| market.ledger.concat().len() as u64;
    assert_eq!(verify(&market).unwrap(), (exit::DONE, 0), "there is no file yet");
    let before = rows(&market);
    market.trade(5, 3, &[(1, crate::audit::fixture::BUY, 0, 1)]);
    assert_eq!(verify(&market).unwrap(), (exit::DONE, before));
    assert_eq!(verify(&market).unwrap(), (exit::DONE, rows(&market)));
    assert_eq!(verify(&Market::lived()).unwrap(), (exit::DONE, 0), "an older copy of the stores");

    let kept = std::fs::read(&file).unwrap();
    std::fs::write(&file, &kept[..kept.len() - 1]).unwrap();
    assert_eq!(verify(&market).unwrap(), (exit::DONE, 0), "a damaged file");
    market.ledger.pop();
    let good = std::fs::read(&file).unwrap();
    assert_eq!(verify(&market).unwrap(), (exit::BROKEN, 0));
    assert_eq!(std::fs::read(&file).unwrap(), good, "what was not found sound is not kept");

    std::fs::write(&file, "a letter to a friend").unwrap();
    let refused = verify(&market).unwrap_err();
    assert_eq!(refused.exit, exit::USAGE, "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a letter to a friend");
}

/// The last line is the one that people look at.
#[test]
fn the_verdict_is_the_last_line() {
    let verdict = |line: &str, market: &Market| {
        let cli = crate::cli::Cli::parse_from_args(line.split(' ').map(Into::into)).unwrap();
        let crate::cli::Command::Verify(args) = &cli.command else { unreachable!("verify") };
        let mut out = Vec::new();
        let code = run(args, &cli.global, market.sources(), &mut out).unwrap();
        (code, String::from_utf8(out).unwrap().lines().last().unwrap().to_owned())
    };
    let mut market = Market::lived();
    // At its end each peer has seen the ledger.
    let rows = market.journals.len()
        + market.ledger.concat().len()
        + market.journals.values().flatten().map(Vec::len).sum::<usize>();
    let ok = format!("ok: 11 checks, {rows} rows, 1 not checked");
    assert_eq!(verdict("bazaar verify", &market), (exit::DONE, ok));
    let ok = format!("ok: 1 check, {rows} rows");
    assert_eq!(verdict("bazaar verify --check V03", &market), (exit::DONE, ok));
    let sales = market.ledger.iter_mut().flatten().filter_map(|record| match record {
        Record::Sale { decision, .. } => Some(decision),
        _ => None,
    });
    sales.skip(1).take(1).for_each(|sale| sale.order.id = OrderId { peer: PeerId(4), number: Number(1) });
    let (code, line) = verdict("bazaar verify --check V03,V08", &market);
    assert_eq!(code, exit::BROKEN);
    assert!(line.starts_with("FAILED: V03 ("), "{line}");
}

/// The trader of a term that has the stock after row 3, while the ledger goes on.
fn with_cache_of(term: u64) -> Audit {
    let (blocks, tip) = chain(&Market::lived().ledger);
    let cache = StockCache { term: Term(term), seq: Seq(3), stock: [111, 43, 28].map(Quantity).to_vec() };
    let mut memory = Memory { meta: Default::default(), blocks, cache: Some(cache) };
    memory.meta.mark = Some((tip.seq, tip.hash));
    audit(&mut [Box::new(memory) as Source], 5).unwrap()
}

#[test]
fn a_cache_that_lacks_rows_is_looked_at_until_its_term_is_over_or_for_good() {
    let looked_at = |deposed_at: u32| {
        let (mut found, mut looks) = (with_cache_of(3), 1);
        let look = || {
            looks += 1;
            Ok(with_cache_of(if looks < deposed_at { 3 } else { 1 }))
        };
        look_again(&mut found, Duration::ZERO, look).unwrap();
        (looks, found.of(Check::Caches).failed)
    };
    assert_eq!(looked_at(7), (7, 0));
    assert_eq!(looked_at(u32::MAX), (LOOKS_MAX, 1));
}
