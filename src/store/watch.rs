//! How long an answer may take. A slow upload that moves is left alone; one that doesn't is ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the answer to a call without a body.
    pub(super) answer: Duration,
    /// For the answer to CompleteMultipartUpload, which "can take several minutes" (API reference).
    pub(super) complete: Duration,
    /// While nothing of a body moves, and for the answer behind its last byte. What the kernel still
    /// holds then (a few MiB) goes out unseen, so this is minutes, not seconds.
    pub(super) idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(60),
            complete: Duration::from_secs(600),
            idle: Duration::from_secs(120),
        }
    }
}

/// Nothing came in time.
#[derive(Debug)]
pub(super) struct Overdue(pub(super) Duration);

/// Waits for `call`, at most `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = T>,
) -> Result<T, Overdue> {
    tokio::time::timeout(limit, call)
        .await
        .map_err(|_| Overdue(limit))
}

/// Waits for `call` as long as its body moves, and at most `limit` longer.
pub(super) async fn while_moving<T>(
    limit: Duration,
    progress: Progress,
    call: impl Future<Output = T>,
) -> Result<T, Overdue> {
    let mut call = std::pin::pin!(call);
    loop {
        let deadline = progress.last() + limit;
        match tokio::time::timeout_at(deadline.into(), call.as_mut()).await {
            Ok(answer) => return Ok(answer),
            Err(_) if progress.last() + limit <= Instant::now() => return Err(Overdue(limit)),
            Err(_) => {}
        }
    }
}

/// When a body last moved.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(super) fn start() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Says when a body's next bytes may go out, and so sees that they do.
pub trait Pace: fmt::Debug + Send + Sync {
    /// At most `wanted` bytes are about to go out: how many of them may (one at least), and at what time if not now.
    fn turn(&self, wanted: usize) -> (usize, Option<Instant>);
}

/// Puts a [`WatchedBody`] around a request's body, behind signing: a signer must see the bytes.
#[derive(Debug)]
pub(super) struct WatchBody {
    pub(super) progress: Progress,
    pub(super) pace: Option<Arc<dyn Pace>>,
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for WatchBody {
    fn name(&self) -> &'static str {
        "WatchBody"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request_mut().body_mut();
        let inner = std::mem::replace(body, SdkBody::taken());
        let watched = WatchedBody {
            inner,
            pending: Bytes::new(),
            progress: self.progress.clone(),
            pace: self.pace.clone(),
            booked: None,
        };
        *body = SdkBody::from_body_1_x(watched);
        Ok(())
    }
}

/// A body that is handed on in slices, without a copy, so that its progress can be seen.
struct WatchedBody {
    inner: SdkBody,
    pending: Bytes,
    progress: Progress,
    pace: Option<Arc<dyn Pace>>,
    /// Bytes whose time hasn't come.
    booked: Option<(usize, Pin<Box<Sleep>>)>,
}

impl WatchedBody {
    /// How many of the bytes at hand may go out, once they may.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.booked.is_none() {
            let wanted = self.pending.len().min(SLICE);
            let (len, at) = match &self.pace {
                Some(pace) => pace.turn(wanted),
                None => (wanted, None),
            };
            match at {
                Some(at) => {
                    self.booked = Some((len, Box::pin(tokio::time::sleep_until(at.into()))))
                }
                None => return Poll::Ready(len),
            }
        }
        let Some((len, time)) = &mut self.booked else {
            return Poll::Ready(0);
        };
        ready!(time.as_mut().poll(cx));
        let len = *len;
        self.booked = None;
        Poll::Ready(len)
    }
}

/// Bytes in one slice: one call of the kernel takes it, which wakes the other side less often than many; and on a link
/// of 3 Mbit/s it is seen to move every 3 s.
const SLICE: usize = 1 << 20;

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = aws_smithy_types::body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.pending.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.pending = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
        let len = ready!(self.poll_turn(cx));
        self.progress.tick();
        Poll::Ready(Some(Ok(Frame::data(self.pending.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (pending, inner) = (self.pending.len() as u64, Body::size_hint(&self.inner));
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + pending);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + pending);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slices_are_the_bytes_in_order_without_a_copy() {
        let bytes = Bytes::from(
            (0..SLICE * 2 + 7)
                .map(|i| (i % 251) as u8)
                .collect::<Vec<_>>(),
        );
        let mut body = WatchedBody {
            inner: SdkBody::from(bytes.clone()),
            pending: Bytes::new(),
            progress: Progress::start(),
            pace: None,
            booked: None,
        };
        let mut at = 0;
        loop {
            assert_eq!(body.size_hint().exact(), Some((bytes.len() - at) as u64));
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(frame) = frame else { break };
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= SLICE);
            assert_eq!(data.as_ptr(), bytes[at..].as_ptr());
            at += data.len();
        }
        assert_eq!(at, bytes.len());
        assert!(body.is_end_stream());
    }

    /// Lets a thousand bytes go, each at a time of its own.
    #[derive(Debug, Default)]
    struct Thousands(Mutex<Vec<usize>>);

    impl Pace for Thousands {
        fn turn(&self, wanted: usize) -> (usize, Option<Instant>) {
            let mut asked = self.0.lock().unwrap();
            asked.push(wanted);
            let later = asked
                .len()
                .is_multiple_of(2)
                .then(|| Instant::now() + Duration::from_millis(1));
            (wanted.min(1000), later)
        }
    }

    #[tokio::test]
    async fn a_paced_body_goes_slice_by_slice_and_is_the_same() {
        let bytes = Bytes::from((0..10_500).map(|i| (i % 251) as u8).collect::<Vec<_>>());
        let pace = Arc::new(Thousands::default());
        let body = WatchedBody {
            inner: SdkBody::from(bytes.clone()),
            pending: Bytes::new(),
            progress: Progress::start(),
            pace: Some(Arc::clone(&pace) as Arc<dyn Pace>),
            booked: None,
        };
        let mut body = std::pin::pin!(body);
        let mut sent = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= 1000);
            sent.extend_from_slice(&data);
        }
        assert_eq!(sent, bytes);
        let asked = pace.0.lock().unwrap();
        assert_eq!((asked.len(), asked[0], asked[10]), (11, 10_500, 500));
    }

    #[tokio::test]
    async fn ends_what_does_not_move() {
        let limit = Duration::from_millis(20);
        let still = while_moving(limit, Progress::start(), std::future::pending::<()>()).await;
        assert_eq!(still.unwrap_err().0, limit);
        assert!(within(limit, std::future::pending::<()>()).await.is_err());
    }

    #[tokio::test]
    async fn leaves_what_moves() {
        let (limit, progress) = (Duration::from_millis(200), Progress::start());
        let started = Instant::now();
        let ticking = progress.clone();
        // Longer than the limit in all, each step far under it.
        let call = async move {
            let mut step = tokio::time::interval(Duration::from_millis(5));
            while started.elapsed() < limit * 2 {
                step.tick().await;
                ticking.tick();
            }
        };
        assert!(while_moving(limit, progress, call).await.is_ok());
        assert!(started.elapsed() >= limit * 2);
    }
}
