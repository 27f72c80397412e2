//! `bazaar backup` and `restore`: a whole copy of the warehouse's ledger, and putting one in the place of a lost store.
//!
//! In: the warehouse's store, or the running warehouse, which is asked for its durable blocks; at restore a backup. Out:
//! a warehouse's directory with the blocks as they are. A restored one ends in a `restored` row that names its
//! generation: from there on no number, term or office of the lost part is believed by anybody. That row is in the store
//! before the store is in its place, so that a restored ledger without it is never served.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::market::ClusterJson;
use super::output::{Failure, counted, exit, json_line, note};
use super::progress::Progress;
use super::rows::generation_id;
use super::source::open_offline;
use super::{generation, live};
use crate::audit::{BlockSource, Folded, Source, SourceMeta};
use crate::cli::{BackupArgs, Global, RestoreArgs};
use crate::journal::{BACKUP, Birth, Block, CopyError, NodeDir, OpenError, StoreCopy, mend};
use crate::model::market::Market;
use crate::model::row::Record;
use crate::node::boot::{self, new_token};
use crate::node::wall_now;
use crate::types::{Generation, Hash, PeerId, SecretKey, Seq, Stamp, WallMicros};

/// What a warehouse's store is made as.
const ROLE: &str = "warehouse";
const NO_KEY: &str = "the warehouse's key is not in this backup: a warehouse that is restored from it draws another. \
                      For the key name the directory with --data-dir, and not a node with --connect";

/// Copies the ledger of a running or a stopped warehouse.
///
/// # Errors
/// There is no warehouse, its ledger is damaged, or the copy cannot be written.
pub fn backup(args: &BackupArgs, global: &Global) -> Result<u8, Failure> {
    refuse_full(args)?;
    let began = Instant::now();
    let mut source = match &args.connect {
        Some(addr) => live::warehouse_at(&addr.to_string(), global)?,
        None => live::ledger_in(&warehouse_dir(&args.data_dir)?, &args.archive, global)?,
    };
    let cluster = source.meta().cluster.clone();
    let key = source.key().or_else(|| running_key(args));
    if key.is_none() && !global.quiet {
        note(NO_KEY);
    }
    let archived = source.archived_to();
    let (copied, written) = copy(source.as_mut(), &args.out, key, &[BACKUP])?;
    let clock = copied.clock;
    written.finish(clock)?;
    let Copied { last, generation, .. } = copied;
    let (out, seconds) = (args.out.display().to_string(), began.elapsed().as_secs_f64());
    let rows = last.0 - archived.0;
    let object = json!({
        "cluster": cluster, "rows": rows, "last_seq": last.0, "archived_to": archived.0,
        "generation": generation.count, "out": out, "seconds": seconds,
    });
    let lacks = match archived {
        Seq(0) => String::new(),
        to => format!("; those up to {to} are in archives that were not named"),
    };
    let line = format!(
        "{} of cluster {cluster}, up to row {last}, are in {out} ({seconds:.2} s){lacks}",
        counted(rows, "row")
    );
    say(global, object, &line)
}

/// Puts a backup in the place of a lost store.
///
/// # Errors
/// The loss was not accepted, a store is there, the backup is damaged or none, or the store cannot be written.
pub fn restore(args: &RestoreArgs, global: &Global) -> Result<u8, Failure> {
    restore_at(wall_now(), args, global)
}

