"""Measures Homeport's registry door beside Debian's docker-registry and nginx, in one run.

All servers run at once on the first core and the load on the second; they are measured one after the other in several
rounds, so that what else the machine does falls on all alike. The table gives medians, and ratios to the peers.

    python -m bench [--quick] [--rounds N] [--json FILE]
"""

import argparse
import contextlib
import json
import os
import platform
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench import load
from bench.load import MIB, Measured
from bench.servers import LOAD_CORE, PASSWORD, DockerRegistry, Homeport, Nginx

SMALL = 64 * 1024
LARGE = 100 * MIB
TAGS = 1000
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"

# What is measured: unit, and the goals against each peer.
GOALS: dict[str, tuple[str, dict[str, float]]] = {
    "manifest GET by tag": ("requests/s", {"docker-registry": 10}),
    "manifest GET by digest": ("requests/s", {}),
    "blob GET 64 KiB": ("requests/s", {"docker-registry": 10}),
    "blob GET 100 MiB": ("MiB/s", {"nginx": 1.0, "docker-registry": 1.2}),
    "push 1 MiB, POST+PATCH+PUT": ("pushes/s", {"docker-registry": 4}),
    "push 1 MiB, POST+PUT": ("pushes/s", {"docker-registry": 4}),
    "push 1 MiB, 4 clients": ("pushes/s", {"docker-registry": 4}),
    "push 100 MiB, POST+PATCH+PUT": ("MiB/s", {"docker-registry": 1.5}),
    "push 100 MiB, POST+PUT": ("MiB/s", {"docker-registry": 1.5}),
    "registry token with an access token": ("requests/s", {}),
    "tag list, first 10 of 1,000": ("requests/s", {}),
    "tag list, last 10 of 1,000": ("requests/s", {}),
    "tag list, 100 of 1,000": ("requests/s", {}),
}

Server = Homeport | DockerRegistry | Nginx


