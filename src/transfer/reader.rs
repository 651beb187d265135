//! A thread for each object in work. A source that hangs (NFS) holds that thread and
//! nothing else: whoever waits for it can stop waiting, and the process can exit.

use std::sync::mpsc::{self, SendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::blocking;
use super::checksum::{BLOCK, Crc, InOrder, PartEnd};
use super::encode::{Blocks, Encoding, threads};
use super::memory::PooledBuffer;
use super::source::{Readable, SourceFault};
use crate::plan::{ByteRange, Compression, Crc64};

/// Opens what is to be read; called on the reader's thread.
pub(super) type Opener = Arc<dyn Fn() -> Result<Box<dyn Readable>, SourceFault> + Send + Sync>;

type Reply<T> = oneshot::Sender<Result<T, SourceFault>>;

/// Bytes that were read and hashed.
pub(super) struct Hashed {
    pub(super) buffer: PooledBuffer,
    pub(super) crc64: Crc64,
}

/// A part of a compressed object, in the first bytes of its buffer.
pub(super) struct Encoded {
    pub(super) buffer: PooledBuffer,
    pub(super) len: usize,
    /// Bytes of the source that were taken for it, some of which the next part may hold.
    pub(super) source: u64,
    pub(super) crc64: Crc64,
    pub(super) end: PartEnd,
    /// Whether the object goes on behind it.
    pub(super) then: More,
}

/// Whether an object goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Comes,
    No,
}

enum Command {
    Encode {
        buffer: PooledBuffer,
        reply: Reply<Encoded>,
    },
    Hash {
        offset: u64,
        buffer: PooledBuffer,
        reply: Reply<Hashed>,
    },
    HashToEnd {
        offset: u64,
        buffer: PooledBuffer,
        reply: Reply<(Hashed, PartEnd)>,
    },
    Read {
        offset: u64,
        buffer: PooledBuffer,
        reply: Reply<PooledBuffer>,
    },
}

/// What is to be read.
#[derive(Clone)]
struct Object {
    open: Opener,
    compression: Compression,
    len: u64,
}

/// The async side's handle. The file is opened with the first command, so that a small object takes one way to a thread
/// and back. The thread ends with the last clone, and once all was hashed; a command behind that has another begin.
#[derive(Clone)]
pub(super) struct Reader(Arc<Shared>);

/// What the clones and their thread share.
struct Shared {
    object: Object,
    queue: Mutex<Queue>,
}

/// The way to the thread. It needs no bound of its own: each command carries memory from the pool.
struct Queue {
    commands: Option<mpsc::Sender<Command>>,
    /// For the first thread. Those behind it only read again.
    in_order: Option<InOrder>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// For the `len` bytes that `open` opens. Nothing is read yet.
    pub(super) fn new(open: Opener, in_order: InOrder, compression: Compression, len: u64) -> Self {
        let object = Object {
            open,
            compression,
            len,
        };
        let queue = Queue {
            commands: None,
            in_order: Some(in_order),
        };
        Self(Arc::new(Shared {
            object,
            queue: Mutex::new(queue),
        }))
    }

    /// Fills `buffer` from `offset`, and counts and hashes it as the object's next bytes.
    pub(super) async fn hash(
        &self,
        offset: u64,
        buffer: PooledBuffer,
    ) -> Result<Hashed, SourceFault> {
        let (reply, filled) = oneshot::channel();
        self.send(Command::Hash {
            offset,
            buffer,
            reply,
        })?;
        answer(filled).await
    }

    /// As [`Self::hash`], with the bytes that a part ends with.
    pub(super) async fn hash_to_end(
        &self,
        offset: u64,
        buffer: PooledBuffer,
    ) -> Result<(Hashed, PartEnd), SourceFault> {
        let (reply, filled) = oneshot::channel();
        self.send(Command::HashToEnd {
            offset,
            buffer,
            reply,
        })?;
        answer(filled).await
    }

