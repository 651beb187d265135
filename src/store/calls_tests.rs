//! Each call against a real S3 server, and what no real server says on demand against a parrot.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::bucket::Transport;
use super::*;
use crate::plan::KeyPrefix;
use crate::store::target::{Acl, Target};
use crate::store::testserver::{BUCKET, OWNER, Parrot, TestServer, key, target_at};
use crate::store::watch::{Pace, Patience};
use crate::store::{AwsOptions, ClientFactory, ErrorClass, Refusal, code};

const MIB: usize = 1 << 20;

fn crc(bytes: &[u8]) -> Crc64 {
    Crc64::new(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes))
}

fn sum(bytes: &[u8]) -> PartChecksum {
    PartChecksum::Crc64(crc(bytes))
}

fn metadata() -> ObjectMetadata {
    ObjectMetadata {
        token: "0123abcd".to_owned(),
        delivery_uid: "uid-1".to_owned(),
        content_type: "text/csv",
    }
}

fn object_key(name: &str) -> ObjectKey {
    ObjectKey::new(&KeyPrefix::new("audience/").unwrap(), name).unwrap()
}

fn number(n: u64) -> PartNumber {
    PartNumber::new(n).unwrap()
}

fn buffer(bytes: &[u8]) -> PartBody {
    PartBody::Buffer(Bytes::copy_from_slice(bytes))
}

fn stream(bytes: &[u8]) -> PartBody {
    let (len, bytes) = (bytes.len() as u64, Bytes::copy_from_slice(bytes));
    let open = move || {
        let pieces: Vec<_> = bytes
            .chunks(MIB)
            .map(|piece| Ok(bytes.slice_ref(piece)))
            .collect();
        Box::pin(futures::stream::iter(pieces)) as futures::stream::BoxStream<'static, _>
    };
    PartBody::Stream {
        len,
        open: Box::new(open),
    }
}

fn parrot_bucket(parrot: &Parrot) -> Bucket {
    let target = Target {
        bucket_owner: Some(OWNER.parse().unwrap()),
        acl: Acl::BucketOwnerFullControl,
        ..target_at(parrot.endpoint())
    };
    ClientFactory::new(AwsOptions::default()).with_access_key(target, &key(OWNER))
}

/// Text that doesn't repeat at a part's size.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| b'a' + (i % 23) as u8).collect()
}

/// Uploads `parts` under `key` and completes them.
async fn upload(
    bucket: &Bucket,
    key: &ObjectKey,
    parts: Vec<PartBody>,
    whole: &[u8],
) -> (
    UploadId,
    Vec<UploadedPart>,
    Result<CompletedUpload, StoreError>,
) {
    let id = bucket.create_upload(key, &metadata()).await.unwrap();
    let (mut sent, mut at) = (Vec::new(), 0);
    for (n, body) in (1..).zip(parts) {
        let len = usize::try_from(content_length(&body)).unwrap();
        let crc = sum(&whole[at..at + len]);
        at += len;
        sent.push(
            bucket
                .upload_part(key, &id, number(n), body, crc)
                .await
                .unwrap(),
        );
    }
    let done = bucket
        .complete_upload(key, &id, &sent, crc(whole), whole.len() as u64)
        .await;
    (id, sent, done)
}

#[tokio::test]
async fn a_whole_upload_is_there_once_with_its_checksum() {
    let server = TestServer::start().await;
    let target = Target {
        bucket_owner: Some(OWNER.parse().unwrap()),
        acl: Acl::BucketOwnerFullControl,
        ..server.target()
    };
    let bucket = server.with_key(target, &key(OWNER));
    let (key, whole) = (object_key("a.csv"), content(11 * MIB));
    let parts = vec![
        buffer(&whole[..5 * MIB]),
        stream(&whole[5 * MIB..10 * MIB]),
        buffer(&whole[10 * MIB..]),
    ];
    let (id, sent, done) = upload(&bucket, &key, parts, &whole).await;
    assert_eq!(done.unwrap().crc64, Some(crc(&whole)));
    assert_eq!(
        sent.iter().map(|part| part.number).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(
        bucket
            .list_parts(&key, &id)
            .await
            .unwrap_err()
            .is("NoSuchUpload")
    );

    let held = bucket.head(&key).await.unwrap().unwrap();
    assert_eq!(
        (held.bytes, held.crc64),
        (whole.len() as u64, Some(crc(&whole)))
    );
    assert_eq!(held.token.as_deref(), Some("0123abcd"));
    let got = server
        .owner()
        .get_object()
        .bucket(BUCKET)
        .key(key.as_str())
        .send()
        .await
        .unwrap();
    assert_eq!(got.content_type(), Some("text/csv"));
    assert_eq!(got.metadata().unwrap()["outbound-uid"], "uid-1");
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), whole);
}

