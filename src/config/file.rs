//! Reading one file into checked JSON: errors carry file, line and column; a key given twice is refused.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ConfigError, DEFAULT_DIR};

/// The files of the default market, as they are in the binary.
const BUILT_IN: [(&str, &str); 3] = [
    ("topology.json", include_str!("../../data/topology.json")),
    ("config_buyers_sellers.json", include_str!("../../data/config_buyers_sellers.json")),
    ("stock.json", include_str!("../../data/stock.json")),
];

/// A file's path and what it says.
pub(super) struct File<T> {
    pub(super) path: PathBuf,
    pub(super) entries: Entries<T>,
}

/// An object's members in the order of the file.
pub(super) struct Entries<T>(pub(super) Vec<(String, T)>);

impl<T> Entries<T> {
    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
        let mut entries: Entries<T> = Entries(Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            if entries.get(&key).is_some() {
                return Err(A::Error::custom(format_args!("\"{key}\" is there twice")));
            }
            entries.0.push((key, map.next_value()?));
        }
        Ok(entries)
    }
}

/// What is an object in the file: a list of its members' values is refused.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneObject(PhantomData))
    }
}

struct OneObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneObject<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Reads `name` in `dir`.
pub(super) fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<File<T>, ConfigError> {
    let path = dir.join(name);
    let text = text(dir, name).map_err(|source| ConfigError::Unreadable { file: path.clone(), source })?;
    // Editors of some systems begin a file with a mark that is no JSON.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match serde_json::from_str(text) {
        Ok(entries) if is_built_in(dir) => Ok(File { path: format!("{name} (built in)").into(), entries }),
        Ok(entries) => Ok(File { path, entries }),
        Err(error) => Err(malformed(path, text, &error)),
    }
}

/// There are no files: the market of the program itself is meant.
fn is_built_in(dir: &Path) -> bool {
    dir == Path::new(DEFAULT_DIR) && !dir.exists()
}

fn text(dir: &Path, name: &str) -> std::io::Result<String> {
    let built_in = BUILT_IN.iter().find(|(file, _)| *file == name);
    match built_in {
        Some((_, text)) if is_built_in(dir) => Ok((*text).to_string()),
        _ => fs::read_to_string(dir.join(name)),
    }
}

fn malformed(file: PathBuf, text: &str, error: &serde_json::Error) -> ConfigError {
    let (line, column) = place(text, error);
    let why = error.to_string();
    // serde_json repeats the place behind the reason; the message begins with it.
    let why = why.split(" at line ").next().unwrap_or_default();
    let why = why
        .replace("expected u32", "expected a whole number")
        .replace("expected u64", "expected a whole number");
    ConfigError::Malformed { file, line, column, why, is_json: error.is_data() }
}

/// Line and column, both from 1, the latter in characters. serde_json counts bytes, from 0 where it stopped before what it
/// did not like, and that is where a list or an object begins.
fn place(text: &str, error: &serde_json::Error) -> (usize, usize) {
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let within = error.column().min(line.len());
    let read = (0..=within).rev().find(|at| line.is_char_boundary(*at)).unwrap_or_default();
    let (before, rest) = line.split_at(read);
    let blanks = rest.len() - rest.trim_start().len();
    let begins = error.is_data() && rest.trim_start().starts_with(['[', '{']);
    let column = before.chars().count() + if begins { blanks + 1 } else { 0 };
    (error.line().max(1), column.max(1))
}
