//! What a traced process did to files, in order: parsed from strace's output.
//!
//! A call counts when it has returned; but a sync covers only what had returned when it began, and an acknowledgement
//! counts from when it was begun.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Create {
        path: PathBuf,
        truncate: bool,
    },
    Mkdir(PathBuf),
    Write {
        path: PathBuf,
        offset: Option<u64>,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink(PathBuf),
    SyncBegun {
        path: PathBuf,
        sync: usize,
    },
    SyncDone {
        sync: usize,
    },
    /// The traced process told somebody that everything up to here is stored.
    Acknowledged(u64),
}

/// The calls that are traced.
pub const CALLS: &str = "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,\
                         mkdir,mkdirat,rmdir";

/// Parses the output of `strace -f -y -xx -o`: what happens under `node`, and the numbers written to the file `acks`.
pub fn parse(trace: &str, node: &Path, acks: &Path, syncs: &mut usize) -> Vec<Event> {
    let mut begun: BTreeMap<&str, (&str, Option<usize>)> = BTreeMap::new();
    let mut parser = Parser { node, acks, syncs, events: Vec::new() };
    for line in trace.lines() {
        let (thread, text) = line.split_once(' ').expect("a line begins with a thread's number");
        let text = text.trim_start();
        if text.starts_with("+++") || text.starts_with("---") {
            continue;
        }
        if text.starts_with("<... ") {
            let (call, sync) = begun.remove(thread).expect("what is resumed was begun");
            parser.end(call, text, sync);
        } else if let Some(call) = text.strip_suffix("<unfinished ...>") {
            begun.insert(thread, (call, parser.begin(call)));
        } else {
            let sync = parser.begin(text);
            parser.end(text, text, sync);
        }
    }
    parser.events
}

struct Parser<'a> {
    node: &'a Path,
    acks: &'a Path,
    syncs: &'a mut usize,
    events: Vec<Event>,
}

impl Parser<'_> {
    fn begin(&mut self, call: &str) -> Option<usize> {
        let (name, args) = call.split_once('(')?;
        let path = descriptor(args);
        match name {
            "fsync" | "fdatasync" if path.as_ref()?.starts_with(self.node) => {
                *self.syncs += 1;
                self.events.push(Event::SyncBegun { path: path?, sync: *self.syncs });
                Some(*self.syncs)
            }
            "write" if path.as_ref()? == self.acks => {
                let text = strings(args).remove(0);
                let number = String::from_utf8(text).expect("a number").trim().parse().expect("a number");
                self.events.push(Event::Acknowledged(number));
                None
            }
            _ => None,
        }
    }

    fn end(&mut self, call: &str, end: &str, sync: Option<usize>) {
        let Some((name, args)) = call.split_once('(') else { return };
        let returned = end.rsplit_once(" = ").map_or("-1", |(_, value)| value);
        if returned.starts_with('-') || returned.starts_with('?') {
            return;
        }
        let event = match name {
            "openat" if args.contains("O_CREAT") => {
                descriptor(returned).map(|path| Event::Create { path, truncate: args.contains("O_TRUNC") })
            }
            "write" => write(args, None),
            "pwrite64" => write(args, Some(number(args))),
            "ftruncate" => descriptor(args).map(|path| Event::Truncate { path, length: number(args) }),
            "fsync" | "fdatasync" => sync.map(|sync| Event::SyncDone { sync }),
            "rename" | "renameat" | "renameat2" => {
                let mut paths = paths(args);
                Some(Event::Rename { to: paths.remove(1), from: paths.remove(0) })
            }
            "unlink" | "unlinkat" | "rmdir" => Some(Event::Unlink(paths(args).remove(0))),
            "mkdir" | "mkdirat" => Some(Event::Mkdir(paths(args).remove(0))),
            _ => None,
        };
        self.events.extend(event.filter(|event| self.concerns(event)));
    }

    fn concerns(&self, event: &Event) -> bool {
        match event {
            Event::Create { path, .. } | Event::Write { path, .. } | Event::Truncate { path, .. } => {
                path.starts_with(self.node)
            }
            Event::Mkdir(path) | Event::Unlink(path) | Event::Rename { from: path, .. } => {
                path.starts_with(self.node)
            }
            Event::SyncBegun { .. } | Event::SyncDone { .. } | Event::Acknowledged(_) => true,
        }
    }
}

fn write(args: &str, offset: Option<u64>) -> Option<Event> {
    let bytes = strings(args).remove(0);
    descriptor(args).map(|path| Event::Write { path, offset, bytes })
}

/// The path in `5</a/b>, ...`.
fn descriptor(args: &str) -> Option<PathBuf> {
    let (number, rest) = args.split_once('<')?;
    let (name, _) = rest.split_once('>')?;
    // Pipes and the like are shown as such, and are none of ours.
    let known = number.chars().all(|digit| digit.is_ascii_digit()) && name.starts_with("\\x");
    known.then(|| path(unhex(name)))
}

/// Removing a directory's content names files by descriptor and name.
fn paths(args: &str) -> Vec<PathBuf> {
    let mut base = PathBuf::new();
    let mut found = Vec::new();
    for argument in args.split(", ") {
        match argument.strip_prefix('"') {
            Some(name) => found.push(base.join(path(unhex(name.split('"').next().unwrap_or_default())))),
            None => base = descriptor(argument).unwrap_or_default(),
        }
    }
    found
}

fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(String::from_utf8(bytes).expect("paths here are text"))
}

fn strings(args: &str) -> Vec<Vec<u8>> {
    assert!(!args.contains("\"..."), "strace cut a string short");
    args.split('"').skip(1).step_by(2).map(unhex).collect()
}

/// The last argument.
fn number(args: &str) -> u64 {
    let args = args.rsplit_once(')').map_or(args, |(args, _)| args);
    let last = args.rsplit(", ").next().expect("an argument");
    last.trim().parse().expect("a number")
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    text.as_bytes().chunks(4).map(|byte| digit(byte[2]) << 4 | digit(byte[3])).collect()
}
