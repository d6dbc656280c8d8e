"""`homeport serve` as a process: start, drain, workers, logs."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from homeport.app import open_services
from homeport.core import uploads
from homeport.settings import load
from tests.home import (
    ADMIN_PASSWORD,
    clean_environment,
    digest_of,
    push_blob,
    running_server,
    wait_until_ready,
)
from tests.postgres import free_port


@contextlib.contextmanager
def serving(data: Path, *arguments: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server whose output is in `out` and `log` beside its data."""
    port = free_port()
    command = [sys.executable, "-m", "homeport", "serve", "--port", str(port), "--data", str(data), *arguments]
    with open(data.parent / "out", "wb") as out, open(data.parent / "log", "wb") as log:
        process = subprocess.Popen(command, env=clean_environment(**variables), stdout=out, stderr=log)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            process.wait(timeout=60)


def token(url: str, name: str) -> dict[str, str]:
    parameters = {"scope": f"repository:{name}:pull,push"}
    answer = httpx.get(f"{url}/token", params=parameters, auth=("admin", ADMIN_PASSWORD))
    return {"authorization": f"Bearer {answer.json()['token']}"}


def test_the_first_start_prints_a_password_and_what_to_try(tmp_path: Path) -> None:
    data = tmp_path / "hub"
    with serving(data) as (url, _):
        out = (tmp_path / "out").read_text()
        assert f"Homeport listens on {url}" in out
        assert "docker login" in out
        assert "docker push" in out
        assert "curl http" in out
        password = out.partition("The password of admin is: ")[2].split()[0]
        login = httpx.post(f"{url}/v2/users/login", json={"username": "admin", "password": password})
        assert login.status_code == 200
        assert data.stat().st_mode & 0o777 == 0o700
    with serving(data):
        assert "password" not in (tmp_path / "out").read_text()


