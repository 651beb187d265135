//! How large an answer may be: a store that sends without end must not fill our memory.

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// Bytes in an answer. The largest that is read whole is a page of 1,000 open uploads with keys of 1,024 bytes, each
/// of which XML may spell in six: 6 MiB, and some room. Ranges of a source are asked for to fit.
pub(super) const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Ends the reading of an answer that is longer.
#[derive(Debug)]
pub(super) struct BoundAnswer;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for BoundAnswer {
    fn name(&self) -> &'static str {
        "BoundAnswer"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let inner = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(inner, MAX_ANSWER_BYTES));
        Ok(())
    }
}