/// The time is that of the row, for people. No number comes from it: clocks go back.
fn restore_at(now: WallMicros, args: &RestoreArgs, global: &Global) -> Result<u8, Failure> {
    if !args.accept_loss {
        let what = "restore puts an older ledger in place: what came after the backup is lost, though some were told of it";
        return Err(Failure::new(exit::USAGE, what).hint(format!("say that this is meant: {}", typed(args))));
    }
    let into = target(&args.data_dir);
    let from = warehouse_dir(&args.from)?;
    let mut source = Progress::new(global).watch(a_backup(&from, &into)?);
    let cluster = source.meta().cluster.clone();
    refuse_target(&from, &into, args, &cluster)?;
    let generation = next_generation(source.as_mut(), args, global)?;
    let key = source.key();
    let (copied, mut written) = copy(source.as_mut(), &into, key, &[])?;
    let clock = copied.clock_in(generation);
    let restored = Record::Restored { generation, clock };
    written.append(&restored, now).map_err(|error| writing(&error))?;
    let tip = written.finish(clock)?;
    let object = json!({
        "cluster": cluster, "rows": copied.last.0, "restored_seq": tip.seq.0, "generation": generation.count,
        "generation_id": generation_id(generation),
        "lost_from": tip.seq.0, "backup_until": copied.time.to_string(),
        "from": args.from.display().to_string(), "into": into.display().to_string(),
    });
    let line = format!(
        "restored {}, until {}, into {}: generation {generation}\n\
         what the lost ledger had from row {} on is lost; bazaar verify counts it apart",
        counted(copied.last.0, "row"),
        copied.time,
        into.display(),
        tip.seq
    );
    say(global, object, &line)
}

/// The command as it should have been typed.
fn typed(args: &RestoreArgs) -> String {
    let (from, data_dir) = (mend::word(&args.from), mend::word(&args.data_dir));
    format!("bazaar restore --from {from} --data-dir {data_dir} --accept-loss{}", above(args))
}

fn above(args: &RestoreArgs) -> String {
    args.above.map_or(String::new(), |above| format!(" --above {above}"))
}

fn say(global: &Global, object: serde_json::Value, line: &str) -> Result<u8, Failure> {
    let text = if global.json { json_line(object) } else { line.to_owned() };
    writeln!(std::io::stdout(), "{text}").map_err(Failure::writing)?;
    Ok(exit::DONE)
}

/// The generation after all that the backup, the stores of the market and `--above` know of.
fn next_generation(
    backup: &mut dyn BlockSource,
    args: &RestoreArgs,
    global: &Global,
) -> Result<Generation, Failure> {
    let above = args.above.unwrap_or_default();
    if !Generation::is_possible(above) {
        return Err(Failure::new(exit::USAGE, format!("--above {above}: no ledger has that generation"))
            .hint("see which one a node knows with bazaar dump meta or bazaar status --json"));
    }
    let known = generation::of(backup)?.count;
    let seen = known.max(above).max(generation::seen_in(&args.data_dir, global)?);
    let count = Generation::count_after(seen).ok_or_else(|| {
        Failure::new(
            exit::NO,
            format!("there is no generation after {seen}: this ledger was restored too often"),
        )
        .hint(
            "begin another market in an empty directory; this one stays readable: \
                 bazaar dump and bazaar verify with --data-dir",
        )
    })?;
    boot::new_generation(count).map_err(|error| Failure::new(exit::FAILURE, error.to_string()))
}

// ---- which directories

/// The warehouse's directory: DIR itself, or the one in the market's directory DIR.
pub(super) fn warehouse_dir(dir: &Path) -> Result<PathBuf, Failure> {
    if dir.is_file() {
        return Err(OpenError::NotADirectory(dir.to_owned()).into());
    }
    let within = dir.join(ROLE);
    Ok(if within.is_dir() { within } else { dir.to_owned() })
}

/// The key of a warehouse that runs and is asked for its blocks: it never leaves its directory but by this copy of it.
fn running_key(args: &BackupArgs) -> Option<SecretKey> {
    let dir = warehouse_dir(&args.data_dir).ok().filter(|_| args.connect.is_none())?;
    NodeDir::new(&dir).read_key()
}

/// Where the restored store goes: DIR itself if it is a warehouse's directory or has such a name; else the warehouse's
/// directory in the market DIR.
fn target(dir: &Path) -> PathBuf {
    let node = ["node.json", "mark", "store", "store.tmp"].iter().any(|name| dir.join(name).exists());
    if node || dir.file_name().is_some_and(|name| name == ROLE) { dir.to_owned() } else { dir.join(ROLE) }
}