    /// Fills `buffer` with the compressed object's next bytes, and counts and hashes them.
    pub(super) async fn encode(&self, buffer: PooledBuffer) -> Result<Encoded, SourceFault> {
        let (reply, filled) = oneshot::channel();
        self.send(Command::Encode { buffer, reply })?;
        answer(filled).await
    }

    /// Fills `buffer` from `offset` with bytes that were hashed before.
    pub(super) async fn read(
        &self,
        offset: u64,
        buffer: PooledBuffer,
    ) -> Result<PooledBuffer, SourceFault> {
        let (reply, filled) = oneshot::channel();
        self.send(Command::Read {
            offset,
            buffer,
            reply,
        })?;
        answer(filled).await
    }

    /// Leaves `command` to the thread that has the file open, else to one that opens it.
    fn send(&self, command: Command) -> Result<(), SourceFault> {
        let mut queue = self.0.queue();
        let command = match &queue.commands {
            Some(commands) => match commands.send(command) {
                Ok(()) => return Ok(()),
                Err(SendError(command)) => command,
            },
            None => command,
        };
        let (commands, queued) = mpsc::channel();
        let (object, in_order) = (self.0.object.clone(), queue.in_order.take());
        let shared = Arc::downgrade(&self.0);
        blocking::run(move || serve(&object, in_order, command, &queued, &shared))
            .map_err(|error| no_thread(&error))?;
        queue.commands = Some(commands);
        Ok(())
    }
}

/// The thread: opens the file and does `first`, and what comes behind it.
fn serve(
    object: &Object,
    in_order: Option<InOrder>,
    first: Command,
    queued: &mpsc::Receiver<Command>,
    shared: &Weak<Shared>,
) {
    let begun = (object.open)().and_then(|file| {
        let encoding = Encoding::new(object.compression, object.len, threads())?;
        Ok((file, encoding))
    });
    let (file, encoding) = match begun {
        Ok(begun) => begun,
        Err(fault) => return first.refuse(fault),
    };
    let mut served = Served {
        file: file.as_ref(),
        in_order,
        encoding,
        rest: ByteRange {
            offset: 0,
            len: object.len,
        },
    };
    let mut next = Some(first);
    while let Some(command) = next {
        served.answer(command);
        next = match served.has_hashed_all() {
            false => queued.recv().ok(),
            true => leave(queued, shared),
        };
    }
}

/// The command that came meanwhile. Where none did, the next has another thread begin.
fn leave(queued: &mpsc::Receiver<Command>, shared: &Weak<Shared>) -> Option<Command> {
    let shared = shared.upgrade()?;
    let mut queue = shared.queue();
    let command = queued.try_recv().ok();
    if command.is_none() {
        queue.commands = None;
    }
    command
}

/// Runs `blocking` on a thread of its own.
pub(super) async fn on_a_thread<T: Send + 'static>(
    blocking: impl FnOnce() -> Result<T, SourceFault> + Send + 'static,
) -> Result<T, SourceFault> {
    let (reply, done) = oneshot::channel();
    blocking::run(move || drop(reply.send(blocking()))).map_err(|error| no_thread(&error))?;
    answer(done).await
}

async fn answer<T>(reply: oneshot::Receiver<Result<T, SourceFault>>) -> Result<T, SourceFault> {
    reply.await.unwrap_or_else(|_| Err(ended()))
}

fn no_thread(error: &std::io::Error) -> SourceFault {
    SourceFault::Transient(format!("starting a thread: {error}"))
}

fn ended() -> SourceFault {
    SourceFault::Transient("the thread that reads the source has ended".to_owned())
}

impl Command {
    /// Answers that the file can't be opened.
    fn refuse(self, fault: SourceFault) {
        match self {
            Self::Encode { reply, .. } => drop(reply.send(Err(fault))),
            Self::Hash { reply, .. } => drop(reply.send(Err(fault))),
            Self::HashToEnd { reply, .. } => drop(reply.send(Err(fault))),
            Self::Read { reply, .. } => drop(reply.send(Err(fault))),
        }
    }
}

