use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::mknodat;

use super::*;
use crate::source::SourceErrorKind;

/// A volume of one namespace, `ns`.
struct Volume {
    dir: tempfile::TempDir,
}

impl Volume {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("ns")).unwrap();
        Self { dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("ns").join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, target: &str, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn open(&self) -> VolumeRoot {
        VolumeRoot::open(self.dir.path(), "ns").unwrap()
    }

    fn scan(&self, pattern: &str) -> Result<Vec<SourceFile>, SourceError> {
        self.open().scan(
            &PathPattern::parse(pattern).unwrap(),
            &CancellationToken::new(),
        )
    }

    fn one(&self, path: &str) -> SourceFile {
        let mut files = self.scan(path).unwrap();
        assert_eq!(files.len(), 1);
        files.remove(0)
    }

    fn fifo(&self, path: &str) {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, self.path(path), FileType::Fifo, mode, 0).unwrap();
    }
}

/// Fails the test when `work` blocks.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(Duration::from_secs(10)).unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T, SourceError>) -> SourceErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_file_is_read_as_it_is() {
    let volume = Volume::new();
    volume.write("a/b.csv", "0123456789");
    let file = volume.one("a/b.csv");
    assert_eq!(file.path, "a/b.csv");
    assert_eq!(file.fingerprint.size(), 10);
    let open = volume.open().open_file(&file).unwrap();
    let mut buf = [0; 4];
    open.clone().read_at(&mut buf, 3).unwrap();
    assert_eq!(&buf, b"3456");
    open.read_at(&mut [], 99).unwrap();
    open.check().unwrap();
}

#[test]
fn namespaces_are_single_names_below_the_root() {
    let volume = Volume::new();
    let open = |namespace| VolumeRoot::open(volume.dir.path(), namespace);
    for namespace in ["", ".", "..", "ns/a", "/etc", "../ns", "n\0s"] {
        assert_eq!(kind(open(namespace)), SourceErrorKind::PathNotAllowed);
    }
    let missing = open("other").unwrap_err();
    assert!(matches!(&missing, SourceError::NotFound { path } if path == "other"));
    symlink("/etc", volume.dir.path().join("out")).unwrap();
    assert_eq!(kind(open("out")), SourceErrorKind::PathNotAllowed);
    fs::write(volume.dir.path().join("file"), "").unwrap();
    assert_eq!(kind(open("file")), SourceErrorKind::Unreadable);

    let no_root = VolumeRoot::open(&volume.dir.path().join("none"), "ns").unwrap_err();
    assert_eq!(no_root.kind(), SourceErrorKind::Unreadable);
    assert!(no_root.to_string().contains("volume.root"), "{no_root}");
}

#[test]
fn links_inside_are_followed_and_links_out_are_not() {
    let volume = Volume::new();
    volume.write("data/day/a.csv", "inside");
    fs::write(volume.dir.path().join("secret.csv"), "outside").unwrap();
    volume.link("../data/day/a.csv", "links/up.csv");
    volume.link("data/day", "current");
    assert_eq!(volume.one("links/up.csv").fingerprint.size(), 6);
    assert_eq!(volume.one("current/a.csv").path, "current/a.csv");
    assert_eq!(volume.one("current/*.csv").fingerprint.size(), 6);

    let inside = volume.path("data/day/a.csv");
    for (target, name) in [
        ("../../secret.csv", "one"),
        ("/etc/passwd", "absolute"),
        (inside.to_str().unwrap(), "absolute-inside"),
        ("../../ns/data/day/a.csv", "out-and-in"),
    ] {
        volume.link(target, &format!("out-{name}/a.csv"));
        for pattern in [
            format!("out-{name}/a.csv"),
            format!("out-{name}/*"),
            format!("*-{name}/a*"),
        ] {
            let refused = volume.scan(&pattern).unwrap_err();
            assert_eq!(refused.kind(), SourceErrorKind::PathNotAllowed, "{refused}");
            assert!(refused.to_string().contains(&format!("out-{name}/a.csv")));
        }
    }
    volume.link("..", "x/up");
    volume.link("../..", "x/out");
    assert_eq!(
        kind(volume.scan("x/out/secret.csv")),
        SourceErrorKind::PathNotAllowed
    );
    assert_eq!(volume.one("x/up/data/day/a.csv").fingerprint.size(), 6);

    let swapped = volume.one("links/up.csv");
    fs::remove_file(volume.path("links/up.csv")).unwrap();
    volume.link("../../secret.csv", "links/up.csv");
    assert_eq!(
        kind(volume.open().open_file(&swapped)),
        SourceErrorKind::PathNotAllowed
    );
}

