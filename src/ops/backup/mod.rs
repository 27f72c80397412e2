//! `bazaar backup` and `restore`: a whole copy of the warehouse's ledger, and putting one in the place of a lost store.
//!
//! In: the warehouse's store, or the running warehouse, which is asked for its durable blocks; at restore a backup. Out:
//! a warehouse's directory with the blocks as they are. A restored one ends in a `restored` row that names its
//! generation: from there on no number, term or office of the lost part is believed by anybody. That row is in the store
//! before the store is in its place, so that a restored ledger without it is never served.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::live;
use super::market::ClusterJson;
use super::output::{Failure, exit};
use super::source::open_offline;
use crate::audit::{BlockSource, Source};
use crate::cli::{BackupArgs, Global, RestoreArgs};
use crate::journal::{Birth, Block, CopyError, NodeDir, OpenError, StoreCopy};
use crate::limits::CLOCK_TICKS_PER_SECOND_MAX;
use crate::model::fold::Tree;
use crate::model::row::Record;
use crate::node::boot::new_token;
use crate::node::wall_now;
use crate::types::{Hash, PeerId, Seq, Stamp, WallMicros};

/// What a warehouse's store is made as.
const ROLE: &str = "warehouse";
const MICROS: u64 = 1_000_000;

/// Copies the ledger of a running or a stopped warehouse.
///
/// # Errors
/// There is no warehouse, its ledger is damaged, or the copy cannot be written.
pub fn backup(args: &BackupArgs, global: &Global) -> Result<u8, Failure> {
    refuse_full(&args.out)?;
    let began = Instant::now();
    let mut source = match &args.connect {
        Some(addr) => live::warehouse_at(&addr.to_string(), global)?,
        None => live::ledger_in(&warehouse_dir(&args.data_dir)?, global)?,
    };
    let cluster = source.meta().cluster.clone();
    let (copied, written) = copy(source.as_mut(), &args.out)?;
    let clock = copied.clock;
    written.finish(clock)?;
    let Copied { last, generation, .. } = copied;
    let (out, seconds) = (args.out.display().to_string(), began.elapsed().as_secs_f64());
    let object = json!({
        "cluster": cluster, "rows": last.0, "last_seq": last.0, "generation": generation, "out": out,
        "seconds": seconds,
    });
    let line = format!("{last} rows of cluster {cluster}, up to row {last}, are in {out} ({seconds:.2} s)");
    say(global, &object, &line)
}

/// Puts a backup in the place of a lost store.
///
/// # Errors
/// The loss was not accepted, a store is there, the backup is damaged or none, or the store cannot be written.
pub fn restore(args: &RestoreArgs, global: &Global) -> Result<u8, Failure> {
    if !args.accept_loss {
        let what = "restore puts an older ledger in place: what came after the backup is lost, though some were told of it";
        return Err(Failure::new(exit::USAGE, what).hint("say that this is meant: --accept-loss"));
    }
    let into = target(&args.data_dir);
    let mut source = a_backup(&args.from)?;
    let cluster = source.meta().cluster.clone();
    refuse_target(&into, &args.data_dir, &cluster)?;
    let (copied, mut written) = copy(source.as_mut(), &into)?;
    let now = wall_now();
    let generation = (copied.generation + 1).max(now.0 / MICROS);
    let clock = copied.clock_at(now);
    let restored = Record::Restored { generation, clock };
    written.append(&restored, now).map_err(|error| writing(&error))?;
    wait_out(generation);
    let tip = written.finish(clock)?;
    let object = json!({
        "cluster": cluster, "rows": copied.last.0, "restored_seq": tip.seq.0, "generation": generation,
        "lost_from": tip.seq.0, "backup_until": copied.time.to_string(),
        "from": args.from.display().to_string(), "into": into.display().to_string(),
    });
    let line = format!(
        "restored {} rows, until {}, into {}: generation {generation}\n\
         what the lost ledger had from row {} on is lost; bazaar verify counts it apart",
        copied.last,
        copied.time,
        into.display(),
        tip.seq
    );
    say(global, &object, &line)
}

fn say(global: &Global, object: &serde_json::Value, line: &str) -> Result<u8, Failure> {
    let text = if global.json { object.to_string() } else { line.to_owned() };
    writeln!(std::io::stdout(), "{text}").map_err(Failure::writing)?;
    Ok(exit::DONE)
}

/// A generation is the second of its restore. Waits until that second is over, so that a next restore, even of the same
/// backup after a kill of this process, gets a later generation.
fn wait_out(generation: u64) {
    let now = wall_now().0;
    if now / MICROS == generation {
        std::thread::sleep(Duration::from_micros(MICROS - now % MICROS));
    }
}

// ---- which directories

/// The warehouse's directory: DIR itself, or the one in the market's directory DIR.
fn warehouse_dir(dir: &Path) -> Result<PathBuf, Failure> {
    if dir.is_file() {
        return Err(OpenError::NotADirectory(dir.to_owned()).into());
    }
    let within = dir.join(ROLE);
    Ok(if within.is_dir() { within } else { dir.to_owned() })
}

