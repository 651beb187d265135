"""Where the CPU time of a program goes: Linux's perf takes a sample of it every 1/4 ms, and each sample is counted to what
it was doing, by the functions that it was in."""

import re
import subprocess

import contestants
import run

# Samples a second.
FREQUENCY = 4000

KERNEL = "[kernel"

# What a sample in the kernel is counted to: by the system call that it is in, the first that fits.
IN_THE_KERNEL = [
    ("kernel: reading files", r"_sys_(pread|read|preadv|splice|copy_file)"),
    ("kernel: sending", r"_sys_(write|writev|send|sendto|sendmsg)|tcp_sendmsg"),
    ("kernel: receiving", r"_sys_(recv|recvfrom|recvmsg)"),
    ("kernel: opening files, looking at them", r"_sys_(open|stat|newfstat|fstat|statx|close|getdents)"),
    ("kernel: waking, waiting", r"_sys_(futex|epoll|sched|poll|nanosleep)|schedule"),
    ("kernel: memory, starting, ending", r"page_fault|_sys_(mmap|munmap|madvise|brk|exit|exec|clone|mprotect)|do_exit|execve"),
]

# What a sample in the program is counted to: by the function that it is in.
IN_THE_PROGRAM = [
    ("encryption", r"aes|gcm|ghash|chacha|poly1305|aws_lc|rustls|webpki"),
    ("checksums", r"crc|pclmul|clmul"),
    ("SHA-256, HMAC", r"sha256|sha2|hmac"),
    ("MD5", r"md5"),
    ("counting lines", r"memchr|bytecount|count"),
    ("copying and clearing memory", r"mem(cpy|move|set)|_avx_unaligned|_evex_unaligned"),
    ("allocating", r"malloc|calloc|realloc|free|alloc|_int_"),
    ("SDK, HTTP", r"aws_|smithy|hyper|http|url|percent|fastrand|h2|headers"),
    ("async runtime", r"tokio|mio|futures|parking_lot"),
    ("JSON, YAML, schemas", r"serde|json|yaml|cel|antlr|schema|regex"),
    ("the program itself", r"outbound_operator|transfer_manager"),
]

OTHER = "other"


def compiled(table):
    return [(name, re.compile(pattern)) for name, pattern in table]


IN_THE_KERNEL, IN_THE_PROGRAM = compiled(IN_THE_KERNEL), compiled(IN_THE_PROGRAM)


def first(table, text):
    return next((name for name, pattern in table if pattern.search(text)), None)


def doing(command, stack):
    """What a sample of the program `command` was doing: its stack is pairs of a function and a file, the innermost first."""
    if command == "split":
        return "split -C"
    if not stack:
        return OTHER
    function, file = stack[0]
    if KERNEL in file:
        inside = " ".join(name for name, where in stack if KERNEL in where)
        return first(IN_THE_KERNEL, inside) or "kernel: other"
    return first(IN_THE_PROGRAM, function) or OTHER


class Profiled(contestants.Tools):
    """Tools that profile what they run."""

    def __init__(self, tools):
        super().__init__(tools.settings, tools.scratch, tools.servers)
        self.seconds = {}

    def run(self, command, environment):
        samples = self.scratch.path / self.scratch.fresh("samples")
        record = ["perf", "record", "--quiet", "--event", "cpu-clock", "--freq", FREQUENCY, "-g", "--output", samples, "--"]
        cost = super().run([*record, *command], environment)
        for what in read(samples):
            self.seconds[what] = self.seconds.get(what, 0) + 1 / FREQUENCY
        samples.unlink()
        return cost


def read(samples):
    """What each sample was doing."""
    command = ["perf", "script", "--input", samples, "--fields", "comm,ip,sym,dso"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as script:
        program, stack = None, []
        for line in script.stdout:
            frame = re.match(r"\s+[0-9a-f]+ (.*) \((.*)\)$", line)
            if frame:
                stack.append(frame.groups())
            elif line.strip():
                program, stack = line.strip(), []
            elif program is not None:
                yield doing(program, stack)
                program = None
        if program is not None:
            yield doing(program, stack)
    if script.returncode:
        raise run.Failed(f"perf script ended with {script.returncode}")


def table(tools, columns):
    """CPU seconds by what they went to. `columns` are pairs of a title and a function that gives a contestant of Tools, or
    None."""
    found = []
    for title, contestant in columns:
        profiled = Profiled(tools)
        named = contestant(profiled)
        if named is None:
            # It doesn't take part.
            continue
        _, once = named
        for _ in range(tools.settings.runs):
            once()
        found.append((title, {what: seconds / tools.settings.runs for what, seconds in profiled.seconds.items()}))
    names = [name for name, _ in IN_THE_KERNEL] + ["kernel: other"]
    names += [name for name, _ in IN_THE_PROGRAM] + [OTHER, "split -C"]
    rows = ["| | " + " | ".join(title for title, _ in found) + " |", "|---" * (len(found) + 1) + "|"]
    for name in names:
        cells = [seconds.get(name, 0) for _, seconds in found]
        # What rounds to nothing everywhere says nothing.
        if max(cells) >= 0.005:
            rows.append(row(name, cells))
    return "\n".join([*rows, row("all", [sum(seconds.values()) for _, seconds in found])])


def row(name, cells):
    return f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |"
