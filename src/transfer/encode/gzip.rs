//! One gzip member of blocks that are compressed side by side.
//!
//! Each block is a deflate stream of its own that begins with the 32 KiB before it as its dictionary and ends
//! at a byte, so that one behind the other they are one stream: what `pigz` does.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crc_fast::CrcAlgorithm::Crc32IsoHdlc;
use flate2::{Compress, FlushCompress, Status};

use super::super::checksum::BLOCK;
use super::super::source::SourceFault;
use super::{Blocks, ONE_THREAD, Stream, Then, broken};

/// See [`super::encoder_version`].
pub(super) const VERSION: u32 = 1;

/// What `gzip` and `pigz` take by default, and so what receivers of .gz files are used to.
const LEVEL: u32 = 6;

/// How far back deflate refers (RFC 1951).
const WINDOW: usize = 32 << 10;

/// Bytes that a block becomes at most. One that doesn't shrink is stored, and 5 bytes stand before each piece of
/// it, which are 4 KiB at the least.
const ROOM: usize = BLOCK + BLOCK / 64 + 1024;

/// Memory of one compressor: twice the window, hash chains of as many 16-bit entries, a table of 65,536 heads and
/// pending output; 272 KiB in zlib's documentation at its default memLevel, rounded up.
const COMPRESSOR: usize = 512 << 10;

/// No modification time and no name, which would not be the same each time; an unknown system (RFC 1952).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bytes of memory that an object of `len` bytes takes at most.
pub(super) fn memory(len: u64, threads: usize) -> usize {
    let Some(threads) = side_by_side(len, threads) else {
        return COMPRESSOR + BLOCK + 2 * ROOM;
    };
    threads * COMPRESSOR + (ahead(threads) + 1) * (BLOCK + WINDOW + ROOM) + ROOM
}

/// How many threads are worth their start.
fn side_by_side(len: u64, threads: usize) -> Option<usize> {
    (threads > 1 && len > ONE_THREAD).then_some(threads)
}

/// Blocks that are read ahead: each thread finds another when it has done one.
const fn ahead(threads: usize) -> usize {
    2 * threads
}

/// A block to compress.
struct Job {
    bytes: Vec<u8>,
    /// What stands before it, as far as deflate refers to.
    before: Vec<u8>,
    then: Then,
}

/// What a block became.
struct Block {
    compressed: Vec<u8>,
    crc: u32,
    len: usize,
}

/// The member's stream.
pub(super) struct Gzip {
    workers: Workers,
    /// The last bytes that were read.
    before: Vec<u8>,
    begun: bool,
    read_all: bool,
    crc: u64,
    len: u64,
}

impl Gzip {
    pub(super) fn new(len: u64, threads: usize) -> Result<Self, SourceFault> {
        let workers = match side_by_side(len, threads) {
            None => Workers::Here(Compressor::new(), None),
            Some(threads) => Workers::Threads(Threads::start(threads)?),
        };
        Ok(Self {
            workers,
            before: Vec::new(),
            begun: false,
            read_all: false,
            crc: crc_fast::checksum(Crc32IsoHdlc, b""),
            len: 0,
        })
    }

    /// Reads one block and has it compressed.
    fn begin_one(&mut self, source: &mut dyn Blocks) -> Result<(), SourceFault> {
        let mut bytes = Vec::with_capacity(BLOCK);
        source.next(&mut bytes)?;
        self.read_all = source.is_over();
        let last = bytes[bytes.len().saturating_sub(WINDOW)..].to_vec();
        let before = std::mem::replace(&mut self.before, last);
        let then = if self.read_all {
            Then::Ends
        } else {
            Then::GoesOn
        };
        self.workers.begin(Job {
            bytes,
            before,
            then,
        })
    }

    fn take(&mut self, block: &Block, out: &mut Vec<u8>) {
        out.extend_from_slice(&block.compressed);
        let (crc, len) = (u64::from(block.crc), block.len as u64);
        self.crc = crc_fast::checksum_combine(Crc32IsoHdlc, self.crc, crc, len);
        self.len += len;
    }
}

