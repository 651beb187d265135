//! Names and sizes of what was sent, and the answers that S3 gives.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::http::{Answer, Request};

/// The sink has no clock: all is of this time.
const MODIFIED: &str = "Tue, 24 Nov 2026 00:00:00 GMT";
const MODIFIED_ISO: &str = "2026-11-24T00:00:00.000Z";

/// What is kept of all that was sent.
#[derive(Default)]
pub struct Store(Mutex<State>);

#[derive(Default)]
struct State {
    /// By bucket and key, with a slash between.
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    /// What upload ids and ETags are made of.
    count: u64,
}

struct Object {
    size: u64,
    etag: String,
    /// Metadata and checksums, as HEAD tells them.
    headers: Vec<(String, String)>,
}

struct Upload {
    path: String,
    headers: Vec<(String, String)>,
    parts: BTreeMap<u32, Part>,
}

struct Part {
    size: u64,
    etag: String,
    checksums: Vec<(String, String)>,
}

impl Store {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request whose body was dropped.
    pub fn answer(&self, request: &Request) -> Answer {
        let mut state = self.state();
        let has_key = request.path.trim_end_matches('/').contains('/');
        let upload = request.query("uploadId");
        match (request.method.as_str(), has_key, upload) {
            ("GET", false, _) if request.query("sink").is_some() => state.summary(request),
            ("DELETE", false, _) if request.query("sink").is_some() => state.forget(request),
            ("GET", false, _) if request.query("location").is_some() => {
                xml("LocationConstraint", "us-east-1".to_owned())
            }
            ("GET", false, _) if request.query("versioning").is_some() => {
                xml("VersioningConfiguration", String::new())
            }
            ("GET", false, _) => state.list(request),
            ("HEAD" | "PUT", false, _) => {
                Answer::new("200 OK").with("x-amz-bucket-region", "us-east-1")
            }
            ("PUT", true, Some(upload)) => state.part(request, upload),
            ("PUT", true, None) => state.put(request),
            ("POST", true, Some(upload)) => state.complete(request, upload),
            ("POST", true, None) if request.query("uploads").is_some() => state.create(request),
            ("GET", true, Some(upload)) => state.parts(upload),
            ("DELETE", true, Some(upload)) => state.abort(upload),
            ("DELETE", true, None) => {
                state.objects.remove(&request.path);
                Answer::new("204 No Content")
            }
            ("HEAD", true, None) => state.head(request),
            _ => error("501 Not Implemented", "NotImplemented"),
        }
    }
}

impl State {
    fn summary(&self, request: &Request) -> Answer {
        let prefix = request.query("prefix").unwrap_or_default();
        let objects = self
            .objects
            .iter()
            .filter(|(path, _)| path.starts_with(prefix));
        let open = self
            .uploads
            .values()
            .filter(|upload| upload.path.starts_with(prefix))
            .count();
        let (count, bytes) = objects.fold((0_u64, 0), |(count, bytes), (_, object)| {
            (count + 1, bytes + object.size)
        });
        let body = format!("{count} {bytes} {open}\n");
        Answer {
            body,
            ..Answer::new("200 OK")
        }
    }

    fn forget(&mut self, request: &Request) -> Answer {
        let prefix = request.query("prefix").unwrap_or_default();
        self.objects.retain(|path, _| !path.starts_with(prefix));
        self.uploads
            .retain(|_, upload| !upload.path.starts_with(prefix));
        Answer::new("204 No Content")
    }

    fn list(&self, request: &Request) -> Answer {
        let bucket = request.path.trim_end_matches('/');
        let (prefix, delimiter) = (
            request.query("prefix").unwrap_or_default(),
            request.query("delimiter").unwrap_or_default(),
        );
        let begin = format!("{bucket}/");
        let below = self
            .objects
            .iter()
            .filter_map(|(path, object)| Some((path.strip_prefix(&begin)?, object)));
        let mut text = format!(
            "<Name>{bucket}</Name><Prefix>{}</Prefix><IsTruncated>false</IsTruncated>",
            escaped(prefix)
        );
        for (key, object) in below.filter(|(key, _)| key.starts_with(prefix)) {
            if delimiter.is_empty() || !key[prefix.len()..].contains(delimiter) {
                text += &format!(
                    "<Contents><Key>{}</Key><LastModified>{MODIFIED_ISO}</LastModified><ETag>{}</ETag><Size>{}</Size>\
                     <StorageClass>STANDARD</StorageClass></Contents>",
                    escaped(key),
                    escaped(&object.etag),
                    object.size
                );
            }
        }
        xml("ListBucketResult", text)
    }

    fn tag(&mut self) -> String {
        self.count += 1;
        format!("{:032x}", self.count)
    }

    fn etag(&mut self, request: &Request) -> String {
        let md5 = request.header("content-md5").and_then(hex);
        format!("\"{}\"", md5.unwrap_or_else(|| self.tag()))
    }

    fn is_refused(&self, request: &Request) -> bool {
        request.header("if-none-match").is_some() && self.objects.contains_key(&request.path)
    }

    fn put(&mut self, request: &Request) -> Answer {
        if self.is_refused(request) {
            return error("412 Precondition Failed", "PreconditionFailed");
        }
        let etag = self.etag(request);
        let sums = checksums(request);
        let mut headers = kept(request);
        headers.extend(sums.clone());
        let object = Object {
            size: request.length,
            etag: etag.clone(),
            headers,
        };
        self.objects.insert(request.path.clone(), object);
        Answer {
            headers: sums,
            ..Answer::new("200 OK")
        }
        .with("ETag", etag)
    }

