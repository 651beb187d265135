//! `outbound.dev/v1alpha1`: the kinds, what the apiserver refuses of them, their reasons and conditions.
//!
//! Types, validation and their docs; nothing here talks to a server. Every rule that a schema can
//! hold is in the schema, so that `kubectl apply` refuses bad input before the operator sees it.

#![allow(
    unreachable_pub,
    reason = "kube's schema derive repeats each public struct in a scope of its own"
)]

mod assume_role;
mod capability;
mod compression;
mod condition;
mod crd;
mod delivery;
mod destination;
mod duration;
mod ledger;
mod limits;
mod name;
mod object;
mod permission;
mod quantity;
mod reason;
mod receipt;
mod reference;
mod rules;
mod source;
mod split;

pub use assume_role::AssumeRoleSpec;
pub use capability::{Capabilities, ChecksumKind, ConditionalWrite, Verification};
pub use compression::CompressionKind;
pub use condition::{Condition, ConditionType, Conditions, Situation, Status, time_text};
pub use crd::{crds, delivery_crd, destination_crd};
pub use delivery::{
    DeliveredObject, DeliveryProgress, DeliveryReceipt, DeliveryStatus, DestinationRef, IfExists,
    OnEmpty, OutboundDelivery, OutboundDeliverySpec, Phase, PlannedDestination,
};
pub use destination::{
    AccessKeyRef, AclPolicy, AddressingStyle, ConfigMapRef, DestinationStatus, Effective, Grant,
    Identity, OutboundDestination, OutboundDestinationSpec, PermissionMode, ReadBack, SecretRef,
    VerificationSpec,
};
pub use duration::{DurationInvalid, DurationText};
pub(crate) use ledger::FARTHEST_NS;
pub use ledger::{
    IdentitySnapshot, LedgerHeader, LedgerObject, LedgerSource, LedgerState, OutboundLedger,
    OutboundLedgerSpec,
};
pub use limits::LimitsSpec;
pub(crate) use name::is_dns_label;
pub use object::{EncryptionSpec, EncryptionType, ObjectTag, StorageClass};
pub use permission::{Permission, PermissionResult, PermissionSide};
pub use quantity::{Quantity, QuantityInvalid};
pub use reason::{DeliveryReason, DestinationReason, EventReason, reasons_page};
pub use receipt::ReceiptSpec;
pub use reference::reference_page;
pub use source::{S3Source, SourceSpec, VolumeSource, WaitFor};
pub use split::{BoundaryKind, Format, HeaderPolicy, SplitSpec};

/// The API group of all kinds.
pub const GROUP: &str = "outbound.dev";

/// The annotation whose new value asks for a proof or a retry now.
pub const REQUESTED_AT: &str = "outbound.dev/requestedAt";

/// On a delivery while one of its uploads may be open.
pub const FINALIZER: &str = "outbound.dev/uploads";
