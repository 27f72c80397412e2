use super::*;

fn batch(seeds: RangeInclusive<u64>, jobs: u32) -> Report {
    Batch { seeds, jobs, until_failure: false }.run(&Options::default(), |_| ())
}

#[test]
fn two_hundred_seeds_pass() {
    let report = batch(1..=200, 2);
    assert_eq!((report.seeds, &report.failed[..]), (200, &[][..]));
    assert_eq!(report.missing(&Options::default()), [""; 0], "what never happened is not tried");
    assert!(report.orders >= 200 * 200, "{} orders are no load", report.orders);
    let faults: u64 = report.faults.values().sum();
    assert!(faults >= 500 && report.marks[&Mark::ClientAnswered] >= 50, "{report:?}");
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in [3, 7] {
        let (one, other) = (run(seed, &Options::default()), run(seed, &Options::default()));
        assert_eq!(one, other);
        assert_eq!(
            one.hash,
            run(seed, &Options { trace: true, ..Options::default() }).hash,
            "looking changes nothing"
        );
    }
    assert_ne!(run(3, &Options::default()).hash, run(4, &Options::default()).hash);
}

#[test]
fn threads_change_nothing() {
    assert_eq!(batch(1..=12, 1), batch(1..=12, 2));
}

#[test]
fn a_panic_is_a_failure_like_others() {
    let (failed, orders, ..) = guarded(|| panic!("of {}", "old age"));
    assert_eq!((failed, orders), (Some(Failure::new("panic", "of old age")), 0));
}

/// Schedules that failed once, shortened: a file each, with what it found. They run for ever.
#[test]
fn schedules_that_failed_once_pass() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seeds");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let line = text.lines().find(|line| !line.starts_with("//")).unwrap();
        let schedule: Schedule = line.parse().unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let failed = play(&schedule, Show::default()).failed;
        assert_eq!(failed, None, "bazaar simulate --schedule @{}", file.display());
    }
}

/// What strangers do, and what comes of it, is drawn from the schedule alone.
#[test]
fn a_seed_with_people_is_the_same_run_every_time() {
    let faults = vec![Kind::Client, Kind::AskAgain, Kind::Stranger, Kind::Repeat];
    let options = Options { faults, orders: 60, ..Options::default() };
    for seed in 1..=6 {
        assert_eq!(run(seed, &options), run(seed, &options));
    }
}