    fn create(&mut self, request: &Request) -> Answer {
        let id = self.tag();
        let upload = Upload {
            path: request.path.clone(),
            headers: kept(request),
            parts: BTreeMap::new(),
        };
        self.uploads.insert(id.clone(), upload);
        let (bucket, key) = request.path.split_once('/').unwrap_or_default();
        let text = format!(
            "<Bucket>{bucket}</Bucket><Key>{}</Key><UploadId>{id}</UploadId>",
            escaped(key)
        );
        let mut answer = xml("InitiateMultipartUploadResult", text);
        for name in ["x-amz-checksum-algorithm", "x-amz-checksum-type"] {
            if let Some(value) = request.header(name) {
                answer = answer.with(name, value);
            }
        }
        answer
    }

    fn part(&mut self, request: &Request, upload: &str) -> Answer {
        let etag = self.etag(request);
        let number = request
            .query("partNumber")
            .and_then(|number| number.parse().ok());
        let (Some(upload), Some(number)) = (self.uploads.get_mut(upload), number) else {
            return no_upload();
        };
        let checksums = checksums(request);
        let part = Part {
            size: request.length,
            etag: etag.clone(),
            checksums: checksums.clone(),
        };
        upload.parts.insert(number, part);
        Answer {
            headers: checksums,
            ..Answer::new("200 OK")
        }
        .with("ETag", etag)
    }

    fn complete(&mut self, request: &Request, id: &str) -> Answer {
        if !self.uploads.contains_key(id) {
            return no_upload();
        }
        if self.is_refused(request) {
            return error("412 Precondition Failed", "PreconditionFailed");
        }
        let Some(upload) = self.uploads.remove(id) else {
            return no_upload();
        };
        let size = upload.parts.values().map(|part| part.size).sum();
        let etag = format!("\"{}-{}\"", self.tag(), upload.parts.len());
        let (bucket, key) = request.path.split_once('/').unwrap_or_default();
        let mut text = format!(
            "<Location>/{0}</Location><Bucket>{bucket}</Bucket><Key>{1}</Key><ETag>{2}</ETag>",
            escaped(&request.path),
            escaped(key),
            escaped(&etag)
        );
        let sums = checksums(request);
        for (name, value) in &sums {
            text += &checksum_element(name, value);
        }
        let mut headers = upload.headers;
        headers.extend(sums);
        self.objects.insert(
            upload.path,
            Object {
                size,
                etag,
                headers,
            },
        );
        xml("CompleteMultipartUploadResult", text)
    }

    fn parts(&self, upload: &str) -> Answer {
        let Some(upload) = self.uploads.get(upload) else {
            return no_upload();
        };
        let mut text = "<IsTruncated>false</IsTruncated>".to_owned();
        for (number, part) in &upload.parts {
            let sums: String = part
                .checksums
                .iter()
                .map(|(name, value)| checksum_element(name, value))
                .collect();
            text += &format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag><Size>{}</Size>{sums}</Part>",
                escaped(&part.etag),
                part.size
            );
        }
        xml("ListPartsResult", text)
    }

    fn abort(&mut self, upload: &str) -> Answer {
        match self.uploads.remove(upload) {
            Some(_) => Answer::new("204 No Content"),
            None => no_upload(),
        }
    }

    fn head(&self, request: &Request) -> Answer {
        let Some(object) = self.objects.get(&request.path) else {
            return Answer::new("404 Not Found");
        };
        Answer {
            headers: object.headers.clone(),
            length: Some(object.size),
            ..Answer::new("200 OK")
        }
        .with("ETag", object.etag.clone())
        .with("Last-Modified", MODIFIED)
    }
}

/// What HEAD tells of an object beside its size.
fn kept(request: &Request) -> Vec<(String, String)> {
    let kept = |name: &str| name == "content-type" || name.starts_with("x-amz-meta-");
    let headers = request.headers.iter();
    headers.filter(|(name, _)| kept(name)).cloned().collect()
}

/// The checksums that came with a request, by the names of their headers.
fn checksums(request: &Request) -> Vec<(String, String)> {
    let value = |name: &str| {
        name.strip_prefix("x-amz-checksum-")
            .is_some_and(|rest| !matches!(rest, "algorithm" | "mode"))
    };
    let headers = request.headers.iter();
    headers.filter(|(name, _)| value(name)).cloned().collect()
}

/// `x-amz-checksum-crc64nvme` is `ChecksumCRC64NVME` in XML, and `x-amz-checksum-type` `ChecksumType`.
fn checksum_element(header: &str, value: &str) -> String {
    let name = match header.trim_start_matches("x-amz-checksum-") {
        "type" => "Type".to_owned(),
        algorithm => algorithm.to_ascii_uppercase(),
    };
    format!("<Checksum{name}>{value}</Checksum{name}>")
}

fn xml(name: &str, content: String) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{content}</{name}>"
    );
    Answer {
        body,
        ..Answer::new("200 OK")
    }
    .with("Content-Type", "application/xml")
}

fn error(status: &'static str, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>the sink says so</Message></Error>"
    );
    Answer {
        body,
        ..Answer::new(status)
    }
    .with("Content-Type", "application/xml")
}

fn no_upload() -> Answer {
    error("404 Not Found", "NoSuchUpload")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Base64 to hexadecimal digits.
fn hex(base64: &str) -> Option<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut text) = (0_u32, 0, String::new());
    for digit in base64.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        (bits, held) = (bits << 6 | u32::try_from(value).ok()?, held + 6);
        if held >= 8 {
            held -= 8;
            text += &format!("{:02x}", bits >> held & 0xff);
        }
    }
    Some(text)
}
