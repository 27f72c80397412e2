use super::*;

fn parse(line: &str) -> Result<Cli, Stop> {
    Cli::parse_from_args(line.split_whitespace().map(Into::into))
}

fn refusal(line: &str) -> String {
    let stop = parse(line).unwrap_err();
    assert_eq!(stop.exit, 2, "{line}");
    assert!(stop.text.starts_with("error: ") && stop.text.contains("\n  hint: "), "{line}: {}", stop.text);
    stop.text
}

#[test]
fn the_command_tree_is_sound() {
    command().debug_assert();
}

#[test]
fn up_has_the_documented_defaults() {
    let Command::Up(up) = parse("bazaar up").unwrap().command else { panic!("not up") };
    assert_eq!(up.shape(0), Shape::Configured { nodes: 6 });
    assert_eq!(up.shape(7), Shape::Configured { nodes: 7 }, "a market of seven, and nobody asked for six");
    assert_eq!((up.base_port, up.market.commission_percent), (7700, 5));
    assert_eq!(
        (up.shopper.quantity.to_string(), up.shopper.deposit.to_string()),
        ("1-3".into(), "5-20".into())
    );
    assert_eq!(up.timers.suspect_after, Duration::from_secs(5));
    let Command::Up(up) = parse("bazaar up --buyers 3 --sellers 2").unwrap().command else {
        panic!("not up")
    };
    assert_eq!(up.shape(0), Shape::Ring { buyers: 3, sellers: 2 });
}

#[test]
fn bad_values_are_refused_by_name() {
    let cases = [
        ("bazaar up --quantity 3-1", "'3-1' for '--quantity"),
        ("bazaar up --quantity 0", "'0' for '--quantity"),
        ("bazaar up --quantity -2", "'-2' for '--quantity"),
        ("bazaar up --deposit 5-2000000", "above the limit of 1000000"),
        ("bazaar up --heartbeat 0s", "'0s' for '--heartbeat"),
        ("bazaar up --suspect-after 0ms", "'0ms' for '--suspect-after"),
        ("bazaar up --base-port 65000", "'65000' for '--base-port"),
        ("bazaar up --commission-percent 101", "'101' for '--commission-percent"),
        ("bazaar up --log-size 1MB", "hint: write it like 64MiB"),
        ("bazaar warehouse --log-size 1KiB", "hint: use 64KiB to 64GiB"),
        ("bazaar join :7701 --id 7 --log-files -1", "hint: use 2 to 10"),
        ("bazaar up --nodes 1", "more traders than peers"),
        ("bazaar up --buyers 900 --sellers 99", "exceed 1000 peers"),
        ("bazaar up --buyers 3", "--sellers"),
        ("bazaar up --consistency strict", "not a consistency mode"),
        ("bazaar release --term 3 --accept-los", "--accept-loss"),
        ("bazaar mode eventual", "not a consistency mode"),
        ("bazaar buy fish=0", "at least 1 piece"),
        ("bazaar buy fish=-1", "'fish=-1'"),
        ("bazaar sell fish", "hint: write it like fish=10"),
        ("bazaar peer --id 1001", "'1001' for '--id"),
        ("bazaar peer --id 1 --role boss", "buyer, seller, idle"),
        ("bazaar dump ledgr", "ledger"),
        ("bazaar dump ledger --at 3", "--at"),
        ("bazaar dump --from 9 --to 3", "--from 9 is above --to 3"),
        ("bazaar dump inventory --tail 3", "--tail shows rows of the ledger"),
        ("bazaar dump ledger --tail 3 --reverse", "--reverse"),
        ("bazaar dump ledger --since 2026-11-25T10:00Z --until 2026-11-25T09:59Z", "swap them"),
        ("bazaar dump ledger --since yesterday", "write it like 1h or 2026-11-25T10:00Z"),
        ("bazaar verify --check V13", "V01 to V12"),
        ("bazaar simulate --seeds 9..3", "'9..3' for '--seeds"),
        ("bazaar simulate --seed 1 --peers 2", "'2' for '--peers"),
        ("bazaar simulate --seed 1 --faults flood", "'flood' for '--faults"),
        ("bazaar simulate --seed 1 --jobs 0", "'0' for '--jobs"),
        ("bazaar simulate", "--seed"),
        ("bazaar statsu", "status"),
        ("bazaar stop", "Ctrl-C"),
        ("bazaar buy fish 3", "hint: bazaar buy fish=3"),
        ("bazaar buy fish=3 salt=2", "one good an order"),
        (
            "bazaar dump --data-dir a b",
            "hint: each directory has a flag of its own: --data-dir a --data-dir b",
        ),
        ("bazaar verify --data-dir a b", "--data-dir a --data-dir b"),
        ("bazaar buy fish --since 1h", "hint: bazaar buy --help"),
        (
            "bazaar dump --kind sale",
            "hint: name a view that is made of rows, as in: bazaar dump ledger --kind",
        ),
        ("bazaar dump meta --reverse", "--reverse chooses rows"),
        ("bazaar dump --order 4-1 --kind sale", "--kind does nothing beside --order"),
        ("bazaar dump ledger --json --format csv", "--json prints one object, and --format csv prints csv"),
        ("bazaar status --interval 2s", "--watch"),
        ("bazaar status --watch --interval 0s", "must be above 0"),
        ("bazaar verify --check V01 --skip V01", "leaves no check"),
        ("bazaar dump ledger --wide --format csv", "--wide is for tables"),
        ("bazaar dump ledger --columns seq --json", "hint: add --format csv"),
        ("bazaar peer", "hint: bazaar peer --help"),
    ];
    for (line, named) in cases {
        let text = refusal(line);
        assert!(text.contains(named), "{line}: {text} lacks {named}");
    }
}