class Bench:
    """The running servers, and what they gave."""

    def __init__(self, servers: list[Server], *, is_quick: bool) -> None:
        self.servers = servers
        self.results: dict[str, dict[str, list[Measured]]] = {}
        self._seconds = 1 if is_quick else 3
        self._digests: dict[int, str] = {}
        self._manifest_digest = ""
        self._hub_headers: dict[str, str] = {}
        self._pat = ""

    def prepare(self) -> None:
        """The same contents everywhere, checked by their digests."""
        contents = {size: secrets.token_bytes(size) for size in (SMALL, LARGE)}
        manifest = b""
        for server in self.servers:
            headers = server.headers()
            for size, content in contents.items():
                self._digests[size] = load.digest_of(content)
                if isinstance(server, Nginx):
                    (server.files / str(size)).write_bytes(content)
                else:
                    with load.connect(server.port) as connection:
                        load.push(connection, server.repository, headers, content, way="PUT")
                got = httpx.get(server.url + self._blob_path(server, size), headers=headers, timeout=60)
                assert load.digest_of(got.content) == self._digests[size], server.name
            if not isinstance(server, Nginx):
                manifest = self._push_manifest(server, contents[SMALL])
        self._manifest_digest = load.digest_of(manifest)
        self._prepare_hub(manifest)

    def _push_manifest(self, server: Homeport | DockerRegistry, layer: bytes) -> bytes:
        config = json.dumps({"os": "linux", "architecture": "amd64", "padding": "x" * 500}).encode()
        with load.connect(server.port) as connection:
            load.push(connection, server.repository, server.headers(), config, way="PUT")
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": load.digest_of(config),
                    "size": len(config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": load.digest_of(layer),
                        "size": len(layer),
                    }
                ],
                "annotations": {"padding": "x" * 1200},
            }
        ).encode()
        url = f"{server.url}/v2/{server.repository}/manifests/latest"
        answer = httpx.put(url, content=manifest, headers={**server.headers(), "content-type": MANIFEST_TYPE})
        answer.raise_for_status()
        return manifest

    def _prepare_hub(self, manifest: bytes) -> None:
        """A thousand tags, an access token and a bearer token."""
        home = next(server for server in self.servers if isinstance(server, Homeport))
        with httpx.Client(base_url=home.url, headers={**home.headers(), "content-type": MANIFEST_TYPE}) as client:
            for number in range(0, TAGS, 100):
                tags = [f"v{number + offset}" for offset in range(100)]
                url = f"/v2/{home.repository}/manifests/{load.digest_of(manifest)}"
                client.put(url, params={"tag": tags}, content=manifest).raise_for_status()
            login = {"identifier": "admin", "secret": PASSWORD}
            token = client.post("/v2/auth/token", json=login).json()["access_token"]
            self._hub_headers = {"authorization": f"Bearer {token}"}
            body = {"token_label": "bench", "scopes": ["repo:read"]}
            made = client.post("/v2/access-tokens", json=body, headers=self._hub_headers)
            self._pat = made.json()["token"]

    def round(self) -> None:
        for what, measure in self._measures().items():
            for server in self.servers:
                value = measure(server)
                if value is not None:
                    self.results.setdefault(what, {}).setdefault(server.name, []).append(value)

    def _measures(self) -> dict[str, Callable[[Server], Measured | None]]:
        return {
            "manifest GET by tag": lambda server: self._manifest(server, "latest"),
            "manifest GET by digest": lambda server: self._manifest(server, self._manifest_digest),
            "blob GET 64 KiB": self._small_blob,
            "blob GET 100 MiB": self._large_blob,
            "push 1 MiB, POST+PATCH+PUT": lambda server: self._push(server, MIB, 60, 1, "PATCH"),
            "push 1 MiB, POST+PUT": lambda server: self._push(server, MIB, 60, 1, "PUT"),
            "push 1 MiB, 4 clients": lambda server: self._push(server, MIB, 80, 4, "PATCH"),
            "push 100 MiB, POST+PATCH+PUT": lambda server: self._push_large(server, "PATCH"),
            "push 100 MiB, POST+PUT": lambda server: self._push_large(server, "PUT"),
            "registry token with an access token": self._token,
            "tag list, first 10 of 1,000": lambda server: self._tags(server, "page_size=10"),
            "tag list, last 10 of 1,000": lambda server: self._tags(server, "page_size=10&page=100"),
            "tag list, 100 of 1,000": lambda server: self._tags(server, "page_size=100"),
        }

    def _manifest(self, server: Server, reference: str) -> Measured | None:
        if isinstance(server, Nginx):
            return None
        url = f"{server.url}/v2/{server.repository}/manifests/{reference}"
        headers = {**server.headers(), "accept": MANIFEST_TYPE}
        return load.requests_per_second(server.pid, url, headers, self._seconds)

    def _small_blob(self, server: Server) -> Measured:
        url = server.url + self._blob_path(server, SMALL)
        return load.requests_per_second(server.pid, url, server.headers(), self._seconds)

    def _large_blob(self, server: Server) -> Measured:
        path = self._blob_path(server, LARGE)
        return load.mebibytes_per_second(server.pid, server.port, path, server.headers(), times=8)

    def _blob_path(self, server: Server, size: int) -> str:
        if isinstance(server, Nginx):
            return f"/{size}"
        return f"/v2/{server.repository}/blobs/{self._digests[size]}"

    def _push(self, server: Server, size: int, count: int, clients: int, way: str) -> Measured | None:
        if isinstance(server, Nginx):
            return None
        return load.pushes_per_second(
            server.pid,
            server.port,
            server.repository,
            server.headers(),
            size=size,
            count=count,
            clients=clients,
            way=way,
        )

    def _push_large(self, server: Server, way: str) -> Measured | None:
        pushes = self._push(server, LARGE, 3, 1, way)
        return None if pushes is None else pushes.times(LARGE / MIB)

    def _token(self, server: Server) -> Measured | None:
        if not isinstance(server, Homeport):
            return None
        basic = httpx.BasicAuth("admin", self._pat)
        request = next(basic.auth_flow(httpx.Request("GET", server.url)))
        url = f"{server.url}/token?service=bench&scope=repository:{server.repository}:pull"
        return load.requests_per_second(
            server.pid, url, {"authorization": request.headers["authorization"]}, self._seconds
        )

    def _tags(self, server: Server, query: str) -> Measured | None:
        if not isinstance(server, Homeport):
            return None
        namespace, _, repository = server.repository.partition("/")
        url = f"{server.url}/v2/namespaces/{namespace}/repositories/{repository}/tags?{query}"
        return load.requests_per_second(server.pid, url, self._hub_headers, self._seconds)


