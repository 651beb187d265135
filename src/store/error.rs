//! What a store's refusal means: who must act, and whether to try again.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_s3::operation::RequestId as _;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};

use super::denial::Denial;
use super::names::Region;
use super::refusal::{Refusal, redacted, refusal_of, region_hint};
use super::session;

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

/// Our own words where the store gave no code.
pub mod code {
    /// No connection: refused, no route, no such name, no answer to the first packet.
    pub const UNREACHABLE: &str = "Unreachable";
    /// A connection, but no TLS on it that we trust.
    pub const TLS_FAILED: &str = "TlsFailed";
    /// The connection broke after something was sent.
    pub const CONNECTION_LOST: &str = "ConnectionLost";
    /// Nothing came in time, or nothing of the body moved.
    pub const OVERDUE: &str = "Overdue";
    /// An answer came that S3 doesn't give.
    pub const UNREADABLE: &str = "UnreadableAnswer";
    /// Our own identity's credentials could not be loaded.
    pub const NO_CREDENTIALS: &str = "NoCredentials";
    /// The answer lacks the checksum that was sent, so nobody compared it with the bytes.
    pub const CHECKSUM_IGNORED: &str = "ChecksumIgnored";
    /// The request could not be made.
    pub const NOT_SENT: &str = "RequestNotMade";
}

/// A call that failed. What is printed of it is escaped and stays the same from try to try: the
/// request's id is apart.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{action}: {code}: {message}")]
pub struct StoreError {
    /// The S3 action, for example `CreateMultipartUpload`.
    pub action: &'static str,
    /// The store's error code, or our own word (in [`code`]) where no answer came.
    pub code: String,
    /// The store's message: escaped, at most 600 characters, without access key ids.
    pub message: String,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// What to do next.
    pub class: ErrorClass,
    /// The store's id of the request, for its support. For logs only.
    pub request_id: Option<String>,
    /// The region that the store says the bucket is in.
    pub region: Option<Region>,
    /// What a denial says of itself.
    pub denial: Denial,
}

impl StoreError {
    /// Whether the code is `code`: one of our own words, or one of S3's that is met in one place alone. The others of
    /// S3's are told apart by [`StoreError::meaning`].
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// The reason in the words of the destination's conditions; `None` for an answer that says
    /// nothing about the access, such as `NoSuchUpload` or `PreconditionFailed`.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        refusal_of(self)
    }

    /// Whether the store says that the credentials are over which were good when they were made. An answer to HEAD
    /// has no body, so a bare 400 may be that.
    pub(super) fn ends_a_session(&self) -> bool {
        let said = matches!(
            self.code.as_str(),
            "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired"
        );
        said && self.action != session::ACTION
            || self.action == "HeadObject" && self.status == Some(400)
    }

    /// Nothing came, or nothing moved, for `limit`.
    pub(super) fn overdue(action: &'static str, limit: Duration) -> Self {
        let message = format!("no answer and no progress for {} s", limit.as_secs());
        Self::unanswered(action, code::OVERDUE, message, ErrorClass::Ambiguous)
    }

    /// An answer that lacks what S3 always says.
    pub(super) fn unreadable(action: &'static str, what: &str) -> Self {
        let message = format!("the store answered {what}");
        Self::unanswered(action, code::UNREADABLE, message, ErrorClass::Ambiguous)
    }

    /// A part was taken, and its checksum wasn't looked at.
    pub(super) fn checksum_ignored(action: &'static str) -> Self {
        let message = "the store took the part and did not compare the checksum";
        Self::unanswered(
            action,
            code::CHECKSUM_IGNORED,
            message,
            ErrorClass::Terminal,
        )
    }

    /// The object isn't the one that was asked for.
    pub(super) fn another_object(action: &'static str) -> Self {
        let message = "the store gave the object with another ETag";
        Self {
            status: Some(412),
            ..Self::unanswered(action, "PreconditionFailed", message, ErrorClass::Terminal)
        }
    }

    /// An answer whose body didn't come to its end.
    pub(super) fn broken_off(action: &'static str, error: &dyn std::fmt::Display) -> Self {
        let (code, message) = (code::CONNECTION_LOST, error.to_string());
        Self::unanswered(action, code, message, ErrorClass::Transient)
    }

    fn unanswered(
        action: &'static str,
        code: &str,
        message: impl AsRef<str>,
        class: ErrorClass,
    ) -> Self {
        let (code, message) = (code.to_owned(), redacted(message.as_ref()));
        Self {
            action,
            code,
            message,
            class,
            status: None,
            request_id: None,
            region: None,
            denial: Denial::default(),
        }
    }

    pub(super) fn from_sdk<E>(action: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(service) => Self::answered(action, service.err(), service.raw()),
            SdkError::DispatchFailure(failure) => Self::undispatched(action, failure),
            SdkError::ResponseError(response) => Self {
                status: Some(response.raw().status().as_u16()),
                ..Self::unanswered(
                    action,
                    code::UNREADABLE,
                    DisplayErrorContext(error).to_string(),
                    ErrorClass::Ambiguous,
                )
            },
            SdkError::ConstructionFailure(_) => Self::unanswered(
                action,
                code::NOT_SENT,
                DisplayErrorContext(error).to_string(),
                ErrorClass::Terminal,
            ),
            // The SDK's own timeouts are off; what else it may come to call an error, was sent.
            _ => Self::unanswered(
                action,
                code::OVERDUE,
                DisplayErrorContext(error).to_string(),
                ErrorClass::Ambiguous,
            ),
        }
    }

    fn answered<E: ProvideErrorMetadata>(
        action: &'static str,
        error: &E,
        raw: &HttpResponse,
    ) -> Self {
        let status = raw.status().as_u16();
        let meta = error.meta();
        let body = raw
            .body()
            .bytes()
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        let message = meta.message().unwrap_or_default();
        let code = match meta.code().filter(|code| !code.is_empty()) {
            Some(code) => redacted(code),
            None if status < 300 => code::UNREADABLE.to_owned(),
            None => format!("Http{status}"),
        };
        Self {
            action,
            class: class(action, status, &code),
            message: redacted(message),
            status: Some(status),
            request_id: meta.request_id().map(redacted),
            region: region_hint(raw.headers().get("x-amz-bucket-region"), &body, message),
            denial: Denial::read(message),
            code,
        }
    }

    fn undispatched(action: &'static str, failure: &DispatchFailure) -> Self {
        let Some(error) = failure.as_connector_error() else {
            return Self::unanswered(action, code::CONNECTION_LOST, "", ErrorClass::Ambiguous);
        };
        // A session that the request was to be signed with: the request itself was never sent.
        if let Some(session) = chain(error).find_map(|e| e.downcast_ref::<Self>()) {
            return session.clone();
        }
        let message = innermost(error);
        let (code, class) = if chain(error).any(|e| e.is::<CredentialsError>()) {
            (code::NO_CREDENTIALS, ErrorClass::Transient)
        } else if error.is_timeout() {
            // The only timeout that the client has is the one for connecting.
            (code::UNREACHABLE, ErrorClass::Transient)
        } else if chain(error).any(while_connecting) {
            let tls = chain(error).any(in_handshake);
            (
                if tls {
                    code::TLS_FAILED
                } else {
                    code::UNREACHABLE
                },
                ErrorClass::Transient,
            )
        } else if error.is_user() {
            // Our own body's stream failed: the store has at most a part that it will discard.
            (code::CONNECTION_LOST, ErrorClass::Transient)
        } else {
            (code::CONNECTION_LOST, ErrorClass::Ambiguous)
        };
        Self::unanswered(action, code, message, class)
    }
}

