//! Uploads that a crash left between Create and the ledger's record: open, ours, and in no ledger.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::ledger::{ObjectState, Slot};
use crate::plan::{ObjectKey, Plan};
use crate::store::{Bucket, ObjectMetadata, OpenUpload, StoreError, UploadId};

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
) -> Result<Vec<(ObjectKey, UploadId)>, StoreError> {
    let objects = plan.objects().iter().map(|object| &object.key);
    let keys: HashMap<&str, &ObjectKey> = objects
        .chain([plan.receipt()])
        .map(|key| (key.as_str(), key))
        .collect();
    let known: HashSet<&UploadId> = states
        .values()
        .filter_map(ObjectState::open_upload)
        .collect();
    let listed = bucket.list_uploads(common_prefix(keys.keys())).await?;
    let candidates: Vec<&OpenUpload> = listed
        .iter()
        .filter(|open| is_candidate(open, &keys, &known, planned_at))
        .collect();
    let Some(first) = candidates
        .first()
        .and_then(|open| keys.get(open.key.as_str()))
    else {
        return Ok(Vec::new());
    };
    // A store that names nobody proves nothing: the customer may upload to the same key.
    if candidates.iter().all(|open| open.initiator.is_none()) {
        return Ok(Vec::new());
    }
    let mut ours = listed.iter().filter(|open| known.contains(&open.upload));
    let us = match ours.find_map(|open| open.initiator.clone()) {
        Some(us) => Some(us),
        None => who_we_are(bucket, first, token).await?,
    };
    let orphans = candidates
        .into_iter()
        .filter(|open| is_by(open, us.as_deref(), account));
    Ok(orphans
        .filter_map(|open| Some(((*keys.get(open.key.as_str())?).clone(), open.upload.clone())))
        .collect())
}

/// Of the plan's keys, unknown, and created since the plan was made. Stores cut times to seconds.
fn is_candidate(
    open: &OpenUpload,
    keys: &HashMap<&str, &ObjectKey>,
    known: &HashSet<&UploadId>,
    planned_at: Timestamp,
) -> bool {
    keys.contains_key(open.key.as_str())
        && !known.contains(&open.upload)
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

/// The initiator that the store names for what we create: asked with an upload of our own, which is aborted at once.
async fn who_we_are(
    bucket: &Bucket,
    key: &ObjectKey,
    token: &str,
) -> Result<Option<String>, StoreError> {
    let metadata = ObjectMetadata {
        token: token.to_owned(),
        delivery_uid: String::new(),
        content_type: "application/octet-stream",
    };
    let upload = bucket.create_upload(key, &metadata).await?;
    let listed = bucket.list_uploads(key.as_str()).await;
    bucket.abort_upload(key, &upload).await?;
    let ours = listed?.into_iter().find(|open| open.upload == upload);
    Ok(ours.and_then(|open| open.initiator))
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
    use crate::plan::KeyPrefix;

    #[test]
    fn keys_have_a_common_prefix() {
        assert_eq!(common_prefix(["a/é1", "a/éa", "a/è"].iter()), "a/");
        assert_eq!(common_prefix(["a"].iter()), "a");
        assert_eq!(common_prefix(["", "a"].iter()), "");
        assert_eq!(common_prefix([].iter()), "");
    }

    #[test]
    fn only_what_is_provably_ours_is_a_candidate() {
        let key = ObjectKey::new(&KeyPrefix::default(), "a").unwrap();
        let keys = HashMap::from([("a", &key)]);
        let (known, planned) = (
            UploadId::new("known"),
            "2026-11-24T10:00:00.9Z".parse().unwrap(),
        );
        let known = HashSet::from([&known]);
        let open = |key: &str, upload: &str, initiated: Option<&str>| OpenUpload {
            key: key.to_owned(),
            upload: UploadId::new(upload),
            initiated: initiated.map(|time| time.parse().unwrap()),
            initiator: None,
        };
        let is = |open| is_candidate(&open, &keys, &known, planned);
        let (after, before) = (Some("2026-11-24T10:00:00Z"), Some("2026-11-24T09:59:59Z"));
        assert!(is(open("a", "u", after)));
        assert!(!is(open("a", "known", after)));
        assert!(!is(open("a", "u", before)));
        assert!(!is(open("a", "u", None)));
        assert!(!is(open("ab", "u", after)));
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
