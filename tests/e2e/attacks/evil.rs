//! A store that means harm. The bucket's name says how; the key with which it is asked proves nothing to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes that an answer "without end" has at most, so that a test that fails ends too.
const ENDLESS: usize = 1 << 30;

/// The store, and a server that must never be called.
pub(super) struct Evil {
    url: String,
    canary: String,
    state: Arc<State>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct State {
    /// The first lines and headers of the requests to the store.
    heads: Mutex<Vec<String>>,
    /// Connections to the canary.
    caught: AtomicUsize,
    /// Bytes that were taken from an answer without end.
    taken: AtomicUsize,
}

impl Evil {
    pub(super) async fn start() -> Evil {
        let state = Arc::new(State::default());
        let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", store.local_addr().unwrap());
        let canary_url = format!("http://{}", canary.local_addr().unwrap());
        let (seen, lure) = (state.clone(), canary_url.clone());
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = store.accept().await {
                tokio::spawn(serve(client, seen.clone(), lure.clone()));
            }
        });
        let seen = state.clone();
        let watching = tokio::spawn(async move {
            while canary.accept().await.is_ok() {
                seen.caught.fetch_add(1, Ordering::Relaxed);
            }
        });
        Evil {
            url,
            canary: canary_url,
            state,
            tasks: [serving, watching],
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Where its redirects lead.
    pub(super) fn canary(&self) -> &str {
        &self.canary
    }

    /// How often somebody followed them.
    pub(super) fn caught(&self) -> usize {
        self.state.caught.load(Ordering::Relaxed)
    }

    /// Bytes that were taken from its answers without end, over all of them.
    pub(super) fn taken(&self) -> usize {
        self.state.taken.load(Ordering::Relaxed)
    }

    /// The heads of all requests to that bucket.
    pub(super) fn heads(&self, bucket: &str) -> Vec<String> {
        let heads = self.state.heads.lock().unwrap();
        let path = format!(" /{bucket}/");
        heads
            .iter()
            .filter(|it| it.contains(&path))
            .cloned()
            .collect()
    }
}

impl Drop for Evil {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// One request a connection, then it is closed.
async fn serve(mut client: TcpStream, state: Arc<State>, canary: String) {
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        match client.read(&mut chunk).await {
            Ok(read @ 1..) => head.extend_from_slice(&chunk[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let bucket = target.split('/').nth(1).unwrap_or_default().to_owned();
    state.heads.lock().unwrap().push(head);
    if bucket == "answer-without-end" {
        return without_end(client, &state).await;
    }
    let answer = answer(&bucket, &target, &canary);
    let _ = client.write_all(answer.as_bytes()).await;
    let _ = client.shutdown().await;
}

async fn without_end(mut client: TcpStream, state: &State) {
    let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n\
                <Error><Code>AccessDenied</Code><Message>";
    let chunk = [b'x'; 64 << 10];
    let mut sent = 0;
    let mut going = client.write_all(head.as_bytes()).await.is_ok();
    while going && sent < ENDLESS {
        going = client.write_all(&chunk).await.is_ok();
        sent += chunk.len();
        state.taken.fetch_add(chunk.len(), Ordering::Relaxed);
    }
}

fn answer(bucket: &str, target: &str, canary: &str) -> String {
    match bucket {
        "redirect-for-now" => redirect("307 Temporary Redirect", "", canary, target),
        "redirect-for-good" => {
            let region = "x-amz-bucket-region: eu-west-1\r\n";
            redirect("301 Moved Permanently", region, canary, target)
        }
        "redirect-to-metadata" => redirect("302 Found", "", canary, "/latest/meta-data/iam/"),
        "words-that-forge" => error(
            "AccessDenied",
            "no&#10;{\"level\":\"INFO\",\"message\":\"forged line\"}\u{1b}[2J\u{202e}end",
        ),
        "message-of-megabytes" => error("AccessDenied", &"m".repeat(4 << 20)),
        "code-that-forges" => error("A&#10;forged line\u{1b}[2J", "no"),
        "entities-that-grow" => xml(
            "403 Forbidden",
            "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">\
             <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\">]>\
             <Error><Code>AccessDenied</Code><Message>&d;</Message></Error>",
        ),
        // Whatever comes in place of an upload's id goes back to this store alone, as one parameter.
        "id-that-injects" if target.ends_with("?uploads") => xml(
            "200 OK",
            "<InitiateMultipartUploadResult><UploadId>x HTTP/1.1&#13;&#10;X-Injected: 1&#13;&#10;&amp;acl=&amp;y=/../../other\
             </UploadId></InitiateMultipartUploadResult>",
        ),
        "not-an-s3" => {
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello".to_owned()
        }
        "not-http" => "220 mail.example ESMTP\r\n".to_owned(),
        _ => error("AccessDenied", "no"),
    }
}

fn redirect(status: &str, more: &str, canary: &str, target: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nLocation: {canary}{target}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

fn error(code: &str, message: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    xml("403 Forbidden", &body)
}

fn xml(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
