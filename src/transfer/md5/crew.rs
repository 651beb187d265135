//! Who hashes: a few threads for all objects of the process, each with as many objects at once as there are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::lanes::LANES;
use super::stream::{Stream, take};
use crate::plan::Md5Digest;
use crate::source::cores;

/// Pieces of an object that aren't hashed yet and hold their memory: one that is, and one that comes next.
pub(in crate::transfer) const AHEAD: usize = 2;

/// Bytes of each object that are hashed before it is looked who came along meanwhile.
const AT_ONCE: usize = 256 << 10;

/// The threads that hash. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::transfer) struct Crew(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Threads at most.
    most: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// The objects that have bytes to hash and are with no thread.
    waiting: VecDeque<Arc<Mutex<Object>>>,
    threads: usize,
}

/// One object whose bytes are hashed behind their reading.
pub(in crate::transfer) struct Behind {
    crew: Crew,
    object: Arc<Mutex<Object>>,
    ahead: Arc<Semaphore>,
}

#[derive(Debug)]
struct Object {
    /// Where no thread has it.
    stream: Stream,
    pieces: VecDeque<Piece>,
    /// Whether it waits for a thread, or is with one.
    queued: Queued,
    end: Option<oneshot::Sender<Md5Digest>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queued {
    Yes,
    No,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    _ahead: OwnedSemaphorePermit,
}

impl Crew {
    /// At most half of the cores hash; the others read and send.
    pub(in crate::transfer) fn new() -> Self {
        Self(Arc::new(Shared {
            queue: Mutex::default(),
            most: (cores() / 2).max(1),
        }))
    }

    /// An object of which nothing was read yet.
    pub(in crate::transfer) fn begin(&self) -> Behind {
        let object = Object {
            stream: Stream::new(),
            pieces: VecDeque::new(),
            queued: Queued::No,
            end: None,
        };
        Behind {
            crew: self.clone(),
            object: Arc::new(Mutex::new(object)),
            ahead: Arc::new(Semaphore::new(AHEAD)),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `object` hashed. Another thread begins only for what doesn't fit the lanes of those at work.
    fn enqueue(&self, object: Arc<Mutex<Object>>) {
        let mut queue = self.queue();
        queue.waiting.push_back(object);
        let needed = queue.threads == 0 || queue.waiting.len() > LANES;
        if needed && queue.threads < self.0.most {
            queue.threads += 1;
            let crew = self.clone();
            // It is never waited for: it ends with the queue, and each object knows when its own bytes are done.
            drop(tokio::task::spawn_blocking(move || crew.work()));
        }
    }

    fn work(&self) {
        loop {
            let mut queue = self.queue();
            let count = queue.waiting.len().min(LANES);
            if count == 0 {
                queue.threads -= 1;
                return;
            }
            let objects: Vec<_> = queue.waiting.drain(..count).collect();
            drop(queue);
            hash_some(&objects);
            for object in objects {
                if content(&object).goes_on() {
                    self.enqueue(object);
                }
            }
        }
    }
}

/// Hashes the next bytes of each object.
fn hash_some(objects: &[Arc<Mutex<Object>>]) {
    let next = |object: &Arc<Mutex<Object>>| {
        let object = content(object);
        let piece = object.pieces.front().map(|piece| piece.bytes.clone());
        (object.stream.clone(), piece.unwrap_or_default())
    };
    let (streams, bytes): (Vec<_>, Vec<_>) = objects.iter().map(next).unzip();
    let bytes_of = bytes.iter().map(Bytes::as_ref);
    let mut lanes: Vec<_> = streams.into_iter().zip(bytes_of).collect();
    let taken = take(&mut lanes, AT_ONCE);
    for ((object, (stream, _)), taken) in objects.iter().zip(lanes).zip(taken) {
        content(object).took(stream, taken);
    }
}

fn content(object: &Mutex<Object>) -> MutexGuard<'_, Object> {
    object.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Object {
    fn took(&mut self, stream: Stream, bytes: usize) {
        self.stream = stream;
        // It is gone where the object was given up meanwhile.
        if let Some(piece) = self.pieces.front_mut() {
            piece.bytes.advance(bytes);
            if piece.bytes.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// Whether it has more bytes to hash. Otherwise no thread has it from now on, and whoever waits for its end
    /// learns it.
    fn goes_on(&mut self) -> bool {
        if !self.pieces.is_empty() {
            return true;
        }
        self.queued = Queued::No;
        if let Some(end) = self.end.take() {
            // Nobody may wait any more.
            let _ = end.send(self.stream.clone().finish());
        }
        false
    }
}

impl Behind {
    /// Has the object's next bytes hashed, once all but [`AHEAD`] before them were.
    pub(in crate::transfer) async fn push(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let Ok(ahead) = Arc::clone(&self.ahead).acquire_owned().await else {
            return; // Nobody closes it.
        };
        let mut object = content(&self.object);
        let piece = Piece {
            bytes,
            _ahead: ahead,
        };
        object.pieces.push_back(piece);
        if std::mem::replace(&mut object.queued, Queued::Yes) == Queued::No {
            drop(object);
            self.crew.enqueue(Arc::clone(&self.object));
        }
    }

    /// The MD5 of all bytes, once they are hashed; `None` when the runtime ends before.
    pub(in crate::transfer) async fn finish(self) -> Option<Md5Digest> {
        let (end, ended) = oneshot::channel();
        {
            let mut object = content(&self.object);
            if object.queued == Queued::No {
                return Some(object.stream.clone().finish());
            }
            object.end = Some(end);
        }
        ended.await.ok()
    }
}

/// Given up: what wasn't hashed gives its memory back.
impl Drop for Behind {
    fn drop(&mut self) {
        let mut object = content(&self.object);
        object.pieces.clear();
    }
}

#[cfg(test)]
mod tests {
    use md5::{Digest as _, Md5};

    use super::*;

    fn bytes(seed: usize, len: usize) -> Bytes {
        (0..len).map(|n| (n * 31 + seed * 7) as u8).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_objects_at_once_have_each_its_own() {
        let crew = Crew::new();
        let objects = (0..40_usize).map(|seed| {
            let crew = crew.clone();
            tokio::spawn(async move {
                let behind = crew.begin();
                let mut whole = Md5::new();
                for piece in 0..seed % 7 {
                    let piece = bytes(seed, 1 + piece * 100_003 % 300_000);
                    whole.update(&piece);
                    behind.push(piece).await;
                }
                let found = behind.finish().await;
                assert_eq!(
                    found,
                    Some(Md5Digest::new(whole.finalize().into())),
                    "{seed}"
                );
            })
        });
        for object in objects.collect::<Vec<_>>() {
            object.await.unwrap();
        }
        assert!(crew.queue().waiting.is_empty());
    }

    #[tokio::test]
    async fn an_object_holds_two_pieces_at_most_and_none_once_given_up() {
        let crew = Crew(Arc::new(Shared {
            queue: Mutex::default(),
            // Nobody hashes.
            most: 0,
        }));
        let behind = crew.begin();
        behind.push(bytes(1, 100)).await;
        behind.push(bytes(2, 100)).await;
        let third = behind.push(bytes(3, 100));
        assert!(futures::poll!(std::pin::pin!(third)).is_pending());
        let ahead = Arc::clone(&behind.ahead);
        assert_eq!(ahead.available_permits(), 0);
        drop(behind);
        assert_eq!(ahead.available_permits(), AHEAD);
    }
}