#[test]
fn a_planned_path_cannot_lead_out_either() {
    let volume = Volume::new();
    volume.write("a", "1");
    fs::write(volume.dir.path().join("secret"), "2").unwrap();
    let mut file = volume.one("a");
    for path in ["../secret", "/etc/passwd", "a/../../secret"] {
        file.path = path.into();
        let refused = volume.open().open_file(&file).unwrap_err();
        let kind = refused.kind();
        let gone = kind == SourceErrorKind::Changed && path.starts_with("a/");
        assert!(gone || kind == SourceErrorKind::PathNotAllowed, "{refused}");
    }
}

#[test]
fn what_is_no_file_is_named_and_never_blocks() {
    let volume = Volume::new();
    volume.write("a.csv", "1");
    volume.fifo("pipe.csv");
    let _socket = UnixListener::bind(volume.path("socket")).unwrap();
    fs::create_dir(volume.path("folder")).unwrap();
    volume.link("nothing", "dangling");
    for (pattern, what) in [
        ("pipe.csv", "a named pipe (FIFO)"),
        ("*.csv", "a named pipe (FIFO)"),
        ("**/pipe*", "a named pipe (FIFO)"),
        ("socket", "a socket"),
        ("folder", "a folder"),
        ("dangling", "a link to nothing"),
        ("dang*", "a link to nothing"),
    ] {
        let root = volume.open();
        let parsed = PathPattern::parse(pattern).unwrap();
        let refused = in_time(move || root.scan(&parsed, &CancellationToken::new())).unwrap_err();
        assert_eq!(refused.kind(), SourceErrorKind::Unreadable);
        assert!(refused.to_string().contains(what), "{pattern}: {refused}");
        assert!(!refused.is_transient());
    }
    assert_eq!(
        kind(volume.scan("fold*")),
        SourceErrorKind::Empty,
        "folders are no matches"
    );

    let planned = volume.one("a.csv");
    fs::remove_file(volume.path("a.csv")).unwrap();
    volume.fifo("a.csv");
    let root = volume.open();
    let refused = in_time(move || root.open_file(&planned)).unwrap_err();
    assert!(refused.to_string().contains("a named pipe"), "{refused}");
}

#[test]
fn a_pipe_that_takes_a_files_place_after_the_first_look_does_not_block() {
    let volume = Volume::new();
    volume.fifo("pipe");
    let root = volume.open();
    let refused = in_time(move || root.read_handle(b"pipe").map(|_| ())).unwrap_err();
    assert!(refused.to_string().contains("a named pipe"), "{refused}");
}

#[test]
fn every_kind_has_a_name() {
    for (file_type, expected) in [
        (FileType::CharacterDevice, NotAFile::Device),
        (FileType::BlockDevice, NotAFile::Device),
        (FileType::Socket, NotAFile::Socket),
        (FileType::Fifo, NotAFile::Fifo),
        (FileType::Directory, NotAFile::Folder),
        (FileType::Unknown, NotAFile::Unknown),
    ] {
        let error = not_a_file(b"x", file_type);
        assert!(matches!(error, SourceError::NotAFile { kind, .. } if kind == expected));
    }
}

