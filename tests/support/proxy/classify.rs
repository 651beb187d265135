//! Which step of a delivery's life a request is.

use serde::{Deserialize, Serialize};

/// A request's kind. S3's are told apart by what they concern: the proof of access, an object, the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    ProofCreate,
    ProofPart,
    ProofAbort,
    Create,
    FirstPart,
    MiddlePart,
    LastPart,
    ListParts,
    Complete,
    Head,
    Put,
    Abort,
    ListUploads,
    ReceiptCreate,
    ReceiptPart,
    ReceiptListParts,
    ReceiptComplete,
    ReceiptHead,
    ReceiptPut,
    ReceiptAbort,
    ListDestinations,
    WatchDestinations,
    ListDeliveries,
    WatchDeliveries,
    GetSecret,
    GetLedger,
    CreateLedger,
    ReplaceLedger,
    ReleaseLedger,
    DeleteLedger,
    DestinationStatus,
    DeliveryStatus,
    GetDelivery,
    AddFinalizer,
    RemoveFinalizer,
    Event,
    GetLease,
    CreateLease,
    ReplaceLease,
    Other,
}

impl Kind {
    /// Sends an object's bytes (not the receipt's, not the proof's).
    pub(crate) fn carries_source(self) -> bool {
        use Kind::{FirstPart, LastPart, MiddlePart, Put};
        matches!(self, FirstPart | MiddlePart | LastPart | Put)
    }

    /// Makes an object visible, the receipt included.
    pub(crate) fn makes_visible(self) -> bool {
        use Kind::{Complete, Put, ReceiptComplete, ReceiptPut};
        matches!(self, Complete | Put | ReceiptComplete | ReceiptPut)
    }

    pub(crate) fn creates_upload(self) -> bool {
        use Kind::{Create, ProofCreate, ReceiptCreate};
        matches!(self, Create | ProofCreate | ReceiptCreate)
    }

    pub(crate) fn is_of_receipt(self) -> bool {
        format!("{self:?}").starts_with("Receipt")
    }

    pub(crate) fn is_of_proof(self) -> bool {
        format!("{self:?}").starts_with("Proof")
    }

    pub(crate) fn is_lease(self) -> bool {
        matches!(
            self,
            Kind::GetLease | Kind::CreateLease | Kind::ReplaceLease
        )
    }
}

/// How requests of one server are told apart.
#[derive(Clone, Debug)]
pub(crate) enum Dialect {
    /// S3, path-style; objects have that many parts.
    S3 {
        parts: u32,
    },
    Kubernetes,
}

impl Dialect {
    /// The kind, and what it concerns: an S3 key or a Kubernetes path.
    pub(crate) fn classify(&self, request: &http::request::Parts, body: &[u8]) -> (Kind, String) {
        let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
        match self {
            Dialect::S3 { parts } => {
                let key = path.trim_start_matches('/').split_once('/');
                let key = key.map_or("", |(_, key)| key).to_owned();
                (s3(request.method.as_str(), &key, query, *parts), key)
            }
            Dialect::Kubernetes => (
                kubernetes(request.method.as_str(), path, query, body),
                path.to_owned(),
            ),
        }
    }
}

/// The value of a query's parameter.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        (found == name).then_some(value)
    })
}

fn s3(method: &str, key: &str, query: &str, parts: u32) -> Kind {
    let has = |name| parameter(query, name).is_some();
    let upload = has("uploadId");
    let number: Option<u32> = parameter(query, "partNumber").and_then(|n| n.parse().ok());
    let proof = key.contains(".outbound-access-check-");
    let receipt = key.ends_with(".info");
    match (method, number) {
        ("POST", _) if has("uploads") && proof => Kind::ProofCreate,
        ("POST", _) if has("uploads") && receipt => Kind::ReceiptCreate,
        ("POST", _) if has("uploads") => Kind::Create,
        ("PUT", Some(_)) if proof => Kind::ProofPart,
        ("PUT", Some(_)) if receipt => Kind::ReceiptPart,
        ("PUT", Some(1)) => Kind::FirstPart,
        ("PUT", Some(n)) if n == parts => Kind::LastPart,
        ("PUT", Some(_)) => Kind::MiddlePart,
        ("PUT", None) if receipt => Kind::ReceiptPut,
        ("PUT", None) => Kind::Put,
        ("GET", _) if has("uploads") => Kind::ListUploads,
        ("GET", _) if upload && receipt => Kind::ReceiptListParts,
        ("GET", _) if upload => Kind::ListParts,
        ("POST", _) if upload && receipt => Kind::ReceiptComplete,
        ("POST", _) if upload => Kind::Complete,
        ("DELETE", _) if upload && proof => Kind::ProofAbort,
        ("DELETE", _) if upload && receipt => Kind::ReceiptAbort,
        ("DELETE", _) if upload => Kind::Abort,
        ("HEAD", _) if receipt => Kind::ReceiptHead,
        ("HEAD", _) => Kind::Head,
        _ => Kind::Other,
    }
}

fn kubernetes(method: &str, path: &str, query: &str, body: &[u8]) -> Kind {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    // Behind "namespaces/NAMESPACE", where there is one.
    let at = parts.iter().position(|part| *part == "namespaces");
    let rest = at.map_or(&[][..], |at| parts.get(at + 2..).unwrap_or_default());
    let watch = parameter(query, "watch") == Some("true");
    match (method, rest) {
        ("GET", ["outbounddestinations"]) if watch => Kind::WatchDestinations,
        ("GET", ["outbounddestinations"]) => Kind::ListDestinations,
        ("GET", ["outbounddeliveries"]) if watch => Kind::WatchDeliveries,
        ("GET", ["outbounddeliveries"]) => Kind::ListDeliveries,
        ("GET", ["outbounddeliveries", _]) => Kind::GetDelivery,
        ("PATCH", ["outbounddeliveries", _]) if has_finalizer(body) => Kind::AddFinalizer,
        ("PATCH", ["outbounddeliveries", _]) => Kind::RemoveFinalizer,
        ("PATCH", ["outbounddeliveries", _, "status"]) => Kind::DeliveryStatus,
        ("PATCH", ["outbounddestinations", _, "status"]) => Kind::DestinationStatus,
        ("GET", ["outboundledgers", _]) => Kind::GetLedger,
        ("POST", ["outboundledgers"]) => Kind::CreateLedger,
        ("PUT", ["outboundledgers", _]) => Kind::ReplaceLedger,
        ("PATCH", ["outboundledgers", _]) => Kind::ReleaseLedger,
        ("DELETE", ["outboundledgers", _]) => Kind::DeleteLedger,
        ("GET", ["secrets", _]) => Kind::GetSecret,
        ("POST", ["events"]) | ("PATCH", ["events", _]) => Kind::Event,
        ("GET", ["leases", _]) => Kind::GetLease,
        ("POST", ["leases"]) => Kind::CreateLease,
        ("PUT", ["leases", _]) => Kind::ReplaceLease,
        _ => Kind::Other,
    }
}

fn has_finalizer(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("outbound.dev/uploads")
}
