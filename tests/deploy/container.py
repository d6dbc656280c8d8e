"""The container image of deploy/Containerfile, built and run by podman: without root, without a place to write to."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from homeport import __version__
from tests.e2e.desk import POLICY
from tests.home import ADMIN_PASSWORD, push_image
from tests.postgres import free_port

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache/deploy"
BASE, IMAGE = "localhost/homeport-base:tests", "localhost/homeport:tests"
USER = 10001
READY_WITHIN_S = 60
# What pip of this machine trusts, pip in the build trusts too: a proxy may stand between them and the packages.
TRUST = ("/etc/pip.conf", "/etc/ssl/certs")
# What a machine may not raise, a container is not given. runc runs on every kind of cgroups.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
CONFINED = ("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop=ALL")


def storage_driver(folder: Path) -> str:
    """overlay where this machine lets it be mounted; vfs copies whole images for each container."""
    for name in ("lower", "upper", "work", "merged"):
        (folder / name).mkdir()
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    command = ["unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, str(folder / "merged")]
    return "overlay" if subprocess.run(command, check=False, capture_output=True).returncode == 0 else "vfs"


class Podman:
    """podman with images and containers of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        driver = storage_driver(folder)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "{driver}"\nrunroot = "{folder}/runroot"\ngraphroot = "{folder}/root"\n'
        )
        (folder / "policy.json").write_text(json.dumps(POLICY))
        self._environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "TMPDIR": str(folder),
        }

    def run(self, *arguments: str, program: tuple[str, ...] = ("podman", "--runtime", "runc")) -> str:
        """What a command prints; it has to succeed."""
        done = self.try_(*arguments, program=program)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def try_(
        self, *arguments: str, program: tuple[str, ...] = ("podman", "--runtime", "runc")
    ) -> "subprocess.CompletedProcess[str]":
        command = [*program, *arguments]
        return subprocess.run(
            command, check=False, env=self._environment, cwd=ROOT, capture_output=True, text=True, timeout=600
        )

    def build(self) -> None:
        trust = [f"--volume={path}:{path}:ro" for path in TRUST if Path(path).exists()]
        # chroot needs nothing of the machine that a container lacks. Layers would be whole copies with vfs.
        self.run(
            *("bud", "--isolation=chroot", "--layers=false", "--format=docker", *trust),
            *(f"--build-arg=BASE={BASE}", f"--build-arg=VERSION={__version__}", "--build-arg=REVISION=tests"),
            *("--signature-policy", str(self._folder / "policy.json")),
            *("--file=deploy/Containerfile", f"--tag={IMAGE}", "."),
            program=("buildah",),
        )

    @contextlib.contextmanager
    def container(self, *arguments: str, options: tuple[str, ...] = ()) -> Iterator[str]:
        """The id of a running container as deployments run it. Its network is this machine's."""
        name = self.run("run", "--detach", "--network=host", *LIMITS, *CONFINED, *options, IMAGE, *arguments).strip()
        try:
            yield name
        finally:
            self.run("rm", "--force", name)

    def logs(self, name: str) -> str:
        done = self.try_("logs", name)
        return done.stdout + done.stderr

    def in_container(self, name: str, code: str) -> str:
        """What Python prints for some code in a container."""
        return self.run("exec", name, "python3", "-c", code)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    # Not in pytest's folder: its clearing knows nothing of mounts.
    folder = Path(tempfile.mkdtemp())
    podman = Podman(folder)
    try:
        podman.run("import", str(CACHE / "base.tar"), BASE)
        podman.build()
        yield podman
    finally:
        podman.try_("system", "reset", "--force")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A volume: a folder of the user that the image has."""
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, USER, USER)
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o755)
    return folder


def serving(data: Path, port: int) -> tuple[str, ...]:
    variables = {"HOMEPORT_PORT": str(port), "HOMEPORT_HOST": "127.0.0.1", "HOMEPORT_ADMIN_PASSWORD": ADMIN_PASSWORD}
    return (f"--volume={data}:/data", *(f"--env={name}={value}" for name, value in variables.items()))


def wait_until_ready(podman: Podman, name: str, port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(podman.logs(name))


@contextlib.contextmanager
def client_of(podman: Podman, name: str, port: int) -> Iterator[httpx.Client]:
    """The administrator's client for a repository of the hub in a container."""
    wait_until_ready(podman, name, port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        query = {"service": "tests", "scope": "repository:admin/app:pull,push"}
        answer = client.get("/token", params=query, auth=("admin", ADMIN_PASSWORD))
        client.headers["authorization"] = f"Bearer {answer.json()['token']}"
        yield client


def test_the_image_says_what_it_is(podman: Podman) -> None:
    [image] = json.loads(podman.run("inspect", IMAGE, program=("podman", "image")))
    config = image["Config"]
    assert config["User"] == f"{USER}:{USER}"
    # Without a shell in between signals reach the server.
    assert (config["Entrypoint"], config["Cmd"]) == (["homeport"], ["serve"])
    assert (list(config["ExposedPorts"]), list(config["Volumes"])) == (["8000/tcp"], ["/data"])
    assert config["StopSignal"] == "SIGTERM"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert config["Labels"]["org.opencontainers.image.revision"] == "tests"
    assert image["Healthcheck"]["Test"][0] == "CMD"


def test_a_push_a_restart_and_a_pull(podman: Podman, data: Path) -> None:
    port = free_port()
    with podman.container(options=serving(data, port)) as name:
        with client_of(podman, name, port) as client:
            manifest = push_image(client, "admin/app", "1.0", text="x" * 3_000_000)
        podman.run("stop", "--time", "20", name)
        # Of the server itself, not of a signal that it did not hear.
        assert podman.run("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"
    with podman.container(options=serving(data, port)) as name, client_of(podman, name, port) as client:
        assert client.get("/v2/admin/app/manifests/1.0").content == manifest
        for layer in json.loads(manifest)["layers"]:
            assert len(client.get(f"/v2/admin/app/blobs/{layer['digest']}").content) == layer["size"]


def test_it_has_no_rights_and_nothing_to_write_to_and_tells_of_its_health(podman: Podman, data: Path) -> None:
    port = free_port()
    options = (*serving(data, port), "--security-opt=no-new-privileges")
    with podman.container(options=options) as name:
        wait_until_ready(podman, name, port)
        status = podman.in_container(name, "print(open('/proc/1/status').read())")
        found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(found["Uid"].split()) == set(found["Gid"].split()) == {str(USER)}
        assert {int(found[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd", "Amb")} == {0}
        assert found["NoNewPrivs"] == "1"
        assert podman.in_container(name, "import os; print(os.statvfs('/').f_flag & os.ST_RDONLY)").strip() == "1"
        podman.run("healthcheck", "run", name)
        [image] = json.loads(podman.run("inspect", IMAGE, program=("podman", "image")))
        check = image["Healthcheck"]["Test"][1:]
        assert podman.try_("exec", f"--env=HOMEPORT_PORT={free_port()}", name, *check).returncode == 1
        # Modules were compiled when they were installed; nobody can do so now.
        missing = podman.in_container(
            name,
            "import homeport, pathlib\n"
            "folder = pathlib.Path(homeport.__file__).parent\n"
            "print([str(p) for p in folder.rglob('*.py') if not list(p.parent.glob(f'__pycache__/{p.stem}.*.pyc'))])",
        )
        assert missing.strip() == "[]"
        assert (
            podman.in_container(name, "import asyncpg, obstore, prometheus_client, valkey; print('all there')").strip()
            == "all there"
        )
        tools = "import importlib.util as u; print([n for n in ('pip', 'hatchling') if u.find_spec(n)])"
        assert podman.run("exec", name, "/opt/homeport/bin/python", "-c", tools).strip() == "[]"


def test_any_user_may_run_it(podman: Podman, data: Path) -> None:
    port = free_port()
    os.chown(data, 23456, 0)
    with podman.container(options=("--user=23456:0", *serving(data, port))) as name:
        wait_until_ready(podman, name, port)


def test_a_worker_ends_when_it_is_told_to(podman: Podman, data: Path) -> None:
    options = serving(data, free_port())
    podman.run("run", "--rm", "--network=host", *LIMITS, *CONFINED, *options, IMAGE, "migrate")
    with podman.container("worker", options=options) as name:
        deadline = time.monotonic() + READY_WITHIN_S
        while "Homeport works" not in podman.logs(name):
            assert time.monotonic() < deadline, podman.logs(name)
            time.sleep(0.1)
        podman.run("stop", "--time", "20", name)
        assert podman.run("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"
