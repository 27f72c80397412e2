//! Stores on disk: which directories there are, and a copy of each as a source for [`crate::audit`].

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::nodes::directory;
use super::output::{Failure, exit};
use crate::audit::{CLIENT, Source, SourceError, StoredSource};
use crate::journal::{self, Archive, Offline, OpenError};
use crate::limits::{BACKOFF_MIN, OPEN_THREADS, OWNER_RETRY_MAX};
pub(crate) use crate::types::node_name;
use crate::types::node_named;

/// Names that only a node's directory has.
const NODE_NAMES: [&str; 3] = ["node.json", "mark", "store"];

/// The directories of nodes that `dir` stands for: itself, or all nodes of the market in it, the warehouse first.
pub(crate) fn node_dirs(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_node = |name: &&str| dir.join(name).symlink_metadata().is_ok();
    if NODE_NAMES.iter().any(is_node) || journal::is_nodes(dir) {
        return Ok(vec![dir.to_path_buf()]);
    }
    let names = names(dir)?;
    let mut nodes: Vec<(u32, PathBuf)> =
        names.iter().filter_map(|name| Some((node_number(name)?, dir.join(name)))).collect();
    nodes.sort();
    let mut born = Vec::new();
    for (_, node) in nodes {
        if journal::exists(&node).map_err(|error| directory(&error))? {
            born.push(node);
        }
    }
    match names.iter().find(|name| node_number(name).is_none() && *name != "cluster.json") {
        Some(found) if born.is_empty() => {
            Err(directory(&OpenError::NotOurs { dir: dir.to_path_buf(), found: found.clone() }))
        }
        _ if born.is_empty() => Err(directory(&OpenError::Absent(dir.to_path_buf()))),
        _ => Ok(born),
    }
}

/// Directories of nodes that are in a market's, whatever state each is in: one that is damaged hides no other.
pub(crate) fn dirs_at_hand(market: &Path) -> Vec<PathBuf> {
    let names = names(market).unwrap_or_default();
    let nodes = names.iter().filter(|name| node_number(name).is_some()).map(|name| market.join(name));
    nodes.filter(|node| journal::exists(node).unwrap_or(true)).collect()
}

fn names(dir: &Path) -> Result<Vec<String>, Failure> {
    if dir.is_file() {
        return Err(directory(&OpenError::NotADirectory(dir.to_path_buf())));
    }
    if !dir.exists() {
        return Err(directory(&OpenError::Absent(dir.to_path_buf())));
    }
    let failed = |error| Failure::new(exit::FAILURE, format!("cannot read {}: {error}", dir.display()));
    let entries = fs::read_dir(dir).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}

/// 0 for `warehouse`, 4 for `peer-4`; a client, whose number is in its store, comes last.
fn node_number(name: &str) -> Option<u32> {
    match name {
        CLIENT => Some(u32::MAX),
        name => node_named(name).map(|node| node.0),
    }
}

/// Says what to do about a directory that a process has open: read another source instead, leave it out, or fail.
pub(crate) type InUse<'a> = dyn FnMut(&Path, &OpenError) -> Result<Option<Source>, Failure> + 'a;

/// Opens every store that `dirs` stand for, each once. `in_use` is asked for those that a running node has open. A
/// client that never ordered has nothing to show.
pub(crate) fn open_stores(
    dirs: &[PathBuf],
    archives: &[Arc<Archive>],
    in_use: &mut InUse<'_>,
) -> Result<Vec<Source>, Failure> {
    open_each(dirs, &|dir| journal::open_with_archives(dir, archives), in_use)
}

/// The same for who shows what is in a store rather than checks it: of a node that was closed, what it wrote down then will
/// do.
pub(crate) fn open_stores_as_closed(
    dirs: &[PathBuf],
    archives: &[Arc<Archive>],
    in_use: &mut InUse<'_>,
) -> Result<Vec<Source>, Failure> {
    open_each(dirs, &|dir| journal::open_as_closed(dir, archives), in_use)
}

/// Opens one directory.
type Opener<'a> = dyn Fn(&Path) -> Result<Offline, OpenError> + Sync + 'a;