#[test]
fn help_begins_with_examples_and_hides_what_up_passes() {
    let help = parse("bazaar peer --help").unwrap_err();
    assert_eq!(help.exit, 0);
    assert!(help.text.starts_with("Examples:"));
    assert!(!help.text.contains("--requests") && !help.text.contains("--parent-pipe"));
    assert!(!parse("bazaar --help").unwrap_err().text.contains("bench-load"));
    assert!(
        parse("bazaar peer --id 3 --requests 5 --parent-pipe --neighbour 2=:7702 --cluster 3f2a").is_ok()
    );
    assert_eq!(parse("bazaar -V").unwrap_err().text, format!("bazaar {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn lists_may_be_repeated_or_joined() {
    let Command::Verify(verify) = parse("bazaar verify --check V03,v04 --skip V04").unwrap().command else {
        panic!("not verify")
    };
    assert!(verify.wants(3) && !verify.wants(4) && !verify.wants(5));
    let Command::Dump(dump) =
        parse("bazaar dump --data-dir a --data-dir b orders --data-dir c --kind buy,sell").unwrap().command
    else {
        panic!("not dump")
    };
    assert_eq!(dump.stores.target(), Target::Dirs(vec!["a".into(), "b".into(), "c".into()]));
    assert_eq!(dump.filter.kind, ["buy", "sell"]);
    assert_eq!(dump.limit(), 50);
}

#[test]
fn the_ready_file_is_found_whatever_else_is_wrong() {
    let found = |line: &str| {
        let args: Vec<_> = line.split(' ').map(Into::into).collect();
        ready_file_of(&args).map(|path| path.display().to_string())
    };
    for line in
        ["bazaar peer --frsh --ready-file a/b --id", "bazaar --josn warehouse --id x --ready-file=a/b"]
    {
        assert_eq!(found(line).as_deref(), Some("a/b"), "{line}");
    }
    for line in ["bazaar join", "bazaar peer --ready-file", "bazaar up --ready-file a", "bazaar", ""] {
        assert_eq!(found(line), None, "{line}");
    }
}

/// Two markets on a machine do not meet.
#[test]
fn a_peer_listens_beside_its_warehouse() {
    let listens = |line: &str, warehouse: &str| match parse(line).unwrap().command {
        Command::Peer(peer) => peer.listen(warehouse).to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(listens("bazaar peer --id 7", "market.example:7850"), "127.0.0.1:7857");
    assert_eq!(listens("bazaar peer --id 7", "127.0.0.1:65535"), "127.0.0.1:7707", "there is no such port");
    assert_eq!(listens("bazaar peer --id 7 --listen 10.0.0.5:9000", "127.0.0.1:7850"), "10.0.0.5:9000");
}
