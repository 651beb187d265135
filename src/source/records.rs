//! How many records there are.

use memchr::memchr_iter;

use super::quotes::Parity;
use crate::plan::{Delimiter, RecordFormat};

/// Counts lines and records over consecutive blocks of one object, which begins with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordCounter {
    records: RecordFormat,
    bytes: u64,
    lines: u64,
    /// Those that end a record where the first byte stands outside of quotes.
    delimiters: u64,
    first: Option<u8>,
    last: Option<u8>,
    /// Whether the last bytes are a whole delimiter, quotes aside.
    ended: bool,
    /// Of the quotes, where they matter.
    parity: Parity,
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
    pub const fn new(records: RecordFormat) -> Self {
        Self {
            records,
            bytes: 0,
            lines: 0,
            delimiters: 0,
            first: None,
            last: None,
            ended: false,
            parity: Parity::Outside,
        }
    }

    /// Counts the next block.
    pub fn update(&mut self, block: &[u8]) {
        let of_block = Self::of(self.records, block);
        self.append(&of_block);
    }

    /// Puts what another counter counted over the bytes that follow behind this one's. Both must count the same format.
    fn append(&mut self, next: &Self) {
        let joined = self.records == RecordFormat::Lines(Delimiter::Crlf)
            && self.last == Some(b'\r')
            && next.first == Some(b'\n');
        if next.bytes > 0 {
            self.ended = next.ended || (joined && next.bytes == 1);
        }
        self.bytes += next.bytes;
        self.lines += next.lines;
        self.delimiters += u64::from(joined);
        self.delimiters += match self.parity {
            Parity::Outside => next.delimiters,
            // A newline is inside for one of the two parities, and outside for the other.
            Parity::Inside => next.lines - next.delimiters,
        };
        self.parity = self.parity.and(next.parity);
        self.first = self.first.or(next.first);
        self.last = next.last.or(self.last);
    }

    /// The counts of all that was seen.
    #[must_use]
    pub fn counts(&self) -> RecordCounts {
        let ended = self.ended && self.parity.is_outside();
        let open_end = u64::from(self.bytes > 0 && !ended);
        RecordCounts {
            lines: self.lines,
            records: self.delimiters + open_end,
        }
    }

    fn of(records: RecordFormat, block: &[u8]) -> Self {
        let lines = memchr_iter(b'\n', block).count() as u64;
        let (delimiters, ended, parity) = match records {
            RecordFormat::Lines(Delimiter::Byte(b'\n')) => {
                (lines, block.ends_with(b"\n"), Parity::Outside)
            }
            RecordFormat::Lines(Delimiter::Byte(byte)) => {
                let count = memchr_iter(byte, block).count() as u64;
                (count, block.ends_with(&[byte]), Parity::Outside)
            }
            RecordFormat::Lines(Delimiter::Crlf) => {
                let newlines = memchr_iter(b'\n', block);
                let whole = newlines.filter(|at| *at > 0 && block[at - 1] == b'\r');
                let count = whole.count() as u64;
                (count, block.ends_with(b"\r\n"), Parity::Outside)
            }
            RecordFormat::Csv => {
                let (outside, parity) = newlines_outside(block, lines);
                (outside, block.ends_with(b"\n"), parity)
            }
        };
        Self {
            records,
            bytes: block.len() as u64,
            lines,
            delimiters,
            first: block.first().copied(),
            last: block.last().copied(),
            ended,
            parity,
        }
    }
}

/// How many of the block's newlines stand outside of quotes, where its first byte does, and the parity behind it.
fn newlines_outside(block: &[u8], lines: u64) -> (u64, Parity) {
    if memchr_iter(b'"', block).next().is_none() {
        return (lines, Parity::Outside);
    }
    let (mut outside, mut parity, mut from) = (0, Parity::Outside, 0);
    // Line by line and not quote by quote: there are fewer, and counting in between is fast.
    for at in memchr_iter(b'\n', block) {
        parity = parity.and(Parity::of(&block[from..at]));
        outside += u64::from(parity.is_outside());
        from = at + 1;
    }
    (outside, parity.and(Parity::of(&block[from..])))
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
