"""What is sent: files of lines in memory, made once for a run."""

import fnmatch
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

# Files of the folder of many, and bytes in each.
FILES = 1000
FILE_BYTES = 100 << 10

# Objects that the large file is cut into.
SPLITS = 8


def size(text):
    """`64M` in bytes."""
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)


class Settings:
    """How much is sent how often."""

    FULL_SIZE = 2 << 30
    FULL_RUNS = 5

    def __init__(self, bytes_, runs, peers):
        self.bytes = bytes_
        self.runs = runs
        self._peers = peers

    @classmethod
    def from_environment(cls):
        return cls(
            size(os.environ.get("SIZE", str(cls.FULL_SIZE))),
            int(os.environ.get("RUNS", cls.FULL_RUNS)),
            os.environ.get("PEERS", "*").split(","),
        )

    def takes(self, peer):
        """Whether this program takes part."""
        return any(fnmatch.fnmatch(peer, pattern) for pattern in self._peers)

    @property
    def is_full(self):
        """Only what was measured in full goes to the page."""
        return self.bytes == self.FULL_SIZE and self.runs == self.FULL_RUNS and self._peers == ["*"]


class Scratch:
    """A folder in memory, gone at the end. Below `volume/bench` it is laid out as the operator's volume."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="outbound-bench-", dir=os.environ.get("WORK", "/dev/shm")))
        self.volume = self.path / "volume"
        self.files = self.volume / "bench"
        self.files.mkdir(parents=True)
        self._count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def fresh(self, name):
        """A folder or a name that nobody used."""
        self._count += 1
        return f"{name}-{self._count}"

    def lines(self, settings):
        """The large file: lines, and somewhat less than the size, so that it becomes exactly SPLITS objects."""
        path = self.files / "one" / "lines.csv"
        if not path.exists():
            self._make("lines", path, settings.bytes - SPLITS * 1024)
        return path

    def many(self):
        """The folder of many files."""
        path = self.files / "many"
        if not path.exists():
            self._make("many", path, FILE_BYTES)
        return path

    def sparse(self, bytes_):
        """A file of so many bytes that takes no memory: all its bytes are 0."""
        path = self.files / f"sparse-{bytes_}" / "sparse.bin"
        if not path.exists():
            path.parent.mkdir()
            with open(path, "wb") as file:
                file.truncate(bytes_)
        return path

    @staticmethod
    def _make(what, path, bytes_):
        # In a process of its own: the kernel counts our peak among our children's (see run.py).
        subprocess.run([sys.executable, __file__, what, str(path), str(bytes_)], check=True)


def table(random_, bytes_):
    """Lines of a table, `bytes_` in all; the last one ends where they do."""
    lines, length = [], 0
    while length < bytes_:
        number = random_.getrandbits(40)
        when = f"2026-11-24T{number % 24:02}:00:00Z"
        line = f"{number},{number % 997},{random_.random():.9f},subject-{number >> 20:x},{when}\n"
        lines.append(line)
        length += len(line)
    return "".join(lines)[: bytes_ - 1].encode() + b"\n"


def make_lines(path, bytes_):
    path.parent.mkdir()
    # A prime number of bytes, so that the parts of an object differ.
    block = table(random.Random(1), min(bytes_, 16777259))
    with open(path, "wb") as file:
        left = bytes_
        while left > 0:
            left -= file.write(block[-left:] if left < len(block) else block)


def make_many(path, bytes_):
    path.mkdir()
    random_ = random.Random(2)
    for number in range(FILES):
        (path / f"table-{number:04}.csv").write_bytes(table(random_, bytes_))


if __name__ == "__main__":
    {"lines": make_lines, "many": make_many}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
