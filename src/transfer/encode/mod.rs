//! An object's bytes, compressed on their way: the same bytes from the same source, whatever reads them in
//! pieces of whatever size, on however many threads.
//!
//! The source is always taken in blocks of [`BLOCK`] bytes from the object's first byte on. What a block becomes
//! depends on it and on what stands before it alone, so blocks are compressed side by side.

mod gzip;
mod zstd;

#[cfg(test)]
mod tests;

use std::io;

use super::checksum::BLOCK;
use super::source::SourceFault;
use crate::plan::Compression;
use crate::source::cores;

/// Threads that compress one object at most: more than the source of most deliveries can feed.
const MAX_THREADS: usize = 4;

/// Objects up to this size are compressed by the thread that reads them: others of their size are at work beside
/// them, and each takes less memory so. Of Zstandard it decides which bytes come out.
const ONE_THREAD: u64 = 8 << 20;

/// Which version of the encoder makes an object's bytes from a source. It changes whenever the same source
/// would become other bytes, which `tests` notices: after an update of a library, or of a level.
#[must_use]
pub const fn encoder_version(compression: Compression) -> u32 {
    match compression {
        Compression::None => 1,
        Compression::Gzip => gzip::VERSION,
        Compression::Zstd => zstd::VERSION,
    }
}

/// Threads that compress one object on this machine.
pub(super) fn threads() -> usize {
    cores().min(MAX_THREADS)
}

/// Bytes of memory that compressing an object of `len` bytes takes at most, beside the parts that come out.
pub(super) fn memory(compression: Compression, len: u64, threads: usize) -> usize {
    match compression {
        Compression::None => 0,
        Compression::Gzip => gzip::memory(len, threads),
        Compression::Zstd => zstd::memory(len, threads),
    }
}

/// The source of one object, block by block.
pub(super) trait Blocks {
    /// The next block replaces what is in `block`: [`BLOCK`] bytes, fewer at the end, none for an empty object.
    fn next(&mut self, block: &mut Vec<u8>) -> Result<(), SourceFault>;

    /// Whether nothing comes after the block that came last.
    fn is_over(&self) -> bool;
}

/// Whether anything comes after what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoesOn,
    Ends,
}

/// One format's stream.
trait Stream: Send {
    /// Appends what comes next to `out`, and takes as many blocks as that needs.
    fn advance(&mut self, source: &mut dyn Blocks, out: &mut Vec<u8>) -> Result<Then, SourceFault>;
}

/// The compressed bytes of one object, as they come.
pub(super) struct Encoding {
    stream: Box<dyn Stream>,
    /// What came out and found no room yet, from `taken` on.
    out: Vec<u8>,
    taken: usize,
    then: Then,
}

impl Encoding {
    /// The stream of an object of `len` bytes; `None` where nothing is compressed.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn new(
        compression: Compression,
        len: u64,
        threads: usize,
    ) -> Result<Option<Self>, SourceFault> {
        let stream: Box<dyn Stream> = match compression {
            Compression::None => return Ok(None),
            Compression::Gzip => Box::new(gzip::Gzip::new(len, threads)?),
            Compression::Zstd => Box::new(zstd::Zstd::new(len, threads)?),
        };
        Ok(Some(Self {
            stream,
            out: Vec::new(),
            taken: 0,
            then: Then::GoesOn,
        }))
    }

    /// Fills `buffer` with the bytes that come next, and returns how many they are: fewer than it holds only at
    /// the end, or once `given_up` says that nobody waits any more.
    pub(super) fn fill(
        &mut self,
        source: &mut dyn Blocks,
        buffer: &mut [u8],
        given_up: &dyn Fn() -> bool,
    ) -> Result<usize, SourceFault> {
        let mut filled = 0;
        while self.has_more(source)? && filled < buffer.len() && !given_up() {
            let fresh = &self.out[self.taken..];
            let len = fresh.len().min(buffer.len() - filled);
            buffer[filled..filled + len].copy_from_slice(&fresh[..len]);
            self.taken += len;
            filled += len;
        }
        Ok(filled)
    }

    /// Whether bytes come that were not taken yet.
    pub(super) fn has_more(&mut self, source: &mut dyn Blocks) -> Result<bool, SourceFault> {
        while self.taken == self.out.len() && self.then == Then::GoesOn {
            self.out.clear();
            self.taken = 0;
            self.then = self.stream.advance(source, &mut self.out)?;
        }
        Ok(self.taken < self.out.len())
    }
}

/// What a library of ours did that it never should. Trying again may help: it is in no state afterwards.
fn broken(what: &str) -> SourceFault {
    SourceFault::Transient(format!("compressing: {what}"))
}

/// Compresses the `len` bytes of `source` into `out`, as an object of as many bytes is: for those who measure it.
///
/// # Errors
/// When `source` can't be read or ends before, when `out` can't be written, and when no thread can be started.
pub fn compress(
    compression: Compression,
    len: u64,
    source: &mut dyn io::Read,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut blocks = ReadBlocks { source, rest: len };
    let Some(mut encoding) =
        Encoding::new(compression, len, threads()).map_err(io::Error::other)?
    else {
        return io::copy(blocks.source, out).map(drop);
    };
    let mut buffer = vec![0; 1 << 20];
    loop {
        let filled = encoding.fill(&mut blocks, &mut buffer, &|| false);
        match filled.map_err(io::Error::other)? {
            0 => return Ok(()),
            filled => out.write_all(&buffer[..filled])?,
        }
    }
}

struct ReadBlocks<'a> {
    source: &'a mut dyn io::Read,
    rest: u64,
}

impl Blocks for ReadBlocks<'_> {
    fn next(&mut self, block: &mut Vec<u8>) -> Result<(), SourceFault> {
        let len = usize::try_from(self.rest).map_or(BLOCK, |rest| rest.min(BLOCK));
        block.resize(len, 0);
        let read = self.source.read_exact(block);
        self.rest -= len as u64;
        read.map_err(|error| SourceFault::Transient(error.to_string()))
    }

    fn is_over(&self) -> bool {
        self.rest == 0
    }
}
