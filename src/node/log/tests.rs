use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::limits::{LOG_FILES_MAX, LOG_ROTATE_AGAIN_AFTER};

const BOUNDS: Bounds = Bounds { size: 1_000, files: 4 };

fn files(path: &Path) -> Files {
    Files::open(path, BOUNDS).unwrap()
}

/// A line of 20 bytes.
fn line(number: u64) -> String {
    format!("line {number:>14}\n")
}

fn append(files: &mut Files, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| files.append(&line(number), Instant::now()).unwrap());
}

fn log_in(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The files of a log that are there, the oldest first.
fn there(dir: &Path) -> Vec<PathBuf> {
    let older = (1..LOG_FILES_MAX).rev().map(|number| dir.join(format!("log.{number}")));
    older.chain([log_in(dir)]).filter(|path| path.exists()).collect()
}

/// The numbers of all lines, the oldest first; each line must be whole.
fn numbers(dir: &Path) -> Vec<u64> {
    let texts = there(dir).into_iter().map(|path| fs::read_to_string(path).unwrap());
    let text: String = texts.collect();
    let number = |line: &str| line.strip_prefix("line ").unwrap().trim_start().parse().unwrap();
    text.lines().map(number).collect()
}

#[test]
fn a_log_is_rotated_at_its_bound_and_no_larger_than_all_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(&log_in(dir.path()));
    append(&mut files, 0..50);
    assert_eq!(there(dir.path()).len(), 1, "1,000 bytes fit one file");
    append(&mut files, 50..51);
    assert_eq!(there(dir.path()).len(), 2);
    append(&mut files, 51..10_000);
    let sizes: Vec<u64> = there(dir.path()).iter().map(|path| path.metadata().unwrap().len()).collect();
    assert_eq!(sizes, [1_000, 1_000, 1_000, 1_000], "{:?}", there(dir.path()));
    assert_eq!(numbers(dir.path()), (9_800..10_000).collect::<Vec<_>>());
    assert!(crate::journal::is_nodes(dir.path()), "these are names of a node's directory");
}

#[test]
fn a_line_above_the_bound_has_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(&log_in(dir.path()));
    for length in [10, 2_000, 10] {
        files.append(&"x".repeat(length), Instant::now()).unwrap();
    }
    let sizes: Vec<u64> = there(dir.path()).iter().map(|path| path.metadata().unwrap().len()).collect();
    assert_eq!(sizes, [10, 2_000, 10]);
}

#[test]
fn files_beyond_a_smaller_bound_go_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    append(&mut files(&log_in(dir.path())), 0..1_000);
    let mut files = Files::open(&log_in(dir.path()), Bounds { files: 2, ..BOUNDS }).unwrap();
    append(&mut files, 1_000..1_010);
    assert_eq!(numbers(dir.path()), (950..1_010).collect::<Vec<_>>());
}

/// Every prefix of a rotation's steps, with 1 to 4 files before it: each line that was there is there, and the next
/// process goes on with the same files.
#[test]
fn a_rotation_that_is_cut_off_between_two_steps_loses_no_line() {
    for (lines, cut) in (1..6).flat_map(|full| (0..6).map(move |cut| (full * 50, cut))) {
        let dir = tempfile::tempdir().unwrap();
        let mut before = files(&log_in(dir.path()));
        append(&mut before, 0..lines);
        let (was, all) = (numbers(dir.path()), before.renames());
        before.next().unwrap();
        all.iter().take(cut).for_each(|(from, to)| fs::rename(from, to).unwrap());
        // The oldest file goes in the first step.
        let goes = if was.len() == 200 && cut > 0 { 50 } else { 0 };
        assert_eq!(numbers(dir.path()), was[goes..], "{lines} lines, cut behind step {cut}");
        let mut after = files(&log_in(dir.path()));
        append(&mut after, lines..lines + 10);
        let now = numbers(dir.path());
        assert!(now.len() >= was.len().min(150) + 10, "{lines} lines, cut behind step {cut}: {now:?}");
        assert_eq!(now, (lines + 10 - now.len() as u64..lines + 10).collect::<Vec<_>>());
        assert!(there(dir.path()).len() <= 4 && crate::journal::is_nodes(dir.path()));
    }
}

/// Names the directory to the process that [`killed_while_it_rotates_a_process_loses_no_line`] starts.
const WRITES_IN: &str = "BAZAAR_TEST_LOG_DIR";

