//! Stores of other dialects: a filter before the real S3 server that refuses, forgets or ignores what such a
//! store does. It takes HTTP/1.1 over TCP, one request a connection, and keeps the heads of all requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_sdk_s3::Client;
use base64::Engine as _;
use md5::{Digest as _, Md5};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a store does with checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// As the server behind it.
    All,
    /// CRC64NVME is an unknown algorithm.
    NoCrc64,
    /// Parts may have a CRC64NVME, a whole object may not.
    NoWholeObject,
    /// Any `x-amz-checksum` header, `x-amz-sdk-checksum-algorithm` or trailer is not implemented.
    NoHeaders,
    /// The headers are taken, and no answer says that they were looked at.
    Ignored,
    /// As `Ignored`, and a wrong `Content-MD5` is taken too.
    NoneAtAll,
}

/// What a store does with `If-None-Match: *`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// As the server behind it.
    Honoured,
    /// What is there is overwritten.
    Ignored,
}

/// A store of another dialect; its port is closed when it is dropped.
pub struct Dialects {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Dialects {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Store {
    /// The server's host and port.
    server: String,
    /// For what the server itself wouldn't do: deleting what a store would overwrite.
    owner: Client,
    checksums: Checksums,
    conditions: Conditions,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Dialects {
    /// A store before the server at `server` (`host:port`), whose owner's client is `owner`.
    pub async fn before(
        server: &str,
        owner: Client,
        checksums: Checksums,
        conditions: Conditions,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let store = Store {
            server: server.to_owned(),
            owner,
            checksums,
            conditions,
            heard: heard.clone(),
        };
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let store = store.clone();
                connections.spawn(async move {
                    // A client that hangs up ends its own connection only.
                    let _ = store.serve(client).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            heard,
            task,
        }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests, in lower case.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// A message: its first line and headers, and its body.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    fn error(status: &str, code: &str, message: &str) -> Self {
        let text = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        Self {
            head: format!("HTTP/1.1 {status}\r\nContent-Type: application/xml\r\n"),
            body: text.into_bytes(),
        }
    }

    /// Reads one; `has_body` is false for the answer to a HEAD.
    async fn read(stream: &mut TcpStream, body: Body) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 65536];
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            match stream.read(&mut buffer).await? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => bytes.extend_from_slice(&buffer[..read]),
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end + 2]).into_owned();
        let mut message = Self {
            head,
            body: bytes[end + 4..].to_vec(),
        };
        if message.header("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let length = message.header("content-length").unwrap_or("0");
        let length: usize = match body {
            Body::Follows => length.parse().unwrap(),
            Body::None => 0,
        };
        while message.body.len() < length {
            match stream.read(&mut buffer).await? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => message.body.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(message)
    }
}

#[derive(Clone, Copy)]
enum Body {
    Follows,
    None,
}

impl Store {
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let request = Message::read(&mut client, Body::Follows).await?;
        let lower = request.head.to_ascii_lowercase();
        self.heard.lock().unwrap().push(lower.clone());
        let answer = match self.refused(&lower) {
            Some(refusal) => refusal,
            None => self.answered(&request, &lower).await?,
        };
        let mut head = String::new();
        for line in answer.head.lines() {
            let name = line.split(':').next().unwrap_or_default();
            // A HEAD keeps the length of what it leaves out.
            let length = name.eq_ignore_ascii_case("content-length");
            if (!length || answer.body.is_empty()) && !name.eq_ignore_ascii_case("connection") {
                head.push_str(line);
                head.push_str("\r\n");
            }
        }
        if !answer.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
        }
        head.push_str("Connection: close\r\n\r\n");
        client.write_all(head.as_bytes()).await?;
        client.write_all(&answer.body).await?;
        client.shutdown().await
    }

