"""On what, when and with which versions: no number without it."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

from servers import ROOT


def said(command, **options):
    """The first line that a program prints."""
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    return output.stdout.strip().splitlines()[0] if output.stdout.strip() else "unknown"


def processor():
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} cores ({names[0] if names else platform.machine()})"


def memory():
    kib = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1))
    return f"{kib / (1 << 20):.0f} GiB"


def commit():
    short = said(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"])
    # What the page itself says isn't what was measured.
    changed = subprocess.run(
        ["git", "-C", ROOT, "diff", "--quiet", "HEAD", "--", "src", "Cargo.lock", "Cargo.toml"], check=False
    ).returncode
    return f"{short} with changes" if changed else short


def pinned(path, pattern):
    found = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE) if (ROOT / path).exists() else None
    return found.group(1) if found else "unknown"


def versions():
    peers = "benches/peers/"
    lock = r'name = "{}"\nversion = "(.*)"'
    requirement = r"^{}==([^ ]*)"
    manager = "aws-sdk-s3-transfer-manager"
    return {
        manager: pinned(peers + "transfer-manager/Cargo.lock", lock.format(manager)),
        "s3transfer": pinned(peers + "python/requirements.txt", requirement.format("s3transfer")),
        "awscrt": pinned(peers + "python/requirements.txt", requirement.format("awscrt")),
        "AWS CLI": pinned(peers + "python/requirements.txt", requirement.format("awscli")),
        "s5cmd": pinned(peers + "s5cmd/go.mod", r"peak/s5cmd/v2 v(.*)"),
        "rclone": pinned(peers + "rclone/go.mod", r"rclone/rclone v(.*)"),
        "versitygw": pinned("tests/tools/versitygw/go.mod", r"versity/versitygw v(.*)"),
    }


def caption(tools, table):
    """What stands below a table."""
    runs = f"{tools.settings.runs} runs in alternation, medians (smallest to largest). " if table.alternates else ""
    where = f"{processor()}, {memory()}, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}"
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    with_ = f" Versions: {named}." if table.alternates else ""
    return f"{runs}{now}; outbound-operator {commit()}; {where}.{with_}"
