//! Uploads that a crash left between Create and the ledger's record: open, ours, and in no ledger.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::abort::{LeftOpen, abort_uploads, warn_of_left};
use super::ledger::{ObjectState, Slot};
use crate::plan::{ObjectKey, Plan};
use crate::store::{Bucket, ObjectMetadata, OpenUpload, StoreError, UploadId};

/// How long aborting the upload of a question may take.
const ABORT_TIME: Duration = Duration::from_secs(60);

/// What a look for orphans found.
#[derive(Debug, Default)]
pub struct Orphans {
    /// The uploads to abort.
    pub found: Vec<(ObjectKey, UploadId)>,
    /// The upload that was asked with, where it couldn't be aborted.
    pub left: Vec<LeftOpen>,
}

/// The uploads that are provably of `plan` and that `states` doesn't know: of one of its keys, created after
/// `planned_at`, and by whom our own uploads are created: a store that names nobody proves nothing. In our own account
/// (`account`, 12 digits, where we have one) that is a role, as each process has a session of its own.
///
/// Another delivery of the same keys may have made one: the caller must look whether a ledger knows it.
///
/// # Errors
/// When the store doesn't list uploads, which no grant of ours asks for: then nobody knows.
pub async fn find_orphans(
    plan: &Plan,
    states: &BTreeMap<Slot, ObjectState>,
    bucket: &Bucket,
    planned_at: Timestamp,
    token: &str,
    account: Option<&str>,
) -> Result<Orphans, StoreError> {
    let objects = plan.objects().iter().map(|object| &object.key);
    let keys: HashMap<&str, &ObjectKey> = objects
        .chain([plan.receipt()])
        .map(|key| (key.as_str(), key))
        .collect();
    let known: HashSet<&UploadId> = states
        .values()
        .filter_map(ObjectState::open_upload)
        .collect();
    let of_plan = |open: &OpenUpload| keys.contains_key(open.key.as_str());
    let listed = bucket.list_uploads(common_prefix(keys.keys()), of_plan);
    let listed = listed.await?;
    let candidates: Vec<&OpenUpload> = listed
        .iter()
        .filter(|open| is_candidate(open, &known, planned_at))
        .collect();
    let Some(first) = candidates
        .first()
        .and_then(|open| keys.get(open.key.as_str()))
    else {
        return Ok(Orphans::default());
    };
    // A store that names nobody proves nothing: the customer may upload to the same key.
    if candidates.iter().all(|open| open.initiator.is_none()) {
        return Ok(Orphans::default());
    }
    let mut ours = listed.iter().filter(|open| known.contains(&open.upload));
    let told = match ours.find_map(|open| open.initiator.clone()) {
        Some(us) => Told {
            us: Some(us),
            ..Told::default()
        },
        None => who_we_are(bucket, first, token).await?,
    };
    let orphans = candidates
        .into_iter()
        .filter(|open| is_by(open, told.us.as_deref(), account));
    let found =
        orphans.filter_map(|open| Some((*keys.get(open.key.as_str())?, open.upload.clone())));
    Ok(Orphans {
        found: found.map(|(key, upload)| (key.clone(), upload)).collect(),
        left: told.left,
    })
}

/// Unknown, and created since the plan was made. Stores cut times to seconds.
fn is_candidate(open: &OpenUpload, known: &HashSet<&UploadId>, planned_at: Timestamp) -> bool {
    !known.contains(&open.upload)
        && open
            .initiated
            .is_some_and(|initiated| initiated.as_second() >= planned_at.as_second())
}

/// Whether `us` created it. Where the store names nobody, nothing is proved.
fn is_by(open: &OpenUpload, us: Option<&str>, account: Option<&str>) -> bool {
    let (Some(initiator), Some(us)) = (open.initiator.as_deref(), us) else {
        return false;
    };
    let role = role_of(us).filter(|(owner, _)| Some(*owner) == account);
    initiator == us || role.is_some() && role_of(initiator) == role
}

