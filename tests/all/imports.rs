//! Imports that go the wrong way: machines that reach for a disk, a wire or a clock cannot be simulated or replayed.
//!
//! `types`, `limits` <- `model` <- `journal`, `wire` <- `node` <- `sim`, `ops`, `config`, `cli` <- `main`, and the
//! auditor stands beside `node`: `journal` <- `audit` <- `sim`, `ops`. sled stays in the journal, bincode in the codec,
//! tonic and prost in the wire. Read from the sources, comments left out.

use std::fs;
use std::path::{Path, PathBuf};

/// What each module may name of this crate, itself apart.
const MAY_NAME: [(&str, &[&str]); 13] = [
    ("codec", &["limits"]),
    ("limits", &["types"]),
    ("types", &["limits"]),
    ("diagram", &["limits", "types"]),
    ("model", &["codec", "limits", "types"]),
    ("journal", &["codec", "limits", "model", "types"]),
    ("wire", &["limits", "model", "types"]),
    ("node", &["journal", "limits", "model", "types", "wire"]),
    ("audit", &["journal", "limits", "model", "types"]),
    ("sim", &["audit", "codec", "diagram", "journal", "limits", "model", "node", "types", "wire"]),
    ("cli", &["audit", "config", "journal", "limits", "model", "node", "ops", "sim", "types", "wire"]),
    ("config", &["audit", "cli", "journal", "limits", "model", "node", "ops", "types", "wire"]),
    (
        "ops",
        &["audit", "cli", "config", "diagram", "journal", "limits", "model", "node", "sim", "types", "wire"],
    ),
];

/// Crates, and the only places that may name them.
const AT_HOME: [(&str, &[&str]); 9] = [
    ("sled", &["src/journal/"]),
    ("bincode", &["src/codec.rs"]),
    ("tonic", &["src/wire/"]),
    ("tower", &["src/wire/"]),
    ("hyper_util", &["src/wire/", "src/node/http"]),
    ("axum", &["src/node/http", "src/ops/page/"]),
    ("prometheus", &["src/node/meter/"]),
    ("prost", &["src/wire/"]),
    ("clap", &["src/cli/", "src/ops/"]),
];

/// What would make a machine depend on more than its inputs.
const NOT_IN_MODEL: [&str; 14] = [
    "HashMap",
    "HashSet",
    "SystemTime",
    "Instant",
    "rand::random",
    "fastrand::u64",
    "fastrand::u32",
    "Rng::new",
    "thread_rng",
    "getrandom",
    "std::env",
    "std::fs",
    "std::net",
    "tokio",
];

struct Source {
    /// From the repository's root.
    path: String,
    /// Without comments.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs = vec![root.join("src")];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let read = |file: &PathBuf| Source {
        path: file.strip_prefix(root).unwrap().display().to_string(),
        code: without_comments(&fs::read_to_string(file).unwrap()),
    };
    files.iter().filter(|file| file.extension().is_some_and(|it| it == "rs")).map(read).collect()
}

/// Line comments only, which are the only ones here; a `//` in a string hides the rest of its line, which is no import.
fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The names behind `root::`, those of a `root::{...}` group included.
fn named(code: &str, root: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, found) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(heads(group)),
            None => names.push(ident(rest)),
        }
    }
    names
}

/// First words of a group's members, up to its closing brace.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut fresh) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && (c.is_alphabetic() || c == '_') => {
                heads.push(ident(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn ident(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn module(path: &str) -> String {
    ident(path.strip_prefix("src/").unwrap())
}

#[test]
fn groups_and_paths_are_read() {
    let code = without_comments(
        "use crate::{a::{x, y}, b, c::Z as W};\nlet it = crate::d::f(); // crate::e\nmycrate::g",
    );
    assert_eq!(named(&code, "crate::"), ["a", "b", "c", "d"]);
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for source in sources() {
        let module = module(&source.path);
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else { continue };
        for name in named(&source.code, "crate::") {
            let other = MAY_NAME.iter().any(|(known, _)| *known == name) && name != module;
            if other && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} names crate::{name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_its_place_in_the_rule() {
    let known =
        |module: &str| MAY_NAME.iter().any(|(name, _)| *name == module) || ["lib", "main"].contains(&module);
    for source in sources() {
        assert!(known(&module(&source.path)), "{} is of a module without a rule", source.path);
    }
}

#[test]
fn foreign_crates_stay_at_home() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, homes) in AT_HOME {
            let used = !named(&source.code, &format!("{name}::")).is_empty()
                || source.code.contains(&format!("use {name};"))
                || source.code.contains(&format!("use {name}_"));
            if used && !homes.iter().any(|home| source.path.starts_with(home)) {
                wrong.push(format!("{} names {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn machines_reach_for_nothing_but_their_inputs() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| module(&source.path) == "model") {
        for word in NOT_IN_MODEL {
            let hits = source.code.match_indices(word);
            let whole = |at: usize| !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if hits.into_iter().any(|(at, _)| whole(at)) {
                wrong.push(format!("{} names {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_unsafe() {
    for source in sources() {
        let code = source.code.replace("unsafe_code", "");
        assert!(!code.contains("unsafe "), "{}", source.path);
    }
}

/// They panic where the reader of a pipe went away or the disk is full, which ended a market with exit 101.
#[test]
fn nothing_prints_in_a_way_that_can_panic() {
    let mut wrong = Vec::new();
    // What the bounds of a bench come to is printed by tests alone.
    for source in sources().iter().filter(|source| !source.path.ends_with("/bounds.rs")) {
        let macros = ["print!", "println!", "eprint!", "eprintln!"].into_iter();
        let used = macros.filter(|name| has_word(&source.code, name));
        wrong.extend(used.map(|name| format!("{} uses {name}", source.path)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a name stands there that is no longer name's end.
fn has_word(code: &str, word: &str) -> bool {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| begins(at))
}