/// Where the restored store goes: DIR itself if it is a warehouse's directory or has such a name; else the warehouse's
/// directory in the market DIR.
fn target(dir: &Path) -> PathBuf {
    let node = ["node.json", "mark", "store", "store.tmp"].iter().any(|name| dir.join(name).exists());
    if node || dir.file_name().is_some_and(|name| name == ROLE) { dir.to_owned() } else { dir.join(ROLE) }
}

fn refuse_full(out: &Path) -> Result<(), Failure> {
    if out.is_file() {
        return Err(Failure::new(exit::USAGE, format!("{} is a file, not a directory", out.display()))
            .hint("name another place with --out"));
    }
    let found = fs::read_dir(out).ok().and_then(|mut names| names.next()?.ok());
    let Some(found) = found else { return Ok(()) };
    let name = found.file_name().to_string_lossy().into_owned();
    let what = format!("{} is not empty: it holds {name}", out.display());
    Err(Failure::new(exit::USAGE, what).hint("name an empty or a new directory with --out"))
}

fn refuse_target(into: &Path, market: &Path, cluster: &str) -> Result<(), Failure> {
    if [market, into].iter().any(|dir| dir.is_file()) {
        return Err(OpenError::NotADirectory(into.to_owned()).into());
    }
    let node = NodeDir::new(into);
    if node.store().exists() {
        return Err(occupied(into));
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

fn occupied(dir: &Path) -> Failure {
    let what = format!("{} has a store: restore puts a backup only where one is lost", dir.display());
    // The lost store moves out of the market's directory, where other names are refused.
    let hint = format!("move it away first: mv {} lost-warehouse", dir.display());
    Failure::new(exit::DIRECTORY, what).hint(hint)
}

/// Opens a backup; what is none is refused by name.
fn a_backup(from: &Path) -> Result<Source, Failure> {
    let from = warehouse_dir(from)?;
    if from.join("store.tmp").exists() && !from.join("store").exists() {
        let what = format!("{} is a backup that was cut off before it was whole", from.display());
        return Err(
            Failure::new(exit::DIRECTORY, what).hint("remove it, and take another: bazaar backup --out DIR")
        );
    }
    let source = open_offline(&from)?;
    refuse_kind(source.as_ref())?;
    Ok(source)
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
    generation: u64,
    /// No record has a later clock.
    clock: Stamp,
    time: WallMicros,
}

impl Copied {
    fn take(&mut self, block: &Block<Record>) {
        (self.last, self.time) = (block.header.last(), block.header.time);
        for record in &block.records {
            self.clock = self.clock.max(record.clock());
            if let Record::Restored { generation, .. } = record {
                self.generation = *generation;
            }
        }
    }

    /// A clock that the lost ledger cannot have reached by now. With a lower one its peers might be too far ahead to be
    /// believed.
    fn clock_at(&self, now: WallMicros) -> Stamp {
        let seconds = now.0.saturating_sub(self.time.0) / MICROS + 1;
        let lead = seconds.saturating_mul(CLOCK_TICKS_PER_SECOND_MAX).min(1 << 60);
        Stamp(self.clock.0.saturating_add(lead))
    }
}

/// Copies the whole ledger, each block checked. A torn end behind the mark of a killed warehouse is left out: it was
/// never durable.
fn copy(source: &mut dyn BlockSource, into: &Path) -> Result<(Copied, StoreCopy), Failure> {
    refuse_kind(source)?;
    let (meta, mut copied) = (source.meta().clone(), Copied::default());
    let token = new_token().map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
    let birth = Birth::new(&meta.cluster, PeerId::WAREHOUSE, ROLE, token);
    let mut written = StoreCopy::begin(into, &birth, Tree::Ledger)?;
    let Some((mark, marked)) = meta.mark else {
        return Err(damaged(&meta.origin, Seq(0), "without a whole mark a lost end would go unseen"));
    };
    let mut at_mark: Option<Hash> = None;
    for bytes in source.blocks(Seq(1)) {
        let bytes = bytes?;
        let put = Block::<Record>::decode(&bytes).map_err(CopyError::Block).and_then(|block| {
            written.put(&bytes)?;
            Ok(block)
        });
        match put {
            Ok(block) => {
                copied.take(&block);
                at_mark = at_mark.or_else(|| (block.header.last() == mark).then_some(block.hash));
            }
            Err(CopyError::Store(error)) => return Err(error.into()),
            Err(_) if copied.last >= mark && !meta.live => break,
            Err(error) => return Err(damaged(&meta.origin, copied.last, &error.to_string())),
        }
    }
    match at_mark {
        _ if copied.last == Seq(0) => Err(damaged(&meta.origin, Seq(0), "there are no rows")),
        _ if copied.last < mark => {
            Err(damaged(&meta.origin, copied.last, &format!("row {mark} was durable")))
        }
        Some(hash) if hash == marked => Ok((copied, written)),
        None if mark == Seq(0) => Ok((copied, written)),
        _ => Err(damaged(&meta.origin, copied.last, &format!("its mark at row {mark} is not on the chain"))),
    }
}

fn damaged(origin: &str, last: Seq, why: &str) -> Failure {
    Failure::new(exit::DIRECTORY, format!("{origin} is damaged behind row {last}: {why}"))
        .hint(format!("see what bazaar verify --data-dir {origin} says, or take another copy"))
}

fn writing(error: &CopyError) -> Failure {
    match error {
        CopyError::Store(error) => error.into(),
        error => Failure::new(exit::FAILURE, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
