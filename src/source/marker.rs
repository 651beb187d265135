//! The marker by which a producer says that a source is complete.

use rustix::fs::FileType;

use super::error::SourceError;
use super::glob::{PathPattern, PatternInvalid};
use super::s3::{Selection, SourceBucket};
use super::volume::{Probe, VolumeRoot, not_a_file};
use crate::plan::SourceFile;

/// A marker of one source: a file in the source's folder or below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Relative to the namespace's folder; an object's key.
    path: String,
    /// Whether the source names this very file, so that it is what is delivered.
    is_the_source: bool,
}

impl Marker {
    /// The marker `path`, which is relative to the folder of `files`.
    ///
    /// # Errors
    /// When `path` breaks a rule of [`PatternInvalid`], or holds a wildcard.
    pub fn beside(files: &PathPattern, path: &str) -> Result<Self, PatternInvalid> {
        if !PathPattern::parse(path)?.is_literal() {
            return Err(PatternInvalid::NotOneFile(path.to_owned()));
        }
        let path = format!("{}{path}", files.folder());
        let is_the_source = files.as_str() == path;
        Ok(Self {
            path,
            is_the_source,
        })
    }

    /// The marker `path`, which is relative to the prefix of `objects`.
    ///
    /// # Errors
    /// When `path` breaks a rule of [`PatternInvalid`], or holds a wildcard.
    pub fn below(objects: &Selection, path: &str) -> Result<Self, PatternInvalid> {
        if !PathPattern::parse(path)?.is_literal() {
            return Err(PatternInvalid::NotOneFile(path.to_owned()));
        }
        Ok(Self {
            path: format!("{}{path}", objects.prefix().as_str()),
            is_the_source: objects.names(path),
        })
    }

    /// Where it is looked for, relative to the namespace's folder; an object's key.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Makes sure that it is there.
    ///
    /// # Errors
    /// [`SourceError::MarkerMissing`] when it isn't, [`SourceError::NotAFile`] when something else is, and what keeps
    /// it from being looked at.
    pub fn require(&self, root: &VolumeRoot) -> Result<(), SourceError> {
        let path = self.path.as_bytes();
        match root.probe(path)? {
            Probe::Found(FileType::RegularFile) => Ok(()),
            Probe::Found(other) => Err(not_a_file(path, other)),
            Probe::Missing | Probe::Dangling => Err(self.missing()),
        }
    }

    /// Makes sure that it is there, as an object.
    ///
    /// # Errors
    /// [`SourceError::MarkerMissing`] when it isn't, and what keeps the bucket from being listed.
    pub fn require_object(&self, bucket: &SourceBucket) -> Result<(), SourceError> {
        match bucket.has(&self.path)? {
            true => Ok(()),
            false => Err(self.missing()),
        }
    }

    /// The error for a marker that isn't there.
    #[must_use]
    pub fn missing(&self) -> SourceError {
        SourceError::MarkerMissing {
            path: self.path.clone(),
        }
    }

    /// Whether that file is nothing but the marker: not to be delivered, even where the pattern matches it.
    #[must_use]
    pub fn is(&self, file: &SourceFile) -> bool {
        file.path == self.path && !self.is_the_source
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn marker(pattern: &str, path: &str) -> Result<Marker, PatternInvalid> {
        Marker::beside(&PathPattern::parse(pattern).unwrap(), path)
    }

    #[test]
    fn stands_in_the_sources_folder_or_below() {
        for (pattern, path, expected) in [
            ("*.csv", "_SUCCESS", "_SUCCESS"),
            ("a.csv", "_SUCCESS", "_SUCCESS"),
            ("x/y/*.csv", "_SUCCESS", "x/y/_SUCCESS"),
            ("x/y/a.csv", "b/_DONE", "x/y/b/_DONE"),
            ("x/*/a.csv", "_SUCCESS", "x/_SUCCESS"),
            ("x/**", "_SUCCESS", "x/_SUCCESS"),
            ("**/a.csv", "_SUCCESS", "_SUCCESS"),
        ] {
            assert_eq!(marker(pattern, path).unwrap().path(), expected, "{pattern}");
        }
        for path in [
            "", "/a", "a/", "a//b", "../a", "a/..", "./a", "a*", "?", "a\n",
        ] {
            assert!(marker("x/*.csv", path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn is_a_file_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("ns/x/folder")).unwrap();
        let root = VolumeRoot::open(dir.path(), "ns").unwrap();
        let look = |path: &str| marker("x/*.csv", path).unwrap().require(&root);
        for missing in ["_SUCCESS", "none/_SUCCESS", "_SUCCESS/below"] {
            let refused = look(missing).unwrap_err().to_string();
            assert!(refused.contains("the producer writes it"), "{refused}");
        }
        fs::write(dir.path().join("ns/x/_SUCCESS"), "").unwrap();
        assert!(look("_SUCCESS").is_ok());
        let refused = look("folder").unwrap_err().to_string();
        assert!(refused.contains("a folder"), "{refused}");
        std::os::unix::fs::symlink("nothing", dir.path().join("ns/x/dangling")).unwrap();
        assert!(matches!(
            look("dangling"),
            Err(SourceError::MarkerMissing { .. })
        ));
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("ns/x/out")).unwrap();
        assert!(matches!(
            look("out"),
            Err(SourceError::PathNotAllowed { .. })
        ));
    }

    #[test]
    fn is_not_delivered_unless_it_is_the_source() {
        let file = |path: &str| SourceFile {
            path: path.to_owned(),
            fingerprint: crate::plan::Fingerprint::File {
                size: 0,
                mtime_ns: 0,
                ctime_ns: 0,
            },
        };
        let done = marker("x/*", "DONE").unwrap();
        assert!(done.is(&file("x/DONE")));
        assert!(!done.is(&file("DONE")) && !done.is(&file("x/y/DONE")));
        assert!(!marker("x/a.csv", "a.csv").unwrap().is(&file("x/a.csv")));
    }
}
