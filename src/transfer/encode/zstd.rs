//! One Zstandard frame, by the reference library, whose own threads compress jobs of it side by side.
//!
//! One frame and not many: several readers in wide use (pandas among them) take the first frame of a file for
//! the whole and say nothing.

use zstd_safe::zstd_sys::ZSTD_EndDirective::{ZSTD_e_continue, ZSTD_e_end};
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, SafeResult, get_error_name};

use super::super::checksum::BLOCK;
use super::super::source::SourceFault;
use super::{Blocks, ONE_THREAD, Stream, Then, broken};

/// See [`super::encoder_version`].
pub(super) const VERSION: u32 = 1;

/// What `zstd` takes by default.
const LEVEL: i32 = 3;

/// Bytes of a job, each of which a thread compresses by itself: the library's least (ZSTDMT_JOBSIZE_MIN). Named,
/// because it decides which bytes come out and the library's own choice depends on its version. On a table jobs of
/// 8 MiB came out no smaller and no sooner, and took six times the memory.
const JOB: usize = 512 << 10;

/// Memory of one compressor at [`LEVEL`]: its tables (1.3 MiB) and, where it has no threads, the window of
/// 2 MiB and a block.
const COMPRESSOR: usize = 4 << 20;

/// Bytes of output that are taken at a time.
const ROOM: usize = 128 << 10;

/// Bytes of memory that an object of `len` bytes takes at most.
pub(super) fn memory(len: u64, threads: usize) -> usize {
    let own = 2 * BLOCK + 2 * ROOM;
    if len <= ONE_THREAD {
        // A small object has small tables.
        let len = usize::try_from(len).unwrap_or(COMPRESSOR);
        return own + (2 * len + (512 << 10)).min(COMPRESSOR);
    }
    // The library's own sums (zstdmt_compress.c): input for each thread and three more jobs, output for two jobs a
    // thread and three more.
    own + (threads + 3) * JOB + (2 * threads + 3) * JOB + threads * (2 << 20)
}

/// The frame's stream.
pub(super) struct Zstd {
    context: CCtx<'static>,
    block: Vec<u8>,
    room: Box<[u8]>,
}

impl Zstd {
    pub(super) fn new(len: u64, threads: usize) -> Result<Self, SourceFault> {
        let Some(mut context) = CCtx::try_create() else {
            return Err(broken("zstd has no memory"));
        };
        let mut set = |parameter| check(context.set_parameter(parameter)).map(drop);
        set(CParameter::CompressionLevel(LEVEL))?;
        set(CParameter::ChecksumFlag(true))?;
        if len > ONE_THREAD {
            // Also where there is one core: with threads other bytes come out than without, and the same whatever
            // their number.
            set(CParameter::NbWorkers(
                u32::try_from(threads.max(1)).unwrap_or(1),
            ))?;
            set(CParameter::JobSize(u32::try_from(JOB).unwrap_or(u32::MAX)))?;
        }
        check(context.set_pledged_src_size(Some(len)))?;
        Ok(Self {
            context,
            block: Vec::with_capacity(BLOCK),
            room: vec![0; ROOM].into_boxed_slice(),
        })
    }
}

impl Stream for Zstd {
    fn advance(&mut self, source: &mut dyn Blocks, out: &mut Vec<u8>) -> Result<Then, SourceFault> {
        source.next(&mut self.block)?;
        let over = source.is_over();
        let directive = if over { ZSTD_e_end } else { ZSTD_e_continue };
        let mut input = InBuffer::around(&self.block);
        loop {
            let mut output = OutBuffer::around(&mut self.room[..]);
            let left = self
                .context
                .compress_stream2(&mut output, &mut input, directive);
            let left = check(left)?;
            out.extend_from_slice(output.as_slice());
            match directive {
                ZSTD_e_end if left == 0 => return Ok(Then::Ends),
                ZSTD_e_continue if input.pos() == self.block.len() => return Ok(Then::GoesOn),
                _ => {}
            }
        }
    }
}

fn check(result: SafeResult) -> Result<usize, SourceFault> {
    result.map_err(|code| broken(get_error_name(code)))
}
