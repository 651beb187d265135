//! From paths to texts.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Mistake;

/// Bytes of a file that are read. A whole object in etcd is at most 1.5 MiB (etcd, `--max-request-bytes`), so
/// this is a file of many objects.
const MAX_FILE: u64 = 16 << 20;

/// The endings of the files that are read from a folder, as kubectl has them.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The texts behind a path by the names that stand in messages: of a file, of the manifests in a folder (sorted,
/// and not of the folders in it), or of standard input.
pub(super) fn texts(path: &Path) -> Result<Vec<(String, String)>, Mistake> {
    if path == Path::new("-") {
        let name = "standard input".to_owned();
        let text = text(&name, std::io::stdin())?;
        return Ok(vec![(name, text)]);
    }
    let name = shown(path);
    if !path.is_dir() {
        let file = File::open(path).map_err(|error| Mistake::in_file(&name, error.to_string()))?;
        let text = text(&name, file)?;
        return Ok(vec![(name, text)]);
    }
    let manifests =
        manifests_in(path).map_err(|error| Mistake::in_file(&name, error.to_string()))?;
    if manifests.is_empty() {
        let message =
            "the folder holds no *.yaml, *.yml or *.json; folders in it are not looked into";
        return Err(Mistake::in_file(&name, message));
    }
    manifests
        .iter()
        .map(|file| {
            let name = shown(file);
            let opened =
                File::open(file).map_err(|error| Mistake::in_file(&name, error.to_string()))?;
            let text = text(&name, opened)?;
            Ok((name, text))
        })
        .collect()
}

fn manifests_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_manifest = path
            .extension()
            .is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if is_manifest && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn text(name: &str, reader: impl Read) -> Result<String, Mistake> {
    let mut text = String::new();
    let read = reader.take(MAX_FILE + 1).read_to_string(&mut text);
    read.map_err(|error| Mistake::in_file(name, error.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        let message = format!("over {} MiB: no file of manifests", MAX_FILE >> 20);
        return Err(Mistake::in_file(name, message));
    }
    Ok(text)
}

/// A path for a message: one line, whatever its name holds.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
