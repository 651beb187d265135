//! A delivery's spec, with what applies where it is silent, becomes what the planner and the source take.

use jiff::Timestamp;

use super::wanted::Wanted;
use crate::api::{
    BoundaryKind, DeliveryReason, Format, HeaderPolicy, IfExists as IfExistsField,
    OnEmpty as OnEmptyField, OutboundDelivery, Quantity, SplitSpec as SplitFields,
};
use crate::controllers::compression;
use crate::plan::{
    Boundary, Delimiter, Header, KeyPrefix, KeyTemplate, Names, PlanRequest, ReceiptTemplate,
    RecordFormat, SplitSize, SplitSpec,
};
use crate::transfer::{IfExists, Md5Wanted};

/// What stands before a split's number when a delivery names nothing else.
const DEFAULT_SEPARATOR: &str = "-";

/// Consecutive attempts without a newly confirmed part when a delivery names no other number.
const DEFAULT_BACKOFF_LIMIT: u32 = 6;

/// Everything that a delivery asks for, checked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) plan: PlanRequest,
    pub(super) wanted: Wanted,
    pub(super) on_empty: OnEmpty,
    /// When the delivery was created: what isn't there yet is looked for less and less often.
    pub(super) created: Timestamp,
    pub(super) md5: Md5Wanted,
    pub(super) if_exists: IfExists,
    pub(super) backoff_limit: u32,
}

/// What a source without a file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnEmpty {
    Fail,
    Complete,
}

/// A spec that the schema should have refused; the delivery fails before anything is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) reason: DeliveryReason,
    pub(super) message: String,
}

impl Rejected {
    /// For a field that no other reason is about.
    pub(super) fn field(field: &str, why: &dyn std::fmt::Display) -> Self {
        Self {
            reason: DeliveryReason::SpecInvalid,
            message: format!(
                "spec.{field}: {why}; create another delivery with a value that can be"
            ),
        }
    }
}

/// Reads the spec. `destination_split` applies where the delivery names no size.
///
/// # Errors
/// When a field holds what the schema refuses.
pub(super) fn read(
    delivery: &OutboundDelivery,
    prefix: KeyPrefix,
    destination_split: SplitSize,
) -> Result<Request, Rejected> {
    let spec = &delivery.spec;
    let receipt = spec.receipt.as_ref();
    let key_refused = |field: &str, error: &dyn std::fmt::Display| Rejected {
        reason: DeliveryReason::KeyInvalid,
        message: format!("spec.{field}: {error}; create another delivery with a key that can be"),
    };
    let key = spec.key.as_deref().unwrap_or(KeyTemplate::DEFAULT);
    let receipt_key = receipt
        .and_then(|receipt| receipt.key.as_deref())
        .unwrap_or(ReceiptTemplate::DEFAULT);
    let split = spec.split.as_ref();
    let wanted = Wanted::read(delivery)?;
    Ok(Request {
        plan: PlanRequest {
            split: read_split(split, destination_split)?,
            key: KeyTemplate::parse(key).map_err(|error| key_refused("key", &error))?,
            receipt: ReceiptTemplate::parse(receipt_key)
                .map_err(|error| key_refused("receipt.key", &error))?,
            separator: split
                .and_then(|split| split.separator.clone())
                .unwrap_or_else(|| DEFAULT_SEPARATOR.into()),
            prefix,
            folder: wanted.folder().to_owned(),
            names: Names {
                delivery: delivery.metadata.name.clone().unwrap_or_default(),
                namespace: delivery.metadata.namespace.clone().unwrap_or_default(),
                destination: spec.destination_ref.name.clone(),
            },
            logical_time: logical_time(delivery)?,
            compression: compression::read(spec.compression),
        },
        wanted,
        on_empty: match spec.on_empty {
            Some(OnEmptyField::Complete) => OnEmpty::Complete,
            Some(OnEmptyField::Fail) | None => OnEmpty::Fail,
        },
        created: created(delivery),
        md5: if receipt.and_then(|receipt| receipt.md5) == Some(false) {
            Md5Wanted::No
        } else {
            Md5Wanted::Yes
        },
        if_exists: match spec.if_exists {
            Some(IfExistsField::Skip) => IfExists::Skip,
            Some(IfExistsField::Fail) | None => IfExists::Fail,
        },
        backoff_limit: backoff_limit(delivery),
    })
}

