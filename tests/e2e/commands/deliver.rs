//! `deliver`: whole deliveries from a laptop to a real S3 server, and what an interruption leaves.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::Laptop;
use crate::support::process::Leashed;
use crate::support::proxy::Proxy;
use crate::support::world::{PREFIX, WRITE_ACTIONS, find_condition};
use crate::support::{Bucket, Credentials, S3Server, until};

/// A laptop with manifests for one bucket.
struct Desk {
    laptop: Laptop,
    bucket: Bucket,
    user: Credentials,
}

/// Three parts of 5 MiB and a bit.
const BYTES: usize = 16_000_000;

impl Desk {
    /// With an AccessKey destination at that URL, whose user may do nothing but `actions`.
    async fn new(url: &str, actions: &[&str], more: &str) -> Desk {
        let s3 = S3Server::shared();
        let bucket = s3.bucket(&s3.customer()).await;
        let user = s3.user("writer");
        bucket.grant(&user, PREFIX, actions).await;
        let desk = Desk {
            laptop: Laptop::new(),
            bucket,
            user,
        };
        let name = desk.bucket.name();
        desk.laptop.write(
            "acme.yaml",
            format!(
                "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\n\
                 metadata: {{name: acme, namespace: marketing}}\n\
                 spec: {{bucket: {name}, prefix: {PREFIX}, endpoint: \"{url}\", permissionMode: AccessKey, \
                 accessKey: {{secretRef: {{name: s}}}}{more}}}\n"
            ),
        );
        desk.secret(&desk.user.secret_key);
        let root = desk.laptop.folder.path().join("exports");
        desk.laptop.write(
            "operator.yaml",
            format!(
                "clusterId: laptop\nvolume: {{root: {root:?}}}\n\
                 endpoints: {{allow: [\"{url}\"], allowPlainHttp: true}}\n\
                 transfer: {{partSize: 5Mi, maxConcurrentParts: 2}}\n"
            ),
        );
        desk
    }

    async fn at_the_server() -> Desk {
        Desk::new(S3Server::shared().url(), &WRITE_ACTIONS, "").await
    }

    fn secret(&self, secret_key: &str) {
        self.laptop.write(
            "secret.yaml",
            format!(
                "{{apiVersion: v1, kind: Secret, metadata: {{name: s, namespace: marketing}}, \
                 stringData: {{accessKeyId: {:?}, secretAccessKey: {secret_key:?}}}}}\n",
                self.user.access_key
            ),
        );
    }

    fn delivery(&self, name: &str, spec: &str) {
        self.laptop.write(
            "delivery.yaml",
            format!(
                "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\n\
                 metadata: {{name: {name}, namespace: marketing}}\n\
                 spec: {{destinationRef: {{name: acme}}, source: {{volume: {{path: \"*.csv\"}}}}{spec}}}\n"
            ),
        );
    }

    fn line(more: &str) -> String {
        format!(
            "deliver -f acme.yaml -f secret.yaml -f delivery.yaml --config operator.yaml --state state {more}"
        )
    }

    fn deliver(&self, more: &str) -> super::Ran {
        self.laptop.run(&Desk::line(more))
    }

