//! The namespace's folder as a directory handle, and its files, opened beneath it.
//!
//! The kernel keeps every path inside (`openat2` with `RESOLVE_BENEATH`), links included; there is no
//! moment between a check and a use. What is not a regular file is never opened for reading, so that a
//! named pipe can't block and a device isn't touched.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::{Errno, pread, retry_on_intr};
use tokio_util::sync::CancellationToken;

use super::error::{Attempt, NotAFile, SourceError};
use super::glob::PathPattern;
use super::walk::{self, MAX_ENTRIES};
use crate::plan::{Fingerprint, SourceFile};

/// How often a lookup is repeated that something else renamed under (EAGAIN of `openat2`).
const RACED_LOOKUPS: usize = 16;

/// The folder of one namespace below the volume's root. A clone is the same handle.
#[derive(Clone, Debug)]
pub struct VolumeRoot {
    folder: Arc<OwnedFd>,
}

/// What stands at a path.
pub(super) enum Probe {
    /// Nothing.
    Missing,
    /// A link whose end is missing.
    Dangling,
    /// Something, which was looked at but not opened for reading.
    Found(FileType),
}

impl VolumeRoot {
    /// Opens the folder `namespace` below `root`.
    ///
    /// # Errors
    /// [`SourceError::PathNotAllowed`] when `namespace` is no single name, or a link out of the root;
    /// [`SourceError::NotFound`] when there is no such folder; [`SourceError::Unreadable`] when the system
    /// refuses, and when the root itself can't be opened.
    pub fn open(root: &Path, namespace: &str) -> Result<Self, SourceError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = retry_on_intr(|| openat(CWD, root, flags, Mode::empty()));
        let handle = handle.map_err(|errno| SourceError::Unreadable {
            path: root.display().to_string(),
            attempt: Attempt::OpenRoot,
            cause: errno.into(),
        })?;
        let path = namespace.to_owned();
        if matches!(namespace, "" | "." | "..") || namespace.contains(['/', '\0']) {
            return Err(SourceError::PathNotAllowed { path });
        }
        match open_beneath(&handle, namespace.as_bytes(), flags) {
            Ok(folder) => Ok(Self {
                folder: Arc::new(folder),
            }),
            Err(Errno::NOENT) => Err(SourceError::NotFound { path }),
            Err(errno) => Err(refused(namespace.as_bytes(), Attempt::Open, errno)),
        }
    }

    /// The files that match, in byte order of their paths, each as it is now. Looks only into folders
    /// that can hold a match, and at no more than [`MAX_ENTRIES`] directory entries. `**` doesn't cross
    /// linked folders (no circles, nothing twice); a segment that names one does. Looks at no further entry once
    /// `stop` is cancelled.
    ///
    /// # Errors
    /// [`SourceError::NotFound`] or [`SourceError::Empty`] when nothing matches, [`SourceError::Ended`] once it is
    /// stopped, and whatever keeps a match from being read.
    pub fn scan(
        &self,
        pattern: &PathPattern,
        stop: &CancellationToken,
    ) -> Result<Vec<SourceFile>, SourceError> {
        walk::scan(self, pattern, MAX_ENTRIES, stop)
    }

    /// Opens a file that was scanned.
    ///
    /// # Errors
    /// [`SourceError::Changed`] when it is gone or not what was scanned; else as [`Self::scan`].
    pub fn open_file(&self, file: &SourceFile) -> Result<OpenFile, SourceError> {
        let path = file.path.as_bytes();
        let gone = || SourceError::Changed {
            path: file.path.clone(),
            planned: file.fingerprint.clone(),
            found: None,
        };
        match self.probe(path)? {
            Probe::Missing | Probe::Dangling => return Err(gone()),
            Probe::Found(FileType::RegularFile) => {}
            Probe::Found(other) => return Err(not_a_file(path, other)),
        }
        let (fd, _) = self.read_handle(path)?.ok_or_else(gone)?;
        let file = OpenFile(Arc::new(Opened {
            fd,
            file: file.clone(),
        }));
        file.check()?;
        Ok(file)
    }

    /// Looks at what stands at `path`, without opening it for anything.
    pub(super) fn probe(&self, path: &[u8]) -> Result<Probe, SourceError> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match open_beneath(&self.folder, path, flags) {
            Ok(handle) => Ok(Probe::Found(type_of(&stat(&handle, path)?))),
            Err(Errno::NOENT | Errno::NOTDIR) if self.is_link(path)? => Ok(Probe::Dangling),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Probe::Missing),
            Err(errno) => Err(refused(path, Attempt::Open, errno)),
        }
    }

    /// Whether a link stands at `path`.
    pub(super) fn is_link(&self, path: &[u8]) -> Result<bool, SourceError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match open_beneath(&self.folder, path, flags) {
            Ok(handle) => Ok(type_of(&stat(&handle, path)?) == FileType::Symlink),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(refused(path, Attempt::Open, errno)),
        }
    }

    /// Opens what was probed as a regular file for reading; `None` when it went away since.
    /// `O_NONBLOCK` and the second look cover what might have taken its place.
    pub(super) fn read_handle(
        &self,
        path: &[u8],
    ) -> Result<Option<(OwnedFd, Fingerprint)>, SourceError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let handle = match open_beneath(&self.folder, path, flags) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(refused(path, Attempt::Open, errno)),
        };
        let stat = stat(&handle, path)?;
        match type_of(&stat) {
            FileType::RegularFile => Ok(Some((handle, fingerprint(&stat)))),
            other => Err(not_a_file(path, other)),
        }
    }

    /// Opens a folder for listing; `None` when it went away.
    pub(super) fn list_handle(&self, path: &[u8]) -> Result<Option<OwnedFd>, SourceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let path = if path.is_empty() { b"." } else { path };
        match open_beneath(&self.folder, path, flags) {
            Ok(handle) => Ok(Some(handle)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(refused(path, Attempt::List, errno)),
        }
    }
}

