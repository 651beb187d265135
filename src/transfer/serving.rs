//! The thread of a [`Reader`](super::reader::Reader): it has the file open, and does one command behind the other.

use std::sync::{Weak, mpsc};

use super::checksum::{BLOCK, Crc, InOrder};
use super::encode::{Blocks, Encoding, threads};
use super::memory::PooledBuffer;
use super::reader::{Command, Encoded, Hashed, More, Object, Shared, ended};
use super::source::{Readable, SourceFault};
use crate::plan::{ByteRange, Crc64};

/// The thread: opens the file and does `first`, and what comes behind it.
pub(super) fn serve(
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
        Err(fault) => return refuse(first, queued, shared, &fault),
    };
    let mut served = Served {
        file: file.as_ref(),
        in_order,
        encoding,
        rest: ByteRange {
            offset: 0,
            len: object.len,
        },
        is_through: false,
    };
    let mut next = Some(first);
    while let Some(command) = next {
        served.answer(command);
        next = match served.is_through {
            false => queued.recv().ok(),
            true => leave(queued, shared),
        };
    }
}

/// Answers all that was asked that the file can't be opened. The next command has another thread try.
fn refuse(
    first: Command,
    queued: &mpsc::Receiver<Command>,
    shared: &Weak<Shared>,
    fault: &SourceFault,
) {
    if let Some(shared) = shared.upgrade() {
        shared.queue().commands = None;
    }
    first.refuse(fault.clone());
    queued
        .try_iter()
        .for_each(|command| command.refuse(fault.clone()));
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

impl Command {
    /// Answers that the file can't be opened.
    fn refuse(self, fault: SourceFault) {
        match self {
            Self::Open { reply } => drop(reply.send(Err(fault))),
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
    /// Whether nothing but another read may come.
    is_through: bool,
}

impl Served<'_> {
    /// Does a command. A reply that nobody waits for any more is dropped, and its buffer with it.
    fn answer(&mut self, command: Command) {
        match command {
            Command::Open { reply } => drop(reply.send(Ok(()))),
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
                self.is_through = ended.is_ok() && self.rest.len == 0;
                drop(reply.send(ended));
            }
            Command::Encode { buffer, reply } => {
                let encoded = self.encode(buffer, &|| reply.is_closed());
                self.is_through = encoded.as_ref().is_ok_and(|part| part.then == More::No);
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
