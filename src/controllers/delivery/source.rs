//! The files of a plan, as the engine reads them: the glue between `source` and `transfer`.

use crate::plan::{KeyPrefix, SourceFile};
use crate::source::{OpenFile, Sequential, SourceBucket, SourceError, VolumeRoot};
use crate::transfer::{Readable, Source, SourceFault};

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
        let folder = self.folder()?;
        // By path, so that a file that was replaced under its name is noticed too.
        self.files.iter().try_for_each(|file| {
            folder
                .open_file(file)
                .map(drop)
                .map_err(|error| fault(&error))
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