fn open_each(dirs: &[PathBuf], opener: &Opener<'_>, in_use: &mut InUse<'_>) -> Result<Vec<Source>, Failure> {
    let mut nodes = Vec::new();
    for dir in dirs {
        nodes.extend(node_dirs(dir)?.into_iter().filter(|node| !nodes.contains(node)).collect::<Vec<_>>());
    }
    let first = tried(&nodes, opener);
    let mut open = |(node, first): (&PathBuf, _)| open_or_ask(node, first, opener, in_use);
    let opened: Vec<Option<Source>> = nodes.iter().zip(first).map(&mut open).collect::<Result<_, _>>()?;
    Ok(opened.into_iter().flatten().filter(|source| !source.meta().never_ordered()).collect())
}

/// Tries to open all of them, some at a time: most of it is copying.
fn tried(nodes: &[PathBuf], opener: &Opener<'_>) -> Vec<Result<Offline, OpenError>> {
    let each = nodes.len().div_ceil(OPEN_THREADS.min(nodes.len()).max(1)).max(1);
    thread::scope(|scope| {
        let open = |nodes: &[PathBuf]| nodes.iter().map(|node| opener(node)).collect::<Vec<_>>();
        let parts: Vec<_> = nodes.chunks(each).map(|nodes| scope.spawn(move || open(nodes))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// A process that was just killed keeps its lock until its last sync returns, but does not answer any more; a process
/// that starts does not answer yet. In both cases the directory is tried again.
fn open_or_ask(
    node: &Path,
    mut tried: Result<Offline, OpenError>,
    opener: &Opener<'_>,
    in_use: &mut InUse<'_>,
) -> Result<Option<Source>, Failure> {
    let deadline = Instant::now() + OWNER_RETRY_MAX;
    loop {
        let error = match tried {
            Ok(store) => return Ok(Some(source_of(node, store))),
            Err(error) => error,
        };
        let asked = match error {
            OpenError::InUse { .. } => in_use(node, &error),
            _ => return Err(directory(&error)),
        };
        if asked.is_ok() || Instant::now() >= deadline {
            return asked;
        }
        thread::sleep(BACKOFF_MIN);
        tried = opener(node);
    }
}

/// Refuses stores of several markets: what one of them says of its orders is not in the ledger of the other.
pub(crate) fn of_one_market(sources: &[Source]) -> Result<(), Failure> {
    let mut known = sources.iter().map(|source| source.meta()).filter(|meta| !meta.cluster.is_empty());
    let Some(first) = known.next() else { return Ok(()) };
    let Some(other) = known.find(|meta| meta.cluster != first.cluster) else { return Ok(()) };
    let what = format!(
        "these stores are of two markets: {} is of cluster {}, {} of cluster {}",
        first.origin, first.cluster, other.origin, other.cluster
    );
    Err(Failure::new(exit::DIRECTORY, what).hint("name directories of one market only with --data-dir"))
}

/// The archives of that name, each once.
pub(crate) fn open_archives(paths: &[PathBuf]) -> Result<Vec<Arc<Archive>>, Failure> {
    let open = |path: &PathBuf| match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = format!("--archive {}: there is no such file", path.display());
            Err(Failure::new(exit::USAGE, what).hint("name a file that bazaar archive has written"))
        }
        _ => Archive::open(path).map_err(|error| directory(&error)),
    };
    paths.iter().map(open).collect()
}

fn source_of(dir: &Path, store: Offline) -> Source {
    Box::new(StoredSource::new(store, dir.display().to_string()))
}

/// Copies a stopped node's store and opens the copy.
pub(crate) fn open_offline(dir: &Path) -> Result<Source, OpenError> {
    journal::open_copy(dir).map(|store| source_of(dir, store))
}

/// A store or a node that was read in part has told nothing for certain.
impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        Failure::new(exit::UNDETERMINED, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Check, audit, fixture};
    use crate::journal::{Birth, Step, Urgency, open};
    use crate::model::fold::Fold;
    use crate::model::market::Market;
    use crate::model::peer::PeerState;
    use crate::types::{PeerId, Seq, Stamp, Token, WallMicros};

    #[test]
    fn directories_are_a_node_a_market_absent_or_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(node_dirs(&at("none")).unwrap_err().exit, exit::USAGE);
        assert_eq!(node_dirs(dir.path()).unwrap_err().exit, exit::USAGE);
        fs::write(at("file"), "").unwrap();
        assert_eq!(node_dirs(&at("file")).unwrap_err().exit, exit::USAGE);
        assert_eq!(node_dirs(dir.path()).unwrap_err().exit, exit::DIRECTORY);
        fs::create_dir(at("peer-4")).unwrap();
        fs::write(at("peer-4").join("node.json"), "{}").unwrap();
        assert_eq!(node_dirs(&at("peer-4")).unwrap(), [at("peer-4")]);
    }

    /// The node itself starts over on it.
    #[test]
    fn a_birth_that_was_cut_off_at_its_first_file_is_unborn_to_readers() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("peer-3");
        fs::create_dir(&node).unwrap();
        fs::write(node.join("node.json.tmp"), "{\"clus").unwrap();
        assert_eq!(node_dirs(&node).unwrap(), std::slice::from_ref(&node));
        for said in [open_offline(&node).map(drop).unwrap_err(), OpenError::Absent(node.clone())] {
            assert_eq!(
                (said.exit_code(), said.to_string()),
                (2, format!("{} holds no data", node.display()))
            );
        }
        assert_eq!(node_dirs(dir.path()).unwrap_err().exit, exit::USAGE, "nor is it a node of its market");
    }

    /// A closed store with these steps, and a checkpoint half way.
    fn store<F: Fold>(dir: &Path, node: u32, steps: &[Vec<F::Record>]) {
        store_of::<F>("3f2a", dir, node, steps);
    }

    fn store_of<F: Fold>(cluster: &str, dir: &Path, node: u32, steps: &[Vec<F::Record>]) {
        let birth = Birth::new(cluster, PeerId(node), "", Token([7; 32]));
        let fatal = std::sync::Arc::new(|fault| panic!("{fault}"));
        let mut recovered = open::<F>(dir, Some(birth), None, "127.0.0.1:0", fatal).unwrap();
        for (at, records) in steps.iter().enumerate() {
            let (time, clock) = (WallMicros(at as u64), Stamp(1_000));
            for (index, record) in records.iter().enumerate() {
                let seq = Seq(recovered.journal.next_seq().0 + index as u64);
                recovered.state.apply(seq, time, record);
            }
            recovered.journal.stage(Step { records: records.clone(), time, clock, urgency: Urgency::Now });
            if at == steps.len() / 2 {
                recovered.journal.checkpoint(recovered.state.parts());
            }
        }
        recovered.journal.close().unwrap();
    }

    fn opened(dir: &Path) -> Source {
        let deadline = std::time::Instant::now() + crate::limits::LOCK_RETRY_MAX;
        loop {
            match open_offline(dir) {
                Err(OpenError::InUse { .. }) if std::time::Instant::now() < deadline => {
                    std::thread::yield_now()
                }
                opened => return opened.unwrap(),
            }
        }
    }

    /// The peers' orders of one market are not in the ledger of another one: V04 failed 511 times.
    #[test]
    fn stores_of_two_markets_are_not_held_against_each_other() {
        let (dir, market) = (tempfile::tempdir().unwrap(), fixture::Market::lived());
        let [one, other] = [("3f2a", "a"), ("9b1c", "b")].map(|(cluster, name)| {
            let at = dir.path().join(name).join("warehouse");
            store_of::<Market>(cluster, &at, 0, &market.ledger);
            at
        });
        let refused = of_one_market(&[opened(&one), opened(&other)]).unwrap_err();
        assert_eq!(refused.exit, exit::DIRECTORY);
        let (one_at, other_at) = (one.display(), other.display());
        let named = format!("{one_at} is of cluster 3f2a, {other_at} of cluster 9b1c");
        assert!(refused.what.ends_with(&named), "{refused:?}");
        assert_eq!(of_one_market(&[opened(&one), opened(&one)]), Ok(()));
    }

    #[test]
    fn a_market_on_disk_is_verified_with_its_checkpoints() {
        let (dir, market) = (tempfile::tempdir().unwrap(), fixture::Market::lived());
        store::<Market>(&dir.path().join("warehouse"), 0, &market.ledger);
        for (peer, steps) in &market.journals {
            store::<PeerState>(&dir.path().join(format!("peer-{peer}")), peer.0, steps);
        }
        let nodes = node_dirs(dir.path()).unwrap();
        assert_eq!(nodes.len(), 1 + market.journals.len());
        let mut sources: Vec<Source> = nodes.iter().map(|node| opened(node)).collect();
        assert_eq!(fixture::checkpoint(sources[0].as_mut()), Some(Ok(())));
        assert!(!format!("{:?}", sources[0].meta()).to_lowercase().contains("token"));
        let found = audit(&mut sources, 5).unwrap();
        for check in Check::ALL {
            assert_eq!(found.of(check).failed, 0, "{:?}", found.of(check).examples);
        }
    }
}
