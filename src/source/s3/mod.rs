//! Objects in a bucket of ours, below a prefix, read as our own identity.
//!
//! Calls run on the runtime and are waited for on the caller's thread, which blocks as on a volume that is slow: so
//! whatever keeps S3 from answering keeps nobody but that thread's delivery.

mod list;
mod read;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::error::{Attempt, SourceError};
use crate::store::{Bucket, ErrorClass, Refusal, Region, RegionSource, StoreError, code};

pub use list::Selection;
pub use read::{ListedObjects, OpenObject, Sequential};

/// How often a read is tried that may succeed later, before its caller is told. Who asked tries again by rules of its
/// own, from further back.
const TRIES: u32 = 3;

/// The pause before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// A bucket that is read. A clone shares what was learned of its region.
#[derive(Clone, Debug)]
pub struct SourceBucket {
    bucket: Arc<Mutex<Bucket>>,
    region: RegionSource,
    runtime: Handle,
}

impl SourceBucket {
    /// The bucket, whose calls run on `runtime`. Where its region was guessed, the store's word is taken for it.
    #[must_use]
    pub fn new(bucket: Bucket, region: RegionSource, runtime: Handle) -> Self {
        Self {
            bucket: Arc::new(Mutex::new(bucket)),
            region,
            runtime,
        }
    }

    fn bucket(&self) -> Bucket {
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.clone()
    }

    /// `s3://bucket/key`, for a message.
    fn place(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket().target().bucket)
    }

    /// Asks the store, again where that may help, and in the region that it names.
    async fn ask<T, F>(&self, call: impl Fn(Bucket) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let (mut tries, mut pause, mut moved) = (1, PAUSE, false);
        loop {
            let bucket = self.bucket();
            let error = match call(bucket.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !moved && let Some(region) = self.elsewhere(&bucket, &error) {
                moved = true;
                *self.bucket.lock().unwrap_or_else(PoisonError::into_inner) =
                    bucket.in_region(region);
                continue;
            }
            // What hangs has had its time.
            let helps = error.class != ErrorClass::Terminal && !error.is(code::OVERDUE);
            if !helps || tries == TRIES {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            tries += 1;
            pause *= 2;
        }
    }

    /// The region where the store says that the bucket is, when nobody named one.
    fn elsewhere(&self, bucket: &Bucket, error: &StoreError) -> Option<Region> {
        let mismatch = error.refusal() == Some(Refusal::RegionMismatch);
        let region = error.region.clone().filter(|_| mismatch)?;
        (self.region == RegionSource::Guessed && region != bucket.target().region).then_some(region)
    }

    /// Waits for `work`, which runs on the runtime.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, Interrupted> {
        let (reply, answer) = oneshot::channel();
        self.runtime.spawn(async move {
            // Who waits can't stop waiting.
            drop(reply.send(work.await));
        });
        let answer = answer.blocking_recv().map_err(|_| Interrupted::Ended)?;
        answer.map_err(|error| Interrupted::Store(Box::new(error)))
    }
}

/// Why a call came to nothing.
#[derive(Debug)]
enum Interrupted {
    /// The store refused, or didn't answer.
    Store(Box<StoreError>),
    /// The process comes to its end.
    Ended,
    /// There are no such bytes in what was listed.
    PastEnd,
}

impl Interrupted {
    /// The error for what was tried at `place`.
    fn at(self, place: String) -> SourceError {
        match self {
            Self::Store(cause) => SourceError::Store { place, cause },
            Self::Ended => SourceError::Ended,
            Self::PastEnd => SourceError::Unreadable {
                path: place,
                attempt: Attempt::Read,
                cause: std::io::ErrorKind::UnexpectedEof.into(),
            },
        }
    }
}