fn read_split(
    fields: Option<&SplitFields>,
    destination_split: SplitSize,
) -> Result<SplitSpec, Rejected> {
    let Some(fields) = fields else {
        return Ok(SplitSpec::new(destination_split));
    };
    let refused = |field: &str, error: &dyn std::fmt::Display| {
        Rejected::field(&format!("split.{field}"), error)
    };
    let bytes =
        |field: &str, quantity: &Quantity| quantity.bytes().map_err(|error| refused(field, &error));
    let size = match &fields.size {
        Some(size) => {
            SplitSize::new(bytes("size", size)?).map_err(|error| refused("size", &error))?
        }
        None => destination_split,
    };
    let max_record_size = match &fields.max_record_size {
        Some(limit) => bytes("maxRecordSize", limit)?,
        None => SplitSpec::DEFAULT_MAX_RECORD_SIZE,
    };
    let delimiter = match &fields.delimiter {
        Some(delimiter) => delimiter
            .parse()
            .map_err(|error| refused("delimiter", &error))?,
        None => Delimiter::NEWLINE,
    };
    let records = match fields.format {
        Some(Format::Csv) => RecordFormat::Csv,
        Some(Format::Lines) | None => RecordFormat::Lines(delimiter),
    };
    let header = match fields.header {
        Some(HeaderPolicy::Repeat) => Header::Repeat,
        Some(HeaderPolicy::None) | None => Header::None,
    };
    let boundary = match fields.boundary {
        Some(BoundaryKind::Byte) => Boundary::Byte,
        Some(BoundaryKind::Record) | None => Boundary::Record,
    };
    Ok(SplitSpec {
        size,
        boundary,
        records,
        header,
        max_record_size,
    })
}

/// Consecutive attempts without a newly confirmed part before the delivery fails.
pub(super) fn backoff_limit(delivery: &OutboundDelivery) -> u32 {
    let named = delivery
        .spec
        .backoff_limit
        .and_then(|limit| limit.try_into().ok());
    named.unwrap_or(DEFAULT_BACKOFF_LIMIT)
}

/// What `{date}` and `{timestamp}` render: the named time, else the creation time.
pub(super) fn logical_time(delivery: &OutboundDelivery) -> Result<Timestamp, Rejected> {
    let Some(text) = &delivery.spec.logical_time else {
        return Ok(created(delivery));
    };
    text.parse().map_err(|error: jiff::Error| {
        let why = format!("{text:?} is not a time such as 2026-11-24T00:00:00Z: {error}");
        Rejected::field("logicalTime", &why)
    })
}

/// When the delivery was created, by the apiserver's clock.
pub(super) fn created(delivery: &OutboundDelivery) -> Timestamp {
    delivery
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is said of a delivery whose spec has `changes`, as one from before the schema may.
    fn rejected(changes: serde_json::Value) -> Rejected {
        let mut spec = json!({
            "destinationRef": {"name": "acme"},
            "source": {"volume": {"path": "a.csv"}},
        });
        let members = changes.as_object().unwrap().clone();
        spec.as_object_mut().unwrap().extend(members);
        let delivery = OutboundDelivery::new("d", serde_json::from_value(spec).unwrap());
        let prefix = KeyPrefix::new("audience/").unwrap();
        read(&delivery, prefix, SplitSize::DEFAULT).unwrap_err()
    }

    #[test]
    fn a_field_that_cannot_be_is_named_with_the_reason_that_is_about_it() {
        use DeliveryReason::{KeyInvalid, PathNotAllowed, SpecInvalid};
        let volume = |changes| json!({"source": {"volume": changes}});
        let bucket = |changes| json!({"source": {"s3": changes}});
        for (changes, field, reason) in [
            (json!({"split": {"size": 0}}), "split.size", SpecInvalid),
            (json!({"split": {"size": "2T"}}), "split.size", SpecInvalid),
            (
                json!({"split": {"maxRecordSize": "1.5"}}),
                "split.maxRecordSize",
                SpecInvalid,
            ),
            (
                json!({"split": {"delimiter": "ab"}}),
                "split.delimiter",
                SpecInvalid,
            ),
            (
                json!({"logicalTime": "yesterday"}),
                "logicalTime",
                SpecInvalid,
            ),
            (
                volume(json!({"path": "a", "minAge": "soon"})),
                "source.volume.minAge",
                SpecInvalid,
            ),
            (
                bucket(json!({"bucket": "A"})),
                "source.s3.bucket",
                SpecInvalid,
            ),
            (
                bucket(json!({"bucket": "abc", "region": "EU!"})),
                "source.s3.region",
                SpecInvalid,
            ),
            (
                volume(json!({"path": "../a"})),
                "source.volume.path",
                PathNotAllowed,
            ),
            (
                bucket(json!({"bucket": "abc", "prefix": "../"})),
                "source.s3.prefix",
                PathNotAllowed,
            ),
            (json!({"key": "{nothing}"}), "key", KeyInvalid),
        ] {
            let Rejected {
                reason: told,
                message,
            } = rejected(changes);
            assert_eq!(told, reason, "{message}");
            assert!(message.starts_with(&format!("spec.{field}: ")), "{message}");
            assert!(message.contains("create another delivery"), "{message}");
        }
    }
}
