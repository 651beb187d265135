//! Child processes that cannot outlive the test process.
//!
//! Each holds the reading end of a pipe as its standard input (the leash) and ends when the pipe closes.
//! The kernel closes it however this process ends, so nothing depends on a destructor that runs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What a command printed, and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Runs a command to its end, with `input` on its standard input.
    pub(crate) fn of(command: &mut Command, input: Option<&str>) -> Output {
        command.stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        if let Some((mut pipe, text)) = child.stdin.take().zip(input) {
            // A command may end before it read everything: its status tells, not the broken pipe.
            let _ = std::io::Write::write_all(&mut pipe, text.as_bytes());
        }
        let output = child.wait_with_output().expect("wait for a command");
        Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output of a command that must succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.success, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard error of a command that must fail.
    #[track_caller]
    pub(crate) fn refusal(self) -> String {
        assert!(!self.success, "not refused: {}", self.stdout);
        self.stderr
    }
}

/// A process that ends when this value is dropped, or with this process.
#[derive(Debug)]
pub(crate) struct Leashed {
    child: Child,
}

impl Leashed {
    /// Starts one of the scripts in `tests/tools` and waits for its line "ready"; returns what follows
    /// that word too. The script bounds its own start and shows on standard error why it failed.
    pub(crate) fn script(name: &str, options: &[&str], folder: &Path) -> (Leashed, String) {
        let mut child = Command::new(tool(name))
            .arg("--leash")
            .args(options)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start tests/tools/{name}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a piped output"))
            .read_line(&mut line)
            .expect("read from a script");
        let leashed = Leashed { child };
        match line.trim_end().strip_prefix("ready") {
            Some(rest) => (leashed, rest.trim().to_owned()),
            None => panic!("tests/tools/{name} did not start"),
        }
    }

    /// Starts a program whose output goes to the end of `log`.
    pub(crate) fn program(command: &mut Command, log: &Path) -> Leashed {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("open a log");
        let mut leashed = Command::new(tool("leash"));
        leashed.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leashed.env(name, value),
                None => leashed.env_remove(name),
            };
        }
        let child = leashed
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("share a log"))
            .stderr(log)
            .spawn()
            .expect("start a program");
        Leashed { child }
    }

    /// The process's own id (the leash's wrapper became the program).
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, when it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("look at a child")
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill a child");
        self.child.wait().expect("wait for a child");
    }

    /// SIGTERM; SIGKILL when it has not ended after `grace`. Returns how it ended.
    pub(crate) fn terminate(&mut self, grace: Duration) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let start = Instant::now();
        while start.elapsed() < grace {
            if let Some(status) = self.ended() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().expect("kill a child");
        self.child.wait().expect("wait for a child")
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // The scripts then remove their folder, so this waits for the whole clean-up.
        self.terminate(Duration::from_secs(10));
    }
}

/// Memory of a process in RAM.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resident {
    /// What it has now.
    Now,
    /// The most that it ever had.
    Peak,
}

/// Its KiB, as the kernel counts them (proc(5)); `None` once the process is gone.
pub(crate) fn memory_kib(pid: u32, what: Resident) -> Option<u64> {
    let field = match what {
        Resident::Now => "VmRSS:",
        Resident::Peak => "VmHWM:",
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Where the tools are: `tests/tools/NAME`.
pub(crate) fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tools")
        .join(name)
}

/// One of the pinned programs (`kubectl`, `versitygw`), built by the first caller on this machine.
pub(crate) fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            Output::of(&mut Command::new(tool("build")), None)
                .ok()
                .trim()
                .into()
        })
        .join(name)
}

/// A name that no other test, process or run uses: `PREFIX-PID-NUMBER-RANDOM`.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let random = fastrand::u32(..);
    format!("{prefix}-{}-{number}-{random:08x}", std::process::id())
}

/// A new empty folder, on disk. Removed with this value, or with this process.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new(prefix: &str) -> Scratch {
        // In a static, so never dropped: the pipe's end is what removes the folder of a process.
        static ROOT: OnceLock<(Leashed, PathBuf)> = OnceLock::new();
        let (_, root) = ROOT.get_or_init(|| {
            let root = std::env::temp_dir().join(unique("outbound-scratch"));
            (Leashed::script("scratch", &[], &root).0, root)
        });
        let path = root.join(unique(prefix));
        std::fs::create_dir(&path).expect("make a folder");
        Scratch { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