    /// Starts it, and returns once it has begun; its output goes to [`Desk::log`].
    fn start(&self, more: &str) -> Leashed {
        // The operator's own log tells a test when a run was told to stop.
        let mut command = self
            .laptop
            .command(&Desk::line(more), &[("RUST_LOG", "info")]);
        let folder = self.laptop.folder.path();
        // The leash starts in this process's folder.
        let arguments: Vec<String> = command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        let mut inside = Command::new("env");
        inside
            .arg("-C")
            .arg(folder)
            .arg(command.get_program())
            .args(arguments);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        command = inside;
        Leashed::program(&mut command, &self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.laptop.folder.path().join("deliver.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The files of the state folder, but for its lock.
    fn state(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in ["outbounddeliveries", "outboundledgers"] {
            let folder = self.laptop.folder.path().join("state").join(folder);
            let entries = std::fs::read_dir(folder).unwrap();
            found.extend(entries.map(|entry| entry.unwrap().path()));
        }
        found
    }

    fn parts_sent(&self) -> usize {
        let requests = self.bucket.requests();
        let parts = requests
            .iter()
            .filter(|request| request.operation == "UploadPart");
        parts
            .filter(|request| request.status == 200 && request.key.ends_with(".csv"))
            .count()
    }
}

fn table(bytes: usize) -> Vec<u8> {
    let mut text: Vec<u8> = (0..)
        .flat_map(|n: u32| format!("{n},a line\n").into_bytes())
        .take(bytes)
        .collect();
    text[bytes - 1] = b'\n';
    text
}

/// A delivery `d` of one file, with `spec` in it, whose requests pass a proxy.
async fn behind_a_proxy(spec: &str) -> (Desk, Proxy) {
    let wire = Proxy::before(S3Server::shared().url()).await;
    let desk = Desk::new(&wire.url(), &WRITE_ACTIONS, "").await;
    desk.laptop.export("1.csv", table(BYTES));
    desk.delivery("d", spec);
    (desk, wire)
}

/// The same under way: two parts are there, and the proxy holds the third.
async fn half_done(more: &str) -> (Desk, Proxy, Leashed) {
    let (desk, wire) = behind_a_proxy("").await;
    let held = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&held);
    wire.hold(move |asked| {
        let holds = asked.part.is_some_and(|part| part > 2);
        seen.fetch_or(holds, Ordering::SeqCst);
        holds
    });
    let run = desk.start(more);
    until("two parts are there and the third is held", || {
        desk.parts_sent() == 2 && held.load(Ordering::SeqCst)
    })
    .await;
    (desk, wire, run)
}

fn signal(process: &Leashed, name: &str) {
    let pid = process.pid().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.unwrap().success());
}

async fn ends(process: &mut Leashed) -> i32 {
    let mut code = None;
    until("the command has ended", || {
        code = process.ended().map(|status| status.code());
        code.is_some()
    })
    .await;
    code.flatten().expect("an exit code")
}

// The proxy goes on while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_made_and_a_second_run_adopts_it() {
    let read = [&WRITE_ACTIONS[..], &["s3:GetObject"]].concat();
    let desk = Desk::new(S3Server::shared().url(), &read, ", readBack: Granted").await;
    desk.laptop.export("1.csv", table(1000));
    desk.laptop.export("2.csv", table(BYTES));
    desk.delivery("d", ", split: {size: 10M}");
    let ran = desk.deliver("-o json");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    let complete = find_condition(&printed, "Complete").unwrap();
    assert_eq!(
        (&complete["status"], &complete["reason"]),
        (&"True".into(), &"Delivered".into())
    );
    assert_eq!(printed["status"]["phase"], "Complete");
    assert_eq!(printed["status"]["progress"]["bytesDone"], BYTES + 1000);
    for words in ["marketing/acme: Verified", "marketing/d: Delivered"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    let files = desk.bucket.files();
    let cut = [
        &files["audience/2-001.csv"][..],
        &files["audience/2-002.csv"],
    ]
    .concat();
    assert!(cut == table(BYTES) && files["audience/1.csv"] == table(1000));
    let receipt: Value = serde_json::from_slice(&files["audience/d.info"]).unwrap();
    assert_eq!(receipt["Totals"]["TotalByteSize"], BYTES + 1000);
    assert_eq!(receipt["delivery"]["uid"], printed["metadata"]["uid"]);
    assert_eq!(
        desk.state(),
        Vec::<PathBuf>::new(),
        "what is delivered needs no state"
    );
    let again = desk.deliver("");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        again.stdout.contains("Complete (AlreadyDelivered)"),
        "{}",
        again.stdout
    );
    assert_eq!(desk.bucket.files(), files);
}

