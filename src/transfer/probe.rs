//! Finds out whether a store honours `If-None-Match: *`, by the only thing that we may write twice: a
//! receipt of ours that was just written.

use bytes::Bytes;

use super::context::{Context, Outgoing};
use crate::plan::Md5Digest;
use crate::store::{ConditionalWrite, Meaning, PartBody, PartChecksum};

/// Asks once, where nobody knows yet; what isn't told stays unknown until the next receipt.
///
/// Both requests carry the receipt's own bytes and the condition that nothing is there. The first has a
/// wrong MD5, so a store that looks at the condition before the body refuses it without being able to
/// write. Only of one that looks at the body first, the second tells: it is refused, or the receipt is
/// replaced by itself.
pub(super) async fn probe(context: &Context, receipt: &Outgoing, bytes: &Bytes) {
    let bucket = context.bucket();
    let known = bucket.capabilities();
    if known.conditional_write != ConditionalWrite::Unknown {
        return;
    }
    let wrong = PartChecksum::Md5(Md5Digest::new([0; 16]));
    let right = PartChecksum::over(known.dialect, bytes);
    let metadata = context.metadata(receipt.content_type);
    for checksum in [wrong, right] {
        let body = PartBody::Buffer(bytes.clone());
        let found = match bucket
            .put_object(&receipt.key, &metadata, body, &checksum)
            .await
        {
            Ok(_) => ConditionalWrite::Ignored,
            Err(error) if error.means(Meaning::ConditionFailed) => ConditionalWrite::Honoured,
            Err(error) if error.means(Meaning::ChecksumRefused) => continue,
            Err(error) => {
                tracing::debug!(key = %receipt.key, %error, "whether conditions are honoured stays unknown");
                return;
            }
        };
        context.learned.conditional_write(found);
        return;
    }
}
