//! Reading objects, as a source is read: listings, and ranges of one state of an object.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, ObjectStorageClass};
use bytes::Bytes;

use super::answer::MAX_ANSWER_BYTES;
use super::bucket::Bucket;
use super::error::{ErrorClass, StoreError};
use super::watch;
use crate::plan::ByteRange;

/// Bytes in the largest range that is read at once: what an answer may have.
pub const LARGEST_READ: u64 = MAX_ANSWER_BYTES as u64;

const LIST: &str = "ListObjectsV2";
const GET: &str = "GetObject";

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPage {
    /// The objects on it.
    pub objects: Vec<ListedObject>,
    /// What the next page is asked for with; `None` on the last.
    pub next: Option<PageToken>,
}

/// What the next page of a listing is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(String);

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// The key, verbatim.
    pub key: String,
    /// Bytes in it.
    pub size: u64,
    /// The ETag, quotes included.
    pub etag: String,
    /// Whether it can be read as it stands.
    pub storage: Storage,
}

/// Whether an object can be read as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a class that is read at once.
    Online,
    /// In a class of archives: only while a restored copy is there.
    Archive,
}

/// How many objects a page has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// One object: the first.
    One,
    /// As many as S3 gives.
    Full,
}

impl Bucket {
    /// A page of ListObjectsV2 below `prefix`. Needs `s3:ListBucket` for that prefix.
    ///
    /// # Errors
    /// The store's refusal, or what kept its answer away.
    pub async fn list_objects(
        &self,
        prefix: &str,
        size: PageSize,
        token: Option<PageToken>,
    ) -> Result<ObjectPage, StoreError> {
        let call = self
            .client
            .list_objects_v2()
            .bucket(self.target.bucket.as_str())
            .prefix(prefix)
            .set_expected_bucket_owner(self.owner())
            .set_max_keys(match size {
                PageSize::One => Some(1),
                PageSize::Full => None,
            })
            // XML can't spell every character that a key may have.
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token.map(|token| token.0));
        let page = self.answered(LIST, call.send()).await?;
        let encoded = page.encoding_type == Some(EncodingType::Url);
        let objects = page.contents.unwrap_or_default();
        let objects = objects.into_iter().map(|object| listed(object, encoded));
        Ok(ObjectPage {
            objects: objects.collect::<Result<_, _>>()?,
            next: page
                .next_continuation_token
                .filter(|_| page.is_truncated == Some(true))
                .map(PageToken),
        })
    }

    /// Begins to read `range` (of 1 to [`LARGEST_READ`] bytes) of the object, as long as it has that ETag. Needs
    /// `s3:GetObject`.
    ///
    /// # Errors
    /// The store's refusal (412 `PreconditionFailed` when the object is another now, 404 when it is gone), or what
    /// kept its answer away.
    pub async fn read_range(
        &self,
        key: &str,
        etag: &str,
        range: ByteRange,
    ) -> Result<RangeBody, StoreError> {
        let last = range.end().saturating_sub(1);
        let call = self
            .client
            .get_object()
            .bucket(self.target.bucket.as_str())
            .key(key)
            .set_expected_bucket_owner(self.owner())
            .if_match(etag)
            .range(format!("bytes={}-{last}", range.offset));
        let answer = self.answered(GET, call.send()).await?;
        // A store that ignores the condition or the range must not go unnoticed.
        if answer.e_tag.as_deref() != Some(etag) {
            return Err(StoreError::another_object(GET));
        }
        if answer.content_length != i64::try_from(range.len).ok() {
            return Err(StoreError::unreadable(GET, "another range than asked"));
        }
        Ok(RangeBody {
            body: answer.body,
            left: range.len,
            patience: self.patience.answer,
        })
    }
}

fn listed(object: aws_sdk_s3::types::Object, encoded: bool) -> Result<ListedObject, StoreError> {
    let missing = |what| StoreError::unreadable(LIST, what);
    let key = object
        .key
        .ok_or_else(|| missing("an object without a key"))?;
    let key = match encoded {
        true => decoded(&key).ok_or_else(|| missing("a key that isn't encoded right"))?,
        false => key,
    };
    Ok(ListedObject {
        key,
        size: object
            .size
            .and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| missing("an object without a size"))?,
        etag: object
            .e_tag
            .filter(|etag| !etag.is_empty())
            .ok_or_else(|| missing("an object without an ETag"))?,
        storage: match object.storage_class {
            Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive) => Storage::Archive,
            _ => Storage::Online,
        },
    })
}

/// The key as it is: S3 writes a space as `+`, and what isn't plain as `%XX`.
fn decoded(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    let bytes = percent_encoding::percent_decode_str(&spaced);
    bytes.decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The bytes of a range, as they come in.
#[derive(Debug)]
pub struct RangeBody {
    body: ByteStream,
    left: u64,
    patience: Duration,
}

impl RangeBody {
    /// The next bytes; `None` behind the last of the range.
    ///
    /// # Errors
    /// When the connection broke, the body ended early, or nothing came in time.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.left == 0 {
            return Ok(None);
        }
        let chunk = watch::within(self.patience, self.body.next()).await;
        let chunk = chunk.map_err(|overdue| StoreError {
            class: ErrorClass::Transient,
            ..StoreError::overdue(GET, overdue.0)
        })?;
        let bytes = match chunk {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => return Err(StoreError::broken_off(GET, &error)),
            None => return Err(StoreError::broken_off(GET, &"the body ended early")),
        };
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| StoreError::unreadable(GET, "more bytes than asked"))?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_as_s3_encodes_them() {
        for (encoded, key) in [
            ("a/b.csv", "a/b.csv"),
            ("a+b%2Bc", "a b+c"),
            ("%C3%BC%0A", "ü\n"),
        ] {
            assert_eq!(decoded(encoded).as_deref(), Some(key));
        }
        assert_eq!(decoded("%FF"), None);
    }
}