/// Runs as another user where the tests run as root, whom no permission stops.
#[test]
fn permission_denied_names_who_must_act() {
    if is_root() {
        let status = Command::new("/proc/self/exe")
            .args([
                "--exact",
                "source::volume::tests::permission_denied_names_who_must_act",
            ])
            .env("TMPDIR", "/tmp")
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let volume = Volume::new();
    volume.write("closed.csv", "1");
    volume.write("folder/a.csv", "1");
    let mode = |path: &str, mode| {
        fs::set_permissions(volume.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    let planned = volume.one("closed.csv");
    mode("closed.csv", 0o000);
    mode("folder", 0o000);
    for pattern in ["closed.csv", "clo*", "folder/a.csv", "folder/*", "**/a.csv"] {
        let refused = volume.scan(pattern).unwrap_err();
        assert_eq!(refused.kind(), SourceErrorKind::Unreadable, "{pattern}");
        let message = refused.to_string();
        assert!(message.contains("Permission denied"), "{message}");
        assert!(
            message.contains("let the operator's user read"),
            "{message}"
        );
        assert!(!refused.is_transient());
    }
    let refused = volume.open().open_file(&planned);
    assert_eq!(kind(refused), SourceErrorKind::Unreadable);
    mode("folder", 0o700);
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_file_that_moves_is_changed() {
    let volume = Volume::new();
    let changed = |open: &OpenFile, what: &str| {
        let error = open.check().unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::Changed);
        assert!(error.to_string().contains(what), "{error}");
    };
    let opened = || {
        volume.write("a", "12345");
        let file = volume.one("a");
        let open = volume.open().open_file(&file).unwrap();
        (file, open)
    };

    let (file, open) = opened();
    fs::write(volume.path("a"), "123").unwrap();
    changed(&open, "size from 5 to 3");
    let mut buf = [0; 5];
    assert_eq!(kind(open.read_at(&mut buf, 0)), SourceErrorKind::Changed);
    assert_eq!(
        kind(volume.open().open_file(&file)),
        SourceErrorKind::Changed
    );

    let (_, open) = opened();
    let later =
        fs::metadata(volume.path("a")).unwrap().modified().unwrap() + Duration::from_secs(1);
    let handle = File::options().write(true).open(volume.path("a")).unwrap();
    handle.set_modified(later).unwrap();
    changed(&open, "mtime");

    let (file, open) = opened();
    fs::remove_file(volume.path("a")).unwrap();
    changed(&open, "ctime");
    let error = volume.open().open_file(&file).unwrap_err();
    assert!(error.to_string().contains("it is gone"), "{error}");
    volume.link("nothing", "a");
    let error = volume.open().open_file(&file).unwrap_err();
    assert!(error.to_string().contains("it is gone"), "{error}");
}

#[test]
fn a_replacement_of_the_same_size_and_mtime_is_seen_by_its_ctime() {
    let volume = Volume::new();
    volume.write("a", "old!");
    let modified = fs::metadata(volume.path("a")).unwrap().modified().unwrap();
    let planned = volume.one("a");
    // A clock tick must pass between the two files.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        volume.write("b", "new!");
        let handle = File::options().write(true).open(volume.path("b")).unwrap();
        handle.set_modified(modified).unwrap();
        if volume.one("b").fingerprint != planned.fingerprint {
            break;
        }
        assert!(Instant::now() < deadline, "the clock stands still");
    }
    let open = volume.open().open_file(&planned).unwrap();
    fs::rename(volume.path("b"), volume.path("a")).unwrap();
    let error = volume.open().open_file(&planned).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("planned: ctime;"), "{message}");
    assert_eq!(kind(open.check()), SourceErrorKind::Changed);
}

#[test]
fn reading_behind_the_end_of_an_unchanged_file_is_no_success() {
    let volume = Volume::new();
    volume.write("a", "123");
    let open = volume.open().open_file(&volume.one("a")).unwrap();
    let error = open.read_at(&mut [0; 4], 0).unwrap_err();
    assert!(error.to_string().contains("it ended early"), "{error}");
}

#[test]
fn what_passes_by_itself_is_transient() {
    for (errno, transient) in [
        (Errno::IO, true),
        (Errno::STALE, true),
        (Errno::INTR, true),
        (Errno::MFILE, true),
        (Errno::ACCESS, false),
        (Errno::LOOP, false),
        (Errno::XDEV, false),
        (Errno::NAMETOOLONG, false),
    ] {
        let error = refused(b"a\x1b", Attempt::Read, errno);
        assert_eq!(error.is_transient(), transient, "{error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
    let circle = Volume::new();
    circle.link("b", "a");
    circle.link("a", "b");
    let error = circle.scan("a").unwrap_err();
    assert!(error.to_string().contains("circle of links"), "{error}");
}
