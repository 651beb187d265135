//! A thread for each object in work. A source that hangs (NFS) holds that thread and
//! nothing else: whoever waits for it can stop waiting, and the process can exit.

use std::sync::mpsc::{self, SendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::blocking;
use super::checksum::{InOrder, PartEnd};
use super::memory::PooledBuffer;
use super::serving::serve;
use super::source::{Readable, SourceFault};
use crate::plan::{Compression, Crc64};

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

/// What the thread is to do.
pub(super) enum Command {
    Open {
        reply: Reply<()>,
    },
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
pub(super) struct Object {
    pub(super) open: Opener,
    pub(super) compression: Compression,
    pub(super) len: u64,
}

/// The async side's handle. The file is opened with the first command, so that a small object can take one way to a
/// thread and back. The thread ends with the last clone, and once all was hashed; a command behind that has another
/// begin.
#[derive(Clone)]
pub(super) struct Reader(Arc<Shared>);

/// What the clones and their thread share.
pub(super) struct Shared {
    object: Object,
    queue: Mutex<Queue>,
}

/// The way to the thread. It needs no bound of its own: each command carries memory from the pool.
pub(super) struct Queue {
    pub(super) commands: Option<mpsc::Sender<Command>>,
    /// For the first thread. Those behind it only read again.
    in_order: Option<InOrder>,
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
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

    /// Returns once the file is open: to be awaited before anything is held that others need, as it may hang.
    pub(super) async fn open(&self) -> Result<(), SourceFault> {
        let (reply, opened) = oneshot::channel();
        self.send(Command::Open { reply })?;
        answer(opened).await
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

pub(super) fn ended() -> SourceFault {
    SourceFault::Transient("the thread that reads the source has ended".to_owned())
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
