//! Bytes of one state of an object: every read says which ETag it means, so that none is of another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

use super::{Interrupted, SourceBucket, TRIES};
use crate::plan::{ByteRange, Fingerprint, SourceFile};
use crate::source::boundaries::{Files, RandomRead};
use crate::source::error::{ObjectChange, SourceError};
use crate::store::{LARGEST_READ, Meaning, StoreError};

/// Bytes in one read of a pass over a whole object: one request is worth its answer, and the few threads of a pass
/// hold little.
const PASS_BLOCK: usize = 4 << 20;

/// Pieces of an answer that wait to be taken: each is what the connection read at once, at most some hundred KiB.
const PIECES: usize = 2;

/// Reads under way: the one that is taken from, and the next, so that its request costs no time.
const READS: usize = 2;

/// An object as it was listed. A clone reads the same.
#[derive(Clone, Debug)]
pub struct OpenObject {
    bucket: SourceBucket,
    key: String,
    etag: String,
    size: u64,
}

impl SourceBucket {
    /// The object that was listed. Nothing is asked: each read makes sure of what it reads.
    ///
    /// # Errors
    /// When `file` is no object.
    pub fn open(&self, file: &SourceFile) -> Result<OpenObject, SourceError> {
        match &file.fingerprint {
            Fingerprint::Object { size, etag } => Ok(OpenObject {
                bucket: self.clone(),
                key: file.path.clone(),
                etag: etag.clone(),
                size: *size,
            }),
            Fingerprint::File { .. } => Err(SourceError::ObjectChanged {
                place: self.place(&file.path),
                change: ObjectChange::NoObject,
            }),
        }
    }
}

impl OpenObject {
    /// Begins to read `range`; its pieces come through the channel.
    fn begin(&self, range: ByteRange) -> Window {
        let (pieces, received) = mpsc::channel(PIECES);
        let object = self.clone();
        self.bucket.runtime.spawn(async move {
            if let Err(error) = object.send(range, &pieces).await {
                // Who doesn't want the rest doesn't want the error.
                drop(pieces.send(Err(error)).await);
            }
        });
        Window {
            at: range.offset,
            end: range.end(),
            received,
            rest: Bytes::new(),
        }
    }

