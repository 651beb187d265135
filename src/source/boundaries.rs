//! Where records end in files whose bytes can be had at any offset: what the planner asks of a source.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::error::SourceError;
use super::quotes::{Pass, Quotes};
use super::search::{Blocks, first_record_end, last_record_end};
use super::volume::{OpenFile, VolumeRoot};
use crate::plan::{Boundaries, ByteRange, RecordFormat, SourceFile};

/// An open file whose bytes can be had at any offset, by several threads at once.
pub trait RandomRead: Send + Sync {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When the file ends before, or can't be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceError>;

    /// Makes sure that it still is the file that was scanned.
    ///
    /// # Errors
    /// When it isn't, or can't be looked at.
    fn check(&self) -> Result<(), SourceError>;

    /// Bytes in one read of a pass over the whole file.
    fn block(&self) -> usize;
}

/// The files that are cut, by their index in the plan.
pub trait Files {
    /// One of them, open.
    type File: RandomRead;

    /// Opens the file `index`, and makes sure that it is what was scanned.
    ///
    /// # Errors
    /// When it isn't, or can't be opened.
    fn open(&self, index: usize) -> Result<Self::File, io::Error>;
}

/// [`Boundaries`] of any [`Files`]. Keeps the file of the last question open, and makes sure that it is still what was
/// scanned. An error is a [`SourceError`] inside the `io::Error`: [`SourceError::from_io`] takes it out again.
#[derive(Debug)]
pub struct RecordBoundaries<F: Files> {
    files: F,
    records: RecordFormat,
    current: Option<Current<F::File>>,
    buffer: Vec<u8>,
    bytes_read: Arc<AtomicU64>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Current<File> {
    index: usize,
    file: File,
    quotes: Quotes,
}

impl<F: Files> RecordBoundaries<F> {
    /// Boundaries of `files`, in the order in which the planner gets them. Once `stop` is cancelled every question
    /// ends with an error.
    #[must_use]
    pub fn new(files: F, records: RecordFormat, stop: CancellationToken) -> Self {
        Self {
            files,
            records,
            current: None,
            buffer: Vec::new(),
            bytes_read: Arc::default(),
            stop,
        }
    }

    /// The same, which adds the bytes that it reads to `bytes_read`, also while a question is being answered.
    #[must_use]
    pub fn counting(self, bytes_read: Arc<AtomicU64>) -> Self {
        Self { bytes_read, ..self }
    }

    /// Bytes that were read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    fn open(&mut self, index: usize) -> Result<(), io::Error> {
        if self.current.as_ref().is_none_or(|open| open.index != index) {
            // The one before is closed first.
            self.current = None;
            self.current = Some(Current {
                index,
                file: self.files.open(index)?,
                quotes: Quotes::default(),
            });
        }
        Ok(())
    }

    /// Asks about the file `index`, which stays open for the next question.
    fn ask<T>(
        &mut self,
        index: usize,
        question: impl FnOnce(&mut Quotes, &mut Blocks<'_>, &Pass<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.open(index)?;
        let Some(current) = &mut self.current else {
            return Err(io::Error::other(format!(
                "there is no source number {index}"
            )));
        };
        let (file, stop, bytes_read) = (&current.file, &self.stop, &self.bytes_read);
        let read = |block: &mut [u8], offset: u64| -> io::Result<()> {
            if stop.is_cancelled() {
                return Err(io::Error::new(
                    io::ErrorKind::Interrupted,
                    "planning was stopped",
                ));
            }
            file.read_at(block, offset)?;
            bytes_read.fetch_add(block.len() as u64, Ordering::Relaxed);
            Ok(())
        };
        let mut blocks = Blocks {
            read: &read,
            buffer: &mut self.buffer,
        };
        let pass = Pass {
            read: &read,
            block: file.block(),
        };
        let answer = question(&mut current.quotes, &mut blocks, &pass)?;
        current.file.check()?;
        Ok(answer)
    }
}

impl<F: Files> Boundaries for RecordBoundaries<F> {
    fn last_record_end(
        &mut self,
        source: usize,
        window: ByteRange,
    ) -> Result<Option<u64>, io::Error> {
        let records = self.records;
        self.ask(source, |quotes, blocks, pass| {
            let parity = match records {
                RecordFormat::Lines(_) => None,
                RecordFormat::Csv => Some(quotes.parity_at(window.end(), pass)?),
            };
            last_record_end(records, parity, window, blocks)
        })
    }

    fn first_record_end(&mut self, source: usize, limit: u64) -> Result<Option<u64>, io::Error> {
        let records = self.records;
        self.ask(source, |_, blocks, _| {
            first_record_end(records, limit, blocks)
        })
    }

    fn is_closed(&mut self, source: usize, len: u64) -> Result<bool, io::Error> {
        match self.records {
            RecordFormat::Lines(_) => Ok(true),
            RecordFormat::Csv => self.ask(source, |quotes, _, pass| {
                Ok(quotes.parity_at(len, pass)?.is_outside())
            }),
        }
    }
}

/// The files of one namespace's folder, as they were scanned.
#[derive(Clone, Copy, Debug)]
pub struct ScannedFiles<'a> {
    root: &'a VolumeRoot,
    files: &'a [SourceFile],
}

impl<'a> ScannedFiles<'a> {
    /// `files` below `root`, in the order of the plan.
    #[must_use]
    pub const fn new(root: &'a VolumeRoot, files: &'a [SourceFile]) -> Self {
        Self { root, files }
    }
}

/// [`Boundaries`] of files in a volume.
pub type VolumeBoundaries<'a> = RecordBoundaries<ScannedFiles<'a>>;

impl Files for ScannedFiles<'_> {
    type File = OpenFile;

    fn open(&self, index: usize) -> Result<OpenFile, io::Error> {
        let scanned = self
            .files
            .get(index)
            .ok_or_else(|| io::Error::other(format!("there is no source number {index}")))?;
        Ok(self.root.open_file(scanned)?)
    }
}

/// No files at all: of none anything can be asked.
#[derive(Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    type File = OpenFile;

    fn open(&self, _: usize) -> Result<OpenFile, io::Error> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Bytes in one read of a pass: they fit a core's second-level cache, so that looking at them costs no memory traffic.
const PASS_BLOCK: usize = 256 << 10;

impl RandomRead for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceError> {
        Self::read_at(self, buffer, offset)
    }

    fn check(&self) -> Result<(), SourceError> {
        Self::check(self)
    }

    fn block(&self) -> usize {
        PASS_BLOCK
    }
}

#[cfg(test)]
#[path = "boundaries_tests.rs"]
mod tests;