def test_health(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as (url, _):
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{url}/readyz").json()["status"] == "ok"
        blobs = tmp_path / "hub/blobs"
        blobs.rename(tmp_path / "elsewhere")
        time.sleep(1.2)  # what was found holds for a second
        broken = httpx.get(f"{url}/readyz")
        assert broken.status_code == 503
        assert broken.json()["blobs"] == "away"
        assert str(tmp_path) not in broken.text
        assert httpx.get(f"{url}/healthz").status_code == 200
        (tmp_path / "elsewhere").rename(blobs)
        time.sleep(1.2)
        assert httpx.get(f"{url}/readyz").status_code == 200


def test_a_running_upload_finishes_after_sigterm(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", HOMEPORT_ADMIN_PASSWORD=ADMIN_PASSWORD) as (url, process):
        headers = token(url, "admin/slow")
        location = httpx.post(f"{url}/v2/admin/slow/blobs/uploads/", headers=headers).headers["location"]
        content = b"x" * 1_000_000
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            request = (
                f"PUT {location}?digest={digest_of(content)} HTTP/1.1\r\nhost: {host}\r\n"
                f"authorization: {headers['authorization']}\r\ncontent-length: {len(content)}\r\n\r\n"
            )
            connection.sendall(request.encode() + content[:500_000])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(1)
            connection.sendall(content[500_000:])
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201"), answer[:200]
        assert process.wait(timeout=30) == 0
    with serving(tmp_path / "hub") as (url, _):
        got = httpx.get(f"{url}/v2/admin/slow/blobs/{digest_of(content)}", headers=token(url, "admin/slow"))
        assert got.content == content


def test_a_transfer_that_never_ends_does_not_hold_the_server_for_ever(tmp_path: Path) -> None:
    variables = {"HOMEPORT_ADMIN_PASSWORD": ADMIN_PASSWORD, "HOMEPORT_DRAIN_TIMEOUT": "2"}
    with serving(tmp_path / "hub", **variables) as (url, process):
        headers = token(url, "admin/slow")
        location = httpx.post(f"{url}/v2/admin/slow/blobs/uploads/", headers=headers).headers["location"]
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            request = f"PATCH {location} HTTP/1.1\r\nhost: {host}\r\nauthorization: {headers['authorization']}\r\n"
            connection.sendall(f"{request}content-length: 1000000\r\n\r\nbegun".encode())
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def test_several_workers_serve_one_hub(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", "--workers", "2", HOMEPORT_ADMIN_PASSWORD=ADMIN_PASSWORD) as (url, process):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        headers = token(url, "admin/shared")
        contents = [os.urandom(100) for _ in range(20)]
        for content in contents:
            # A connection of its own for each request: any worker may get it.
            begun = httpx.post(f"{url}/v2/admin/shared/blobs/uploads/", headers=headers)
            location = url + begun.headers["location"]
            assert httpx.patch(location, headers=headers, content=content[:50]).status_code == 202
            ended = httpx.put(location, headers=headers, params={"digest": digest_of(content)}, content=content[50:])
            assert ended.status_code == 201
        for content in contents:
            got = httpx.get(f"{url}/v2/admin/shared/blobs/{digest_of(content)}", headers=headers)
            assert got.content == content


def test_no_secret_is_in_any_log_line(tmp_path: Path) -> None:
    secrets = [ADMIN_PASSWORD]
    with (
        serving(tmp_path / "hub", HOMEPORT_ADMIN_PASSWORD=ADMIN_PASSWORD, HOMEPORT_LOG_LEVEL="debug") as (url, _),
        httpx.Client(base_url=url) as client,
    ):
        login = client.post(
            "/v2/users/login?refresh_token=true", json={"username": "admin", "password": ADMIN_PASSWORD}
        )
        secrets += login.json().values()
        bearer = {"authorization": f"Bearer {login.json()['token']}"}
        made = client.post("/v2/access-tokens", json={"token_label": "x", "scopes": ["repo:read"]}, headers=bearer)
        secrets.append(made.json()["token"])
        registry = token(url, "admin/x")
        secrets.append(registry["authorization"].removeprefix("Bearer "))
        client.get(f"/token?password={ADMIN_PASSWORD}&secret={made.json()['token']}", auth=("admin", "wrong-password"))
        client.get(f"/v2/access-tokens?token={made.json()['token']}", headers={"authorization": "Bearer wrong-bearer"})
        client.post("/v2/users/login", content=b'{"username": "admin", "password": "wrong-json"')
        secrets += ["wrong-password", "wrong-bearer", "wrong-json"]
        client.headers.update(registry)
        push_blob(client, "admin/x", b"x")
    log = (tmp_path / "log").read_text() + (tmp_path / "out").read_text()
    for secret in secrets:
        assert secret not in log
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request"]
    assert len(requests) > 8
    assert all(line["request_id"] and "?" not in line["path"] for line in requests)


def test_uploads_that_nobody_goes_on_with_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "hub"
    with running_server(data) as url:
        headers = token(url, "admin/left")
        for _ in range(3):
            location = url + httpx.post(f"{url}/v2/admin/left/blobs/uploads/", headers=headers).headers["location"]
            httpx.patch(location, headers=headers, content=b"left behind")
        assert len(list((data / "blobs").glob("*/*.part"))) == 3

        async def sweep(age_s: int) -> int:
            async with open_services(load({}, data=data, upload_age_limit=age_s)) as services:
                return await uploads.sweep(services)

        # A power cut may take an upload's row; its bytes are found by their age.
        (data / "blobs/ab" / f"{'ab' * 16}.part").write_bytes(b"without a row")
        assert asyncio.run(sweep(3600)) == 0
        time.sleep(1.1)
        httpx.patch(location, headers=headers, content=b"slowly")
        assert asyncio.run(sweep(1)) == 3
        assert httpx.get(location, headers=headers).status_code == 204
        time.sleep(1.1)
        assert asyncio.run(sweep(1)) == 1
        assert list((data / "blobs").glob("*/*.part")) == []
        assert httpx.get(location, headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HOMEPORT_PORT": "no"}, "HOMEPORT_PORT"),
        ({"HOMEPORT_NO_SUCH": "1"}, "unknown setting"),
        ({"HOMEPORT_DATABASE_URL": "postgresql://postgres@127.0.0.1:1/x"}, "database"),
        ({"HOMEPORT_DATABASE_URL": "postgresql://127.0.0.1/x?sslmode=odd"}, "sslmode"),
        ({"HOMEPORT_ADMIN_PASSWORD": "short"}, "8 to"),
        ({"HOMEPORT_HOST": "256.1.1.1"}, "cannot listen"),
        ({"HOMEPORT_HOST": "203.0.113.1"}, "cannot listen"),
        ({"HOMEPORT_DATA": "/dev/null"}, "cannot make the data folder"),
        ({"HOMEPORT_DATA": "/proc/homeport"}, "cannot make the data folder"),
    ],
)
def test_what_stops_the_start_is_said_in_a_line(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    stopped(words, **{"HOMEPORT_DATA": str(tmp_path / "hub"), "HOMEPORT_PORT": str(free_port()), **variables})


def test_a_blob_folder_that_is_none_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "blobs").touch()
    stopped("blob store", HOMEPORT_DATA=str(tmp_path), HOMEPORT_PORT=str(free_port()))


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as (url, _):
        port = url.rpartition(":")[2]
        stopped("cannot listen", HOMEPORT_DATA=str(tmp_path / "other"), HOMEPORT_PORT=port)
    assert not (tmp_path / "other").exists()


def test_a_name_and_port_0_become_an_address(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "homeport", "serve", "--host", "localhost", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--data", str(tmp_path / "hub")], env=clean_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3].rstrip(",")
        wait_until_ready(url, process)  # type: ignore[arg-type]  # text or bytes is all the same to it
        assert not url.endswith(":0")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_failed_logins_are_limited_by_address_whatever_the_name(tmp_path: Path) -> None:
    with running_server(tmp_path / "hub", HOMEPORT_LOGIN_ATTEMPTS_PER_ADDRESS="3") as url, httpx.Client() as client:
        for number, name in enumerate(("admin", "nobody", "admin")):
            secret = "wrong" if number else "dckr_pat_" + "x" * 27
            assert client.get(f"{url}/token", auth=(name, secret)).status_code == 401
        right = {"username": "admin", "password": ADMIN_PASSWORD}
        for answer in (
            client.get(f"{url}/token", auth=("admin", ADMIN_PASSWORD)),
            client.post(f"{url}/token", data={"grant_type": "password", **right}),
            client.post(f"{url}/v2/users/login", json=right),
            client.post(f"{url}/v2/auth/token", json={"identifier": "admin", "secret": ADMIN_PASSWORD}),
        ):
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 600
        assert client.get(f"{url}/token").status_code == 200  # who names nobody guesses nothing


def test_links_and_challenges_are_built_from_the_public_url(tmp_path: Path) -> None:
    public = "https://hub.example.com"
    with running_server(tmp_path / "hub", HOMEPORT_PUBLIC_URL=public) as url, httpx.Client(base_url=url) as client:
        challenge = client.get("/v2/").headers["www-authenticate"]
        assert challenge == f'Bearer realm="{public}/token",service="hub.example.com"'
        login = client.post("/v2/users/login", json={"username": "admin", "password": ADMIN_PASSWORD}).json()
        client.headers["authorization"] = f"Bearer {login['token']}"
        for label in "ab":
            client.post("/v2/access-tokens", json={"token_label": label, "scopes": ["repo:read"]})
        pages = [client.get(f"/v2/access-tokens?page_size=1&page={page}").json() for page in (1, 2)]
        assert pages[0]["next"] == f"{public}/v2/access-tokens?page=2&page_size=1"
        assert pages[1]["previous"] == f"{public}/v2/access-tokens?page=1&page_size=1"


def stopped(words: str, **variables: str) -> None:
    """`homeport serve` with these settings ends with a line that has these words."""
    done = subprocess.run(
        [sys.executable, "-m", "homeport", "serve"],
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
