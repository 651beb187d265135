//! The environment itself: what other tests take for granted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};

use crate::support::process::{Leashed, Scratch, tool, unique};
use crate::support::wait::{PATIENCE, eventually, until};
use crate::support::world::WRITE_ACTIONS;
use crate::support::{ControlPlane, Credentials, S3Server, World};

#[tokio::test]
async fn the_apiserver_is_the_pinned_one_and_serves_both_clients() {
    let control_plane = ControlPlane::shared();
    let version = control_plane.kubectl(&["version", "--output=json"]).ok();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["serverVersion"]["gitVersion"], "v1.36.3");
    assert_eq!(version["clientVersion"]["gitVersion"], "v1.36.3");
    let client = control_plane.client().await;
    assert_eq!(
        client.apiserver_version().await.unwrap().git_version,
        "v1.36.3"
    );
}

#[tokio::test]
async fn a_namespace_gets_its_service_account_and_goes_with_its_guard() {
    let namespace = ControlPlane::shared().namespace("environment");
    let name = namespace.name().to_owned();
    eventually(
        PATIENCE,
        "the controllers give it a ServiceAccount",
        async || namespace.get("serviceaccount", "default").ok_or("none"),
    )
    .await;
    drop(namespace);
    eventually(PATIENCE, "the namespace is gone", async || {
        let left =
            ControlPlane::shared().kubectl(&["get", "namespace", &name, "--ignore-not-found"]);
        let left = left.ok();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

/// One part, then Complete; the code of S3's refusal otherwise.
async fn upload(
    s3: &S3Server,
    who: &Credentials,
    bucket: &str,
    key: &str,
    bytes: &[u8],
) -> Result<(), String> {
    fn code(error: impl ProvideErrorMetadata) -> String {
        error.code().unwrap_or("no code").to_owned()
    }
    let client = s3.client(who);
    let created = client
        .create_multipart_upload()
        .bucket(bucket)
        .key(key)
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .send()
        .await;
    let id = created.map_err(code)?.upload_id.unwrap();
    let part = client
        .upload_part()
        .bucket(bucket)
        .key(key)
        .upload_id(&id)
        .part_number(1)
        .body(bytes.to_vec().into())
        .send()
        .await
        .map_err(code)?;
    let part = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(part.e_tag)
        .set_checksum_crc32(part.checksum_crc32)
        .build();
    client
        .complete_multipart_upload()
        .bucket(bucket)
        .key(key)
        .upload_id(&id)
        .multipart_upload(CompletedMultipartUpload::builder().parts(part).build())
        .send()
        .await
        .map_err(code)?;
    Ok(())
}

#[tokio::test]
async fn a_policy_for_us_on_a_prefix_lets_us_write_there_and_nowhere_else() {
    let s3 = S3Server::shared();
    let bucket = s3.bucket(&s3.customer()).await;
    let (us, name) = (s3.us(), bucket.name());
    let denied = Err("AccessDenied".to_owned());
    assert_eq!(upload(&s3, &us, name, "audience/a", b"123").await, denied);

    bucket.grant(&us, "audience/", &WRITE_ACTIONS).await;
    assert_eq!(
        upload(&s3, &us, name, "audience/a b.csv", b"123").await,
        Ok(())
    );
    assert_eq!(upload(&s3, &us, name, "elsewhere/a", b"123").await, denied);
    let stranger = s3.user("stranger");
    assert_eq!(
        upload(&s3, &stranger, name, "audience/b", b"123").await,
        denied
    );

    assert_eq!(bucket.uploads().await, []);
    let files = bucket.files();
    assert_eq!(files.len(), 1, "{:?}", files.keys());
    assert_eq!(files["audience/a b.csv"], b"123");
}

#[tokio::test]
async fn the_access_log_tells_which_requests_came() {
    let s3 = S3Server::shared();
    let bucket = s3.bucket(&s3.customer()).await;
    bucket.put("a b/ü.csv", b"1").await;
    let us = s3.client(&s3.us());
    us.get_object()
        .bucket(bucket.name())
        .key("x")
        .send()
        .await
        .unwrap_err();
    let seen: Vec<_> = bucket
        .requests()
        .into_iter()
        .map(|request| {
            (
                request.operation,
                request.key,
                request.status,
                request.requester,
            )
        })
        .collect();
    let (customer, us) = (s3.customer().access_key, s3.us().access_key);
    let expected = [
        ("CreateBucket", "", 200, &customer),
        ("PutObject", "a b/ü.csv", 200, &customer),
        ("GetObject", "x", 403, &us),
    ];
    let expected = expected.map(|(operation, key, status, requester)| {
        (
            operation.to_owned(),
            key.to_owned(),
            status,
            requester.clone(),
        )
    });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_server_of_ones_own_can_be_stopped_and_leaves_nothing() {
    let s3 = S3Server::start_with_tls();
    let bucket = s3.bucket(&s3.customer()).await;
    bucket.put("open", b"1").await;
    assert!(s3.tls_url().starts_with("https://127.0.0.1:"));
    assert!(s3.ca().starts_with("-----BEGIN CERTIFICATE-----"));
    s3.stop();
    let port = s3.url().rsplit(':').next().unwrap().parse().unwrap();
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert!(bucket.files().is_empty());
}

/// The processes whose command line mentions `text`: their ids, and those lines.
fn processes(text: &str) -> BTreeMap<u32, String> {
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    folders
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter_map(|(id, path)| Some((id, std::fs::read(path.join("cmdline")).ok()?)))
        .map(|(id, bytes)| (id, String::from_utf8_lossy(&bytes).replace('\0', " ")))
        .filter(|(_, line)| line.contains(text))
        .collect()
}

/// A process that holds the leash of one of our scripts, and can be killed in the test's stead.
async fn holder(script: &str, folder: &Path, output: &Path) -> std::process::Child {
    let child = Command::new("bash")
        .arg("-c")
        .arg(r#"exec > >(exec "$0" --leash "$1" >"$2"); exec sleep 600"#)
        .args([tool(script).as_path(), folder, output])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    until("the script is ready", || {
        std::fs::read_to_string(output).is_ok_and(|line| line.starts_with("ready"))
    })
    .await;
    child
}

async fn killing_the_holder_ends(script: &str, servers: &[&str]) {
    let scratch = Scratch::new("leash");
    let folder = scratch.path().join(unique("server"));
    let mut holder = holder(script, &folder, &scratch.path().join("output")).await;
    let name = folder.to_str().unwrap();
    let running = processes(name);
    for server in servers {
        assert!(
            running.values().any(|line| line.contains(server)),
            "{server}: {running:?}"
        );
    }
    // Also what the servers wrote must go.
    assert!(folder.exists());

    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually(PATIENCE, "nothing is left", async || {
        let left = processes(name);
        if left.is_empty() && !folder.exists() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_s3_server() {
    killing_the_holder_ends("s3", &["bin/versitygw"]).await;
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_test_aws() {
    killing_the_holder_ends("aws-server", &["bin/aws"]).await;
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_control_plane() {
    let servers = [
        "bin/etcd",
        "bin/kube-apiserver",
        "bin/kube-controller-manager",
    ];
    killing_the_holder_ends("control-plane", &servers).await;
}

#[tokio::test]
async fn a_killed_script_takes_its_servers_along() {
    let scratch = Scratch::new("killed");
    let folder = scratch.path().join(unique("server"));
    let (mut script, _) = Leashed::script("s3", &[], &folder);
    let name = folder.to_str().unwrap();
    assert!(!processes(name).is_empty());
    script.kill();
    until("nothing is left", || processes(name).is_empty()).await;
}

#[tokio::test]
async fn a_leashed_program_has_its_own_pid_and_dies_with_the_leash() {
    let scratch = Scratch::new("leash");
    let marker = unique("marker");
    let mut command = Command::new("bash");
    command.args(["-c", "echo $0 $$; sleep 600; true", &marker]);
    let log = scratch.path().join("log");
    let program = Leashed::program(&mut command, &log);
    let expected = format!("{marker} {}\n", program.pid());
    until("it wrote its pid", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text == expected)
    })
    .await;
    drop(program);
    until("it is gone", || processes(&marker).is_empty()).await;
}

#[tokio::test]
async fn a_server_that_dies_ends_the_script_with_its_log() {
    let scratch = Scratch::new("early");
    let folder = scratch.path().join(unique("server"));
    let mut script = Command::new(tool("s3"))
        .args(["--leash".as_ref(), folder.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it serves", || folder.join("credentials.env").exists()).await;
    let (server, _) = processes(folder.to_str().unwrap())
        .into_iter()
        .find(|(_, line)| line.contains("bin/versitygw"))
        .unwrap();
    let kill = Command::new("kill")
        .args(["-KILL", &server.to_string()])
        .status();
    assert!(kill.unwrap().success());
    let output = tokio::task::spawn_blocking(move || {
        // The leash stays whole: its end would end the script too.
        let leash = script.stdin.take();
        let output = script.wait_with_output().unwrap();
        drop(leash);
        output
    });
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("plain ended; its log ends with"), "{error}");
    assert!(!folder.exists());
}

#[test]
fn a_script_refuses_a_folder_that_is_not_its_own() {
    let scratch = Scratch::new("refused");
    let output = Command::new(tool("s3"))
        .arg(scratch.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("must not exist yet"), "{error}");
    assert!(scratch.path().exists());
}

#[tokio::test]
async fn a_world_holds_what_a_test_starts_from() {
    let world = World::start("world").await;
    let file = world.file("exports/a.csv", "1\n");
    assert!(file.ends_with(format!("{}/exports/a.csv", world.namespace.name())));

    world.secret("acme", &world.s3.us());
    let secret = world.get("secret", "acme");
    assert!(secret["data"]["secretAccessKey"].is_string(), "{secret}");
    let refusal = world.refused("{apiVersion: v1, kind: Secret, metadata: {name: A_B}}");
    assert!(refusal.contains("metadata.name"), "{refusal}");

    let config: serde_json::Value =
        serde_json::from_str(&world.operator.config().render()).unwrap();
    assert_eq!(config["watch"]["namespaces"][0], world.namespace.name());
    assert_eq!(
        config["tenancy"][0]["crossAccountBuckets"][0]["bucket"],
        world.bucket.name()
    );
    assert!(world.bucket.files().is_empty());
}