#[tokio::test]
async fn a_key_that_is_taken_stays_and_our_upload_is_ours_to_abort() {
    let server = TestServer::start().await;
    let bucket = server.with_key(server.target(), &key(OWNER));
    let (key, whole) = (object_key("a.csv"), content(11 * MIB));
    let theirs = bucket
        .put_object(&key, &metadata(), buffer(b"theirs"), &sum(b"theirs"))
        .await;
    theirs.unwrap();
    let parts = vec![
        buffer(&whole[..5 * MIB]),
        buffer(&whole[5 * MIB..10 * MIB]),
        buffer(&whole[10 * MIB..]),
    ];
    let (id, sent, refused) = upload(&bucket, &key, parts, &whole).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.status, refused.class),
        (Some(412), ErrorClass::Terminal)
    );
    assert!(
        refused.is("PreconditionFailed") && refused.refusal().is_none(),
        "{refused}"
    );
    let listed = bucket.list_parts(&key, &id).await.unwrap();
    let expected: Vec<_> = sent
        .iter()
        .zip([5 * MIB, 5 * MIB, MIB])
        .map(|(part, bytes)| StoredPart {
            number: number(part.number as u64),
            etag: part.etag.clone(),
            bytes: bytes as u64,
            checksum: part.checksum.clone(),
        })
        .collect();
    assert_eq!(listed, expected);
    bucket.abort_upload(&key, &id).await.unwrap();
    assert!(
        bucket
            .abort_upload(&key, &id)
            .await
            .unwrap_err()
            .is("NoSuchUpload")
    );
    assert_eq!(server.leftovers().await, (0, 1));
}

#[tokio::test]
async fn parts_are_listed_over_many_pages() {
    let server = TestServer::start().await;
    let bucket = server.with_key(server.target(), &key(OWNER));
    let key = object_key("many.csv");
    let id = bucket.create_upload(&key, &metadata()).await.unwrap();
    // A page holds at most 1,000 parts (ListParts' reference).
    for n in (1..=1003).rev() {
        let body = format!("part {n}");
        let crc = sum(body.as_bytes());
        bucket
            .upload_part(&key, &id, number(n), buffer(body.as_bytes()), crc)
            .await
            .unwrap();
    }
    let listed = bucket.list_parts(&key, &id).await.unwrap();
    assert!(
        listed
            .iter()
            .map(|part| part.number)
            .eq((1..=1003).map(number))
    );
    assert!(listed.iter().all(|part| part.checksum.is_some()));
    bucket.abort_upload(&key, &id).await.unwrap();
}

#[tokio::test]
async fn a_list_of_parts_that_has_no_end_is_refused() {
    let part = "<Part><PartNumber>7</PartNumber><ETag>\"e\"</ETag><Size>1</Size></Part>";
    let page = format!(
        "<ListPartsResult><IsTruncated>true</IsTruncated>\
         <NextPartNumberMarker>7</NextPartNumberMarker>{part}</ListPartsResult>"
    );
    let parrot = Parrot::saying("200 OK", "", &page).await;
    let (bucket, key) = (parrot_bucket(&parrot), object_key("a.csv"));
    let listed = bucket.list_parts(&key, &UploadId::new("u")).await;
    assert!(listed.unwrap_err().is(code::UNREADABLE));
    assert_eq!(parrot.heard().len(), 2);
}

