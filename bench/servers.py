"""The servers that are measured, each on the first core, with its data in one folder of one file system."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

PASSWORD = secrets.token_urlsafe(16)
SERVER_CORE = 0
LOAD_CORE = 1

_REGISTRY_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: 127.0.0.1:{port}}}
"""

_NGINX_CONFIG = """daemon off; pid {folder}/pid; error_log {folder}/error.log crit; worker_processes 1; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/files; }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], ready_url: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server on the first core, until it is no longer needed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")}
    process = subprocess.Popen(
        command,
        env=environment | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),  # noqa: PLW1509 - one thread here
    )
    try:
        _wait(ready_url, process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server for {url} ended at once")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code < 500:
                return
        time.sleep(0.01)
    raise RuntimeError(f"{url} did not answer")


class Homeport:
    """Homeport with one worker; requests carry a bearer token, as they do in life."""

    name = "homeport"
    pid = 0

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = folder / "homeport"
        self.command = [
            *(sys.executable, "-m", "homeport", "serve"),
            *("--port", str(self.port), "--data", str(self.data)),
        ]
        self.repository = "admin/bench"

    def start(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        variables = {
            "HOMEPORT_ADMIN_PASSWORD": PASSWORD,
            "HOMEPORT_LOG_LEVEL": "warning",
            # Requests are counted as always, and never too many.
            "HOMEPORT_RATE_LIMIT_ANONYMOUS": "1000000000",
            "HOMEPORT_RATE_LIMIT_USER": "1000000000",
        }
        return running(self.command, f"{self.url}/readyz", **variables)

    def headers(self) -> dict[str, str]:
        parameters = {"service": "bench", "scope": f"repository:{self.repository}:pull,push"}
        answer = httpx.get(f"{self.url}/token", params=parameters, auth=("admin", PASSWORD))
        return {"authorization": f"Bearer {answer.json()['token']}"}


class DockerRegistry:
    """Debian's docker-registry, without authentication."""

    name = "docker-registry"
    pid = 0

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = folder / "registry.yml"
        self._config.write_text(_REGISTRY_CONFIG.format(folder=folder / "registry", port=self.port))
        self.repository = "admin/bench"

    def start(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        return running(["docker-registry", "serve", str(self._config)], f"{self.url}/v2/")

    def headers(self) -> dict[str, str]:
        return {}


class Nginx:
    """nginx with one worker and sendfile, over plain files."""

    name = "nginx"
    pid = 0

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.files = folder / "nginx" / "files"
        self.files.mkdir(parents=True)
        self._config = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        self._config.write_text(_NGINX_CONFIG.format(folder=folder / "nginx", port=self.port, user=user))

    def start(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        return running(["nginx", "-c", str(self._config)], self.url)

    def headers(self) -> dict[str, str]:
        return {}
