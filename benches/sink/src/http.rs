//! As much of HTTP/1.1 as clients of S3 speak.

use std::io;

use crate::connection::Connection;
use crate::s3::Store;

/// Bytes in the largest head that is read.
const LONGEST_HEAD: usize = 64 << 10;

/// Bytes at the end of an `aws-chunked` body in which its trailers are.
const TRAILERS: u64 = 512;

/// A request without its body.
pub struct Request {
    pub method: String,
    /// Decoded, without the slash that it begins with.
    pub path: String,
    /// Decoded, in their order; the value is empty where there is none.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes in the body as the object has them.
    pub length: u64,
}

impl Request {
    pub fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// What is answered.
pub struct Answer {
    pub status: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Of an object that HEAD asks for: it isn't the body's.
    pub length: Option<u64>,
}

impl Answer {
    pub fn new(status: &'static str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
            length: None,
        }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Answers the requests of a connection until its end.
pub fn serve(connection: &mut Connection, store: &Store) -> io::Result<()> {
    while let Some(mut request) = head(connection)? {
        if request
            .header("expect")
            .is_some_and(|what| what.eq_ignore_ascii_case("100-continue"))
        {
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        body(connection, &mut request)?;
        let answer = store.answer(&request);
        let length = answer.length.unwrap_or(answer.body.len() as u64);
        let mut text = format!("HTTP/1.1 {}\r\n", answer.status);
        for (name, value) in &answer.headers {
            text += &format!("{name}: {value}\r\n");
        }
        // A 204 has no length.
        if !answer.status.starts_with("204") {
            text += &format!("Content-Length: {length}\r\n");
        }
        text += "x-amz-request-id: sink\r\n\r\n";
        if request.method != "HEAD" {
            text += &answer.body;
        }
        connection.send(text.as_bytes())?;
        if request
            .header("connection")
            .is_some_and(|what| what.eq_ignore_ascii_case("close"))
        {
            break;
        }
    }
    Ok(())
}

/// The next request's head; `None` where the client has gone.
fn head(connection: &mut Connection) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = connection
            .ready()
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
        {
            break at + 4;
        }
        if connection.ready().len() > LONGEST_HEAD {
            return Err(io::Error::other("a head without end"));
        }
        if !connection.more()? {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&connection.ready()[..end]).into_owned();
    connection.take(end);
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty());
    let headers = lines.filter_map(|line| line.split_once(':'));
    Ok(Some(Request {
        method: method.to_owned(),
        path: decoded(path.trim_start_matches('/')),
        query: query
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        length: 0,
    }))
}

/// Drops the body. What it says in trailers is added to the headers.
fn body(connection: &mut Connection, request: &mut Request) -> io::Result<()> {
    let number = |request: &Request, name| {
        request
            .header(name)
            .and_then(|text| text.parse::<u64>().ok())
    };
    if request
        .header("transfer-encoding")
        .is_some_and(|how| how.eq_ignore_ascii_case("chunked"))
    {
        request.length = chunks(connection)?;
        if let Some(plain) = number(request, "x-amz-decoded-content-length") {
            request.length = plain;
        }
        return Ok(());
    }
    let sent = number(request, "content-length").unwrap_or(0);
    request.length = number(request, "x-amz-decoded-content-length").unwrap_or(sent);
    if request.header("x-amz-trailer").is_none() {
        return connection.skip(sent);
    }
    let kept = sent.min(TRAILERS);
    connection.skip(sent - kept)?;
    let kept = kept as usize;
    while connection.ready().len() < kept {
        if !connection.more()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let tail = String::from_utf8_lossy(&connection.ready()[..kept]).into_owned();
    connection.take(kept);
    // The last chunk, of size 0, stands before them.
    let trailers = tail.rfind("0\r\nx-amz-").or_else(|| tail.rfind("\nx-amz-"));
    for line in trailers.map(|at| &tail[at..]).unwrap_or_default().lines() {
        if let Some((name, value)) = line.split_once(':') {
            let pair = (name.to_ascii_lowercase(), value.trim().to_owned());
            request.headers.push(pair);
        }
    }
    Ok(())
}

/// Drops a body in chunks; how long it was.
fn chunks(connection: &mut Connection) -> io::Result<u64> {
    let mut all = 0;
    loop {
        let size = line(connection)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
        if size == 0 {
            while !line(connection)?.is_empty() {}
            return Ok(all);
        }
        all += size;
        connection.skip(size)?;
        line(connection)?;
    }
}

fn line(connection: &mut Connection) -> io::Result<String> {
    let end = loop {
        if let Some(at) = connection.ready().iter().position(|byte| *byte == b'\n') {
            break at + 1;
        }
        if !connection.more()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8_lossy(&connection.ready()[..end])
        .trim_end()
        .to_owned();
    connection.take(end);
    Ok(text)
}

/// Without `%XX`; what isn't right stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = match after {
            [high, low, ..] if *first == b'%' => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
