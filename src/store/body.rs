//! A part's bytes as the SDK's client takes them.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use futures::stream::BoxStream;
use http_body::{Body, Frame, SizeHint};

use super::types::PartBody;

/// The body without a copy: a buffer's bytes, or a stream that is read while it is sent.
pub(super) fn into_stream(body: PartBody) -> ByteStream {
    ByteStream::new(match body {
        PartBody::Buffer(bytes) => SdkBody::from(bytes),
        PartBody::Stream { len, open } => SdkBody::from_body_1_x(Streamed {
            stream: Mutex::new(open()),
            left: len,
        }),
    })
}

/// A stream whose length is known, so that it goes out with Content-Length and not in chunks.
struct Streamed {
    /// Never locked: the Mutex is there because the SDK asks for `Sync`, which a stream isn't.
    stream: Mutex<BoxStream<'static, std::io::Result<Bytes>>>,
    left: u64,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let stream = self
            .stream
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let next = ready!(stream.as_mut().poll_next(cx));
        Poll::Ready(match next {
            Some(Ok(bytes)) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Some(Ok(Frame::data(bytes)))
                }
                None => Some(Err(std::io::Error::other(
                    "the stream is longer than announced",
                ))),
            },
            Some(Err(error)) => Some(Err(error)),
            // The client would wait for the rest, or the store would take the next request for it.
            None if self.left > 0 => Some(Err(std::io::ErrorKind::UnexpectedEof.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(len: u64, pieces: &'static [&'static [u8]]) -> PartBody {
        let open = move || {
            let pieces = pieces.iter().map(|piece| Ok(Bytes::from_static(piece)));
            Box::pin(futures::stream::iter(pieces)) as BoxStream<'static, _>
        };
        PartBody::Stream {
            len,
            open: Box::new(open),
        }
    }

    #[tokio::test]
    async fn a_stream_has_its_length_and_its_bytes() {
        let body = into_stream(streamed(5, &[b"ab", b"cde"]));
        assert_eq!(body.size_hint(), (5, Some(5)));
        assert_eq!(body.collect().await.unwrap().into_bytes(), "abcde");
    }

    #[tokio::test]
    async fn a_stream_of_another_length_is_an_error() {
        for len in [4, 6] {
            assert!(
                into_stream(streamed(len, &[b"ab", b"cde"]))
                    .collect()
                    .await
                    .is_err(),
                "{len}"
            );
        }
    }

    #[tokio::test]
    async fn a_buffer_is_not_copied() {
        let bytes = Bytes::from(vec![7; 4096]);
        let body = into_stream(PartBody::Buffer(bytes.clone()));
        assert_eq!(body.bytes().unwrap().as_ptr(), bytes.as_ptr());
    }
}
