//! Which files a delivery wants: its source, with what applies where it is silent.

use std::time::Duration;

use super::request::Rejected;
use crate::api::{DeliveryReason, DurationText, OutboundDelivery, S3Source, VolumeSource};
use crate::plan::KeyPrefix;
use crate::source::{Marker, PathPattern, PatternInvalid, Selection};
use crate::store::{BucketName, Region};

/// The files of a delivery, checked.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) files: WantedFiles,
    /// What must be there before anything is planned.
    pub(super) marker: Option<Marker>,
}

/// Where they are.
#[derive(Clone, Debug)]
pub(super) enum WantedFiles {
    /// On the operator's volume.
    Volume {
        pattern: PathPattern,
        min_age: Option<Duration>,
    },
    /// In a bucket of ours.
    Bucket {
        bucket: BucketName,
        /// `None`: learned.
        region: Option<Region>,
        selection: Selection,
    },
}

impl Wanted {
    /// Reads the spec.
    ///
    /// # Errors
    /// When a field holds what the schema refuses.
    pub(super) fn read(delivery: &OutboundDelivery) -> Result<Self, Rejected> {
        let source = &delivery.spec.source;
        match (&source.volume, &source.s3) {
            (Some(volume), None) => of_volume(delivery, volume),
            (None, Some(bucket)) => of_bucket(delivery, bucket),
            _ => Err(refused("source", &"it is exactly one of volume and s3")),
        }
    }

    /// The folder that every file is below: empty, or ends in `/`.
    pub(super) fn folder(&self) -> &str {
        match &self.files {
            WantedFiles::Volume { pattern, .. } => pattern.folder(),
            WantedFiles::Bucket { selection, .. } => selection.prefix().as_str(),
        }
    }
}

fn refused(field: &str, error: &dyn std::fmt::Display) -> Rejected {
    Rejected {
        reason: DeliveryReason::PathNotAllowed,
        message: format!(
            "spec.{field}: {error}; create another delivery with a source that can be"
        ),
    }
}

fn of_volume(delivery: &OutboundDelivery, volume: &VolumeSource) -> Result<Wanted, Rejected> {
    let pattern =
        PathPattern::parse(&volume.path).map_err(|error| refused("source.volume.path", &error))?;
    Ok(Wanted {
        marker: marker(delivery, |path| Marker::beside(&pattern, path))?,
        files: WantedFiles::Volume {
            min_age: min_age(volume)?,
            pattern,
        },
    })
}

fn of_bucket(delivery: &OutboundDelivery, source: &S3Source) -> Result<Wanted, Rejected> {
    let of_field =
        |field: &str, error: &dyn std::fmt::Display| refused(&format!("source.s3.{field}"), error);
    let prefix = KeyPrefix::new(source.prefix.as_deref().unwrap_or_default())
        .map_err(|error| of_field("prefix", &error))?;
    let patterns = |named: &Option<Vec<String>>| named.clone().unwrap_or_default();
    let selection = Selection::new(
        prefix,
        &patterns(&source.include),
        &patterns(&source.exclude),
    )
    .map_err(|error| of_field("include", &error))?;
    let bucket = source.bucket.parse();
    let region = source.region.as_ref().map(|region| region.parse());
    Ok(Wanted {
        marker: marker(delivery, |path| Marker::below(&selection, path))?,
        files: WantedFiles::Bucket {
            bucket: bucket.map_err(|error: crate::store::BucketNameInvalid| {
                Rejected::field("source.s3.bucket", &error)
            })?,
            region: region
                .transpose()
                .map_err(|error: crate::store::RegionInvalid| {
                    Rejected::field("source.s3.region", &error)
                })?,
            selection,
        },
    })
}

fn marker(
    delivery: &OutboundDelivery,
    at: impl Fn(&str) -> Result<Marker, PatternInvalid>,
) -> Result<Option<Marker>, Rejected> {
    let named = delivery.spec.wait_for.as_ref();
    named
        .map(|wait_for| at(&wait_for.path))
        .transpose()
        .map_err(|error| refused("waitFor.path", &error))
}

/// How long every file must have been still.
fn min_age(volume: &VolumeSource) -> Result<Option<Duration>, Rejected> {
    let named = volume.min_age.as_ref();
    let age = named.map(DurationText::get).transpose();
    age.map_err(|error| Rejected::field("source.volume.minAge", &error))
}
