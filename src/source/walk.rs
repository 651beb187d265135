//! Walks the folders in which a pattern can match.

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::error::{Attempt, NotAFile, SourceError};
use super::glob::{PathPattern, Progress};
use super::volume::{Probe, VolumeRoot, not_a_file, refused};
use crate::plan::SourceFile;

/// Directory entries that one scan looks at: some tens of MiB of names, and seconds on a slow volume.
pub const MAX_ENTRIES: usize = 100_000;

/// Scans `root` for `pattern`, looking at no more than `limit` entries, and at none once `stop` is cancelled.
pub(super) fn scan(
    root: &VolumeRoot,
    pattern: &PathPattern,
    limit: usize,
    stop: &CancellationToken,
) -> Result<Vec<SourceFile>, SourceError> {
    let mut walk = Walk {
        root,
        pattern,
        limit,
        stop,
        entries: 0,
        found: Vec::new(),
        folders: Vec::new(),
    };
    walk.folders.push(Folder {
        path: Vec::new(),
        progress: pattern.start(),
    });
    while let Some(folder) = walk.folders.pop() {
        for entry in walk.candidates(&folder)? {
            walk.visit(&folder, &entry)?;
        }
    }
    if walk.found.is_empty() {
        let pattern = pattern.as_str().to_owned();
        return Err(if walk.pattern.is_literal() {
            SourceError::NotFound { path: pattern }
        } else {
            let entries = walk.entries;
            SourceError::Empty { pattern, entries }
        });
    }
    walk.found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a VolumeRoot,
    pattern: &'a PathPattern,
    limit: usize,
    stop: &'a CancellationToken,
    entries: usize,
    found: Vec<SourceFile>,
    folders: Vec<Folder>,
}

/// A folder to look into: its path from the namespace's folder, and how much of the pattern it matched.
struct Folder {
    path: Vec<u8>,
    progress: Progress,
}

/// A name in a folder, with what the listing says of it.
struct Entry {
    name: Vec<u8>,
    file_type: FileType,
}

impl Walk<'_> {
    /// The entries of `folder` that can be, or lead to, a match; in byte order, so that the same tree
    /// gives the same error.
    fn candidates(&mut self, folder: &Folder) -> Result<Vec<Entry>, SourceError> {
        if let Some(names) = self.pattern.spelled_out(&folder.progress) {
            let entries = names.into_iter().map(|name| Entry {
                name: name.into(),
                file_type: FileType::Unknown,
            });
            return Ok(entries.collect());
        }
        let Some(handle) = self.root.list_handle(&folder.path)? else {
            return Ok(Vec::new());
        };
        let failed = |errno: Errno| refused(&folder.path, Attempt::List, errno);
        let mut candidates = Vec::new();
        for entry in Dir::new(handle).map_err(failed)? {
            self.go_on()?;
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > self.limit {
                return Err(SourceError::TooManyEntries {
                    pattern: self.pattern.as_str().to_owned(),
                    limit: self.limit,
                });
            }
            let can_match = self.pattern.accepts(&folder.progress, name)
                || !self.pattern.descend(&folder.progress, name).is_dead();
            if can_match {
                candidates.push(Entry {
                    name: name.to_owned(),
                    file_type: entry.file_type(),
                });
            }
        }
        candidates.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(candidates)
    }

    fn go_on(&self) -> Result<(), SourceError> {
        if self.stop.is_cancelled() {
            return Err(SourceError::Ended);
        }
        Ok(())
    }

    fn visit(&mut self, folder: &Folder, entry: &Entry) -> Result<(), SourceError> {
        self.go_on()?;
        let path = join(&folder.path, &entry.name);
        let accepts = self.pattern.accepts(&folder.progress, &entry.name);
        let named = self.pattern.descend_named(&folder.progress, &entry.name);
        if !accepts && named.is_dead() {
            // Only "**" leads on, so only a real folder is of interest.
            return self.cross(folder, entry, path);
        }
        match self.root.probe(&path)? {
            Probe::Missing => Ok(()),
            Probe::Dangling if accepts => Err(SourceError::NotAFile {
                path: String::from_utf8_lossy(&path).into_owned(),
                kind: NotAFile::DanglingLink,
            }),
            Probe::Dangling => Ok(()),
            Probe::Found(FileType::Directory) => {
                if accepts && self.pattern.is_literal() {
                    return Err(not_a_file(&path, FileType::Directory));
                }
                let progress = if self.is_link(entry, &path)? {
                    named
                } else {
                    self.pattern.descend(&folder.progress, &entry.name)
                };
                self.enter(path, progress);
                Ok(())
            }
            Probe::Found(FileType::RegularFile) if accepts => self.take(path),
            Probe::Found(other) if accepts => Err(not_a_file(&path, other)),
            Probe::Found(_) => Ok(()),
        }
    }

    fn cross(&mut self, folder: &Folder, entry: &Entry, path: Vec<u8>) -> Result<(), SourceError> {
        let is_folder = match entry.file_type {
            FileType::Directory => true,
            FileType::Unknown if !self.root.is_link(&path)? => {
                matches!(self.root.probe(&path)?, Probe::Found(FileType::Directory))
            }
            _ => false,
        };
        if is_folder {
            self.enter(path, self.pattern.descend(&folder.progress, &entry.name));
        }
        Ok(())
    }

    fn enter(&mut self, path: Vec<u8>, progress: Progress) {
        if !progress.is_dead() {
            self.folders.push(Folder { path, progress });
        }
    }

    fn is_link(&self, entry: &Entry, path: &[u8]) -> Result<bool, SourceError> {
        match entry.file_type {
            FileType::Symlink => Ok(true),
            FileType::Unknown => self.root.is_link(path),
            _ => Ok(false),
        }
    }

    fn take(&mut self, path: Vec<u8>) -> Result<(), SourceError> {
        // Opened, so that a file that can't be read is known before anything is sent.
        let Some((_, fingerprint)) = self.root.read_handle(&path)? else {
            return Ok(());
        };
        let path = String::from_utf8(path).map_err(|error| SourceError::NameNotUtf8 {
            escaped: error.as_bytes().escape_ascii().to_string(),
        })?;
        self.found.push(SourceFile { path, fingerprint });
        Ok(())
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_owned();
    }
    [folder, name].join(&b'/')
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
