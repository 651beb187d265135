//! What the plans deliver: sources, manifests, and what must be in the bucket afterwards.

use std::collections::BTreeMap;

use crate::plan::{Mode, Plan, ReadBack, Workload};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Credentials, World};

/// The operator's part size under test: S3's least.
pub(crate) const PART: usize = 5 << 20;

/// Parts under way at once, over all objects.
pub(crate) const CONCURRENT: usize = 4;

/// The size of a split of `Files`, in bytes.
pub(crate) const SPLIT: usize = 40_000;

/// Other people's objects, one of them under our prefix.
pub(crate) const FOREIGN: [&str; 2] = ["audience/theirs.txt", "elsewhere/theirs.csv"];

/// The source files of a plan: names and bytes.
pub(crate) fn sources(plan: &Plan) -> BTreeMap<String, Vec<u8>> {
    let large = PART * (plan.parts as usize - 1) + 1_234_567;
    match plan.workload {
        Workload::Small | Workload::Occupied => {
            BTreeMap::from([("small.csv".to_owned(), table(plan.seed, 100_000))])
        }
        Workload::Files => (1..=5)
            .map(|number| {
                (
                    format!("file{number}.csv"),
                    table(plan.seed * 10 + number, 100_000),
                )
            })
            .collect(),
        Workload::Gzip | Workload::Zstd => {
            BTreeMap::from([("large.csv".to_owned(), noise(plan.seed, large))])
        }
        _ => BTreeMap::from([("large.csv".to_owned(), table(plan.seed, large))]),
    }
}

/// `len` bytes that nothing can shrink.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// `len` bytes of records, the last one without its end. Large tables are a block that repeats, each with
/// its number before it: no two parts are the same, and they are made in no time.
fn table(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let block: String = (0..600)
        .map(|_| {
            format!(
                "{:016x},{:016x},{:08x}\n",
                random.u64(..),
                random.u64(..),
                random.u32(..)
            )
        })
        .collect();
    let mut bytes = Vec::with_capacity(len + block.len() + 64);
    for number in 0.. {
        if bytes.len() >= len {
            break;
        }
        bytes.extend_from_slice(format!("block {number}\n").as_bytes());
        bytes.extend_from_slice(block.as_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Makes everything but the two objects: files, others' objects, rights. Returns the writer, if there is one.
pub(crate) async fn prepare(plan: &Plan, world: &World) -> Option<Credentials> {
    for (name, bytes) in sources(plan) {
        world.file(&format!("exports/{name}"), bytes);
    }
    for key in FOREIGN {
        world.bucket.put(key, b"somebody else's\n").await;
    }
    if plan.workload == Workload::Occupied {
        world
            .bucket
            .put(&format!("{PREFIX}small.csv"), b"somebody else's\n")
            .await;
    }
    match plan.mode {
        Mode::AccessKey => {
            let user = world.s3.user("writer");
            allow(plan, world, &user).await;
            world.secret("acme", &user);
            Some(user)
        }
        Mode::CrossAccount => {
            allow(plan, world, &world.s3.us()).await;
            None
        }
    }
}

/// Grants what the mode takes, to that principal alone.
pub(crate) async fn allow(plan: &Plan, world: &World, who: &Credentials) {
    let mut actions = WRITE_ACTIONS.to_vec();
    if plan.mode == Mode::CrossAccount {
        actions.push("s3:PutObjectAcl");
    }
    if plan.read_back == ReadBack::Granted {
        actions.push("s3:GetObject");
    }
    // `Redirected` may write there too: it must not want to.
    world.bucket.grant(who, "", &actions).await;
}

/// Both objects.
pub(crate) fn manifests(plan: &Plan, world: &World, store: &str) -> String {
    let (bucket, read_back) = (world.bucket.name(), plan.read_back);
    let owner = world.s3.customer().access_key;
    let mode = match plan.mode {
        Mode::AccessKey => format!(
            "  endpoint: {store}\n  permissionMode: AccessKey\n  accessKey: {{secretRef: {{name: acme}}}}\n"
        ),
        Mode::CrossAccount => {
            format!(
                "  region: us-east-1\n  bucketOwner: \"{owner}\"\n  permissionMode: CrossAccount\n"
            )
        }
    };
    let split = match plan.workload {
        Workload::Files => format!("  split: {{size: {SPLIT}}}\n"),
        Workload::Gzip | Workload::Zstd => format!("  compression: {:?}\n", plan.workload),
        _ => String::new(),
    };
    format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: acme}}\nspec:\n  \
         bucket: {bucket}\n  prefix: {PREFIX}\n  readBack: {read_back:?}\n{mode}---\n\
         apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: day}}\nspec:\n  \
         destinationRef: {{name: acme}}\n  source: {{volume: {{path: \"exports/*.csv\"}}}}\n{split}"
    )
}

/// Whether somebody does something in flight, for which parts have to be slow.
pub(crate) fn is_eventful(plan: &Plan) -> bool {
    use Workload::{Changed, Delete, Redirected, Rotated};
    matches!(plan.workload, Delete | Changed | Rotated | Redirected)
}

/// What somebody does once parts are on their way.
pub(crate) async fn intervene(plan: &Plan, world: &World) {
    match plan.workload {
        Workload::Delete => {
            world
                .namespace
                .kubectl(&["delete", "obdel", "day", "--wait=false"])
                .ok();
        }
        Workload::Changed => {
            use std::io::Write as _;
            let file = world.folder().join("exports/large.csv");
            let mut file = std::fs::File::options()
                .append(true)
                .open(file)
                .expect("the source");
            file.write_all(b"more\n").expect("grow the source");
        }
        Workload::Rotated => {
            let user = world.s3.user("writer");
            world.secret("acme", &user);
            allow(plan, world, &user).await;
        }
        Workload::Redirected => {
            let patch = r#"{"spec": {"prefix": "elsewhere/"}}"#;
            world
                .namespace
                .kubectl(&["patch", "obdest", "acme", "--type=merge", "-p", patch])
                .ok();
        }
        _ => {}
    }
}