// The proxy goes on while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_delivery_goes_on_where_it_was() {
    let (desk, wire, mut first) = half_done("").await;
    assert!(desk.bucket.keys().is_empty());
    first.kill();
    wire.hold(|_| false);
    let ran = desk.deliver("");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(desk.bucket.files()["audience/1.csv"] == table(BYTES));
    // Four parts in all: none that was confirmed is sent again.
    let sent = desk.parts_sent();
    assert!((4..=6).contains(&sent), "{sent}");
    let creates = desk.bucket.requests();
    let creates = creates.iter().filter(|request| {
        request.operation == "CreateMultipartUpload" && request.key == "audience/1.csv"
    });
    assert_eq!(creates.count(), 1, "the same upload went on");
    assert_eq!(desk.bucket.uploads().await, []);
    assert_eq!(desk.state(), Vec::<PathBuf>::new());
}

// The proxy goes on while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_keeps_what_is_sent_and_giving_up_aborts_it() {
    let (desk, wire, mut run) = half_done("--progress plain").await;
    let taken = desk.deliver("");
    assert_eq!(taken.code, 2);
    assert!(
        taken.stderr.contains("in use by another deliver"),
        "{}",
        taken.stderr
    );
    signal(&run, "INT");
    until("it says that it stops", || {
        desk.log().contains("stopping: no part begins any more")
    })
    .await;
    wire.hold(|_| false);
    assert_eq!(ends(&mut run).await, 1, "{}", desk.log());
    let log = desk.log();
    assert!(
        log.contains("Interrupted") && log.contains("1 open uploads"),
        "{log}"
    );
    assert_eq!(desk.bucket.uploads().await.len(), 1);
    assert!(desk.bucket.keys().is_empty());

    // Another delivery must not take the place of this one.
    desk.delivery("d", ", key: \"other-{name}\"");
    let other = desk.deliver("");
    assert_eq!(other.code, 2, "{}", other.stdout);
    assert!(
        other.stderr.contains("key can't be changed"),
        "{}",
        other.stderr
    );
    desk.delivery("d", "");

    let given_up = desk.deliver("--give-up");
    assert_eq!(given_up.code, 0, "{}\n{}", given_up.stdout, given_up.stderr);
    assert!(given_up.stdout.contains("Given up"), "{}", given_up.stdout);
    assert_eq!(desk.bucket.uploads().await, []);
    assert_eq!(desk.state(), Vec::<PathBuf>::new());
    // Nothing is left to give up, which is as well.
    assert_eq!(desk.deliver("--give-up").code, 0);
    assert_eq!(desk.deliver("").code, 0);
    assert!(desk.bucket.files()["audience/1.csv"] == table(BYTES));
}

// The proxy goes on while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let (desk, wire, mut run) = half_done("").await;
    signal(&run, "TERM");
    until("it says that it stops", || desk.log().contains("stopping:")).await;
    signal(&run, "TERM");
    assert_eq!(ends(&mut run).await, 1);
    wire.hold(|_| false);
    let ran = desk.deliver("");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(desk.bucket.files()["audience/1.csv"] == table(BYTES));
}

// The proxy goes on while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cant_be_delivered_is_told_and_goes_on_once_it_is_repaired() {
    let desk = Desk::at_the_server().await;
    desk.laptop.export("1.csv", table(1000));
    desk.delivery("d", ", suspend: true");
    let suspended = desk.deliver("");
    assert_eq!(suspended.code, 1);
    assert!(
        suspended.stdout.contains("Held (Suspended)"),
        "{}",
        suspended.stdout
    );

    desk.delivery("d", "");
    desk.secret("hunter2-hunter2-hunter2");
    for output in ["table", "json"] {
        let wrong = desk.deliver(&format!("-o {output}"));
        assert_eq!(wrong.code, 1);
        let all = format!("{}{}", wrong.stdout, wrong.stderr);
        assert!(all.contains("SignatureDoesNotMatch"), "{all}");
        assert!(!all.contains("hunter2"), "{all}");
    }
    for file in desk.state() {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains("hunter2") && !text.contains(&desk.user.access_key));
    }
    assert!(desk.bucket.keys().is_empty());

    desk.secret(&desk.user.secret_key);
    desk.bucket.put("audience/1.csv", b"theirs").await;
    let taken = desk.deliver("");
    assert_eq!(taken.code, 1, "{}", taken.stdout);
    assert!(
        taken.stdout.contains("Failed (ObjectExists)"),
        "{}",
        taken.stdout
    );
    assert_eq!(desk.bucket.uploads().await, []);
    std::fs::remove_file(desk.bucket.folder().join("audience/1.csv")).unwrap();
    let again = desk.deliver("");
    assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);
    assert!(desk.bucket.files()["audience/1.csv"] == table(1000));
}

