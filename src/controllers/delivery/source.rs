//! The files of a plan, as the engine reads them: the glue between `source` and `transfer`.

use crate::plan::SourceFile;
use crate::source::{OpenFile, SourceError, VolumeRoot};
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
        let file = self
            .files
            .get(index)
            .ok_or_else(|| SourceFault::Unreadable(format!("the plan has no file {index}")))?;
        let open = self
            .folder()?
            .open_file(file)
            .map_err(|error| fault(&error))?;
        Ok(Box::new(File(open)))
    }

    fn recheck(&self) -> Result<(), SourceFault> {
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

fn fault(error: &SourceError) -> SourceFault {
    let message = error.to_string();
    match error {
        // A file that is gone after it was planned has changed as much as can be.
        SourceError::Changed { .. } | SourceError::NotFound { .. } => SourceFault::Changed(message),
        _ if error.is_transient() => SourceFault::Transient(message),
        _ => SourceFault::Unreadable(message),
    }
}