#[tokio::test]
async fn a_put_is_there_once() {
    let server = TestServer::start().await;
    let bucket = server.with_key(server.target(), &key(OWNER));
    let key = object_key("small.csv");
    assert_eq!(bucket.head(&key).await.unwrap(), None);
    let put = bucket
        .put_object(&key, &metadata(), buffer(b"a\n"), &sum(b"a\n"))
        .await
        .unwrap();
    assert_eq!(put.crc64, Some(crc(b"a\n")));
    let again = bucket
        .put_object(&key, &metadata(), buffer(b"b\n"), &sum(b"b\n"))
        .await;
    assert_eq!(again.unwrap_err().status, Some(412));
    let held = bucket.head(&key).await.unwrap().unwrap();
    assert_eq!((held.bytes, held.crc64), (2, Some(crc(b"a\n"))));
    assert_eq!(held.token.as_deref(), Some("0123abcd"));

    let empty = object_key("empty.csv");
    let put = bucket
        .put_object(&empty, &metadata(), buffer(b""), &sum(b""))
        .await
        .unwrap();
    assert_eq!(put.crc64, Some(crc(b"")));
    assert_eq!(bucket.head(&empty).await.unwrap().unwrap().bytes, 0);
}

/// Notes what is asked of it, and lets a few bytes go at a time.
#[derive(Debug, Default)]
struct Noted(std::sync::Mutex<Vec<usize>>);

impl Pace for Noted {
    fn turn(&self, wanted: usize) -> (usize, Option<Instant>) {
        let len = wanted.min(10_000);
        self.0.lock().unwrap().push(len);
        (len, Some(Instant::now()))
    }
}

#[tokio::test]
async fn every_byte_of_a_paced_body_has_its_turn() {
    let server = TestServer::start().await;
    let bucket = server.with_key(server.target(), &key(OWNER));
    let whole = content(300_001);
    for (name, body) in [
        ("buffer.csv", buffer(&whole)),
        ("stream.csv", stream(&whole)),
    ] {
        let pace = Arc::new(Noted::default());
        let paced = bucket.paced_by(Arc::clone(&pace) as Arc<dyn Pace>);
        let (_, _, done) = upload(&paced, &object_key(name), vec![body], &whole).await;
        assert_eq!(done.unwrap().crc64, Some(crc(&whole)), "{name}");
        let turns = pace.0.lock().unwrap();
        assert_eq!(turns.iter().sum::<usize>(), whole.len());
        assert!(turns.len() >= 31, "{turns:?}");
    }
}

#[tokio::test]
async fn empty_and_small_uploads_of_one_part() {
    let server = TestServer::start().await;
    let bucket = server.with_key(server.target(), &key(OWNER));
    for (name, whole) in [
        ("empty.csv", b"".as_slice()),
        ("small.csv", b"abc".as_slice()),
    ] {
        let (_, _, done) = upload(&bucket, &object_key(name), vec![buffer(whole)], whole).await;
        assert_eq!(done.unwrap().crc64, Some(crc(whole)), "{name}");
    }
    assert_eq!(server.leftovers().await, (0, 2));
}

#[tokio::test]
async fn bytes_that_changed_on_the_way_are_refused() {
    let server = TestServer::start().await;
    let bucket = server.with_key(server.target(), &key(OWNER));
    let key = object_key("a.csv");
    let id = bucket.create_upload(&key, &metadata()).await.unwrap();
    for body in [buffer(b"abd"), stream(b"abd")] {
        let error = bucket
            .upload_part(&key, &id, number(1), body, sum(b"abc"))
            .await
            .unwrap_err();
        assert!(error.is("BadDigest"), "{error}");
    }
    let sent = bucket
        .upload_part(&key, &id, number(1), buffer(b"abc"), sum(b"abc"))
        .await
        .unwrap();
    let wrong = bucket
        .complete_upload(&key, &id, &[sent], crc(b"abd"), 3)
        .await
        .unwrap_err();
    assert_eq!(wrong.class, ErrorClass::Terminal, "{wrong}");
    bucket.abort_upload(&key, &id).await.unwrap();
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn an_error_in_the_body_of_a_200_is_an_error() {
    for (body, code, class) in [
        (
            "<?xml version=\"1.0\"?>\n\n<Error><Code>InternalError</Code><Message>m</Message></Error>",
            "InternalError",
            ErrorClass::Ambiguous,
        ),
        (
            "<Error><Code>SlowDown</Code><Message>m</Message></Error>",
            "SlowDown",
            ErrorClass::Throttled,
        ),
        ("", code::UNREADABLE, ErrorClass::Ambiguous),
        ("<html>", code::UNREADABLE, ErrorClass::Ambiguous),
    ] {
        let parrot = Parrot::saying("200 OK", "", body).await;
        let parts = [UploadedPart {
            number: 1,
            etag: "\"e\"".to_owned(),
            checksum: Some(sum(b"abc")),
        }];
        let id = UploadId::new("id");
        let done = parrot_bucket(&parrot)
            .complete_upload(&object_key("a.csv"), &id, &parts, crc(b"abc"), 3)
            .await;
        let error = done.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.class),
            (code, class),
            "{body}: {error}"
        );
        let heard = parrot.heard();
        assert_eq!(heard.len(), 1);
        for header in [
            "if-none-match: *",
            "x-amz-checksum-type: full_object",
            "x-amz-mp-object-size: 3",
            "x-amz-expected-bucket-owner: 111111111111",
        ] {
            assert!(heard[0].contains(header), "no {header} in {}", heard[0]);
        }
    }
}

