"""Who sends: the operator's own binary, and what else uploads files to S3. Each contestant is a function that sends
once, under a prefix of its own, and gives what that cost; what arrived is compared with what was to be sent."""

import json
import os
import shutil
from pathlib import Path

import run
from servers import BUCKET, ROOT

# Parts of 8 MiB, eight at once: the operator's defaults, and what the others are told to do too.
PART_MIB = 8
AT_ONCE = 8

# What our receipts and the like may add to the bytes of the files.
RECEIPT_BYTES = 4 << 20


class Tools:
    """What contestants share."""

    def __init__(self, settings, scratch, servers):
        self.settings = settings
        self.scratch = scratch
        self.servers = servers
        default = ROOT / "target/release/outbound-operator"
        self.operator = Path(os.environ.get("OPERATOR", default)).resolve()

    def tool(self, name, file=None):
        return str(self.servers.tool(name, file or name))

    def log(self):
        folder = self.scratch.path / "logs"
        folder.mkdir(exist_ok=True)
        return folder / self.scratch.fresh("log")

    def run(self, command, environment):
        return run.run([str(word) for word in command], environment, self.log())

    def sent(self, target, name, files, send, receipts=0):
        """A contestant that calls `send(prefix)`, after which `files` (number, bytes) must be there."""

        def once():
            prefix = self.scratch.fresh("run") + "/"
            cost = send(prefix)
            objects, bytes_, open_ = target.arrived(prefix)
            number, wanted = files
            is_all = objects == number + receipts and wanted <= bytes_ <= wanted + receipts * RECEIPT_BYTES
            if not is_all or open_:
                raise run.Failed(
                    f"{name}: {objects} objects of {bytes_} bytes and {open_} open uploads arrived, "
                    f"not {number + receipts} of {wanted}"
                )
            target.forget(prefix)
            return cost

        return name, once


def counted(path):
    """How many files, and how many bytes in all."""
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return len(files), sum(file.stat().st_size for file in files)


# Ours.


def manifests(target, prefix, source, options):
    """The objects that a delivery takes, with `options` for its spec and the destination's; None takes a field away."""
    metadata = {"namespace": "bench"}
    destination = {
        "bucket": BUCKET,
        "prefix": prefix,
        "endpoint": target.endpoint,
        "region": "us-east-1",
        "permissionMode": "AccessKey",
        "accessKey": {"secretRef": {"name": "key"}},
        **options.get("destination", {}),
    }
    secret = {"accessKeyId": target.access, "secretAccessKey": target.secret}
    objects = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", **metadata}, "stringData": secret}]
    if target.ca and destination["endpoint"]:
        destination["caBundleRef"] = {"name": "ca"}
        data = {"ca.crt": target.ca.read_text()}
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca", **metadata}, "data": data})
    destination = {name: value for name, value in destination.items() if value is not None}
    spec = {"destinationRef": {"name": "target"}, "source": source, **options.get("delivery", {})}
    for kind, name, content in [("OutboundDestination", "target", destination), ("OutboundDelivery", "sent", spec)]:
        named = {"kind": kind, "metadata": {"name": name, **metadata}}
        objects.append({"apiVersion": "outbound.dev/v1alpha1", **named, "spec": content})
    return {"apiVersion": "v1", "kind": "List", "items": objects}


def ours(tools, target, name, source, files, md5, config=None, environment=None, **options):
    """`outbound-operator deliver -f`, from the proof of access to the receipt."""
    delivery = {"receipt": {"md5": md5}, **options.pop("delivery", {})}
    options["delivery"] = delivery

    def send(prefix):
        folder = tools.scratch.path / tools.scratch.fresh("ours")
        folder.mkdir()
        (folder / "delivery.json").write_text(json.dumps(manifests(target, prefix, source, options)))
        command = [tools.operator, "deliver", "-f", folder / "delivery.json", "--volume-root", tools.scratch.volume]
        command += ["--state", folder / "state", "--progress", "none"]
        if config:
            (folder / "config.json").write_text(json.dumps(config))
            command += ["--config", folder / "config.json"]
        return tools.run(command, {"RUST_LOG": "warn", **(environment or {})})

    return tools.sent(target, name, files, send, receipts=1)


def as_on_aws(target, **destination):
    """What makes of the target what Amazon S3 is to the operator: not a store of which nothing is known before the first
    receipt, but one that honours conditions. Our own identity writes there, as in a customer's account."""
    owned = {"bucket": BUCKET, "owners": [target.account], "prefixes": [""]}
    return {
        "config": {
            "clusterId": "bench",
            "identity": {
                "accountId": "999988887777",
                "principalArn": "arn:aws:iam::999988887777:role/outbound",
                "region": "us-east-1",
            },
            "endpoints": {"s3": target.endpoint, "allowPlainHttp": True},
            "tenancy": [{"namespaces": ["bench"], "crossAccountBuckets": [owned]}],
        },
        "environment": target.environment(),
        "destination": {
            "permissionMode": "CrossAccount",
            "bucketOwner": target.account,
            "endpoint": None,
            "accessKey": None,
            **destination,
        },
    }


