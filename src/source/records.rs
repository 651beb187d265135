//! Where records end, and how many there are.

use std::io;

use memchr::{memchr_iter, memrchr};

use super::error::SourceError;
use super::volume::{OpenFile, VolumeRoot};
use crate::plan::{Boundaries, ByteRange, Delimiter, SourceFile};

/// Bytes that a search reads first: a record is seldom longer.
const FIRST_BLOCK: u64 = 64 << 10;

/// Bytes that a search reads at once at most; blocks double up to here.
const LARGEST_BLOCK: u64 = 1 << 20;

/// Finds the end of the last record in `window`, reading backwards, block by block.
fn last_record_end(
    delimiter: Delimiter,
    window: ByteRange,
    buffer: &mut Vec<u8>,
    mut read: impl FnMut(&mut [u8], u64) -> Result<(), SourceError>,
) -> Result<Option<u64>, SourceError> {
    // A CRLF that ends in this block may begin in front of it, so a block takes one byte more.
    let lead = match delimiter {
        Delimiter::Byte(_) => 0,
        Delimiter::Crlf => 1,
    };
    let mut end = window.end();
    let mut block = FIRST_BLOCK;
    while end > window.offset {
        let begin = end.saturating_sub(block).max(window.offset);
        let from = begin.saturating_sub(lead);
        // At most LARGEST_BLOCK and one byte.
        buffer.resize(usize::try_from(end - from).unwrap_or(0), 0);
        read(buffer, from)?;
        let skip = usize::try_from(begin - from).unwrap_or(0);
        if let Some(at) = last_delimiter(delimiter, buffer, skip) {
            return Ok(Some(from + at as u64 + 1));
        }
        end = begin;
        block = (block * 2).min(LARGEST_BLOCK);
    }
    Ok(None)
}

/// Where in `bytes[from..]` the last delimiter's last byte stands.
fn last_delimiter(delimiter: Delimiter, bytes: &[u8], from: usize) -> Option<usize> {
    let mut end = bytes.len();
    loop {
        let at = from + memrchr(delimiter.last_byte(), &bytes[from..end])?;
        let whole = match delimiter {
            Delimiter::Byte(_) => true,
            Delimiter::Crlf => at > 0 && bytes[at - 1] == b'\r',
        };
        if whole {
            return Some(at);
        }
        end = at;
    }
}

/// [`Boundaries`] of files in a volume. Keeps the file of the last question open, and makes sure that
/// it is still what was scanned. An error is a [`SourceError`] inside the `io::Error`:
/// [`SourceError::from_io`] takes it out again.
#[derive(Debug)]
pub struct VolumeBoundaries<'a> {
    root: &'a VolumeRoot,
    files: &'a [SourceFile],
    delimiter: Delimiter,
    current: Option<(usize, OpenFile)>,
    buffer: Vec<u8>,
    bytes_read: u64,
}

impl<'a> VolumeBoundaries<'a> {
    /// Boundaries of `files`, in the order in which the planner gets them.
    #[must_use]
    pub const fn new(root: &'a VolumeRoot, files: &'a [SourceFile], delimiter: Delimiter) -> Self {
        Self {
            root,
            files,
            delimiter,
            current: None,
            buffer: Vec::new(),
            bytes_read: 0,
        }
    }

    /// Bytes that were read so far.
    #[must_use]
    pub const fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    fn file(&mut self, source: usize) -> Result<OpenFile, io::Error> {
        if let Some((open, file)) = &self.current
            && *open == source
        {
            return Ok(file.clone());
        }
        let planned = self
            .files
            .get(source)
            .ok_or_else(|| io::Error::other(format!("there is no source number {source}")))?;
        let file = self.root.open_file(planned)?;
        self.current = Some((source, file.clone()));
        Ok(file)
    }
}

impl Boundaries for VolumeBoundaries<'_> {
    fn last_record_end(
        &mut self,
        source: usize,
        window: ByteRange,
    ) -> Result<Option<u64>, io::Error> {
        let file = self.file(source)?;
        let bytes_read = &mut self.bytes_read;
        let end = last_record_end(self.delimiter, window, &mut self.buffer, |block, offset| {
            *bytes_read += block.len() as u64;
            file.read_at(block, offset)
        })?;
        file.check()?;
        Ok(end)
    }
}

/// Counts lines and records over consecutive blocks of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordCounter {
    delimiter: Delimiter,
    bytes: u64,
    lines: u64,
    delimiters: u64,
    first: Option<u8>,
    last: Option<u8>,
    /// Whether the last bytes are a whole delimiter.
    ended: bool,
}

/// What a [`RecordCounter`] counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordCounts {
    /// Newlines, as `wc -l` counts.
    pub lines: u64,
    /// Delimiters, and one more where the last record has none.
    pub records: u64,
}

impl RecordCounter {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new(delimiter: Delimiter) -> Self {
        Self {
            delimiter,
            bytes: 0,
            lines: 0,
            delimiters: 0,
            first: None,
            last: None,
            ended: false,
        }
    }

    /// Counts the next block.
    pub fn update(&mut self, block: &[u8]) {
        let of_block = Self::of(self.delimiter, block);
        self.append(&of_block);
    }

    /// Puts what another counter counted over the bytes that follow behind this one's, so that parts
    /// of one object can be counted side by side. Both must count the same delimiter.
    pub fn append(&mut self, next: &Self) {
        let joined = self.delimiter == Delimiter::Crlf
            && self.last == Some(b'\r')
            && next.first == Some(b'\n');
        if next.bytes > 0 {
            self.ended = next.ended || (joined && next.bytes == 1);
        }
        self.bytes += next.bytes;
        self.lines += next.lines;
        self.delimiters += next.delimiters + u64::from(joined);
        self.first = self.first.or(next.first);
        self.last = next.last.or(self.last);
    }

    /// The counts of all that was seen.
    #[must_use]
    pub fn counts(&self) -> RecordCounts {
        let open_end = u64::from(self.bytes > 0 && !self.ended);
        RecordCounts {
            lines: self.lines,
            records: self.delimiters + open_end,
        }
    }

    fn of(delimiter: Delimiter, block: &[u8]) -> Self {
        let lines = memchr_iter(b'\n', block).count() as u64;
        let (delimiters, ended) = match delimiter {
            Delimiter::Byte(b'\n') => (lines, block.ends_with(b"\n")),
            Delimiter::Byte(byte) => {
                let count = memchr_iter(byte, block).count() as u64;
                (count, block.ends_with(&[byte]))
            }
            Delimiter::Crlf => {
                let newlines = memchr_iter(b'\n', block);
                let whole = newlines.filter(|at| *at > 0 && block[at - 1] == b'\r');
                (whole.count() as u64, block.ends_with(b"\r\n"))
            }
        };
        Self {
            delimiter,
            bytes: block.len() as u64,
            lines,
            delimiters,
            first: block.first().copied(),
            last: block.last().copied(),
            ended,
        }
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
