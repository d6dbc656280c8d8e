"""Rounds of concurrent pushes, tags and deletes, each ended by `kill -9`.

The server dies at every named step of a push and a delete, and at random moments. After each it starts again,
`homeport fsck` has to be clean, and everything that was acknowledged has to be there, whole.

    python -m tests.crash [--short] [--rounds N] [--seed N]
"""

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

from homeport.core import faults
from tests.home import ADMIN_PASSWORD, digest_of, image_manifest, push_blob, wait_until_ready
from tests.ledger import Register
from tests.postgres import free_port
from tests.processes import ended, kill, serving, started

WRITERS = 4
REPOSITORIES = ("admin/one", "admin/two")
PASSAGES = (1, 2, 5)
"""At which passage of a fault point the server dies, one after the other."""


class Ledger:
    """What the server has acknowledged: the digest of each tag (None: deleted), and the bytes of each manifest."""

    def __init__(self) -> None:
        self.tags: Register[tuple[str, str], str | None] = Register(None)
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}


def main() -> int:
    options = _options()
    chance = random.Random(options.seed)
    ledger = Ledger()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "hub"
        passed = 0
        for number, (fault, delay_s) in enumerate(_rounds(options, chance)):
            what = fault or f"after {delay_s:.2f} s"
            before = ledger.tags.acknowledged
            _round(data, ledger, chance.random(), number=number, fault=fault, delay_s=delay_s)
            problems = _check(data, ledger)
            print(f"round {number}: killed {what}, {ledger.tags.acknowledged - before} acknowledged", flush=True)
            if problems:
                print("\n".join(problems))
                print(f"{passed} passed, 1 failed")
                return 1
            passed += 1
    print(f"{passed} passed, 0 failed")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--short", action="store_true", help="each fault point once and three random moments")
    parser.add_argument("--rounds", type=int, default=40, help="rounds that end at a random moment")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args()


def _rounds(options: argparse.Namespace, chance: random.Random) -> Iterator[tuple[str | None, float]]:
    for passage in PASSAGES[1:2] if options.short else PASSAGES:
        for point in faults.POINTS:
            yield f"{point}:{passage}", 10.0
    for _ in range(3 if options.short else options.rounds):
        yield None, chance.uniform(0.05, 2.0)


def _round(data: Path, ledger: Ledger, salt: float, *, number: int, fault: str | None, delay_s: float) -> None:
    """Work with several clients until the server is dead."""
    with _server(data, fault) as (url, process):
        stop = threading.Event()
        writers = [
            threading.Thread(target=_write, args=(url, ledger, random.Random(f"{salt} {writer}"), number, writer, stop))
            for writer in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + delay_s
        while time.monotonic() < deadline and serving(process) is not None and not stop.is_set():
            time.sleep(0.01)
        if fault is not None and _worker_is_first(process):
            raise AssertionError(f"the fault point {fault} was not reached")
        kill(process)
        stop.set()
        for writer in writers:
            writer.join()


@contextlib.contextmanager
def _server(data: Path, fault: str | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    variables = {"HOMEPORT_ADMIN_PASSWORD": ADMIN_PASSWORD, "HOMEPORT_LOG_LEVEL": "error"}
    if fault:
        variables[faults.VARIABLE] = fault
    process = started(data.parent / "log", "serve", "--port", str(port), "--data", str(data), **variables)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        _first_worker[process.pid] = serving(process)
        yield url, process
    finally:
        kill(process)


_first_worker: dict[int, int | None] = {}


def _worker_is_first(process: subprocess.Popen[bytes]) -> bool:
    worker = serving(process)
    return worker is not None and worker == _first_worker[process.pid]


def _write(url: str, ledger: Ledger, chance: random.Random, number: int, writer: int, stop: threading.Event) -> None:
    """Push images, move tags and delete them until the server is gone. Each writer has tags of its own."""
    with httpx.Client(base_url=url, timeout=20) as client, contextlib.suppress(httpx.TransportError):
        scopes = [f"repository:{name}:pull,push,delete" for name in REPOSITORIES]
        token = client.get("/token", params={"scope": scopes}, auth=("admin", ADMIN_PASSWORD)).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        step = 0
        while not stop.is_set():
            step += 1
            repository = chance.choice(REPOSITORIES)
            tag = f"w{writer}-{chance.randrange(4)}"
            if chance.random() < 0.25:
                _delete(client, ledger, repository, tag)
            else:
                _push(client, ledger, chance, repository, tag, f"{number} {writer} {step}")


def _push(client: httpx.Client, ledger: Ledger, chance: random.Random, repository: str, tag: str, text: str) -> None:
    # A small alphabet of layers: the same content is pushed at the same time by several writers.
    layer = f"layer {chance.randrange(50)} ".encode() * chance.choice([1, 100, 50_000])
    config = msgspec.json.encode({"os": "linux", "architecture": "amd64", "text": text})
    for blob in (layer, config):
        digest = push_blob(client, repository, blob)
        ledger.blobs[repository, digest] = blob
    content = image_manifest(config, layer)
    digest = digest_of(content)
    ledger.manifests[digest] = content
    ledger.tags.asked((repository, tag), digest)
    headers = {"content-type": "application/vnd.oci.image.manifest.v1+json"}
    answer = client.put(f"/v2/{repository}/manifests/{tag}", content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    ledger.tags.answered((repository, tag), digest)


def _delete(client: httpx.Client, ledger: Ledger, repository: str, tag: str) -> None:
    ledger.tags.asked((repository, tag), None)
    answer = client.delete(f"/v2/{repository}/manifests/{tag}")
    assert answer.status_code in (202, 404), answer.text
    ledger.tags.answered((repository, tag), None)


def _check(data: Path, ledger: Ledger) -> list[str]:
    """What is wrong after a restart."""
    with _server(data) as (url, _), httpx.Client(base_url=url, timeout=30) as client:
        problems = [problem for where in ledger.tags if (problem := _tag_problem(client, ledger, where))]
        scopes = [f"repository:{name}:pull" for name in REPOSITORIES]
        token = client.get("/token", params={"scope": scopes}, auth=("admin", ADMIN_PASSWORD)).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        for (repository, digest), content in ledger.blobs.items():
            if client.get(f"/v2/{repository}/blobs/{digest}").content != content:
                problems.append(f"{repository}: the blob {digest} is not whole")
        fsck = ended("fsck", "--data", str(data))
        if fsck.returncode != 0:
            problems.append(fsck.stdout + fsck.stderr)
    return problems


def _tag_problem(client: httpx.Client, ledger: Ledger, where: tuple[str, str]) -> str | None:
    """What is wrong with a tag; afterwards the ledger knows where it really is."""
    repository, tag = where
    answer = client.get(f"/v2/{repository}/manifests/{tag}")
    # A repository that was never made answers an anonymous client with a challenge.
    found = answer.headers["docker-content-digest"] if answer.status_code == 200 else None
    if not ledger.tags.found(where, found):
        return f"{repository}:{tag} is at {found}, not at one of {set(ledger.tags.possible(where))}"
    if found is not None and answer.content != ledger.manifests[found]:
        return f"{repository}:{tag}: the manifest is not whole"
    return None


if __name__ == "__main__":
    sys.exit(main())