fn refuse_full(args: &BackupArgs) -> Result<(), Failure> {
    let out = &args.out;
    let refused = |what: String| {
        let source = match &args.connect {
            Some(addr) => format!("--connect {addr}"),
            None => format!("--data-dir {}", mend::word(&args.data_dir)),
        };
        let free = mend::word(&mend::free(out));
        let hint = format!("name an empty or a new directory: bazaar backup --out {free} {source}");
        Err(Failure::new(exit::USAGE, what).hint(hint))
    };
    if out.is_file() {
        return refused(format!("{} is a file, not a directory", out.display()));
    }
    let found = fs::read_dir(out).ok().and_then(|mut names| names.next()?.ok());
    let Some(found) = found else { return Ok(()) };
    let name = found.file_name().to_string_lossy().into_owned();
    refused(format!("{} is not empty: it holds {name}", out.display()))
}

fn refuse_target(from: &Path, into: &Path, args: &RestoreArgs, cluster: &str) -> Result<(), Failure> {
    let market = &args.data_dir;
    if [market.as_path(), into].iter().any(|dir| dir.is_file()) {
        return Err(OpenError::NotADirectory(into.to_owned()).into());
    }
    let node = NodeDir::new(into);
    if node.is_in_use() {
        return Err(in_use(&node));
    }
    if node.store().exists() {
        return Err(occupied(from, into, args));
    }
    let other = |found: String| {
        let error = OpenError::OtherCluster { dir: market.to_owned(), found, expected: cluster.to_owned() };
        Failure::from(error).hint("restore a backup of this market, or name that market with --data-dir")
    };
    let json = node.read_node_json();
    if let Some(json) = json.as_ref().filter(|json| json.role != ROLE) {
        let what = format!("{} is a {}'s directory, not the warehouse's", into.display(), json.role);
        return Err(
            Failure::new(exit::DIRECTORY, what).hint("name the market or its warehouse with --data-dir")
        );
    }
    let known = json.map(|json| json.cluster).or_else(|| Some(ClusterJson::find(market)?.cluster));
    known.filter(|known| known != cluster).map_or(Ok(()), |known| Err(other(known)))
}

/// A ledger that is served is not lost.
fn in_use(node: &NodeDir) -> Failure {
    let what = format!("{} is in use: its warehouse runs, and nothing is lost", node.path().display());
    let pid = node.read_node_json().map_or("PID".to_owned(), |json| json.pid.to_string());
    Failure::new(exit::DIRECTORY, what)
        .hint(format!("if another ledger is to take its place, stop it first: kill {pid}"))
}

fn occupied(from: &Path, into: &Path, args: &RestoreArgs) -> Failure {
    let what = format!("{} has a store: restore puts a backup only where one is lost", into.display());
    let is_same = from.canonicalize().is_ok_and(|from| into.canonicalize().is_ok_and(|into| from == into));
    let command = match is_same {
        true => mend::restore_in_place(into),
        false => format!("{} && {}", mend::move_away(into).0, mend::restore(&mend::word(from), into)),
    };
    Failure::new(exit::DIRECTORY, what).hint(format!("move it away first: {command}{}", above(args)))
}

/// Opens a backup; what is none is refused by name.
fn a_backup(from: &Path, into: &Path) -> Result<Source, Failure> {
    if from.join("store.tmp").exists() && !from.join("store").exists() {
        let what = format!("{} is a backup that was cut off before it was whole", from.display());
        return Err(Failure::new(exit::DIRECTORY, what)
            .hint(format!("take another: bazaar backup --out {}", mend::word(&mend::free(from)))));
    }
    let source = open_offline(from).map_err(|error| match error.exit_code() {
        exit::DIRECTORY if from.canonicalize().ok() != into.canonicalize().ok() => {
            another(&error, from, into)
        }
        _ => error.into(),
    })?;
    refuse_kind(source.as_ref())?;
    Ok(source)
}

/// A backup that cannot be read is in nobody's way: another one takes its part.
fn another(error: &OpenError, from: &Path, into: &Path) -> Failure {
    let restored = mend::restore(&mend::backup_of(from), into);
    Failure::from(error).hint(format!("restore another backup, if there is one: {restored}"))
}