def volume(tools, path):
    """The source that is this file, or all files of this folder."""
    inside = path.relative_to(tools.scratch.files)
    return {"volume": {"path": str(inside / "*" if path.is_dir() else inside)}}


# The others. Each is told to do what makes it fastest here: parts and concurrency as ours, no check of a checksum that
# the sink doesn't compute, no listing of the destination.


def rclone(tools, target, sources, prefix):
    environment = {
        **target.environment(),
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_S3_PROVIDER": "Other",
        "RCLONE_S3_ENV_AUTH": "true",
        "RCLONE_S3_REGION": "us-east-1",
        "RCLONE_S3_ENDPOINT": target.endpoint,
    }
    command = [tools.tool("rclone"), "copy", *sources, f":s3:{BUCKET}/{prefix}", "--transfers", AT_ONCE]
    command += ["--s3-no-check-bucket", "--s3-chunk-size", f"{PART_MIB}Mi", "--s3-upload-concurrency", AT_ONCE]
    command += ["--s3-disable-checksum", "--ignore-checksum", "--s3-no-head", "--no-traverse", "--checkers", AT_ONCE]
    return command + (["--ca-cert", target.ca] if target.ca else []), environment


def s5cmd(tools, target, sources, prefix):
    (source,) = sources
    pattern = f"{source}/*" if os.path.isdir(source) else source
    command = [tools.tool("s5cmd"), "--endpoint-url", target.endpoint, "cp", "--concurrency", AT_ONCE]
    return [*command, "--part-size", PART_MIB, pattern, f"s3://{BUCKET}/{prefix}"], target.environment()


def aws_cli(tools, target, sources, prefix):
    (source,) = sources
    command = [tools.tool("python", "environment/bin/aws"), "s3", "cp", "--endpoint-url", target.endpoint, "--only-show-errors"]
    command += ["--recursive"] if os.path.isdir(source) else []
    return [*command, source, f"s3://{BUCKET}/{prefix}"], target.environment()


def listed(source):
    """The files of a folder, or the file."""
    return sorted(str(path) for path in Path(source).iterdir()) if os.path.isdir(source) else [source]


def s3transfer_crt(tools, target, sources, prefix):
    files = [file for source in sources for file in listed(source)]
    command = [tools.tool("python", "environment/bin/python"), tools.tool("python", "upload.py")]
    return [*command, target.endpoint, "us-east-1", BUCKET, prefix, *files], target.environment()


def transfer_manager(tools, target, sources, prefix):
    files = [file for source in sources for file in listed(source)]
    environment = {**target.environment(), "AWS_ENDPOINT_URL": target.endpoint}
    return [tools.tool("transfer-manager"), BUCKET, prefix, AT_ONCE, *files], environment


PEERS = {
    "transfer manager": transfer_manager,
    "s3transfer with CRT": s3transfer_crt,
    "s5cmd": s5cmd,
    "rclone": rclone,
    "aws s3 cp": aws_cli,
}


def peers(tools, target, path, split=None):
    """All others with this file or folder; with `split` they cut the file into pieces of so many bytes first, by the
    program of that name, and that counts."""

    def contestant(name, peer):
        def send(prefix):
            if not split:
                return tools.run(*peer(tools, target, [str(path)], prefix))
            folder = tools.scratch.path / "pieces"
            folder.mkdir()
            try:
                cut = tools.run(["split", "-C", split, path, f"{folder}/piece-"], {})
                return cut + tools.run(*peer(tools, target, [str(folder)], prefix))
            finally:
                shutil.rmtree(folder)

        number, bytes_ = counted(path)
        files = (-(-bytes_ // split) if split else number), bytes_
        return tools.sent(target, f"split, {name}" if split else name, files, send)

    return [contestant(name, peer) for name, peer in PEERS.items() if tools.settings.takes(name)]


def floor(tools, target, path):
    """curl: one connection, one request, nothing computed. What the sink and the kernel take themselves."""

    def send(prefix):
        command = ["curl", "--silent", "--show-error", "--fail", "--upload-file", path]
        command += ["--cacert", target.ca] if target.ca else []
        return tools.run([*command, f"{target.endpoint}/{BUCKET}/{prefix}lines"], {})

    return tools.sent(target, "curl, no S3", counted(path), send)
