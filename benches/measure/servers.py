"""What is written to: the sink, and versitygw. Each is started when it is first asked for."""

import subprocess
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BUCKET = "bench-inbound"


class Target:
    """A server: where it is, who may write to it, and what became of what was sent."""

    def __init__(self, endpoint, account, access, secret, ca, arrived, forget):
        self.endpoint = endpoint
        # Who owns the bucket there.
        self.account = account
        self.access = access
        self.secret = secret
        # A file with the authority that signed its certificate, where it has one.
        self.ca = ca
        # Of a prefix: how many objects, bytes and open uploads are there.
        self.arrived = arrived
        # Makes room: nothing of a prefix is needed any more.
        self.forget = forget

    def environment(self):
        """What clients of S3 take from their environment."""
        trust = {"AWS_CA_BUNDLE": str(self.ca), "SSL_CERT_FILE": str(self.ca)} if self.ca else {}
        return {
            "AWS_ACCESS_KEY_ID": self.access,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **trust,
        }


class Servers:
    """All of them, ended together."""

    def __init__(self, scratch):
        self._scratch = scratch
        self._started = {}
        self._processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            # Its leash.
            process.stdin.close()
        for process in self._processes:
            process.wait(timeout=30)

    def target(self, name):
        """`tls` and `http` are the sink, `gw` is versitygw."""
        if name not in self._started:
            self._started.update(self._versitygw() if name == "gw" else self._sink())
        return self._started[name]

    def tool(self, name, file):
        """A file of what benches/peers/build builds by that name."""
        if name not in self._started:
            build = [ROOT / "benches/peers/build", name]
            folder = subprocess.run(build, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
            self._started[name] = Path(folder)
        return self._started[name] / file

    def _start(self, command):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        ready = process.stdout.readline().split()
        if not ready or ready[0] != "ready":
            raise RuntimeError(f"{command[0]} did not start")
        return ready[1:]

    def _sink(self):
        folder = self._scratch / "sink"
        folder.mkdir()
        certify = 'dir=$1; source "$2"; authority ca; certify server ca "/CN=sink" serverAuth "IP:127.0.0.1,DNS:localhost"'
        certificates = ROOT / "tests/tools/certificates.sh"
        subprocess.run(["bash", "-euc", certify, "certify", folder, certificates], check=True)
        sink = self.tool("sink", "sink")
        http, tls = self._start([sink, "--leash", "--tls", folder / "server.crt", folder / "server.key"])

        def ask(method, prefix):
            request = urllib.request.Request(f"{http}/?sink&prefix={BUCKET}/{prefix}", method=method)
            with urllib.request.urlopen(request) as answer:
                return tuple(map(int, answer.read().split()))

        def arrived(prefix):
            return ask("GET", prefix)

        def forget(prefix):
            ask("DELETE", prefix)

        return {
            "http": Target(http, "111122223333", "sink", "sink-secret", None, arrived, forget),
            "tls": Target(tls, "111122223333", "sink", "sink-secret", folder / "ca.crt", arrived, forget),
        }

    def _versitygw(self):
        folder = self._scratch / "s3"
        (endpoint,) = self._start([ROOT / "tests/tools/s3", "--leash", folder])
        lines = (folder / "credentials.env").read_text().split()
        credentials = dict(line.split("=", 1) for line in lines)
        access, secret = credentials["CUSTOMER_ACCESS_KEY_ID"], credentials["CUSTOMER_SECRET_ACCESS_KEY"]
        objects = folder / "data" / BUCKET

        def files(prefix):
            return [path for path in (objects / prefix).rglob("*") if path.is_file()]

        def arrived(prefix):
            found = files(prefix)
            open_uploads = (objects / ".sgwtmp" / "multipart").rglob("*")
            return len(found), sum(path.stat().st_size for path in found), sum(path.is_file() for path in open_uploads)

        def forget(prefix):
            for path in files(prefix):
                path.unlink()

        # The test server's accounts are its access keys.
        target = Target(endpoint, access, access, secret, None, arrived, forget)
        make = [self.tool("s5cmd", "s5cmd"), "--endpoint-url", endpoint, "mb", f"s3://{BUCKET}"]
        subprocess.run(make, env=target.environment(), check=True, stdout=subprocess.DEVNULL)
        return {"gw": target}
