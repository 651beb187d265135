//! What a proxy may do to a request, and to which.

use serde::{Deserialize, Serialize};

use super::classify::Kind;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) at: At,
    #[serde(rename = "do")]
    pub(crate) deed: Deed,
}

/// The requests that a fault hits: the n-th of a kind, and the `times - 1` that follow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    pub(crate) kind: Kind,
    /// From 1, counted over the whole plan, restarts of the operator included.
    pub(crate) n: u32,
    #[serde(default = "once")]
    pub(crate) times: u32,
}

fn once() -> u32 {
    1
}

impl At {
    pub(crate) fn hits(&self, kind: Kind, n: u32) -> bool {
        self.kind == kind && n >= self.n && n - self.n < self.times
    }
}

/// What is done. In a plan's file one line: its name, and what it takes behind a blank (`Answer 503`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Deed {
    /// The connection is closed; the server never sees the request.
    Drop,
    /// The server never sees the request; the client gets this status.
    Answer(u16),
    /// The server never sees the request; the client gets this refusal.
    Refuse(Refusal),
    /// The server never sees the request; the client gets 200 and a body that says InternalError.
    ErrorIn200,
    /// The server answers, and the client gets 200 and a body that says InternalError.
    AppliedErrorIn200,
    /// The server answers, the client doesn't get it: the connection is closed.
    LoseAnswer,
    /// The server gets half of the body and no more; the connection is closed on both sides.
    ResetRequest,
    /// The client gets the head and half of the answer's body, and no more.
    ResetAnswer,
    /// The request is held for that many milliseconds, then goes its way.
    Stall(u64),
    /// Nobody ever answers: the server never sees the request, and the client must give up on it by itself.
    Hang,
    /// A bit in the middle of the request's body is flipped.
    FlipByte,
    /// The answer comes without that header.
    StripHeader(String),
    /// SIGKILL to the operator; the server never sees the request. The operator is started again.
    KillBefore,
    /// SIGKILL to the operator once the server has answered. The operator is started again.
    KillAfter,
}

/// What an S3 says. In a plan's file its status, code and words, with blanks between: `Refuse 403 AccessDenied no`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let (status, code) = (words.next()?.parse().ok()?, words.next()?);
        Some(Self::new(status, code, words.next().unwrap_or_default()))
    }
}

impl TryFrom<String> for Deed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (name, value) = text.split_once(' ').unwrap_or((&text, ""));
        let number = || {
            value
                .parse::<u64>()
                .map_err(|error| format!("{text}: {error}"))
        };
        Ok(match name {
            "Drop" => Self::Drop,
            "Answer" => Self::Answer(u16::try_from(number()?).map_err(|error| error.to_string())?),
            "Refuse" => Self::Refuse(Refusal::parse(value).ok_or("Refuse STATUS CODE WORDS")?),
            "ErrorIn200" => Self::ErrorIn200,
            "AppliedErrorIn200" => Self::AppliedErrorIn200,
            "LoseAnswer" => Self::LoseAnswer,
            "ResetRequest" => Self::ResetRequest,
            "ResetAnswer" => Self::ResetAnswer,
            "Stall" => Self::Stall(number()?),
            "Hang" => Self::Hang,
            "FlipByte" => Self::FlipByte,
            "StripHeader" => Self::StripHeader(value.to_owned()),
            "KillBefore" => Self::KillBefore,
            "KillAfter" => Self::KillAfter,
            _ => return Err(format!("no such fault: {text}")),
        })
    }
}

impl From<Deed> for String {
    fn from(deed: Deed) -> String {
        match deed {
            Deed::Answer(status) => format!("Answer {status}"),
            Deed::Refuse(Refusal {
                status,
                code,
                message,
            }) => format!("Refuse {status} {code} {message}"),
            Deed::Stall(milliseconds) => format!("Stall {milliseconds}"),
            Deed::StripHeader(name) => format!("StripHeader {name}"),
            plain => format!("{plain:?}"),
        }
    }
}

impl Deed {
    /// Whether the server sees the request whole.
    pub(crate) fn reaches(&self) -> bool {
        !matches!(
            self,
            Self::Drop
                | Self::Answer(_)
                | Self::Refuse(_)
                | Self::ErrorIn200
                | Self::ResetRequest
                | Self::Hang
                | Self::KillBefore
        )
    }

    pub(crate) fn kills(&self) -> bool {
        matches!(self, Self::KillBefore | Self::KillAfter)
    }
}