impl Stream for Gzip {
    fn advance(&mut self, source: &mut dyn Blocks, out: &mut Vec<u8>) -> Result<Then, SourceFault> {
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(&HEADER);
        }
        while !self.read_all && self.workers.has_room() {
            self.begin_one(source)?;
        }
        if let Some(block) = self.workers.next()? {
            self.take(&block, out);
            return Ok(Then::GoesOn);
        }
        // RFC 1952: both are of 32 bits, the length modulo 2^32.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a CRC of 32 bits, and a length that is meant modulo 2^32"
        )]
        for number in [self.crc as u32, self.len as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        Ok(Then::Ends)
    }
}

/// Who compresses.
enum Workers {
    /// The thread that reads, one block at a time.
    Here(Compressor, Option<Block>),
    Threads(Threads),
}

impl Workers {
    fn has_room(&self) -> bool {
        match self {
            Self::Here(_, done) => done.is_none(),
            Self::Threads(threads) => threads.under_way.len() < threads.ahead,
        }
    }

    fn begin(&mut self, job: Job) -> Result<(), SourceFault> {
        match self {
            Self::Here(compressor, done) => *done = Some(compressor.block(&job)?),
            Self::Threads(threads) => {
                let (reply, done) = channel();
                let sent = threads.jobs.send((job, reply));
                sent.map_err(|_| broken("no thread is left"))?;
                threads.under_way.push_back(done);
            }
        }
        Ok(())
    }

    /// The oldest of the blocks that were begun.
    fn next(&mut self) -> Result<Option<Block>, SourceFault> {
        match self {
            Self::Here(_, done) => Ok(done.take()),
            Self::Threads(threads) => match threads.under_way.pop_front() {
                None => Ok(None),
                Some(done) => match done.recv() {
                    Ok(block) => block.map(Some),
                    Err(_) => Err(broken("a thread ended early")),
                },
            },
        }
    }
}

type Reply = Sender<Result<Block, SourceFault>>;

/// Threads that end when this is dropped, each after the block that it has.
struct Threads {
    jobs: Sender<(Job, Reply)>,
    under_way: VecDeque<Receiver<Result<Block, SourceFault>>>,
    ahead: usize,
}

impl Threads {
    fn start(threads: usize) -> Result<Self, SourceFault> {
        let (jobs, queue) = channel::<(Job, Reply)>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let work = move || {
                let mut compressor = Compressor::new();
                loop {
                    // In a statement of its own, or the lock would be held over the work.
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((job, reply)) = next else { return };
                    // Whoever asked may have given up.
                    let _ = reply.send(compressor.block(&job));
                }
            };
            std::thread::Builder::new()
                .name("outbound-gzip".to_owned())
                .spawn(work)
                .map_err(|error| SourceFault::Transient(format!("starting a thread: {error}")))?;
        }
        Ok(Self {
            jobs,
            under_way: VecDeque::new(),
            ahead: ahead(threads),
        })
    }
}

/// Compresses blocks, each by itself.
struct Compressor {
    /// Of a fixed size: how much room there is decides where deflate pauses, and so what comes out.
    room: Box<[u8]>,
}

impl Compressor {
    fn new() -> Self {
        Self {
            room: vec![0; ROOM].into_boxed_slice(),
        }
    }

    fn block(&mut self, job: &Job) -> Result<Block, SourceFault> {
        // A new one for each block. One that was reset keeps its window, and what the block before left there
        // decides how the dictionary's last bytes are found again: other bytes would come out on each machine.
        let mut deflate = Compress::new(flate2::Compression::new(LEVEL), false);
        if !job.before.is_empty() {
            let set = deflate.set_dictionary(&job.before);
            set.map_err(|error| broken(&format!("setting a dictionary: {error}")))?;
        }
        let (flush, expected) = match job.then {
            Then::GoesOn => (FlushCompress::Sync, Status::Ok),
            Then::Ends => (FlushCompress::Finish, Status::StreamEnd),
        };
        let status = deflate.compress(&job.bytes, &mut self.room, flush);
        let status = status.map_err(|error| broken(&error.to_string()))?;
        let len = usize::try_from(deflate.total_out()).unwrap_or(ROOM);
        let read_all = deflate.total_in() == job.bytes.len() as u64;
        if status != expected || !read_all || len >= ROOM {
            return Err(broken("a block outgrew the room that it has"));
        }
        Ok(Block {
            compressed: self.room[..len].to_vec(),
            #[allow(clippy::cast_possible_truncation, reason = "a CRC of 32 bits")]
            crc: crc_fast::checksum(Crc32IsoHdlc, &job.bytes) as u32,
            len: job.bytes.len(),
        })
    }
}