fn open_beneath(folder: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut raced = 0;
    loop {
        match openat2(folder, path, flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            // A rename beside ".." in a link: the kernel can't tell whether it led out.
            Err(Errno::AGAIN) if raced < RACED_LOOKUPS => raced += 1,
            other => return other,
        }
    }
}

fn stat(handle: &OwnedFd, path: &[u8]) -> Result<Stat, SourceError> {
    retry_on_intr(|| fstat(handle)).map_err(|errno| refused(path, Attempt::Stat, errno))
}

fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn fingerprint(stat: &Stat) -> Fingerprint {
    // The times of 1677 to 2262 fit; what is beyond stays where it is.
    let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
    Fingerprint::File {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns: ns(stat.st_mtime, stat.st_mtime_nsec as i64),
        ctime_ns: ns(stat.st_ctime, stat.st_ctime_nsec as i64),
    }
}

/// The error for what the system refused.
pub(super) fn refused(path: &[u8], attempt: Attempt, errno: Errno) -> SourceError {
    let path = String::from_utf8_lossy(path).into_owned();
    match errno {
        // RESOLVE_BENEATH's answer to a path that leads out.
        Errno::XDEV => SourceError::PathNotAllowed { path },
        _ => SourceError::Unreadable {
            path,
            attempt,
            cause: io::Error::from(errno),
        },
    }
}

/// The error for what is no regular file.
pub(super) fn not_a_file(path: &[u8], file_type: FileType) -> SourceError {
    SourceError::NotAFile {
        path: String::from_utf8_lossy(path).into_owned(),
        kind: match file_type {
            FileType::Directory => NotAFile::Folder,
            FileType::Fifo => NotAFile::Fifo,
            FileType::Socket => NotAFile::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => NotAFile::Device,
            _ => NotAFile::Unknown,
        },
    }
}

/// A file that is open for reading and was what was scanned when it was opened. A clone is the same
/// handle; reads at different offsets don't disturb each other.
#[derive(Clone, Debug)]
pub struct OpenFile(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    fd: OwnedFd,
    file: SourceFile,
}

impl OpenFile {
    /// Fills `buf` with the bytes from `offset` on. Whether they are those of the plan is certain only
    /// after a [`Self::check`] behind the last read.
    ///
    /// # Errors
    /// [`SourceError::Changed`] when the file ends before, [`SourceError::Unreadable`] when the system
    /// refuses.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let mut done = 0;
        while done < buf.len() {
            let read = retry_on_intr(|| pread(&self.0.fd, &mut buf[done..], offset + done as u64));
            match read {
                Ok(0) => return Err(self.changed(self.now()?)),
                Ok(read) => done += read,
                Err(errno) => return Err(refused(self.path(), Attempt::Read, errno)),
            }
        }
        Ok(())
    }

    /// Makes sure that size, mtime and ctime are still those that were scanned.
    ///
    /// # Errors
    /// [`SourceError::Changed`] when they aren't, [`SourceError::Unreadable`] when the system refuses.
    pub fn check(&self) -> Result<(), SourceError> {
        let now = self.now()?;
        if now == self.0.file.fingerprint {
            Ok(())
        } else {
            Err(self.changed(now))
        }
    }

    fn now(&self) -> Result<Fingerprint, SourceError> {
        stat(&self.0.fd, self.path()).map(|stat| fingerprint(&stat))
    }

    fn path(&self) -> &[u8] {
        self.0.file.path.as_bytes()
    }

    fn changed(&self, found: Fingerprint) -> SourceError {
        SourceError::Changed {
            path: self.0.file.path.clone(),
            planned: self.0.file.fingerprint.clone(),
            found: Some(found),
        }
    }
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
