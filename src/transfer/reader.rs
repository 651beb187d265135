//! A thread of its own for each object in work. A source that hangs (NFS) holds that thread and
//! nothing else: whoever waits for it can stop waiting, and the process can exit.

use std::sync::{Arc, mpsc};

use tokio::sync::oneshot;

use super::checksum::{BLOCK, Counted, Crc, InOrder, Md5Wanted};
use super::memory::PooledBuffer;
use super::source::{Readable, SourceFault};
use crate::plan::{Crc64, RecordFormat};
use crate::store::{Dialect, PartChecksum};

/// Opens what is to be read; called on the reader's thread.
pub(super) type Opener = Arc<dyn Fn() -> Result<Box<dyn Readable>, SourceFault> + Send + Sync>;

type Reply<T> = oneshot::Sender<Result<T, SourceFault>>;

/// Whether a part ends with the bytes that are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    PartGoesOn,
    PartEnds,
}

/// Bytes that were read and hashed.
pub(super) struct Hashed {
    pub(super) buffer: PooledBuffer,
    pub(super) crc64: Crc64,
    /// Of the part that ends with them, where the dialect asks for another than CRC64NVME.
    pub(super) checksum: Option<PartChecksum>,
}

enum Command {
    Hash {
        offset: u64,
        buffer: PooledBuffer,
        then: Then,
        reply: Reply<Hashed>,
    },
    Read {
        offset: u64,
        buffer: PooledBuffer,
        reply: Reply<PooledBuffer>,
    },
    Finish {
        reply: Reply<Counted>,
    },
}

/// The async side's handle. The thread ends with the last clone. The queue needs no bound of its
/// own: each command in it carries memory from the pool.
#[derive(Clone)]
pub(super) struct Reader {
    commands: mpsc::Sender<Command>,
}

impl Reader {
    /// Starts the thread and opens the file there.
    pub(super) async fn open(
        open: Opener,
        md5: Md5Wanted,
        records: RecordFormat,
        dialect: Dialect,
    ) -> Result<Self, SourceFault> {
        let (commands, queue) = mpsc::channel();
        let (reply, opened) = oneshot::channel();
        let in_order = InOrder::new(md5, records, dialect);
        std::thread::Builder::new()
            .name("outbound-read".to_owned())
            .spawn(move || match open() {
                Ok(file) => {
                    // The object's task may have given up: then the queue is closed, too.
                    let _ = reply.send(Ok(()));
                    serve(file.as_ref(), in_order, &queue);
                }
                Err(fault) => drop(reply.send(Err(fault))),
            })
            .map_err(|error| SourceFault::Transient(format!("starting a thread: {error}")))?;
        answer(opened).await?;
        Ok(Self { commands })
    }

    /// Fills `buffer` from `offset`, and counts and hashes it as the object's next bytes.
    pub(super) async fn hash(
        &self,
        offset: u64,
        buffer: PooledBuffer,
        then: Then,
    ) -> Result<Hashed, SourceFault> {
        let (reply, filled) = oneshot::channel();
        self.send(Command::Hash {
            offset,
            buffer,
            then,
            reply,
        })?;
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

    /// Makes sure that the file still is as planned, and returns what was counted.
    pub(super) async fn finish(&self) -> Result<Counted, SourceFault> {
        let (reply, counted) = oneshot::channel();
        self.send(Command::Finish { reply })?;
        answer(counted).await
    }

    fn send(&self, command: Command) -> Result<(), SourceFault> {
        self.commands.send(command).map_err(|_| ended())
    }
}

/// Runs `blocking` on a thread of its own.
pub(super) async fn on_a_thread<T: Send + 'static>(
    blocking: impl FnOnce() -> Result<T, SourceFault> + Send + 'static,
) -> Result<T, SourceFault> {
    let (reply, done) = oneshot::channel();
    std::thread::Builder::new()
        .name("outbound-check".to_owned())
        .spawn(move || drop(reply.send(blocking())))
        .map_err(|error| SourceFault::Transient(format!("starting a thread: {error}")))?;
    answer(done).await
}

async fn answer<T>(reply: oneshot::Receiver<Result<T, SourceFault>>) -> Result<T, SourceFault> {
    reply.await.unwrap_or_else(|_| Err(ended()))
}

fn ended() -> SourceFault {
    SourceFault::Transient("the thread that reads the source has ended".to_owned())
}

fn serve(file: &dyn Readable, in_order: InOrder, queue: &mpsc::Receiver<Command>) {
    let mut in_order = Some(in_order);
    for command in queue {
        // A reply that nobody waits for any more is dropped, and its buffer with it.
        match command {
            Command::Hash {
                offset,
                mut buffer,
                then,
                reply,
            } => {
                let hashed = in_order.as_mut().ok_or_else(ended).and_then(|in_order| {
                    let crc64 = hash(file, offset, &mut buffer, in_order)?;
                    let checksum = match then {
                        Then::PartGoesOn => None,
                        Then::PartEnds => in_order.end_part(),
                    };
                    Ok(Hashed {
                        buffer,
                        crc64,
                        checksum,
                    })
                });
                let _ = reply.send(hashed);
            }
            Command::Read {
                offset,
                mut buffer,
                reply,
            } => {
                let read = file
                    .read_at(&mut buffer, offset)
                    .and_then(|()| file.check());
                let _ = reply.send(read.map(|()| buffer));
            }
            Command::Finish { reply } => {
                let counted = file
                    .check()
                    .and_then(|()| in_order.take().ok_or_else(ended));
                let _ = reply.send(counted.map(InOrder::finish));
            }
        }
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
