//! What stands at the names of a node's directory, looked at before anything of it is opened.
//!
//! Opening a fifo waits for a writer, reading a device may never end, and a directory or a link to nothing in a file's
//! place fails later, in words that name neither the cause nor the mend. So each name is looked at first; a wrong kind is
//! an error that names it, and nothing was changed.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::OpenError;
use super::closed;
use super::dir::NodeDir;
use super::sled_store::SEALED;

/// What stands at a path, behind any link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Absent,
    File,
    Directory,
    /// Neither; in words.
    Other(&'static str),
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Absent => "absent",
            Kind::File => "a file",
            Kind::Directory => "a directory",
            Kind::Other(words) => words,
        }
    }
}

/// Looks at a path without opening it.
pub(super) fn kind(path: &Path) -> io::Result<Kind> {
    let found = match fs::metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let dangles = fs::symlink_metadata(path).is_ok();
            return Ok(if dangles { Kind::Other("a link that leads nowhere") } else { Kind::Absent });
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(Kind::Other("a link that leads to itself"));
        }
        Err(error) => return Err(error),
    };
    Ok(match found {
        it if it.is_file() => Kind::File,
        it if it.is_dir() => Kind::Directory,
        it if it.is_fifo() => Kind::Other("a pipe"),
        it if it.is_socket() => Kind::Other("a socket"),
        _ => Kind::Other("a device"),
    })
}

/// A file's whole content; an error without waiting if it is none.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match kind(path)? {
        Kind::File => File::open(path)?.read_to_end(&mut bytes).map(|_| bytes),
        Kind::Absent => Err(ErrorKind::NotFound.into()),
        found => Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {}", found.words()))),
    }
}

/// A file, or nothing yet.
pub(crate) fn is_file_or_absent(path: &Path) -> bool {
    matches!(kind(path), Ok(Kind::File | Kind::Absent))
}

/// What everybody reads of a directory: who it is, its mark, its store.
pub(super) fn at_names(node: &NodeDir) -> Result<(), OpenError> {
    file(node.node_json())?;
    file(node.mark())?;
    directory(node.store())
}

/// What its owner writes beside that.
pub(super) fn at_owners_names(node: &NodeDir) -> Result<(), OpenError> {
    [node.key(), node.ballast()].into_iter().try_for_each(file)
}

/// What is in the store.
pub(super) fn in_store(node: &NodeDir) -> Result<(), OpenError> {
    let (store, db) = (node.store(), node.db());
    if look(&db)? == Kind::Absent {
        let why = "it is gone, and with it everything that was stored".to_owned();
        return Err(OpenError::Damaged { path: db, why });
    }
    file(db)?;
    file(store.join("conf"))?;
    file(closed::path(&store))?;
    directory(store.join("blobs"))?;
    directory(store.join(SEALED))?;
    snapshots(&store).map_err(OpenError::io(&store))?.into_iter().try_for_each(file)
}

/// The files that the store takes for its snapshots, oldest first.
pub(super) fn snapshots(store: &Path) -> io::Result<Vec<PathBuf>> {
    let names = fs::read_dir(store)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let is_snapshot = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("snap.") && !name.ends_with(super::sled_store::LEFTOVER)
    };
    let mut found: Vec<PathBuf> = names.into_iter().filter(is_snapshot).collect();
    found.sort();
    Ok(found)
}

fn look(path: &Path) -> Result<Kind, OpenError> {
    kind(path).map_err(OpenError::io(path))
}

fn file(path: PathBuf) -> Result<(), OpenError> {
    match look(&path)? {
        Kind::Absent | Kind::File => Ok(()),
        found => Err(OpenError::WrongKind { path, found: found.words(), expected: "a file" }),
    }
}

fn directory(path: PathBuf) -> Result<(), OpenError> {
    match look(&path)? {
        Kind::Absent | Kind::Directory => Ok(()),
        found => Err(OpenError::WrongKind { path, found: found.words(), expected: "a directory" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn each_kind_is_told_without_opening_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "1").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        for (name, expected) in [
            ("none", Kind::Absent),
            ("file", Kind::File),
            ("link", Kind::File),
            (".", Kind::Directory),
            ("dangling", Kind::Other("a link that leads nowhere")),
            ("loop", Kind::Other("a link that leads to itself")),
            ("device", Kind::Other("a device")),
            ("socket", Kind::Other("a socket")),
            ("pipe", Kind::Other("a pipe")),
        ] {
            assert_eq!(kind(&at(name)).unwrap(), expected, "{name}");
            assert_eq!(read_file(&at(name)).is_ok(), expected == Kind::File, "{name}");
        }
        assert_eq!(read_file(&at("pipe")).unwrap_err().to_string(), "it is a pipe");
    }
}