fn refuse_kind(source: &dyn BlockSource) -> Result<(), Failure> {
    let meta = source.meta();
    if meta.is_ledger() && meta.role == ROLE {
        return Ok(());
    }
    let what = format!("{} is of {}, a {}, and has no ledger", meta.origin, meta.name(), meta.role);
    Err(Failure::new(exit::DIRECTORY, what).hint("name the warehouse's directory, or its market's"))
}

// ---- copying

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    last: Seq,
    generation: Generation,
    /// No record has a later clock.
    clock: Stamp,
    time: WallMicros,
}

impl Copied {
    /// What the rows add up to that are in archives.
    fn begin(&mut self, folded: Option<Folded>) {
        if let Some(Folded::Ledger(folded)) = folded {
            (self.last, self.generation) = (folded.tip.seq, folded.state.generation);
            self.clock = folded.state.clock;
        }
    }

    fn take(&mut self, block: &Block<Record>) {
        (self.last, self.time) = (block.header.last(), block.header.time);
        for record in &block.records {
            self.clock = self.clock.max(record.clock());
            if let Record::Restored { generation, .. } = record {
                self.generation = *generation;
            }
        }
    }

    /// A clock that no lost ledger can have reached. With a lower one its peers might be too far ahead to be believed. The
    /// wall clock says nothing of that: it may have gone back since the backup.
    fn clock_in(&self, generation: Generation) -> Stamp {
        self.clock.max(generation.first_clock())
    }
}

/// Copies the whole ledger, each block checked, into a store that keeps these keys. A torn end behind the mark of a killed warehouse is left out: it was
/// never durable.
fn copy(
    source: &mut dyn BlockSource,
    into: &Path,
    key: Option<SecretKey>,
    keeps: &[&str],
) -> Result<(Copied, StoreCopy<Market>), Failure> {
    refuse_kind(source)?;
    let (meta, mut copied) = (source.meta().clone(), Copied::default());
    let token = new_token().map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
    let extra = keeps.iter().map(|key| ((*key).to_owned(), Vec::new())).collect();
    let birth = Birth { key, extra, ..Birth::new(&meta.cluster, PeerId::WAREHOUSE, ROLE, token) };
    let Some((mark, marked)) = meta.mark else {
        return Err(damaged(&meta, Seq(0), "without a whole mark a lost end would go unseen"));
    };
    let mut written = StoreCopy::<Market>::begin(into, &birth)?;
    if let Some((tip, state)) = source.base()? {
        written.begin_behind(tip, &state)?;
        copied.begin(source.folded(tip.seq)?);
    }
    let mut at_mark: Option<Hash> = None;
    for bytes in source.blocks(Seq(1)) {
        let bytes = bytes?;
        match written.put(&bytes) {
            Ok(block) => {
                copied.take(&block);
                at_mark = at_mark.or_else(|| (block.header.last() == mark).then_some(block.seal.hash));
            }
            Err(CopyError::Store(error)) => return Err(error.into()),
            Err(_) if copied.last >= mark && !meta.live => break,
            Err(error) => return Err(damaged(&meta, copied.last, &error.to_string())),
        }
    }
    match at_mark {
        _ if copied.last == Seq(0) => Err(damaged(&meta, Seq(0), "there are no rows")),
        _ if copied.last < mark => Err(damaged(&meta, copied.last, &format!("row {mark} was durable"))),
        Some(hash) if hash == marked => Ok((copied, written)),
        None if mark == Seq(0) => Ok((copied, written)),
        _ => Err(damaged(&meta, copied.last, &format!("its mark at row {mark} is not on the chain"))),
    }
}

fn damaged(meta: &SourceMeta, last: Seq, why: &str) -> Failure {
    let (origin, flag) = (&meta.origin, if meta.live { "--connect" } else { "--data-dir" });
    let named = mend::word(Path::new(origin));
    Failure::new(exit::DIRECTORY, format!("{origin} is damaged behind row {last}: {why}")).hint(format!(
        "take another copy, if there is one; what is left of this one says: bazaar verify {flag} {named}"
    ))
}

fn writing(error: &CopyError) -> Failure {
    match error {
        CopyError::Store(error) => error.into(),
        error => Failure::new(exit::FAILURE, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
