//! A piece of an object as a request's body: in memory, or streamed where it outgrows the budget.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::sync::SemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::checksum::{Counted, PartEnd};
use super::combined::Combined;
use super::context::{Context, unless_stopped};
use super::error::TransferError;
use super::md5::Behind;
use super::memory::{MemoryPool, OverBudget};
use super::reader::{Encoded, Hashed, More, Reader};
use super::share::Share;
use super::source::SourceFault;
use crate::plan::{ByteRange, Crc64};
use crate::store::{PartBody, PartChecksum};

/// A part is buffered when the budget holds this many of it: fewer would make deliveries wait for
/// each other's parts.
const PARTS_IN_BUDGET: usize = 4;

/// Bytes in a chunk of a streamed part, where the budget isn't smaller still. Each streamed part
/// has two: one that is read and one that is on its way.
const CHUNK: usize = 1 << 20;

/// Bytes of the budget that a part of `len` bytes holds while it is under way.
pub(super) fn held(budget: usize, len: u64) -> u64 {
    match buffered(budget, len) {
        Some(_) => len,
        None => 2 * chunk(budget) as u64,
    }
}

/// Bytes in the buffer of a part of `len` bytes; none where it is streamed.
fn buffered(budget: usize, len: u64) -> Option<usize> {
    let part = usize::try_from(len).ok()?;
    (part <= budget / PARTS_IN_BUDGET).then_some(part)
}

/// Bytes in a chunk of a streamed part.
fn chunk(budget: usize) -> usize {
    CHUNK.min(budget / 8).max(1)
}

/// Why bytes could not be had.
pub(super) enum ReadFault {
    Source(SourceFault),
    Ended(TransferError),
}

impl From<SourceFault> for ReadFault {
    fn from(fault: SourceFault) -> Self {
        Self::Source(fault)
    }
}

impl From<TransferError> for ReadFault {
    fn from(error: TransferError) -> Self {
        Self::Ended(error)
    }
}

impl From<OverBudget> for ReadFault {
    fn from(error: OverBudget) -> Self {
        Self::Ended(error.into())
    }
}

/// A range of the object that was read and hashed once, or what a range of it was compressed to.
pub(super) struct Piece {
    /// Of the file; of compressed bytes only the length counts.
    range: ByteRange,
    source: u64,
    crc: Crc64,
    checksum: PartChecksum,
    memory: Memory,
    /// What broke the stream of a body, which the store's client can't tell us.
    broken: Arc<Mutex<Option<SourceFault>>>,
}

enum Memory {
    /// Compressed: kept until it is confirmed.
    Kept(Bytes),
    Buffered(Bytes),
    /// Given back after a failure: waiting for the next try holds no memory.
    Released,
    Streamed {
        share: MemoryPool,
        chunk: usize,
    },
}

impl Piece {
    /// Reads and hashes `range` of the object, its next bytes, and says what was counted up to its end.
    pub(super) async fn hash(
        context: &Context,
        turn: SemaphorePermit<'_>,
        reader: &Reader,
        range: ByteRange,
        md5: Option<&Behind>,
        stop: &CancellationToken,
    ) -> Result<(Self, Counted), ReadFault> {
        let pool = context.resources.memory();
        let hashed = match buffered(pool.budget(), range.len) {
            Some(len) => {
                let buffer = unless_stopped(stop, pool.acquire(len)).await??;
                let hash = reader.hash_to_end(range.offset, buffer);
                let (Hashed { buffer, crc64 }, end) = unless_stopped(stop, hash).await??;
                (crc64, end, Memory::Buffered(buffer.freeze()))
            }
            None => hash_in_chunks(pool, reader, range, md5, stop).await?,
        };
        drop(turn);
        let (crc, PartEnd { checksum, counted }, memory) = hashed;
        if let Memory::Buffered(bytes) = &memory {
            push(md5, bytes, stop).await?;
        }
        let piece = Self {
            range,
            source: range.len,
            crc,
            checksum: checksum.unwrap_or(PartChecksum::Crc64(crc)),
            memory,
            broken: Arc::default(),
        };
        Ok((piece, counted))
    }

    /// Has the object's next part compressed, and says what was counted up to its end and whether another comes.
    pub(super) async fn encode(
        turn: SemaphorePermit<'_>,
        reader: &Reader,
        share: &Share,
        md5: Option<&Behind>,
        stop: &CancellationToken,
    ) -> Result<(Self, Counted, More), ReadFault> {
        let buffer = share.buffer(stop).await?;
        let Encoded {
            buffer,
            len,
            source,
            crc64,
            end: PartEnd { checksum, counted },
            then,
        } = unless_stopped(stop, reader.encode(buffer)).await??;
        drop(turn);
        let bytes = buffer.freeze().slice(..len);
        push(md5, &bytes, stop).await?;
        let piece = Self {
            range: ByteRange {
                offset: 0,
                len: len as u64,
            },
            source,
            crc: crc64,
            checksum: checksum.unwrap_or(PartChecksum::Crc64(crc64)),
            memory: Memory::Kept(bytes),
            broken: Arc::default(),
        };
        Ok((piece, counted, then))
    }

    /// Bytes of the source that were read for it: what progress counts.
    pub(super) fn source(&self) -> u64 {
        self.source
    }

