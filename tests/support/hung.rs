//! A folder on a file system whose reads hang until they may not, as those of an NFS server that is gone: the
//! kernel's FUSE, spoken to without a library, as root alone may.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use super::process::Output;

/// The one file's inode; the folder's is FUSE's root.
const FILE: u64 = 2;
const ROOT: u64 = 1;

const ENOENT: i32 = 2;
const EINTR: i32 = 4;
const ENOSYS: i32 = 38;

/// Seconds for which the kernel may keep what it was told.
const VALID: u64 = 3600;

/// The mounted folder; its one file's name and bytes stay.
pub(crate) struct HungFolder {
    path: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    bytes: Vec<u8>,
    reads: Mutex<Reads>,
    changed: Condvar,
}

#[derive(Default)]
struct Reads {
    /// Whether they are answered.
    free: bool,
    /// Those that hang, and those that were given up.
    hanging: HashSet<u64>,
}

impl HungFolder {
    /// Mounts it at `path`; none where this process may not.
    pub(crate) fn mount(path: &Path, name: &'static str, bytes: Vec<u8>) -> Option<HungFolder> {
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .ok()?;
        std::fs::create_dir_all(path).expect("make a folder");
        let options = "fd=0,rootmode=40755,user_id=0,group_id=0";
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", options, "hung"]);
        mount.arg(path).stdin(device.try_clone().expect("a file"));
        let status = mount.output().ok()?.status;
        if !status.success() {
            return None;
        }
        let shared = Arc::new(Shared {
            name,
            bytes,
            reads: Mutex::default(),
            changed: Condvar::new(),
        });
        let served = shared.clone();
        std::thread::spawn(move || served.serve(&device));
        let path = path.to_owned();
        Some(HungFolder { path, shared })
    }

    /// How many reads hang now.
    pub(crate) fn hanging(&self) -> usize {
        self.shared.reads.lock().unwrap().hanging.len()
    }

    /// Reads are answered from now on, and those that hang too.
    pub(crate) fn free(&self) {
        self.shared.reads.lock().unwrap().free = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for HungFolder {
    fn drop(&mut self) {
        self.free();
        let _ = Output::of(Command::new("umount").arg("-l").arg(&self.path), None);
    }
}

/// A request, in the machine's own byte order as all of FUSE.
struct Request<'a> {
    operation: u32,
    unique: u64,
    node: u64,
    body: &'a [u8],
}

impl Request<'_> {
    fn read(bytes: &[u8]) -> Option<Request<'_>> {
        Some(Request {
            operation: u32::from_ne_bytes(bytes.get(4..8)?.try_into().ok()?),
            unique: number(bytes, 8)?,
            node: number(bytes, 16)?,
            body: bytes.get(40..)?,
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl Shared {
    /// Answers until the folder is unmounted.
    fn serve(self: Arc<Shared>, device: &File) {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length) = (&*device).read(&mut buffer) {
            let Some(request) = Request::read(&buffer[..length]) else {
                return;
            };
            self.answer(device, &request);
        }
    }

    /// `include/uapi/linux/fuse.h` has the numbers and the structures.
    fn answer(self: &Arc<Shared>, device: &File, request: &Request<'_>) {
        let handle = [0u8; 16];
        let reply = |error: i32, body: &[u8]| reply(device, request.unique, error, body);
        match request.operation {
            // LOOKUP
            1 => {
                let name = request.body.split(|byte| *byte == 0).next();
                if request.node == ROOT && name == Some(self.name.as_bytes()) {
                    let times = [FILE, 0, VALID, VALID, 0].map(u64::to_ne_bytes).concat();
                    reply(0, &[times, self.attributes(FILE)].concat());
                } else {
                    reply(ENOENT, &[]);
                }
            }
            // FORGET, BATCH_FORGET: no answer is wanted.
            2 | 42 => {}
            // GETATTR
            3 => {
                let times = [VALID, 0].map(u64::to_ne_bytes).concat();
                reply(0, &[times, self.attributes(request.node)].concat());
            }
            // OPEN, OPENDIR
            14 | 27 => reply(0, &handle),
            // READ
            15 => self.hang(device, request),
            // RELEASE, FLUSH, RELEASEDIR
            18 | 25 | 29 => reply(0, &[]),
            // INIT: protocol 7.31, reads of up to 128 KiB.
            26 => {
                let mut body = Vec::new();
                for word in [7u32, 31, 128 << 10, 0, 0, 128 << 10, 1, 32] {
                    body.extend_from_slice(&word.to_ne_bytes());
                }
                body.resize(64, 0);
                reply(0, &body);
            }
            // READDIR
            28 => reply(0, &self.entries(request)),
            // INTERRUPT: of a read whose process is being killed, as NFS lets it.
            36 => {
                let of = number(request.body, 0).unwrap_or_default();
                if self.reads.lock().unwrap().hanging.remove(&of) {
                    self::reply(device, of, EINTR, &[]);
                }
            }
            _ => reply(ENOSYS, &[]),
        }
    }

    /// Answers a read once reads are free, unless it was given up before.
    fn hang(self: &Arc<Shared>, device: &File, request: &Request<'_>) {
        let (unique, shared) = (request.unique, self.clone());
        let offset = number(request.body, 8).unwrap_or_default();
        let size = request
            .body
            .get(16..20)
            .map_or([0; 4], |size| size.try_into().expect("four bytes"));
        let size = u32::from_ne_bytes(size) as usize;
        let device = device.try_clone().expect("a file");
        self.reads.lock().unwrap().hanging.insert(unique);
        std::thread::spawn(move || {
            let reads = shared.reads.lock().unwrap();
            let waits = |reads: &mut Reads| !reads.free && reads.hanging.contains(&unique);
            let mut reads = shared.changed.wait_while(reads, waits).unwrap();
            if reads.hanging.remove(&unique) {
                let len = shared.bytes.len();
                let start = usize::try_from(offset).unwrap_or(len).min(len);
                let end = start.saturating_add(size).min(len);
                reply(&device, unique, 0, &shared.bytes[start..end]);
            }
        });
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let (size, mode) = if node == FILE {
            (self.bytes.len() as u64, 0o100_644u32)
        } else {
            (0, 0o40_755)
        };
        // Inode, size, blocks, three times; their nanoseconds, mode, links, owner, group, device, block size, flags.
        let long = [node, size, size.div_ceil(512), 1, 1, 1].map(u64::to_ne_bytes);
        let short = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].map(u32::to_ne_bytes);
        [long.concat(), short.concat()].concat()
    }

    fn entries(&self, request: &Request<'_>) -> Vec<u8> {
        if number(request.body, 8) != Some(0) {
            return Vec::new();
        }
        let mut entry = [FILE, 1].map(u64::to_ne_bytes).concat();
        // DT_REG
        for word in [self.name.len() as u32, 8] {
            entry.extend_from_slice(&word.to_ne_bytes());
        }
        entry.extend_from_slice(self.name.as_bytes());
        entry.resize(entry.len().next_multiple_of(8), 0);
        entry
    }
}

fn reply(mut device: &File, unique: u64, error: i32, body: &[u8]) {
    let length = u32::try_from(16 + body.len()).expect("a short answer");
    let mut all = length.to_ne_bytes().to_vec();
    all.extend_from_slice(&(-error).to_ne_bytes());
    all.extend_from_slice(&unique.to_ne_bytes());
    all.extend_from_slice(body);
    // Nobody waits any more for what was given up, or when it is unmounted.
    let _ = device.write_all(&all);
}