    /// What such a store refuses by a request's headers alone.
    fn refused(&self, head: &str) -> Option<Message> {
        let names = |text: &str| head.lines().skip(1).any(|line| line.contains(text));
        match self.checksums {
            Checksums::NoCrc64 if names("crc64nvme") => Some(Message::error(
                "400 Bad Request",
                "InvalidRequest",
                "Checksum algorithm provided is unsupported.",
            )),
            Checksums::NoWholeObject
                if names("x-amz-checksum-crc64nvme") && !head.contains("partnumber=") =>
            {
                Some(Message::error(
                    "400 Bad Request",
                    "InvalidRequest",
                    "x-amz-checksum-type is not supported",
                ))
            }
            Checksums::NoHeaders
                if names("x-amz-checksum-")
                    || names("x-amz-sdk-checksum-algorithm")
                    || names("x-amz-trailer") =>
            {
                Some(Message::error(
                    "501 Not Implemented",
                    "NotImplemented",
                    "A header you provided implies functionality that is not implemented.",
                ))
            }
            _ => None,
        }
    }

    async fn answered(&self, request: &Message, head: &str) -> std::io::Result<Message> {
        let mut answer = self.ask(request).await?;
        let overwrites =
            self.conditions == Conditions::Ignored && head.contains("if-none-match: *");
        if overwrites && answer.status() == "412" {
            if has_wrong_md5(request) {
                answer =
                    Message::error("400 Bad Request", "BadDigest", "The Content-MD5 is wrong.");
            } else {
                self.delete(&request.head).await;
                answer = self.ask(request).await?;
            }
        }
        let bad = String::from_utf8_lossy(&answer.body).contains("<Code>BadDigest</Code>")
            || String::from_utf8_lossy(&answer.body).contains("<Code>InvalidDigest</Code>");
        if self.checksums == Checksums::NoneAtAll && bad {
            answer = Message {
                head: "HTTP/1.1 200 OK\r\nETag: \"0123\"\r\nContent-Length: 0\r\n".to_owned(),
                body: Vec::new(),
            };
        }
        if matches!(self.checksums, Checksums::Ignored | Checksums::NoneAtAll) {
            forget_checksums(&mut answer);
        }
        Ok(answer)
    }

    async fn ask(&self, request: &Message) -> std::io::Result<Message> {
        let mut server = TcpStream::connect(&self.server).await?;
        server.write_all(request.head.as_bytes()).await?;
        server.write_all(b"\r\n").await?;
        // A refused body isn't read to its end, and the answer comes all the same.
        let _ = server.write_all(&request.body).await;
        let body = if request.head.starts_with("HEAD ") {
            Body::None
        } else {
            Body::Follows
        };
        loop {
            let answer = Message::read(&mut server, body).await?;
            if answer.status() != "100" {
                return Ok(answer);
            }
        }
    }

    /// Deletes the object that a request names: overwriting, where the server itself would not.
    async fn delete(&self, head: &str) {
        let path = head.split(' ').nth(1).unwrap().split('?').next().unwrap();
        let (bucket, key) = path[1..].split_once('/').unwrap();
        let deleted = self.owner.delete_object().bucket(bucket).key(key);
        deleted.send().await.unwrap();
    }
}

fn has_wrong_md5(request: &Message) -> bool {
    let right = base64::engine::general_purpose::STANDARD.encode(Md5::digest(&request.body));
    request
        .header("content-md5")
        .is_some_and(|md5| md5 != right)
}

/// Takes every checksum out of an answer's headers and body.
fn forget_checksums(answer: &mut Message) {
    let kept = answer.head.lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("x-amz-checksum-")
    });
    answer.head = kept.map(|line| format!("{line}\r\n")).collect();
    let mut text = String::from_utf8_lossy(&answer.body).into_owned();
    while let Some(start) = text.find("<Checksum") {
        let name: String = text[start + 1..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric())
            .collect();
        let close = format!("</{name}>");
        let end = text[start..].find(&close).unwrap() + start + close.len();
        text.replace_range(start..end, "");
    }
    if answer.body.starts_with(b"<?xml") {
        answer.body = text.into_bytes();
    }
}