    pub(super) fn crc(&self) -> Crc64 {
        self.crc
    }

    /// What the dialect verifies it by.
    pub(super) fn checksum(&self) -> &PartChecksum {
        &self.checksum
    }

    pub(super) fn len(&self) -> u64 {
        self.range.len
    }

    /// The body for one try. After a failed try the bytes are read anew, and not hashed again: the
    /// store compares them with the checksum.
    pub(super) async fn body(
        &mut self,
        context: &Context,
        reader: &Reader,
        stop: &CancellationToken,
    ) -> Result<PartBody, ReadFault> {
        match std::mem::replace(&mut self.memory, Memory::Released) {
            Memory::Kept(bytes) => {
                self.memory = Memory::Kept(bytes.clone());
                Ok(PartBody::Buffer(bytes))
            }
            Memory::Buffered(bytes) => Ok(PartBody::Buffer(bytes)),
            Memory::Released => {
                let turn = unless_stopped(stop, context.rereads.acquire()).await?;
                // It was buffered before, so its length is a usize.
                let len = usize::try_from(self.range.len).unwrap_or(usize::MAX);
                let pool = context.resources.memory();
                let buffer = unless_stopped(stop, pool.acquire(len)).await??;
                let read = reader.read(self.range.offset, buffer);
                let buffer = unless_stopped(stop, read).await??;
                drop(turn);
                Ok(PartBody::Buffer(buffer.freeze()))
            }
            Memory::Streamed { share, chunk } => {
                self.memory = Memory::Streamed {
                    share: share.clone(),
                    chunk,
                };
                let (reader, broken) = (reader.clone(), Arc::clone(&self.broken));
                let range = self.range;
                let open = move || {
                    let chunks = Chunks {
                        reader: reader.clone(),
                        share: share.clone(),
                        broken: Arc::clone(&broken),
                        rest: range,
                        chunk,
                    };
                    chunks.stream()
                };
                Ok(PartBody::Stream {
                    len: range.len,
                    open: Box::new(open),
                })
            }
        }
    }

    /// Whether it holds memory between two tries.
    pub(super) fn holds_memory(&self) -> bool {
        !matches!(self.memory, Memory::Released)
    }

    /// What the source did to the last try's stream.
    pub(super) fn take_fault(&self) -> Option<SourceFault> {
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Has `bytes` hashed behind, where the object's MD5 is.
async fn push(
    md5: Option<&Behind>,
    bytes: &Bytes,
    stop: &CancellationToken,
) -> Result<(), TransferError> {
    match md5 {
        Some(behind) => unless_stopped(stop, behind.push(bytes.clone())).await,
        None => Ok(()),
    }
}

async fn hash_in_chunks(
    pool: &MemoryPool,
    reader: &Reader,
    range: ByteRange,
    md5: Option<&Behind>,
    stop: &CancellationToken,
) -> Result<(Crc64, PartEnd, Memory), ReadFault> {
    let chunk = chunk(pool.budget());
    let share = unless_stopped(stop, pool.carve(2 * chunk)).await??;
    let mut combined = Combined::new();
    let mut rest = range;
    let end = loop {
        let (offset, len) = first_of(&mut rest, chunk);
        let buffer = unless_stopped(stop, share.acquire(len)).await??;
        let (hashed, end) = if rest.len == 0 {
            let hash = reader.hash_to_end(offset, buffer);
            let (hashed, end) = unless_stopped(stop, hash).await??;
            (hashed, Some(end))
        } else {
            let hash = reader.hash(offset, buffer);
            (unless_stopped(stop, hash).await??, None)
        };
        combined.append(hashed.crc64, hashed.buffer.len() as u64);
        push(md5, &hashed.buffer.freeze(), stop).await?;
        if let Some(end) = end {
            break end;
        }
    };
    Ok((combined.crc(), end, Memory::Streamed { share, chunk }))
}

/// Takes the first `chunk` bytes off `rest`: their offset and how many they are.
fn first_of(rest: &mut ByteRange, chunk: usize) -> (u64, usize) {
    let offset = rest.offset;
    let len = usize::try_from(rest.len).map_or(chunk, |len| len.min(chunk));
    rest.offset += len as u64;
    rest.len -= len as u64;
    (offset, len)
}

/// A streamed part's second pass.
struct Chunks {
    reader: Reader,
    share: MemoryPool,
    broken: Arc<Mutex<Option<SourceFault>>>,
    rest: ByteRange,
    chunk: usize,
}

impl Chunks {
    fn stream(self) -> BoxStream<'static, io::Result<Bytes>> {
        stream::try_unfold(self, |mut chunks| async move {
            if chunks.rest.len == 0 {
                return Ok(None);
            }
            let bytes = chunks.next().await?;
            Ok(Some((bytes, chunks)))
        })
        .boxed()
    }

    async fn next(&mut self) -> io::Result<Bytes> {
        let (offset, len) = first_of(&mut self.rest, self.chunk);
        let buffer = self.share.acquire(len).await.map_err(io::Error::other)?;
        match self.reader.read(offset, buffer).await {
            Ok(buffer) => Ok(buffer.freeze()),
            Err(fault) => {
                let error = io::Error::other(fault.to_string());
                *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                Err(error)
            }
        }
    }
}