#[tokio::test]
async fn only_small_payloads_are_signed_and_only_where_tls_does_not_protect_them() {
    let parrot = Parrot::saying("200 OK", "ETag: \"e\"\r\n", "").await;
    let plain = parrot_bucket(&parrot);
    let tls = Bucket {
        transport: Transport::Tls,
        ..plain.clone()
    };
    let (key, id) = (object_key("a.csv"), UploadId::new("id"));
    let large = vec![7; (64 << 10) + 1];
    let (small, large) = (b"abc".as_slice(), large.as_slice());
    for (bucket, body, bytes, signed) in [
        (&plain, buffer(small), small, true),
        (&plain, buffer(large), large, false),
        (&plain, stream(small), small, false),
        (&tls, buffer(small), small, false),
        (&tls, stream(small), small, false),
    ] {
        bucket
            .upload_part(&key, &id, number(1), body, sum(bytes))
            .await
            .unwrap();
        let heard = parrot.heard();
        let head = heard.last().unwrap();
        assert_eq!(
            !head.contains("x-amz-content-sha256: unsigned-payload"),
            signed,
            "{head}"
        );
        assert!(
            head.contains(&format!("content-length: {}\r", bytes.len())),
            "{head}"
        );
        assert!(head.contains("x-amz-checksum-crc64nvme: "), "{head}");
        // Neither chunks nor trailers, which some stores refuse.
        assert!(
            !head.contains("chunked") && !head.contains("trailer"),
            "{head}"
        );
        assert!(head.contains("outbound-operator"), "{head}");
    }
}

#[tokio::test]
async fn owner_acl_and_metadata_go_with_a_create() {
    let parrot = Parrot::saying("403 Forbidden", "x-amz-request-id: R1\r\n", "").await;
    let bucket = parrot_bucket(&parrot);
    let error = bucket
        .create_upload(&object_key("a.csv"), &metadata())
        .await
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::AccessDenied));
    assert_eq!(error.request_id.as_deref(), Some("R1"));
    let heard = parrot.heard();
    for header in [
        "post /acme-inbound/audience/a.csv?uploads",
        "x-amz-acl: bucket-owner-full-control",
        "x-amz-meta-outbound-token: 0123abcd",
        "x-amz-meta-outbound-uid: uid-1",
        "x-amz-checksum-algorithm: crc64nvme",
        "x-amz-checksum-type: full_object",
        "x-amz-expected-bucket-owner: 111111111111",
        "content-type: text/csv",
    ] {
        assert!(heard[0].contains(header), "no {header} in {}", heard[0]);
    }
}

