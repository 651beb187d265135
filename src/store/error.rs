//! What a store's refusal means: who must act, and whether to try again.

/// What the next step after an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Somebody must act; the same request would be refused again.
    Terminal,
    /// The same request may succeed later.
    Transient,
    /// The store asks for fewer requests.
    Throttled,
    /// The request may have been applied: the answer was lost.
    Ambiguous,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {code}: {message}")]
pub struct StoreError {
    /// The S3 action, for example `CreateMultipartUpload`.
    pub action: &'static str,
    /// The store's error code, or our own word where no answer came.
    pub code: String,
    /// The store's message, escaped and shortened.
    pub message: String,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// What to do next.
    pub class: ErrorClass,
}
