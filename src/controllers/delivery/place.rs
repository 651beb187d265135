//! Where a delivery's files are, once its namespace may read them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::request::Rejected;
use super::source::{BucketFiles, VolumeFiles};
use super::wanted::{Wanted, WantedFiles};
use crate::api::DeliveryReason;
use crate::controllers::context::Context;
use crate::controllers::tenancy;
use crate::plan::Plan;
use crate::source::{Selection, SourceBucket};
use crate::store::{
    Acl, Addressing, AwsTarget, BucketName, ObjectSettings, Region, RegionSource, Target,
};
use crate::transfer::Source;

/// A place that may be read.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The namespace's folder on the volume.
    Volume { root: PathBuf, namespace: String },
    /// A prefix of one of our buckets.
    Bucket {
        bucket: SourceBucket,
        selection: Selection,
    },
}

impl Place {
    /// Where `wanted` is, for deliveries of `namespace`. Needs a runtime; asks nobody.
    ///
    /// # Errors
    /// When the configuration doesn't let the namespace read there, or we have no identity to read with.
    pub(super) fn of(
        context: &Context,
        namespace: &str,
        wanted: &Wanted,
    ) -> Result<Self, Rejected> {
        match &wanted.files {
            WantedFiles::Volume { .. } => Ok(Self::Volume {
                root: context.config.volume.root.clone(),
                namespace: namespace.to_owned(),
            }),
            WantedFiles::Bucket {
                bucket,
                region,
                selection,
            } => {
                let prefix = selection.prefix().as_str();
                tenancy::check_source(&context.config, namespace, bucket.as_str(), prefix)
                    .map_err(not_allowed)?;
                Ok(Self::Bucket {
                    bucket: our_bucket(context, bucket, region.as_ref(), selection)?,
                    selection: selection.clone(),
                })
            }
        }
    }

    /// The files of `plan`, as the engine reads them.
    pub(super) fn files(&self, plan: &Plan) -> Arc<dyn Source> {
        let files = plan.sources().to_vec();
        match self {
            Self::Volume { root, namespace } => {
                Arc::new(VolumeFiles::new(root.clone(), namespace.clone(), files))
            }
            Self::Bucket { bucket, selection } => Arc::new(BucketFiles::new(
                bucket.clone(),
                selection.prefix().clone(),
                files,
            )),
        }
    }
}

fn not_allowed(message: String) -> Rejected {
    Rejected {
        reason: DeliveryReason::SourceNotAllowed,
        message,
    }
}

/// The bucket, as our own identity reads it: at AWS, and of our own account, because names of buckets are global.
fn our_bucket(
    context: &Context,
    bucket: &BucketName,
    region: Option<&Region>,
    selection: &Selection,
) -> Result<SourceBucket, Rejected> {
    let (Some(config), Some(identity)) = (&context.config.identity, &context.identity) else {
        return Err(not_allowed(
            "the operator found no credentials of its own (IRSA, Pod Identity or environment), which read source.s3; \
             its administrator must provide them"
                .to_owned(),
        ));
    };
    let target = Target {
        bucket: bucket.clone(),
        prefix: selection.prefix().clone(),
        addressing: Addressing::default_for(None, bucket),
        bucket_owner: Some(config.account_id.clone()),
        endpoint: None,
        acl: Acl::None,
        settings: ObjectSettings::default(),
        region: region.unwrap_or(&config.region).clone(),
    };
    let target = AwsTarget::try_from(target).map_err(|error| not_allowed(error.to_string()))?;
    let source = match region {
        Some(_) => RegionSource::Named,
        None => RegionSource::Guessed,
    };
    let bucket = context.factory.with_own_identity(target, identity);
    Ok(SourceBucket::new(bucket, source, Handle::current()))
}
