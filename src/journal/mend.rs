//! Commands that mend a node's directory, as hints name them: each works as it stands, typed into a shell where the
//! failed command was typed, and none of them removes what may be the only copy of something.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::dir::NodeDir;

/// The market's directory where nothing else is said.
pub(crate) const MARKET_DIR: &str = "bazaar-data";
/// A warehouse's directory in its market's.
const WAREHOUSE: &str = "warehouse";
/// That of one-shot orders.
const CLIENT: &str = "client";
/// Stands for a backup where none is found.
pub(crate) const BACKUP: &str = "BACKUP";

/// A path as a word of a shell.
pub(crate) fn word(path: &Path) -> String {
    let Some(text) = path.to_str().map(str::to_owned) else { return printed(path) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A name that is no text cannot be shown as it is: the shell is to make it of its bytes.
fn printed(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._".contains(&byte);
    let byte = |byte: &u8| match plain(*byte) {
        true => char::from(*byte).to_string(),
        false => format!("\\{byte:03o}"),
    };
    let bytes: String = path.as_os_str().as_bytes().iter().map(byte).collect();
    format!("\"$(printf '{bytes}')\"")
}

/// The node's directory that a path is in, or is: by any of its names, for each of them may be what is damaged.
pub(super) fn node_dir(path: &Path) -> &Path {
    let stands = |path: PathBuf| path.symlink_metadata().is_ok();
    let is_node = |dir: &&Path| {
        let node = NodeDir::new(dir);
        [node.node_json(), node.mark(), node.store()].into_iter().any(stands)
    };
    path.ancestors().filter(|dir| !dir.as_os_str().is_empty()).find(is_node).unwrap_or(path)
}

/// A free name for a node's directory: outside its market's, where other names are refused.
fn aside(dir: &Path) -> PathBuf {
    let name = dir.file_name().unwrap_or(OsStr::new("node"));
    let place = match market_of(dir) {
        Some(market) => beside(market),
        None => beside(dir),
    };
    let mut lost = OsString::from("lost-");
    lost.push(name);
    free_of(&place.join(lost))
}

/// This name, or one like it that is free.
fn free_of(path: &Path) -> PathBuf {
    if path.symlink_metadata().is_err() { path.to_owned() } else { free(path) }
}

/// A name like this one that is free.
pub(crate) fn free(path: &Path) -> PathBuf {
    // Its components leave a slash at the end out.
    let path: PathBuf = path.components().collect();
    let name = |n: u32| {
        let mut name = path.clone().into_os_string();
        name.push(format!("-{n}"));
        PathBuf::from(name)
    };
    (2..=u32::MAX).map(name).find(|at| at.symlink_metadata().is_err()).unwrap_or_else(|| name(0))
}

/// The directory that holds another one; `..` for the one where commands are typed.
fn beside(dir: &Path) -> PathBuf {
    match (dir.file_name(), dir.parent()) {
        (Some(_), Some(parent)) => parent.to_owned(),
        _ => dir.join(".."),
    }
}

/// The market's directory, if the node's has the name that it has there.
fn market_of(dir: &Path) -> Option<&Path> {
    let name = dir.file_name()?.to_str()?;
    let in_market = name == WAREHOUSE || name == CLIENT || name.starts_with("peer-");
    let parent = dir.parent().filter(|_| in_market)?;
    Some(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Moves a node's directory away; and where it is then.
pub(crate) fn move_away(dir: &Path) -> (String, PathBuf) {
    let aside = aside(dir);
    (format!("mv {} {}", word(dir), word(&aside)), aside)
}

/// Puts a ledger in the place of a warehouse's directory that is not there.
pub(crate) fn restore(from: &str, dir: &Path) -> String {
    let data_dir = match market_of(dir) {
        Some(market) => market.to_owned(),
        None => dir.join(WAREHOUSE),
    };
    format!("bazaar restore --from {from} --data-dir {} --accept-loss", word(&data_dir))
}

/// Goes on from what a warehouse's directory holds, as a restored ledger in the same place.
pub(crate) fn restore_in_place(dir: &Path) -> String {
    let (moved, aside) = move_away(dir);
    format!("{moved} && {}", restore(&word(&aside), dir))
}

/// Restores a backup that was taken for a warehouse's directory: if it stands in the place of one, in that place.
pub(super) fn restore_backup(dir: &Path) -> String {
    match market_of(dir) {
        Some(_) => restore_in_place(dir),
        None => restore(&word(dir), &Path::new(MARKET_DIR).join(WAREHOUSE)),
    }
}

/// What mends a directory whose store is damaged: it moves away, and something else takes its place.
pub(super) fn replace(path: &Path) -> String {
    let dir = node_dir(path);
    let (moved, _) = move_away(dir);
    let role = NodeDir::new(dir).read_node_json().map(|json| json.role);
    let named = |expected: &str| dir.file_name().is_some_and(|name| name == expected);
    if named(WAREHOUSE) || (role.as_deref() == Some(WAREHOUSE) && !named(CLIENT)) {
        let restored = restore(&backup_of(dir), dir);
        return format!("move it away and put its last backup in its place: {moved} && {restored}");
    }
    format!("move it away and start again; the node begins with a new store in its market: {moved}")
}

/// What mends a place where something stands that does not belong there: of what may be had anew that alone moves away.
pub(crate) fn clear_place(path: &Path) -> String {
    let dir = node_dir(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if ["store", "db", "mark"].contains(&name.as_str()) {
        return replace(path);
    }
    let place = aside(dir).parent().map(Path::to_owned).unwrap_or_default();
    let lost = free_of(&place.join(format!("lost-{name}")));
    format!("move it away and start again; it is made anew: mv {} {}", word(path), word(&lost))
}

/// What mends what the system refused.
pub(super) fn system(path: &Path, why: io::ErrorKind) -> String {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match why {
        PermissionDenied => {
            format!("give this user the right to it: chmod -R u+rwX {}", word(node_dir(path)))
        }
        StorageFull | QuotaExceeded => "free space there, then start again".to_owned(),
        ReadOnlyFilesystem => "make that file system writable, then start again".to_owned(),
        _ => {
            "see what stands there, and what the system's log says of that disk; then start again".to_owned()
        }
    }
}

/// The newest backup, other than itself, of a warehouse's market beside the market or where commands are typed; else a
/// word that stands for it.
pub(crate) fn backup_of(dir: &Path) -> String {
    let Some(cluster) = cluster_of(dir) else { return BACKUP.to_owned() };
    let place = market_of(dir).map_or_else(|| beside(dir), beside);
    let places = [PathBuf::from("."), place];
    let found = places.iter().flat_map(|place| {
        fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
    });
    let backup = found.filter_map(|path| {
        let node = NodeDir::new(&path);
        let json = node.read_node_json()?;
        let is_other = path.canonicalize().ok() != dir.canonicalize().ok();
        let is_backup = is_other && json.backup && json.cluster == cluster;
        (is_backup && node.store().is_dir() && node.mark().is_file()).then_some((json.started, path))
    });
    let newest = backup.max();
    newest.map_or(BACKUP.to_owned(), |(_, path)| word(path.strip_prefix("./").unwrap_or(&path)))
}

/// The market of a directory, as its own file says, or that of a node beside it.
fn cluster_of(dir: &Path) -> Option<String> {
    let cluster = |dir: &Path| NodeDir::new(dir).read_node_json().map(|json| json.cluster);
    let beside = || fs::read_dir(market_of(dir)?).ok()?.flatten().find_map(|entry| cluster(&entry.path()));
    cluster(dir).or_else(beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_whatever_is_in_it() {
        for (path, expected) in
            [("a/b-1.c", "a/b-1.c"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("-x", "'-x'"), ("", "''")]
        {
            assert_eq!(word(Path::new(path)), expected);
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_one_word_too() {
        use std::process::Command;
        for name in [&b"a\xff"[..], b"\xfe b%s'\\\"$(x)", b"-\xff"] {
            let path = Path::new(OsStr::from_bytes(name));
            let line = format!("printf %s {}", word(path));
            let said = Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(said.stdout, name, "{line}");
        }
    }

    #[test]
    fn what_moves_away_leaves_its_market() {
        let moved = |dir: &str| move_away(Path::new(dir)).0;
        assert_eq!(moved("m/warehouse"), "mv m/warehouse lost-warehouse");
        assert_eq!(moved("/x/m/peer-3"), "mv /x/m/peer-3 /x/lost-peer-3");
        assert_eq!(moved("warehouse"), "mv warehouse ./../lost-warehouse");
        assert_eq!(moved("w"), "mv w lost-w");
    }

    #[test]
    fn no_name_is_used_twice() {
        let dir = tempfile::tempdir().unwrap();
        let lost = |name: &str| dir.path().join(name);
        let node = lost("m/warehouse");
        for expected in ["lost-warehouse", "lost-warehouse-2", "lost-warehouse-3"] {
            assert_eq!(move_away(&node).1, lost(expected));
            std::fs::create_dir(lost(expected)).unwrap();
        }
    }

    #[test]
    fn a_ledger_goes_where_the_lost_one_was() {
        let again = |dir: &str| restore_in_place(Path::new(dir));
        assert_eq!(
            again("m/warehouse"),
            "mv m/warehouse lost-warehouse && bazaar restore --from lost-warehouse --data-dir m --accept-loss"
        );
        assert_eq!(
            again("w"),
            "mv w lost-w && bazaar restore --from lost-w --data-dir w/warehouse --accept-loss"
        );
        let backup = |dir: &str| restore_backup(Path::new(dir));
        assert_eq!(backup("b"), "bazaar restore --from b --data-dir bazaar-data --accept-loss");
        assert_eq!(backup("m/warehouse"), again("m/warehouse"));
    }
}
