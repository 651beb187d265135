//! The files of a plan, as the engine reads them: the glue between `source` and `transfer`.

use std::panic::resume_unwind;
use std::thread::Builder;

use crate::plan::{KeyPrefix, SourceFile};
use crate::source::{OpenFile, Sequential, SourceBucket, SourceError, VolumeRoot, cores};
use crate::transfer::{Readable, Source, SourceFault};

/// Files that one thread looks at before another is worth its start.
const FILES_A_THREAD: usize = 64;

/// The files of one plan under one namespace's folder.
pub(super) struct VolumeFiles {
    root: std::path::PathBuf,
    namespace: String,
    files: Vec<SourceFile>,
}

impl VolumeFiles {
    /// The files `files` of `namespace` under the volume root `root`. Nothing is opened yet.
    pub(super) const fn new(
        root: std::path::PathBuf,
        namespace: String,
        files: Vec<SourceFile>,
    ) -> Self {
        Self {
            root,
            namespace,
            files,
        }
    }

    fn folder(&self) -> Result<VolumeRoot, SourceFault> {
        VolumeRoot::open(&self.root, &self.namespace).map_err(|error| fault(&error))
    }
}

impl Source for VolumeFiles {
    fn open(&self, index: usize) -> Result<Box<dyn Readable>, SourceFault> {
        let file = planned(&self.files, index)?;
        let open = self
            .folder()?
            .open_file(file)
            .map_err(|error| fault(&error))?;
        Ok(Box::new(File(open)))
    }

    fn recheck(&self) -> Result<(), SourceFault> {
        // Of no files none has changed, and their folder need not be there.
        if self.files.is_empty() {
            return Ok(());
        }
        let folder = &self.folder()?;
        // By path, so that a file that was replaced under its name is noticed too.
        let check = |files: &[SourceFile]| {
            files.iter().try_for_each(|file| {
                let opened = folder.open_file(file).map(drop);
                opened.map_err(|error| fault(&error))
            })
        };
        let share = self.files.len().div_ceil(cores()).max(FILES_A_THREAD);
        std::thread::scope(|scope| {
            let mut shares = self.files.chunks(share);
            let first = shares.next().unwrap_or_default();
            let begin = |files| Builder::new().spawn_scoped(scope, move || check(files));
            let others: Vec<_> = shares.map(|files| (files, begin(files))).collect();
            check(first)?;
            others
                .into_iter()
                .try_for_each(|(files, thread)| match thread {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    // The system has no thread for it.
                    Err(_) => check(files),
                })
        })
    }
}

struct File(OpenFile);

impl Readable for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceFault> {
        self.0
            .read_at(buffer, offset)
            .map_err(|error| fault(&error))
    }

    fn check(&self) -> Result<(), SourceFault> {
        self.0.check().map_err(|error| fault(&error))
    }
}

/// The objects of one plan below a prefix of our bucket.
pub(super) struct BucketFiles {
    bucket: SourceBucket,
    prefix: KeyPrefix,
    files: Vec<SourceFile>,
}

impl BucketFiles {
    /// The objects `files` of `bucket`, all below `prefix`. Nothing is asked yet.
    pub(super) const fn new(
        bucket: SourceBucket,
        prefix: KeyPrefix,
        files: Vec<SourceFile>,
    ) -> Self {
        Self {
            bucket,
            prefix,
            files,
        }
    }
}

impl Source for BucketFiles {
    fn open(&self, index: usize) -> Result<Box<dyn Readable>, SourceFault> {
        let file = planned(&self.files, index)?;
        let open = self.bucket.open(file).map_err(|error| fault(&error))?;
        Ok(Box::new(Object(Sequential::new(open))))
    }

    fn recheck(&self) -> Result<(), SourceFault> {
        let checked = self.bucket.recheck(&self.prefix, &self.files);
        checked.map_err(|error| fault(&error))
    }
}

struct Object(Sequential);

impl Readable for Object {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceFault> {
        self.0
            .read_at(buffer, offset)
            .map_err(|error| fault(&error))
    }

    /// Every read makes sure of the ETag.
    fn check(&self) -> Result<(), SourceFault> {
        Ok(())
    }
}

fn planned(files: &[SourceFile], index: usize) -> Result<&SourceFile, SourceFault> {
    let file = files.get(index);
    file.ok_or_else(|| SourceFault::Unreadable(format!("the plan has no file {index}")))
}

fn fault(error: &SourceError) -> SourceFault {
    let message = error.to_string();
    match error {
        // A file that is gone after it was planned has changed as much as can be.
        SourceError::Changed { .. }
        | SourceError::ObjectChanged { .. }
        | SourceError::NotFound { .. } => SourceFault::Changed(message),
        _ if error.is_transient() => SourceFault::Transient(message),
        _ => SourceFault::Unreadable(message),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::source::PathPattern;

    #[test]
    fn each_of_many_files_is_looked_at_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("ns");
        fs::create_dir(&folder).unwrap();
        // So many that each core has a share, where there are two or more.
        let names: Vec<String> = (0..3 * FILES_A_THREAD)
            .map(|number| format!("{number:04}.csv"))
            .collect();
        for name in &names {
            fs::write(folder.join(name), "a\n").unwrap();
        }
        let scan = || {
            let opened = VolumeRoot::open(root.path(), "ns").unwrap();
            let pattern = PathPattern::parse("*.csv").unwrap();
            let files = opened.scan(&pattern, &CancellationToken::new()).unwrap();
            VolumeFiles::new(root.path().to_owned(), "ns".to_owned(), files)
        };
        scan().recheck().unwrap();
        for place in [0, FILES_A_THREAD, names.len() - 1] {
            let planned = scan();
            fs::write(folder.join(&names[place]), "longer\n").unwrap();
            let fault = planned.recheck().unwrap_err();
            assert!(
                matches!(&fault, SourceFault::Changed(text) if text.contains(&names[place])),
                "{fault}"
            );
        }
    }
}
