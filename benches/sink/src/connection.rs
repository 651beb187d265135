//! Bytes from and to a client, in the clear or over TLS, as few copies and system calls as possible.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustix::net::RecvFlags;
use rustls::ServerConfig;

use crate::tls::Tls;

/// Bytes that the kernel is told to drop at once. Nothing is ever written to this memory.
const DROP: usize = 4 << 20;

/// A client's connection.
pub struct Connection {
    socket: TcpStream,
    tls: Option<Tls>,
    /// What came and wasn't taken yet, in the clear, from `taken` on.
    ready: Vec<u8>,
    taken: usize,
    scratch: Vec<u8>,
}

impl Connection {
    /// `None` where the client leaves before the end of the handshake.
    pub fn new(mut socket: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Option<Self>> {
        socket.set_nodelay(true)?;
        let mut ready = Vec::new();
        let tls = match tls {
            Some(config) => match Tls::accept(&mut socket, config, &mut ready)? {
                Some(tls) => Some(tls),
                None => return Ok(None),
            },
            None => None,
        };
        Ok(Some(Self {
            socket,
            tls,
            ready,
            taken: 0,
            scratch: Vec::new(),
        }))
    }

    /// What came and wasn't taken.
    pub fn ready(&self) -> &[u8] {
        &self.ready[self.taken..]
    }

    /// Takes `len` of the bytes that are ready.
    pub fn take(&mut self, len: usize) {
        self.taken += len;
        if self.taken == self.ready.len() {
            self.ready.clear();
            self.taken = 0;
        }
    }

    /// Waits for more; false at the end.
    pub fn more(&mut self) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            return tls.receive(&mut self.socket, &mut self.ready);
        }
        // A head and not much of its body, which the kernel drops more cheaply.
        self.scratch.resize(16 << 10, 0);
        let read = self.socket.read(&mut self.scratch)?;
        self.ready.extend_from_slice(&self.scratch[..read]);
        Ok(read > 0)
    }

    /// Drops the next `len` bytes.
    pub fn skip(&mut self, len: u64) -> io::Result<()> {
        let mut left = len;
        loop {
            let at_hand = usize::try_from(left)
                .map_or(self.ready().len(), |left| left.min(self.ready().len()));
            self.take(at_hand);
            left -= at_hand as u64;
            if left == 0 {
                return Ok(());
            }
            let dropped = match &mut self.tls {
                Some(tls) => tls.skip(&mut self.socket, left, &mut self.ready)?,
                None => {
                    self.scratch.resize(DROP, 0);
                    let most = usize::try_from(left).map_or(DROP, |left| left.min(DROP));
                    let room = &mut self.scratch[..most];
                    let dropped = rustix::net::recv(&self.socket, room, RecvFlags::TRUNC)?.1;
                    (dropped > 0).then_some(dropped as u64)
                }
            };
            left -= dropped.ok_or(io::ErrorKind::UnexpectedEof)?;
        }
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.send(&mut self.socket, bytes),
            None => self.socket.write_all(bytes),
        }
    }
}
