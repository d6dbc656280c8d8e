"""A hub behind nginx, with the configuration of docs/operations/proxies.md as it stands there."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import anyio.from_thread
import httpx

from tests.api.test_proxies import logged_address, realm
from tests.home import Home, push_image, running_server, settings_of
from tests.postgres import free_port

PAGE = Path(__file__).parents[2] / "docs/operations/proxies.md"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


@contextlib.contextmanager
def nginx(folder: Path, block: str) -> Iterator[None]:
    """nginx with one server block, in the foreground of a process of its own."""
    folder.mkdir()
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\n{block} }}\n"
    )
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_nginx_as_the_page_has_it(tmp_path: Path, portal: anyio.from_thread.BlockingPortal) -> None:
    [block] = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    port = free_port()
    data = tmp_path / "hub"
    with running_server(data, HOMEPORT_TRUSTED_PROXIES="127.0.0.1") as url:
        block = block.replace("8080", f"127.0.0.1:{port}").replace("http://127.0.0.1:8000", url)
        outside = f"http://127.0.0.1:{port}"
        with nginx(tmp_path / "nginx", block), contextlib.closing(Home(outside, settings_of(data), portal)) as home:
            wait_for(outside)
            # A push and a pull by the URLs that answers hold, with a layer that nginx would not keep in memory.
            name = home.repository("admin")
            client = home.registry(home.admin, name)
            push_image(client, name, "latest", text="x" * 3_000_000)
            assert client.get(f"/v2/{name}/manifests/latest").status_code == 200
            assert realm(home.anonymous) == outside
            # nginx puts the address that it sees behind the forged one, so that this one counts.
            forged = {"x-forwarded-for": "203.0.113.9", "x-forwarded-host": "evil.example.com"}
            with httpx.Client(base_url=outside, transport=httpx.HTTPTransport(local_address="127.0.0.2")) as client:
                assert logged_address(client, tmp_path / "hub.log", forged) == "127.0.0.2"
                assert realm(client, forged) == outside


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{url}/healthz").raise_for_status()
            return
        time.sleep(0.05)
    raise AssertionError("nginx did not become ready")