def main() -> int:
    options = _options()
    for program in ("docker-registry", "nginx", "wrk"):
        if shutil.which(program) is None:
            _install()
            break
    os.sched_setaffinity(0, {LOAD_CORE} & os.sched_getaffinity(0) or os.sched_getaffinity(0))
    cache = Path(".cache")
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name).absolute()
        if os.geteuid() == 0:
            folder.chmod(0o755)
        home = Homeport(folder)
        servers: list[Server] = [home, DockerRegistry(folder), Nginx(folder)]
        began = time.perf_counter()
        home.pid = stack.enter_context(home.start()).pid
        start_s = time.perf_counter() - began
        time.sleep(1)
        idle_mib = load.proportional_mib(home.pid)
        for server in servers[1:]:
            server.pid = stack.enter_context(server.start()).pid
        bench = Bench(servers, is_quick=options.quick)
        bench.prepare()
        for number in range(options.rounds or (2 if options.quick else 5)):
            print(f"round {number + 1}", file=sys.stderr, flush=True)
            bench.round()
    report = {"first start, s": start_s, "idle, MiB": idle_mib, "machine": _machine(), "results": bench.results}
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1))
    _print(report)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--json", metavar="FILE", help="write all values into a file")
    return parser.parse_args()


def _install() -> None:
    """The peers and the load generator, from Debian."""
    if os.geteuid() != 0:
        sys.exit("Missing programs. On Debian: sudo apt-get install docker-registry nginx-light wrk")
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    packages = ["docker-registry", "nginx-light", "wrk"]
    subprocess.run(
        ["apt-get", "install", "-qq", "-y", *packages], check=True, env=environment, stdout=subprocess.DEVNULL
    )


def _machine() -> dict[str, str]:
    def first_line(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().partition("\n")[0]

    return {
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "docker-registry": first_line("docker-registry", "--version"),
        "nginx": first_line("nginx", "-v"),
    }


def _print(report: dict[str, Any]) -> None:
    print("| | homeport | docker-registry | ratio | nginx | ratio | goal | |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for what, values in report["results"].items():
        unit, goals = GOALS[what]
        medians = {name: statistics.median(one.per_second for one in found) for name, found in values.items()}
        ours = medians["homeport"]
        cells = [f"{what}, {unit}", f"{ours:,.0f}"]
        outcomes = []
        for peer in ("docker-registry", "nginx"):
            cells += [f"{medians[peer]:,.0f}", f"{ours / medians[peer]:.2f}"] if peer in medians else ["", ""]
            if peer in goals:
                outcomes.append(ours / medians[peer] >= goals[peer])
        cells.append(", ".join(f"{goal:g} x {peer}" for peer, goal in goals.items()))
        cells.append("" if not outcomes else "met" if all(outcomes) else "missed")
        print(f"| {' | '.join(cells)} |")
    print()
    _print_processor(report["results"])
    print()
    print(
        f"First start until ready: {report['first start, s']:.2f} s. Idle: {report['idle, MiB']:.0f} MiB (PSS) in two processes."
    )
    print("Machine: " + ", ".join(f"{name} {value}" for name, value in report["machine"].items()) + ".")


def _print_processor(results: dict[str, dict[str, list[Measured]]]) -> None:
    print("| µs of processor for one request, push or MiB | homeport | docker-registry | ratio | nginx | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for what, values in results.items():
        medians = {name: statistics.median(one.processor_us for one in found) for name, found in values.items()}
        cells = [what, f"{medians['homeport']:,.0f}"]
        for peer in ("docker-registry", "nginx"):
            cells += (
                [f"{medians[peer]:,.0f}", f"{medians[peer] / medians['homeport']:.2f}"] if peer in medians else ["", ""]
            )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