#[tokio::test]
async fn a_lost_answer_is_ambiguous() {
    let parrot = Parrot::start(String::new()).await;
    let bucket = parrot_bucket(&parrot);
    let key = object_key("a.csv");
    let lost = bucket
        .put_object(&key, &metadata(), buffer(b"abc"), &sum(b"abc"))
        .await
        .unwrap_err();
    assert_eq!(
        (lost.code.as_str(), lost.class),
        (code::CONNECTION_LOST, ErrorClass::Ambiguous)
    );

    // Accepts connections into its backlog and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let limit = Duration::from_millis(100);
    let patience = Patience {
        answer: limit,
        complete: limit,
        idle: limit,
    };
    let target = target_at(crate::store::testserver::at("http", address));
    let bucket = ClientFactory::new(AwsOptions::default())
        .with_access_key(target, &crate::store::testserver::key(OWNER))
        .with_patience(patience);
    let id = UploadId::new("id");
    for error in [
        bucket
            .put_object(&key, &metadata(), buffer(b"abc"), &sum(b"abc"))
            .await
            .unwrap_err(),
        bucket
            .complete_upload(&key, &id, &[], crc(b""), 0)
            .await
            .unwrap_err(),
        bucket.abort_upload(&key, &id).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.code.as_str(), error.class),
            (code::OVERDUE, ErrorClass::Ambiguous)
        );
    }
}

#[tokio::test]
async fn nothing_of_a_key_is_printed() {
    let parrot = Parrot::saying("200 OK", "", "").await;
    let printed = format!("{:?}", parrot_bucket(&parrot));
    assert!(
        printed.contains(BUCKET) && !printed.contains("secret-of"),
        "{printed}"
    );
}

/// Where a request would go, asked of the SDK without the network.
async fn host(bucket: &Bucket) -> String {
    let soon = aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(9));
    let name = bucket.target.bucket.as_str();
    let call = bucket
        .client
        .head_object()
        .bucket(name)
        .key("k")
        .presigned(soon.unwrap());
    let url = call.await.unwrap().uri().to_owned();
    url.split_once('?').unwrap().0.to_owned()
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn requests_go_where_the_target_says() {
    use crate::store::{Addressing, AwsTarget, Endpoint, OwnIdentity, PlainHttp};
    let endpoint = |text| Endpoint::parse(text, PlainHttp::Refused).unwrap();
    let store = target_at(endpoint("https://store.example:9000"));
    let region = "eu-west-1".parse().unwrap();
    let aws = Target {
        endpoint: None,
        region,
        ..store.clone()
    };
    let hosted = Target {
        addressing: Addressing::VirtualHosted,
        ..aws.clone()
    };
    let plain = ClientFactory::new(AwsOptions::default());
    let special = ClientFactory::new(AwsOptions {
        sts: None,
        s3: None,
        use_fips: true,
        use_dual_stack: true,
    });
    let link = endpoint("https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com");
    let link = ClientFactory::new(AwsOptions {
        s3: Some(link),
        ..AwsOptions::default()
    });
    let (key, own) = (key(OWNER), OwnIdentity::fixed(&key(OWNER)));
    let on_aws = |target: &Target| AwsTarget::try_from(target.clone()).unwrap();
    for (bucket, expected) in [
        (
            plain.with_access_key(aws.clone(), &key),
            "https://s3.eu-west-1.amazonaws.com/acme-inbound/k",
        ),
        (
            plain.with_access_key(hosted.clone(), &key),
            "https://acme-inbound.s3.eu-west-1.amazonaws.com/k",
        ),
        (
            plain.with_access_key(store.clone(), &key),
            "https://store.example:9000/acme-inbound/k",
        ),
        (
            special.with_own_identity(on_aws(&hosted), &own),
            "https://acme-inbound.s3-fips.dualstack.eu-west-1.amazonaws.com/k",
        ),
        // FIPS and IPv6 are AWS's: a store of its own is reached as it is named.
        (
            special.with_access_key(store, &key),
            "https://store.example:9000/acme-inbound/k",
        ),
        (
            link.with_own_identity(on_aws(&aws), &own),
            "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com/acme-inbound/k",
        ),
        // The stand-in for AWS serves our own identity only.
        (
            link.with_access_key(hosted.clone(), &key),
            "https://acme-inbound.s3.eu-west-1.amazonaws.com/k",
        ),
        (
            plain
                .with_access_key(hosted, &key)
                .in_region("cn-north-1".parse().unwrap()),
            "https://acme-inbound.s3.cn-north-1.amazonaws.com.cn/k",
        ),
    ] {
        assert_eq!(host(&bucket).await, expected);
    }
}