/// The account and the role of an assumed role's session, whose name the next process doesn't have.
///
/// S3 names an account by its canonical id, an IAM user by its ARN (API reference, Initiator), and a session by its
/// own: `arn:aws:sts::111122223333:assumed-role/ROLE/SESSION`.
fn role_of(initiator: &str) -> Option<(&str, &str)> {
    let mut parts = initiator.splitn(6, ':');
    let (arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let (role, _session) = resource.strip_prefix("assumed-role/")?.rsplit_once('/')?;
    (arn == "arn" && service == "sts").then_some((account, role))
}

/// What a question of our own told.
#[derive(Default)]
struct Told {
    /// The initiator that the store names for what we create, where it names one.
    us: Option<String>,
    /// The upload that was asked with, where it couldn't be aborted.
    left: Vec<LeftOpen>,
}

/// The initiator that the store names for what we create: asked with an upload of our own, which is aborted at once,
/// also where nobody waits for the answer any more.
async fn who_we_are(bucket: &Bucket, key: &ObjectKey, token: &str) -> Result<Told, StoreError> {
    let metadata = ObjectMetadata {
        token: token.to_owned(),
        delivery_uid: String::new(),
        content_type: "application/octet-stream",
    };
    let (bucket, key) = (bucket.clone(), key.clone());
    let (answer, answered) = oneshot::channel();
    tokio::spawn(async move {
        let told = ask(&bucket, &key, &metadata).await;
        if let Err(Ok(unheard)) = answer.send(told) {
            unheard.left.iter().for_each(warn_of_left);
        }
    });
    // The task ends early with the runtime alone, and then nobody is told anything.
    answered.await.unwrap_or_else(|_| Ok(Told::default()))
}

async fn ask(
    bucket: &Bucket,
    key: &ObjectKey,
    metadata: &ObjectMetadata,
) -> Result<Told, StoreError> {
    let upload = bucket.create_upload(key, metadata).await?;
    let listed = bucket.list_uploads(key.as_str(), |open| open.upload == upload);
    let listed = listed.await;
    let left = abort_uploads(vec![(key.clone(), upload)], bucket, ABORT_TIME).await;
    match listed {
        Err(error) if left.is_empty() => Err(error),
        listed => Ok(Told {
            us: listed
                .ok()
                .and_then(|listed| listed.into_iter().find_map(|open| open.initiator)),
            left,
        }),
    }
}

/// The longest text that all `keys` begin with.
fn common_prefix<'a>(mut keys: impl Iterator<Item = &'a &'a str>) -> &'a str {
    let Some(first) = keys.next().copied() else {
        return "";
    };
    keys.fold(first, |prefix, key| {
        let both = prefix.chars().zip(key.chars());
        let same = both.take_while(|(a, b)| a == b);
        let end: usize = same.map(|(a, _)| a.len_utf8()).sum();
        &prefix[..end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_common_prefix() {
        assert_eq!(common_prefix(["a/é1", "a/éa", "a/è"].iter()), "a/");
        assert_eq!(common_prefix(["a"].iter()), "a");
        assert_eq!(common_prefix(["", "a"].iter()), "");
        assert_eq!(common_prefix([].iter()), "");
    }

    #[test]
    fn only_what_is_provably_ours_is_a_candidate() {
        let (known, planned) = (
            UploadId::new("known"),
            "2026-11-24T10:00:00.9Z".parse().unwrap(),
        );
        let known = HashSet::from([&known]);
        let open = |upload: &str, initiated: Option<&str>| OpenUpload {
            key: "a".to_owned(),
            upload: UploadId::new(upload),
            initiated: initiated.map(|time| time.parse().unwrap()),
            initiator: None,
        };
        let is = |open| is_candidate(&open, &known, planned);
        let (after, before) = (Some("2026-11-24T10:00:00Z"), Some("2026-11-24T09:59:59Z"));
        assert!(is(open("u", after)));
        assert!(!is(open("known", after)));
        assert!(!is(open("u", before)));
        assert!(!is(open("u", None)));
    }

    #[test]
    fn what_somebody_else_or_nobody_created_stays() {
        let is_by = |initiator: Option<&str>, us: Option<&str>| {
            let open = OpenUpload {
                key: "a".to_owned(),
                upload: UploadId::new("u"),
                initiated: None,
                initiator: initiator.map(str::to_owned),
            };
            super::is_by(&open, us, Some("111122223333"))
        };
        assert!(is_by(Some("us"), Some("us")));
        assert!(!is_by(Some("another"), Some("us")));
        assert!(!is_by(None, Some("us")));
        assert!(!is_by(Some("another"), None));
        assert!(!is_by(None, None));
        // Each process has a session of its own; only in our own account a role is ours alone.
        let session = |account: &str, role: &str, name: &str| {
            format!("arn:aws:sts::{account}:assumed-role/{role}/{name}")
        };
        let (ours, theirs) = ("111122223333", "444455556666");
        let us = session(ours, "outbound", "2");
        let is = |other: &str, us: &str| is_by(Some(other), Some(us));
        assert!(is(&session(ours, "outbound", "1"), &us));
        assert!(!is(&session(ours, "another", "1"), &us));
        assert!(!is(&session(theirs, "outbound", "1"), &us));
        let us = session(theirs, "drop", "outbound");
        assert!(is(&us, &us));
        assert!(!is(&session(theirs, "drop", "another"), &us));
        // A user's ARN names nobody else.
        let user = "arn:aws:iam::111122223333:user/outbound";
        assert!(is(user, user));
        assert!(!is("arn:aws:iam::111122223333:user/another", user));
    }
}
