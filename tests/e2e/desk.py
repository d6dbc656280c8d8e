"""A hub as a user starts it, and desks to work at: each with its own clients' credentials and images."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.home import ADMIN_PASSWORD, clean_environment, wait_until_ready
from tests.postgres import free_port

CLIENTS = ("docker", "podman", "buildah", "skopeo")
# HOMEPORT_BIN names another installation than the one that runs the tests.
HOMEPORT = os.environ.get("HOMEPORT_BIN") or str(Path(sys.executable).with_name("homeport"))

ENGINE_READY_WITHIN_S = 60

# vfs needs no privileges that a container lacks.
STORAGE = """[storage]
driver = "vfs"
runroot = "{folder}/runroot"
graphroot = "{folder}/root"
"""
REGISTRIES = """unqualified-search-registries = []
short-name-mode = "disabled"

[[registry]]
location = "{host}"
insecure = true
"""
POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


class Server:
    """A running hub with its operator's shell."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self.data = data

    def command(self, *arguments: str, stdin: str = "") -> None:
        """Run an operators' command beside the server."""
        done = subprocess.run(
            [HOMEPORT, *arguments, "--data", str(self.data)],
            input=stdin,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)


@contextlib.contextmanager
def serving(data: Path, **settings: str) -> Iterator[Server]:
    """`homeport serve` on a free port of the loopback."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = clean_environment(HOMEPORT_ADMIN_PASSWORD=ADMIN_PASSWORD, **settings)
    command = [HOMEPORT, "serve", "--host", "127.0.0.1", "--port", str(port), "--data", str(data)]
    with open(data.with_suffix(".log"), "ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(url, process)
            yield Server(url, data)
        finally:
            process.terminate()
            process.wait(timeout=60)


@contextlib.contextmanager
def running_engine(folder: Path) -> Iterator[str]:
    """Docker's engine without networks and containers, for what the client does not do by itself; its address."""
    address = f"unix://{folder}/engine.sock"
    no_network = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--userland-proxy=false"]
    folders = ["--data-root", f"{folder}/engine", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/engine.pid"]
    command = ["dockerd", "--storage-driver=vfs", *no_network, *folders, "--host", address]
    with open(folder / "engine.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for_engine(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for_engine(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + ENGINE_READY_WITHIN_S
    while subprocess.run(["docker", "--host", address, "version"], capture_output=True, check=False).returncode != 0:
        assert process.poll() is None, "the engine ended"
        assert time.monotonic() < deadline, "the engine did not become ready"
        time.sleep(0.2)


class Desk:
    """A folder with all that clients remember. Another desk is another person, or another machine."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.host = url.removeprefix("http://")
        folder.mkdir()
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
        (folder / "registries.conf").write_text(REGISTRIES.format(host=self.host))
        (folder / "policy.json").write_text(json.dumps(POLICY))
        # podman wants the file to be there even for an anonymous pull.
        (folder / "auth.json").write_text("{}")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def try_(self, program: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = self._environment
        command = [program, *arguments]
        if program == "docker":
            # Not for the others: podman refuses to log in where docker's file has an identity token.
            environment = environment | {"DOCKER_CONFIG": str(self.folder / "docker")}
        if program == "skopeo":
            # It takes these by flags only.
            files = {"--policy": "policy.json", "--registries-conf": "registries.conf"}
            command[1:1] = [word for flag, name in files.items() for word in (flag, str(self.folder / name))]
        return subprocess.run(
            command,
            input=stdin,
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def run(self, *command: str, stdin: str = "") -> str:
        done = self.try_(*command, stdin=stdin)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def skopeo(self, *arguments: str) -> str:
        return self.run("skopeo", *arguments)

    def name(self, image: str) -> str:
        return f"{self.host}/{image}"

    def url(self, image: str) -> str:
        """An image of the hub in the words of skopeo."""
        return f"docker://{self.host}/{image}"

    def log_in(self, client: str, user: str, secret: str) -> subprocess.CompletedProcess[str]:
        # Not every login looks into registries.conf; docker takes the loopback for insecure by itself.
        plain = [] if client == "docker" else ["--tls-verify=false"]
        return self.try_(client, "login", *plain, "--username", user, "--password-stdin", self.host, stdin=secret)

    def logged_in(self, user: str, secret: str) -> "Desk":
        """This desk, with every client logged in."""
        for client in CLIENTS:
            done = self.log_in(client, user, secret)
            assert done.returncode == 0, (client, done.stderr)
            assert "Login Succeeded" in done.stdout
        return self

    def manifest(self, image: str) -> bytes:
        """The manifest of an image, byte for byte."""
        return self.skopeo("inspect", "--raw", self.url(image)).encode()
