//! TLS 1.3, of which only the handshake is rustls': bodies are counted by the lengths of their records and never
//! decrypted, which would cost a sink more than all else that it does.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ConnectionTrafficSecrets, ServerConfig};

/// Bytes that are read at once: many records, and little beside the caches.
const CHUNK: usize = 256 << 10;

/// Bytes before a record's content: type, version, length.
const HEADER: usize = 5;

/// Bytes that encryption adds to what is in a record: the type of the content and the tag.
const ADDED: usize = 17;

/// Bytes in the largest record's content.
const RECORD: usize = 16 << 10;

/// Shorter records are always decrypted: they may be messages of TLS itself.
const SHORT: usize = 64;

const APPLICATION_DATA: u8 = 23;
const ALERT: u8 = 21;

/// A connection behind its handshake.
pub struct Tls {
    rx: Keys,
    tx: Keys,
    incoming: Vec<u8>,
    from: usize,
    to: usize,
}

/// The keys of one direction, and how many records they were used for.
struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    records: u64,
}

impl Keys {
    fn new((records, secrets): (u64, ConnectionTrafficSecrets)) -> io::Result<Self> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&aead::CHACHA20_POLY1305, key, iv)
            }
            _ => return Err(io::Error::other("an unknown cipher")),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(io::Error::other)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().map_err(io::Error::other)?,
            records,
        })
    }

    /// The next record's.
    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, count) in nonce[4..].iter_mut().zip(self.records.to_be_bytes()) {
            *byte ^= count;
        }
        self.records += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Tls {
    /// Shakes hands. What the client sent behind it already is added to `ready`.
    pub fn accept(
        socket: &mut TcpStream,
        config: Arc<ServerConfig>,
        ready: &mut Vec<u8>,
    ) -> io::Result<Option<Self>> {
        let mut state = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let (mut incoming, mut from, mut to) = (vec![0; CHUNK], 0, 0);
        let mut outgoing = Vec::new();
        loop {
            let status = state.process_tls_records(&mut incoming[from..to]);
            let UnbufferedStatus {
                mut discard,
                state: now,
            } = status;
            let mut is_done = false;
            let mut is_starving = false;
            match now.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        ready.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let before = outgoing.len();
                    outgoing.resize(before + RECORD + 256, 0);
                    let written = data
                        .encode(&mut outgoing[before..])
                        .map_err(io::Error::other)?;
                    outgoing.truncate(before + written);
                }
                ConnectionState::TransmitTlsData(data) => {
                    socket.write_all(&outgoing)?;
                    outgoing.clear();
                    data.done();
                }
                ConnectionState::BlockedHandshake => is_starving = true,
                ConnectionState::WriteTraffic(_) => is_done = true,
                ConnectionState::PeerClosed | ConnectionState::Closed => return Ok(None),
                _ => return Err(io::Error::other("an unexpected state of TLS")),
            }
            from += discard;
            if is_done {
                break;
            }
            if is_starving {
                incoming.copy_within(from..to, 0);
                (from, to) = (0, to - from);
                match socket.read(&mut incoming[to..])? {
                    0 => return Ok(None),
                    read => to += read,
                }
            }
        }
        let (secrets, _) = state
            .dangerous_into_kernel_connection()
            .map_err(io::Error::other)?;
        let (rx, tx) = (Keys::new(secrets.rx)?, Keys::new(secrets.tx)?);
        Ok(Some(Self {
            rx,
            tx,
            incoming,
            from,
            to,
        }))
    }

    /// Adds the next record's content to `ready`; false at the end.
    pub fn receive(&mut self, socket: &mut TcpStream, ready: &mut Vec<u8>) -> io::Result<bool> {
        let Some(len) = self.record(socket)? else {
            return Ok(false);
        };
        let record = &mut self.incoming[self.from..self.from + HEADER + len];
        let (header, content) = record.split_at_mut(HEADER);
        let nonce = self.rx.nonce();
        let opened = self
            .rx
            .key
            .open_in_place(nonce, Aad::from(&*header), content);
        let content = opened.map_err(|_| io::Error::other("a record that can't be decrypted"))?;
        let end = content.iter().rposition(|byte| *byte != 0);
        let kind = end.map_or(0, |end| content[end]);
        let is_open = match kind {
            APPLICATION_DATA => {
                ready.extend_from_slice(&content[..end.unwrap_or(0)]);
                true
            }
            ALERT => false,
            _ => {
                return Err(io::Error::other(
                    "a message of TLS that the sink doesn't know",
                ));
            }
        };
        self.from += HEADER + len;
        Ok(is_open)
    }

    /// Drops the next record, of whose content at most `most` bytes may be dropped: what is beyond is added to `ready`.
    /// How many were dropped; `None` at the end.
    pub fn skip(
        &mut self,
        socket: &mut TcpStream,
        most: u64,
        ready: &mut Vec<u8>,
    ) -> io::Result<Option<u64>> {
        let Some(len) = self.record_header(socket)? else {
            return Ok(None);
        };
        // Nobody pads, so this is what is in it.
        let content = len.saturating_sub(ADDED);
        if len < SHORT || content as u64 > most {
            return Ok(self.receive(socket, ready)?.then_some(0));
        }
        let mut left = HEADER + len;
        loop {
            let here = left.min(self.to - self.from);
            self.from += here;
            left -= here;
            if left == 0 {
                break;
            }
            if !self.read(socket)? {
                return Ok(None);
            }
        }
        self.rx.records += 1;
        Ok(Some(content as u64))
    }

    /// Sends all of it.
    pub fn send(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        let mut outgoing = Vec::with_capacity(bytes.len() + bytes.len() / 512 + 64);
        for content in bytes.chunks(RECORD) {
            let len = u16::try_from(content.len() + ADDED).map_err(io::Error::other)?;
            let [high, low] = len.to_be_bytes();
            let header = [APPLICATION_DATA, 3, 3, high, low];
            let mut sealed = content.to_vec();
            sealed.push(APPLICATION_DATA);
            let nonce = self.tx.nonce();
            let sealing =
                self.tx
                    .key
                    .seal_in_place_append_tag(nonce, Aad::from(&header), &mut sealed);
            sealing.map_err(|_| io::Error::other("an answer can't be encrypted"))?;
            outgoing.extend_from_slice(&header);
            outgoing.extend_from_slice(&sealed);
        }
        socket.write_all(&outgoing)
    }

    /// Waits until the next record is all there; how long it is behind its header.
    fn record(&mut self, socket: &mut TcpStream) -> io::Result<Option<usize>> {
        let Some(len) = self.record_header(socket)? else {
            return Ok(None);
        };
        while self.to - self.from < HEADER + len {
            if !self.read(socket)? {
                return Ok(None);
            }
        }
        Ok(Some(len))
    }

    fn record_header(&mut self, socket: &mut TcpStream) -> io::Result<Option<usize>> {
        while self.to - self.from < HEADER {
            if !self.read(socket)? {
                return Ok(None);
            }
        }
        let [kind, _, _, high, low] = self.incoming[self.from..self.from + HEADER] else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if kind != APPLICATION_DATA || len > RECORD + 256 {
            return Err(io::Error::other("a record that isn't one of TLS 1.3"));
        }
        Ok(Some(len))
    }

    fn read(&mut self, socket: &mut TcpStream) -> io::Result<bool> {
        self.incoming.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        let read = socket.read(&mut self.incoming[self.to..])?;
        self.to += read;
        Ok(read > 0)
    }
}
