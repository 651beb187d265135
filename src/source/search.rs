//! The first and the last record's end in a stretch of a file, found from a few blocks.

use std::io;

use memchr::{memchr, memchr_iter, memrchr};

use super::quotes::Parity;
use crate::plan::{ByteRange, Delimiter, RecordFormat};

/// Bytes that a search reads first: a record is seldom longer.
pub(super) const FIRST_BLOCK: u64 = 64 << 10;

/// Bytes that a search reads at once at most; blocks double up to here.
pub(super) const LARGEST_BLOCK: u64 = 1 << 20;

/// Fills the block with the bytes from the offset on.
pub(super) type ReadBlock<'a> = dyn Fn(&mut [u8], u64) -> io::Result<()> + Sync + 'a;

/// How a search reads, and the memory that it uses again.
pub(super) struct Blocks<'a> {
    pub(super) read: &'a ReadBlock<'a>,
    pub(super) buffer: &'a mut Vec<u8>,
}

impl Blocks<'_> {
    /// Bytes `from..end`, at most [`LARGEST_BLOCK`] and one.
    fn get(&mut self, from: u64, end: u64) -> io::Result<&[u8]> {
        self.buffer
            .resize(usize::try_from(end - from).unwrap_or(0), 0);
        (self.read)(self.buffer, from)?;
        Ok(self.buffer)
    }
}

/// Finds the end of the last record in `window`, reading backwards, block by block. `parity` is the one at the
/// window's end: needed for CSV alone.
pub(super) fn last_record_end(
    records: RecordFormat,
    parity: Option<Parity>,
    window: ByteRange,
    blocks: &mut Blocks<'_>,
) -> io::Result<Option<u64>> {
    // A CRLF that ends in this block may begin in front of it, so a block takes one byte more.
    let lead = match records {
        RecordFormat::Lines(Delimiter::Crlf) => 1,
        RecordFormat::Lines(Delimiter::Byte(_)) | RecordFormat::Csv => 0,
    };
    let mut parity = parity.unwrap_or_default();
    let mut end = window.end();
    let mut block = FIRST_BLOCK;
    while end > window.offset {
        let begin = end.saturating_sub(block).max(window.offset);
        let from = begin.saturating_sub(lead);
        let bytes = blocks.get(from, end)?;
        let skip = usize::try_from(begin - from).unwrap_or(0);
        let found = match records {
            RecordFormat::Lines(delimiter) => last_delimiter(delimiter, bytes, skip),
            RecordFormat::Csv => last_newline_outside(bytes, &mut parity),
        };
        if let Some(at) = found {
            return Ok(Some(from + at as u64 + 1));
        }
        end = begin;
        block = (block * 2).min(LARGEST_BLOCK);
    }
    Ok(None)
}

/// Finds the end of the file's first record, where it is at most `limit`.
pub(super) fn first_record_end(
    records: RecordFormat,
    limit: u64,
    blocks: &mut Blocks<'_>,
) -> io::Result<Option<u64>> {
    let mut begin = 0;
    let mut block = FIRST_BLOCK;
    let mut parity = Parity::Outside;
    while begin < limit {
        let end = limit.min(begin + block);
        // The byte before may be the first half of a CRLF.
        let from = begin.saturating_sub(1);
        let bytes = blocks.get(from, end)?;
        let skip = usize::try_from(begin - from).unwrap_or(0);
        let found = match records {
            RecordFormat::Lines(delimiter) => first_delimiter(delimiter, bytes, skip),
            RecordFormat::Csv => {
                first_newline_outside(&bytes[skip..], &mut parity).map(|at| skip + at)
            }
        };
        if let Some(at) = found {
            return Ok(Some(from + at as u64 + 1));
        }
        begin = end;
        block = (block * 2).min(LARGEST_BLOCK);
    }
    Ok(None)
}

/// Where in `bytes[from..]` the last delimiter's last byte stands.
fn last_delimiter(delimiter: Delimiter, bytes: &[u8], from: usize) -> Option<usize> {
    let mut end = bytes.len();
    loop {
        let at = from + memrchr(delimiter.last_byte(), &bytes[from..end])?;
        if is_whole(delimiter, bytes, at) {
            return Some(at);
        }
        end = at;
    }
}

/// Where in `bytes[from..]` the first delimiter's last byte stands.
fn first_delimiter(delimiter: Delimiter, bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr(delimiter.last_byte(), &bytes[from..])?;
        if is_whole(delimiter, bytes, at) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn is_whole(delimiter: Delimiter, bytes: &[u8], at: usize) -> bool {
    match delimiter {
        Delimiter::Byte(_) => true,
        Delimiter::Crlf => at > 0 && bytes[at - 1] == b'\r',
    }
}

/// Where the last newline outside of quotes stands. `parity` is the one behind `bytes`, and becomes the one
/// in front of them where there is none.
fn last_newline_outside(bytes: &[u8], parity: &mut Parity) -> Option<usize> {
    let mut end = bytes.len();
    while let Some(at) = memrchr(b'\n', &bytes[..end]) {
        // Between a newline and the end of the line that follows it.
        *parity = parity.and(Parity::of(&bytes[at + 1..end]));
        if parity.is_outside() {
            return Some(at);
        }
        end = at;
    }
    *parity = parity.and(Parity::of(&bytes[..end]));
    None
}

/// Where the first newline outside of quotes stands. `parity` is the one in front of `bytes`, and becomes the one
/// behind them where there is none.
fn first_newline_outside(bytes: &[u8], parity: &mut Parity) -> Option<usize> {
    let mut from = 0;
    for at in memchr_iter(b'\n', bytes) {
        *parity = parity.and(Parity::of(&bytes[from..at]));
        if parity.is_outside() {
            return Some(at);
        }
        from = at + 1;
    }
    *parity = parity.and(Parity::of(&bytes[from..]));
    None
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