/// What to do after an answer with `status` and `code`.
fn class(action: &str, status: u16, code: &str) -> ErrorClass {
    // A call that makes an object visible may have done so before the server failed, and a gateway's
    // 502 or 504 tells nothing of what is behind it.
    let visible = matches!(action, "CompleteMultipartUpload" | "PutObject");
    match (status, code) {
        (_, "SlowDown" | "TooManyRequests" | "RequestLimitExceeded" | "ThrottlingException")
        | (_, "Throttling" | "RequestThrottled" | "TooManyRequestsException")
        | (429, _) => ErrorClass::Throttled,
        (_, code::UNREADABLE) => ErrorClass::Ambiguous,
        // What a store doesn't know it won't know the next time.
        (501, _) | (_, "NotImplemented") => ErrorClass::Terminal,
        (503, _) | (_, "ServiceUnavailable") => ErrorClass::Transient,
        (500.., _) | (_, "InternalError") if visible => ErrorClass::Ambiguous,
        (500.., _) | (_, "InternalError") => ErrorClass::Transient,
        // The bucket is being made or moved: DNS catches up.
        (307, _) => ErrorClass::Transient,
        (408, _) | (_, "RequestTimeout") => ErrorClass::Transient,
        _ => ErrorClass::Terminal,
    }
}

/// Everything below an error. An `io::Error` hides its payload from `source`, so it is asked for it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The cause, without the wrappers' words.
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// Whether hyper failed before it had a connection: its error can be told by its text only (a test
/// with real sockets holds it).
fn while_connecting(error: &(dyn Error + 'static)) -> bool {
    error.to_string() == "client error (Connect)"
}

/// Whether a connection was there and TLS failed on it: rustls reports through `io::Error`s of kinds
/// that connecting itself doesn't have.
fn in_handshake(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    let kind = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    matches!(kind, Some(InvalidData | UnexpectedEof))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_by_status_and_code() {
        use ErrorClass::{Ambiguous, Terminal, Throttled, Transient};
        for (action, status, code, expected) in [
            ("UploadPart", 403, "AccessDenied", Terminal),
            ("UploadPart", 400, "RequestTimeout", Transient),
            ("UploadPart", 408, "Http408", Transient),
            ("UploadPart", 429, "Http429", Throttled),
            ("UploadPart", 503, "SlowDown", Throttled),
            ("UploadPart", 503, "ServiceUnavailable", Transient),
            ("UploadPart", 500, "InternalError", Transient),
            ("UploadPart", 307, "TemporaryRedirect", Transient),
            ("UploadPart", 301, "PermanentRedirect", Terminal),
            ("UploadPart", 412, "PreconditionFailed", Terminal),
            ("CompleteMultipartUpload", 200, "InternalError", Ambiguous),
            ("CompleteMultipartUpload", 200, "SlowDown", Throttled),
            ("CompleteMultipartUpload", 200, code::UNREADABLE, Ambiguous),
            ("CompleteMultipartUpload", 500, "InternalError", Ambiguous),
            ("CompleteMultipartUpload", 504, "Http504", Ambiguous),
            ("CompleteMultipartUpload", 503, "SlowDown", Throttled),
            (
                "CompleteMultipartUpload",
                503,
                "ServiceUnavailable",
                Transient,
            ),
            ("PutObject", 502, "Http502", Ambiguous),
            ("PutObject", 501, "NotImplemented", Terminal),
            ("PutObject", 409, "ConditionalRequestConflict", Terminal),
        ] {
            assert_eq!(
                class(action, status, code),
                expected,
                "{action} {status} {code}"
            );
        }
    }
}