/// What the thread has.
struct Served<'a> {
    file: &'a dyn Readable,
    in_order: Option<InOrder>,
    /// Of a compressed object.
    encoding: Option<Encoding>,
    /// What of the source wasn't hashed, or compressed, yet.
    rest: ByteRange,
}

impl Served<'_> {
    /// Does a command. A reply that nobody waits for any more is dropped, and its buffer with it.
    fn answer(&mut self, command: Command) {
        match command {
            Command::Hash {
                offset,
                buffer,
                reply,
            } => drop(reply.send(self.hash(offset, buffer).map(|(hashed, _)| hashed))),
            Command::HashToEnd {
                offset,
                buffer,
                reply,
            } => {
                let hashed = self.hash(offset, buffer);
                let ended = hashed.map(|(hashed, in_order)| (hashed, in_order.end_part()));
                drop(reply.send(ended));
            }
            Command::Encode { buffer, reply } => {
                let encoded = self.encode(buffer, &|| reply.is_closed());
                drop(reply.send(encoded));
            }
            Command::Read {
                offset,
                mut buffer,
                reply,
            } => {
                buffer.begin_as(self.file.position(offset));
                let read = self.file.read_at(&mut buffer, offset);
                let read = read.and_then(|()| self.file.check());
                let _ = reply.send(read.map(|()| buffer));
            }
        }
    }

    /// Whether nothing but another read may come.
    fn has_hashed_all(&self) -> bool {
        self.in_order.is_some() && self.encoding.is_none() && self.rest.len == 0
    }

    fn hash(
        &mut self,
        offset: u64,
        mut buffer: PooledBuffer,
    ) -> Result<(Hashed, &mut InOrder), SourceFault> {
        let in_order = self.in_order.as_mut().ok_or_else(ended)?;
        buffer.begin_as(self.file.position(offset));
        let crc64 = hash(self.file, offset, &mut buffer, in_order)?;
        self.rest.len = self.rest.len.saturating_sub(buffer.len() as u64);
        Ok((Hashed { buffer, crc64 }, in_order))
    }

    fn encode(
        &mut self,
        mut buffer: PooledBuffer,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Encoded, SourceFault> {
        let in_order = self.in_order.as_mut().ok_or_else(ended)?;
        let encoding = self.encoding.as_mut().ok_or_else(ended)?;
        let before = self.rest.len;
        let mut source = Counting {
            file: self.file,
            in_order: &mut *in_order,
            rest: &mut self.rest,
        };
        let len = encoding.fill(&mut source, &mut buffer, given_up)?;
        let then = match encoding.has_more(&mut source)? {
            true => More::Comes,
            false => More::No,
        };
        self.file.check()?;
        let mut crc = Crc::new();
        for block in buffer[..len].chunks(BLOCK) {
            crc.update(block);
            in_order.push_delivered(block);
        }
        Ok(Encoded {
            buffer,
            len,
            source: before - self.rest.len,
            crc64: crc.finish(),
            end: in_order.end_part(),
            then,
        })
    }
}

/// The source's blocks, each counted when it is read.
struct Counting<'a> {
    file: &'a dyn Readable,
    in_order: &'a mut InOrder,
    rest: &'a mut ByteRange,
}

impl Blocks for Counting<'_> {
    fn next(&mut self, block: &mut Vec<u8>) -> Result<(), SourceFault> {
        let len = usize::try_from(self.rest.len).map_or(BLOCK, |rest| rest.min(BLOCK));
        block.resize(len, 0);
        self.file.read_at(block, self.rest.offset)?;
        self.in_order.push_source(block);
        self.rest.offset += len as u64;
        self.rest.len -= len as u64;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.rest.len == 0
    }
}

fn hash(
    file: &dyn Readable,
    mut offset: u64,
    buffer: &mut [u8],
    in_order: &mut InOrder,
) -> Result<Crc64, SourceFault> {
    let mut crc = Crc::new();
    for block in buffer.chunks_mut(BLOCK) {
        file.read_at(block, offset)?;
        crc.update(block);
        in_order.push(block);
        offset += block.len() as u64;
    }
    file.check()?;
    Ok(crc.finish())
}