    async fn send(
        &self,
        range: ByteRange,
        pieces: &mpsc::Sender<Result<Bytes, StoreError>>,
    ) -> Result<(), StoreError> {
        let read = |bucket: crate::store::Bucket| async move {
            bucket.read_range(&self.key, &self.etag, range).await
        };
        let mut body = self.bucket.ask(read).await?;
        while let Some(bytes) = body.next().await? {
            if pieces.send(Ok(bytes)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Whether a listing, which works where the plan came from, no longer shows the object.
    fn is_gone(&self) -> bool {
        matches!(self.bucket.has(&self.key), Ok(false))
    }

    fn failed(&self, error: Interrupted) -> SourceError {
        let change = match &error {
            Interrupted::Store(error) => match error.status {
                Some(412) => Some(ObjectChange::Overwritten),
                Some(404) if error.means(Meaning::NothingThere) => Some(ObjectChange::Gone),
                // Who may list a prefix alone is told 403 of a key that isn't there, as of one that is denied.
                Some(403) if self.is_gone() => Some(ObjectChange::Gone),
                // The object that is there now is shorter.
                Some(416) => Some(ObjectChange::Overwritten),
                _ => None,
            },
            Interrupted::Ended | Interrupted::PastEnd => None,
        };
        let place = self.bucket.place(&self.key);
        match change {
            Some(change) => SourceError::ObjectChanged { place, change },
            None => error.at(place),
        }
    }
}

impl RandomRead for OpenObject {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceError> {
        // For this read alone, and not a byte more than it asks for.
        let end = (offset + buffer.len() as u64).min(self.size);
        Sequential::until(self.clone(), end).read_at(buffer, offset)
    }

    /// Every read made sure already.
    fn check(&self) -> Result<(), SourceError> {
        Ok(())
    }

    fn block(&self) -> usize {
        PASS_BLOCK
    }
}

/// A range that is being read.
#[derive(Debug)]
struct Window {
    /// The next byte's offset.
    at: u64,
    end: u64,
    received: mpsc::Receiver<Result<Bytes, StoreError>>,
    rest: Bytes,
}

impl Window {
    /// Takes bytes into `buffer`: at least one, as long as the window has any.
    fn take(&mut self, buffer: &mut [u8]) -> Result<usize, Interrupted> {
        if self.rest.is_empty() {
            self.rest = match self.received.blocking_recv() {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Err(Interrupted::Store(Box::new(error))),
                None => return Err(Interrupted::Ended),
            };
        }
        let taken = self.rest.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.rest[..taken]);
        self.rest.advance(taken);
        self.at += taken as u64;
        Ok(taken)
    }
}

/// An object that is read onwards from wherever a read begins: in ranges of [`LARGEST_READ`] bytes, the next of which
/// is asked for before this one is at its end. Bytes go from the connection straight into the reader's buffer.
#[derive(Debug)]
pub struct Sequential {
    object: OpenObject,
    /// Where reading ahead ends.
    end: u64,
    windows: RefCell<VecDeque<Window>>,
}

impl Sequential {
    /// Reads `object`, ahead as far as it goes.
    #[must_use]
    pub fn new(object: OpenObject) -> Self {
        let end = object.size;
        Self::until(object, end)
    }

    const fn until(object: OpenObject, end: u64) -> Self {
        Self {
            object,
            end,
            windows: RefCell::new(VecDeque::new()),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`SourceError::ObjectChanged`] when the object is another now or ends before, else what keeps it from being
    /// read, after some tries.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let (mut done, mut tries) = (0, 1);
        while done < buffer.len() {
            match self.take(&mut buffer[done..], offset + done as u64) {
                Ok(taken) => {
                    done += taken;
                    tries = 1;
                }
                Err(error) => {
                    self.windows.borrow_mut().clear();
                    let error = self.object.failed(error);
                    // A connection that broke in between; what couldn't even begin was tried already.
                    if !error.is_broken_off() || tries == TRIES {
                        return Err(error);
                    }
                    tries += 1;
                }
            }
        }
        Ok(())
    }

    fn take(&self, buffer: &mut [u8], at: u64) -> Result<usize, Interrupted> {
        let mut windows = self.windows.borrow_mut();
        while windows.front().is_some_and(|front| front.at == front.end) {
            windows.pop_front();
        }
        let goes_on = windows.front().is_some_and(|front| front.at == at);
        if !goes_on {
            windows.clear();
        }
        let ahead = if goes_on { READS } else { 1 };
        while windows.len() < ahead {
            let begin = windows.back().map_or(at, |last| last.end);
            // Behind the end there is nothing to ask for; the object ended early for who wants it.
            let len = self.end.saturating_sub(begin).min(LARGEST_READ);
            if len == 0 {
                break;
            }
            windows.push_back(self.object.begin(ByteRange { offset: begin, len }));
        }
        match windows.front_mut() {
            Some(front) => front.take(buffer),
            None => Err(Interrupted::PastEnd),
        }
    }
}

/// The objects of a plan, as they were listed.
#[derive(Clone, Copy, Debug)]
pub struct ListedObjects<'a> {
    bucket: &'a SourceBucket,
    files: &'a [SourceFile],
}

impl<'a> ListedObjects<'a> {
    /// `files` of `bucket`, in the order of the plan.
    #[must_use]
    pub const fn new(bucket: &'a SourceBucket, files: &'a [SourceFile]) -> Self {
        Self { bucket, files }
    }
}

impl Files for ListedObjects<'_> {
    type File = OpenObject;

    fn open(&self, index: usize) -> Result<OpenObject, io::Error> {
        let listed = self
            .files
            .get(index)
            .ok_or_else(|| io::Error::other(format!("there is no source number {index}")))?;
        Ok(self.bucket.open(listed)?)
    }
}