/// Runs in a process of its own, and does nothing in any other.
#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(WRITES_IN) else { return };
    let mut files = files(&log_in(Path::new(&dir)));
    for number in numbers(Path::new(&dir)).last().map_or(0, |last| last + 1).. {
        files.append(&line(number), Instant::now()).unwrap();
        // stdout is the test harness's.
        writeln!(io::stderr(), "{number}").unwrap();
    }
}

#[test]
fn killed_while_it_rotates_a_process_loses_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for lines in 0..12_u64 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "node::log::tests::writes_until_it_is_killed", "--nocapture"])
            .env(WRITES_IN, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(process.stderr.take().unwrap()).lines();
        // Another place in the cycle of 50 lines each time. The pipe holds the process up: it is near what was read.
        let mut told = told.map(|line| line.unwrap());
        last = told.nth(197 + 37 * lines as usize).unwrap().parse().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        last = told.filter_map(|line| line.parse().ok()).last().unwrap_or(last);
        let kept = numbers(dir.path());
        let written = *kept.last().unwrap();
        assert!(written == last || written == last + 1, "{last} was written, {written} is there");
        assert!(kept.len() >= 100 && there(dir.path()).len() <= 4, "{} lines", kept.len());
        assert_eq!(kept, (written + 1 - kept.len() as u64..=written).collect::<Vec<_>>());
    }
    assert!(last > 1_000);
}

#[test]
fn without_a_rotation_a_log_grows_to_twice_its_bound_and_is_rotated_later() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, now) = (files(&log_in(dir.path())), Instant::now());
    // What stands there cannot be removed as a file, and no file takes its place.
    fs::create_dir(dir.path().join("log.tmp")).unwrap();
    let mut written = 0;
    let error = loop {
        match files.append(&line(written), now) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(written, 100);
    assert!(error.to_string().starts_with("no other file can take its place: "), "{error}");
    fs::remove_dir(dir.path().join("log.tmp")).unwrap();
    assert!(files.append(&line(100), now).is_err(), "it is not tried at every line");
    files.append(&line(100), now + LOG_ROTATE_AGAIN_AFTER).unwrap();
    assert_eq!((numbers(dir.path()).len(), there(dir.path()).len()), (101, 2));
}

fn lines(out: Out) -> Lines {
    Lines::new(Style::Pretty, out, Duration::from_millis(20))
}

/// Without the times.
fn said(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split_once("Z ").map_or(line, |(_, said)| said).to_owned()).collect()
}

#[test]
fn a_log_on_a_full_disk_counts_what_it_lost() {
    let (dir, now) = (tempfile::tempdir().unwrap(), Instant::now());
    let full = Files::open(Path::new("/dev/full"), BOUNDS).unwrap();
    let mut lines = lines(Out::Files(full));
    for line in [" INFO a", " INFO b", " INFO b", " INFO c"] {
        lines.say(line, now);
    }
    lines.out = Out::Files(files(&log_in(dir.path())));
    lines.say(" INFO d", now);
    lines.say(" INFO e", now);
    let why = "No space left on device (os error 28)";
    let lost = format!(" WARN 4 lines of this log were lost: {why}");
    assert_eq!(said(&log_in(dir.path())), ["", &lost, " INFO d", " INFO e"]);
}

#[test]
fn what_is_held_is_written_in_time_and_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_in(dir.path());
    let log = Log::new(lines(Out::Files(files(&path))));
    let held = log.clone();
    std::thread::spawn(move || held.release_when_due());
    (0..3).for_each(|_| log.say(" INFO a\n"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while said(&path).len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", said(&path));
        std::thread::yield_now();
    }
    assert_eq!(said(&path), [" INFO a", " ... repeated 2 times"]);
    log.lock().repeats = Repeats::new(Duration::from_secs(600));
    (0..2).for_each(|_| log.say(" INFO b\n"));
    log.lock().release(Instant::now());
    assert_eq!(said(&path)[2..], [" INFO b", " ... repeated 1 time"]);
}

#[test]
fn a_log_that_stderr_is_not_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    File::create(log_in(dir.path())).unwrap();
    assert!(Files::of_stderr(&log_in(dir.path()), BOUNDS).is_none());
    assert!(Files::of_stderr(&dir.path().join("none"), BOUNDS).is_none());
}
