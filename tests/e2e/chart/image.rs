//! The container image that `hack/image` makes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::process::{Output, Scratch};

/// Makes the image of that binary; returns the folder.
fn image(folder: &Scratch, name: &str, binary: &Path) -> PathBuf {
    let output = folder.path().join(name);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/image");
    let mut command = Command::new(script);
    command
        .arg("--binary")
        .arg(binary)
        .arg("--output")
        .arg(&output);
    Output::of(&mut command, None).ok();
    output
}

/// The built operator without its symbols, which would be most of the image's bytes.
fn binary(folder: &Scratch) -> PathBuf {
    let path = folder.path().join("outbound-operator");
    let built = env!("CARGO_BIN_EXE_outbound-operator");
    Output::of(Command::new("strip").arg("-o").arg(&path).arg(built), None).ok();
    path
}

fn unpack(archive: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    Output::of(
        Command::new("tar")
            .arg("-xf")
            .arg(archive)
            .arg("-C")
            .arg(into),
        None,
    )
    .ok();
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The blob that a descriptor names; its digest must be true.
fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"]
        .as_str()
        .unwrap()
        .strip_prefix("sha256:")
        .unwrap();
    let path = layout.join("blobs/sha256").join(digest);
    let sum = Output::of(Command::new("sha256sum").arg(&path), None).ok();
    assert!(sum.starts_with(digest), "{sum}");
    assert_eq!(descriptor["size"], std::fs::metadata(&path).unwrap().len());
    path
}

#[test]
fn the_image_is_reproducible_starts_without_root_and_says_what_is_in_it() {
    let folder = Scratch::new("image");
    let binary = binary(&folder);
    let (first, second) = (
        image(&folder, "first", &binary),
        image(&folder, "second", &binary),
    );
    for name in [
        "outbound-operator.tar",
        "outbound-operator.cdx.json",
        "digest",
    ] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(&first) == read(&second), "{name} differs");
    }

    let layout = folder.path().join("layout");
    unpack(&first.join("outbound-operator.tar"), &layout);
    let index = json(&layout.join("index.json"));
    let descriptor = &index["manifests"][0];
    let digest = std::fs::read_to_string(first.join("digest")).unwrap();
    assert_eq!(descriptor["digest"], digest.trim());
    assert_eq!(
        descriptor["annotations"]["io.containerd.image.name"],
        "localhost/outbound-operator:0.1.0"
    );
    let manifest = json(&blob(&layout, descriptor));
    let config = json(&blob(&layout, &manifest["config"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(
        config["config"]["Entrypoint"][0],
        "/usr/bin/outbound-operator"
    );
    assert_eq!(
        config["config"]["Labels"]["org.opencontainers.image.version"],
        env!("CARGO_PKG_VERSION")
    );

    let root = folder.path().join("root");
    for layer in manifest["layers"].as_array().unwrap() {
        unpack(&blob(&layout, layer), &root);
    }
    starts(&root);
    let shells = ["bin/sh", "usr/bin/sh", "usr/bin/bash", "usr/bin/dpkg"];
    assert!(shells.iter().all(|name| !root.join(name).exists()));
    let authorities =
        std::fs::read_to_string(root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(authorities.matches("-----BEGIN CERTIFICATE-----").count() > 100);
    assert!(authorities.starts_with("-----BEGIN CERTIFICATE-----"));

    materials(&json(&first.join("outbound-operator.cdx.json")), &root);
}

/// The binary runs with the image's own loader and libraries, and with no others.
fn starts(root: &Path) {
    let library = std::fs::read_dir(root.join("usr/lib")).unwrap().flatten();
    let library = library
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    let library = library.unwrap();
    let loader = std::fs::read_dir(&library)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let loader = loader.into_iter().find(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("ld-linux-")
    });
    let mut command = Command::new(loader.unwrap());
    command
        .arg("--inhibit-cache")
        .arg("--library-path")
        .arg(&library);
    command
        .arg(root.join("usr/bin/outbound-operator"))
        .arg("crds")
        .env_clear();
    assert!(
        Output::of(&mut command, None)
            .ok()
            .contains("outbounddeliveries.outbound.dev")
    );
}

/// The bill of materials has each thing once, with its version: the crates that matter, and the packages whose files
/// are in the image.
fn materials(bill: &Value, root: &Path) {
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["metadata"]["component"]["name"], "outbound-operator");
    let components = bill["components"].as_array().unwrap();
    let urls: BTreeSet<&str> = components
        .iter()
        .map(|one| one["purl"].as_str().unwrap())
        .collect();
    assert_eq!(urls.len(), components.len());
    assert!(components.iter().all(|one| {
        one["version"]
            .as_str()
            .is_some_and(|version| !version.is_empty())
    }));
    let has = |begin: &str| urls.iter().any(|url| url.starts_with(begin));
    for crate_name in ["kube", "aws-sdk-s3", "rustls", "aws-lc-sys", "tokio"] {
        assert!(has(&format!("pkg:cargo/{crate_name}@")), "{crate_name}");
    }
    // What only tests or builds is not in the binary.
    for crate_name in ["proptest", "rcgen", "syn", "serde_derive"] {
        assert!(!has(&format!("pkg:cargo/{crate_name}@")), "{crate_name}");
    }
    for package in std::fs::read_dir(root.join("var/lib/dpkg/status.d")).unwrap() {
        let name = package.unwrap().file_name().into_string().unwrap();
        assert!(has(&format!("pkg:deb/debian/{name}@")), "{name}");
    }
}