// The proxy goes on while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_holds_over_runs() {
    let (desk, wire) = behind_a_proxy(", activeDeadlineSeconds: 1").await;
    wire.hold(|asked| asked.part.is_some_and(|part| part > 1));
    let mut run = desk.start("");
    until("the run is told to stop", || {
        desk.log().contains("the run is told to stop")
    })
    .await;
    wire.hold(|_| false);
    assert_eq!(ends(&mut run).await, 1, "{}", desk.log());
    assert!(
        desk.log().contains("Failed (DeadlineExceeded)"),
        "{}",
        desk.log()
    );
    assert_eq!(desk.bucket.uploads().await, []);
}

#[test]
fn bad_input_is_told_before_anything_is_contacted() {
    let laptop = Laptop::new();
    laptop.export("1.csv", "a\n");
    laptop.write(
        "d.yaml",
        "{apiVersion: outbound.dev/v1alpha1, kind: OutboundDelivery, metadata: {name: d, namespace: marketing}, \
         spec: {destinationRef: {name: acme}, source: {volume: {path: 1.csv}}}}",
    );
    laptop.write(
        "acme.yaml",
        "{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {name: acme, namespace: marketing}, \
         spec: {bucket: acme, endpoint: \"https://s3.example\", permissionMode: AccessKey, accessKey: {secretRef: {name: s}}}}",
    );
    laptop.write("lock", "");
    for (line, words) in [
        ("deliver", "--filename <PATH>"),
        (
            "deliver -f acme.yaml --volume-root exports",
            "the manifests hold no OutboundDelivery",
        ),
        (
            "deliver -f d.yaml --volume-root exports",
            "the manifests hold no OutboundDestination \"acme\"",
        ),
        ("deliver -f d.yaml -f acme.yaml", "--volume-root"),
        (
            "deliver -f d.yaml -f acme.yaml --volume-root exports e",
            "no OutboundDelivery \"e\"",
        ),
        (
            "deliver -f d.yaml -f acme.yaml --volume-root exports --state lock",
            "the state folder can't be used",
        ),
        (
            "deliver -f d.yaml -f acme.yaml --volume-root exports --progress loud",
            "auto, bar, plain, none",
        ),
    ] {
        let ran = laptop.run(line);
        assert_eq!(ran.code, 2, "{line}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(words), "{line}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_has_no_more_parts_under_way_than_its_limits_say() {
    let wire = Proxy::before(S3Server::shared().url()).await;
    let limits = ", limits: {maxConcurrentParts: 2}";
    let desk = Desk::new(&wire.url(), &WRITE_ACTIONS, limits).await;
    let file = desk.laptop.folder.path().join("operator.yaml");
    let config = std::fs::read_to_string(&file).unwrap();
    let config = config.replace("maxConcurrentParts: 2", "maxConcurrentParts: 8");
    desk.laptop.write("operator.yaml", config);
    desk.laptop.export("1.csv", table(5 * BYTES));
    desk.delivery("d", "");
    let held = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let asked = held.clone();
    wire.hold(move |request| {
        let part = request.part.filter(|_| request.subject.ends_with("1.csv"));
        part.is_some_and(|part| {
            asked.lock().unwrap().insert(part);
            true
        })
    });
    let mut run = desk.start("");
    until("two parts are under way", || {
        held.lock().unwrap().len() == 2
    })
    .await;
    wire.hold(|_| false);
    assert_eq!(ends(&mut run).await, 0, "{}", desk.log());
    let records = wire.records();
    let parts: Vec<_> = records
        .iter()
        .filter(|record| record.subject.ends_with("1.csv") && record.query.contains("partNumber"))
        .collect();
    assert_eq!(parts.len(), 16);
    for part in &parts {
        let at_once = parts
            .iter()
            .filter(|other| other.begun <= part.begun && other.answered > Some(part.begun));
        assert!(at_once.count() <= 2);
    }
}
