"""The tables: what is sent where, by whom."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable

import contestants
import run
import samples
import work
from contestants import Tools, as_on_aws, counted, ours, peers, volume
from servers import BUCKET, ROOT

TARGETS = {"tls": "the sink over TLS", "http": "the sink over plain HTTP", "gw": "versitygw, which stores"}

# In these names a contestant is ours.
OURS = "ours"
SMALL = f"{OURS}: 1,000 files"


@dataclass
class Table:
    """One table of the page, by the name of its markers."""

    name: str
    title: str
    # From Tools to the table's text.
    measure: Callable[[Tools], str]
    # Whether contestants are run as Settings say.
    alternates: bool = True


def every(large):
    """All of them, in the order of the page."""
    found = []
    for target, where in TARGETS.items():
        for work_, (title, contestants_) in WORKS.items():
            found.append(Table(f"{work_}-{target}", f"{title}, to {where}", alternation(target, contestants_)))
    found += [
        Table("memory", "One object of 10 GiB, to the sink over TLS", alternation("tls", memory)),
        Table("settings", "What settings cost, to the sink over TLS", alternation("tls", settings)),
        Table("s3-source", "From a bucket of versitygw to the sink", alternation("http", s3_source)),
    ]
    for target in ("tls", "http") if shutil.which("perf") else ():
        title = f"Where the CPU time goes, to {TARGETS[target]}"
        found.append(Table(f"profile-{target}", title, profiles(target), alternates=False))
    for bench in ("planning", "compression"):
        found.append(Table(bench, f"cargo bench --bench {bench}", cargo_bench(bench), alternates=False))
    if large:
        found.append(Table("large", "Sparse files of 80 GB and 1 TB", once("http", huge), alternates=False))
    return found


def alternation(target, contestants_):
    def measure(tools):
        all_ = contestants_(tools, tools.servers.target(target))
        return markdown(run.alternate(tools.settings.runs, all_))

    return measure


def once(target, contestants_):
    def measure(tools):
        return markdown(run.alternate(1, contestants_(tools, tools.servers.target(target))))

    return measure


def one(tools, target):
    path = tools.scratch.lines(tools.settings)
    files = counted(path)
    source = volume(tools, path)
    mine = [ours(tools, target, name, source, files, md5) for name, md5 in [(OURS, False), (f"{OURS}, MD5s", True)]]
    # curl signs nothing, and the sink alone asks for nothing.
    floor = [contestants.floor(tools, target, path)] if target.access == "sink" else []
    return mine + peers(tools, target, path) + floor


def split_bytes(tools):
    return tools.settings.bytes // work.SPLITS


def splits(tools, target):
    path = tools.scratch.lines(tools.settings)
    files = (work.SPLITS, path.stat().st_size)
    source = volume(tools, path)
    cut = {"split": {"size": split_bytes(tools)}}
    mine = [
        ours(tools, target, name, source, files, md5, delivery=cut)
        for name, md5 in [(OURS, False), (f"{OURS}, MD5s", True)]
    ]
    return mine + peers(tools, target, path, split=split_bytes(tools))


def granted():
    return {"readBack": "Granted"}


def many(tools, target):
    path = tools.scratch.many()
    source, files = volume(tools, path), counted(path)
    mine = [
        ours(tools, target, f"{OURS}, write-only", source, files, False),
        ours(tools, target, f"{OURS}, readBack: Granted", source, files, False, **as_on_aws(target, **granted())),
    ]
    return mine + peers(tools, target, path)


WORKS = {
    "one": ("One file of 2 GiB as one object", one),
    "splits": ("The same file, cut behind lines into 8 objects of 256 MiB", splits),
    "files": ("1,000 files of 100 KiB", many),
}


def memory(tools, target):
    path = tools.scratch.sparse(tools.settings.bytes * 5)
    return [ours(tools, target, OURS, volume(tools, path), counted(path), False)] + peers(tools, target, path)


def settings(tools, target):
    path, folder = tools.scratch.lines(tools.settings), tools.scratch.many()
    cut = {"split": {"size": split_bytes(tools)}}
    files = (work.SPLITS, path.stat().st_size)
    large, small = volume(tools, path), volume(tools, folder)
    return [
        ours(tools, target, f"{OURS}: 8 splits, md5: false", large, files, False, delivery=cut),
        ours(tools, target, f"{OURS}: 8 splits, md5: true", large, files, True, delivery=cut),
        ours(tools, target, f"{SMALL}, write-only", small, counted(folder), False),
        ours(tools, target, f"{SMALL}, readBack: Granted", small, counted(folder), False, **as_on_aws(target, **granted())),
        # Of another store than Amazon's nothing is known before the first receipt.
        ours(tools, target, f"{SMALL}, the same to a new store", small, counted(folder), False, destination=granted()),
    ]


def s3_source(tools, target):
    gateway = tools.servers.target("gw")
    path = tools.scratch.lines(tools.settings)
    put = contestants.s5cmd(tools, gateway, [str(path)], "exports/")
    tools.run(*put)
    config = {
        "clusterId": "bench",
        # The customer's account of the test server, who owns its buckets, is us here.
        "identity": {
            "accountId": gateway.account,
            "principalArn": f"arn:aws:iam::{gateway.account}:root",
            "region": "us-east-1",
        },
        "endpoints": {"s3": gateway.endpoint, "allow": [target.endpoint], "allowPlainHttp": True},
        "tenancy": [{"namespaces": ["bench"], "sources": [{"bucket": BUCKET, "prefixes": ["exports/"]}]}],
    }
    source = {"s3": {"bucket": BUCKET, "prefix": "exports/"}}
    files = counted(path)

    def rclone(prefix):
        remotes = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_S3_PROVIDER": "Other",
            "RCLONE_S3_REGION": "us-east-1",
        }
        for name, server in [("from", gateway), ("to", target)]:
            remotes[f"RCLONE_CONFIG_{name.upper()}_TYPE"] = "s3"
            remotes[f"RCLONE_CONFIG_{name.upper()}_ENDPOINT"] = server.endpoint
            remotes[f"RCLONE_CONFIG_{name.upper()}_ACCESS_KEY_ID"] = server.access
            remotes[f"RCLONE_CONFIG_{name.upper()}_SECRET_ACCESS_KEY"] = server.secret
        command = [tools.tool("rclone"), "copy", f"from:{BUCKET}/exports", f"to:{BUCKET}/{prefix}"]
        command += ["--s3-no-check-bucket", "--s3-disable-checksum", "--ignore-checksum", "--s3-no-head", "--no-traverse"]
        command += ["--s3-chunk-size", f"{contestants.PART_MIB}Mi", "--s3-upload-concurrency", contestants.AT_ONCE]
        return tools.run(command, remotes)

    return [
        ours(tools, target, f"{OURS}: source.s3", source, files, False, config, gateway.environment()),
        ours(tools, target, f"{OURS}: the same from a file", volume(tools, path), files, False, config),
    ] + [
        tools.sent(target, "rclone, bucket to bucket", files, rclone)
    ] * tools.settings.takes("rclone")


def huge(tools, target):
    # 10,000 parts of 8 MiB; 10,000 parts of 100 MB: the product's largest object.
    sizes = [("80 GB", 10_000 * (8 << 20)), ("1 TB", 10**12)]
    paths = [(name, tools.scratch.sparse(bytes_)) for name, bytes_ in sizes]
    return [ours(tools, target, f"{OURS}: {name}", volume(tools, path), counted(path), False) for name, path in paths]


def cargo_bench(name):
    def measure(tools):
        print(f"  cargo bench --bench {name}", file=sys.stderr, flush=True)
        environment = {**os.environ, "TMPDIR": str(tools.scratch.path)}
        command = [environment.get("CARGO", "cargo"), "bench", "--quiet", "--locked", "--bench", name]
        output = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
        return f"```\n{output.strip()}\n```"

    return measure


def profiles(target):
    """Ours beside the fastest of the others, at each work."""

    def of(work_, name):
        def contestant(tools):
            found = WORKS[work_][1](tools, tools.servers.target(target))
            return next((one for one in found if one[0] == name), None)

        return contestant

    other = "transfer manager"
    columns = [
        ("one object: ours", of("one", OURS)),
        (other, of("one", other)),
        ("8 splits: ours", of("splits", OURS)),
        (f"split, {other}", of("splits", f"split, {other}")),
        ("1,000 files: ours", of("files", f"{OURS}, readBack: Granted")),
        (other, of("files", other)),
    ]
    return lambda tools: samples.table(tools, columns)


def ratio(value, best):
    return f"{value / best:.2f}" if best else ""


def markdown(series):
    """Medians with minimum and maximum, and how they compare with the best of the others, each in its own column."""
    rivals = [one for one in series if not one.name.startswith((OURS, "curl"))]
    columns = [("wall", "{:.2f}"), ("cpu", "{:.2f}"), ("peak", "{:.0f}")]
    best = {what: min((one.median(what) for one in rivals), default=None) for what, _ in columns}
    head = "| | wall, s | client's CPU, s | peak, MiB |"
    line = "|---|---|---|---|"
    if rivals:
        head += " wall / best peer's | CPU / best peer's | peak / best peer's |"
        line += "---|---|---|"
    rows = [head, line]
    for one in series:
        cells = [one.name]
        for what, form in columns:
            low, high = one.spread(what)
            text = form.format(one.median(what))
            cells.append(text if len(one.costs) == 1 else f"{text} ({form.format(low)} to {form.format(high)})")
        if rivals:
            cells += [ratio(one.median(what), best[what]) for what, _ in columns]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)
