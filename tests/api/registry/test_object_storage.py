"""The registry over a bucket, at its front door: redirects and streams, several processes, dead processes, outages."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from homeport.app import open_services
from homeport.core import faults, uploads
from homeport.core.services import Services
from homeport.names import Digest
from homeport.settings import Settings, load
from homeport.storage.blobs.bucket import Bucket
from homeport.storage.blobs.leftovers import Leftovers
from homeport.storage.db import blobs as blob_rows
from tests.buckets import S3Server
from tests.conftest import NewHome
from tests.home import (
    ADMIN_PASSWORD,
    Home,
    clean_environment,
    digest_of,
    push_blob,
    push_image,
    running_server,
    unique,
    wait_until_ready,
)
from tests.meddling import Meddler
from tests.postgres import free_port

LARGE = bytes(range(256)) * 40_000
"""More than a part."""


@pytest.fixture(scope="module", params=["redirects", "streams"])
def bucket_home(request: pytest.FixtureRequest, new_home: NewHome, s3_server: S3Server) -> Iterator[Home]:
    if request.param == "redirects":
        with new_home("sqlite", **s3_server.variables()) as home:
            yield home
    else:
        others = {"HOMEPORT_BLOB_REDIRECTS": "false", "HOMEPORT_BLOB_CACHE_SIZE": str(100 * 1024**2)}
        with new_home("postgres", **s3_server.variables(**others)) as home:
            yield home


def token(url: str, name: str) -> dict[str, str]:
    parameters = {"scope": f"repository:{name}:pull,push,delete"}
    answer = httpx.get(f"{url}/token", params=parameters, auth=("admin", ADMIN_PASSWORD))
    return {"authorization": f"Bearer {answer.json()['token']}"}


def pull(client: httpx.Client, name: object, digest: str, **headers: str) -> httpx.Response:
    return client.get(f"/v2/{name}/blobs/{digest}", headers=headers, follow_redirects=True)


def objects(settings: Settings) -> list[str]:
    async def run() -> list[str]:
        return [found.path async for found in Bucket(settings).list("") if not found.path.startswith("probes/")]

    return asyncio.run(run())


def run_fsck(settings: Settings) -> tuple[int, dict[str, Any]]:
    """Status and outcome of `homeport fsck`."""
    names = ("database_url", "blob_url", "blob_endpoint", "blob_region", "blob_access_key_id", "blob_secret_access_key")
    variables = {f"HOMEPORT_{name.upper()}": str(getattr(settings, name)) for name in names}
    if settings.blob_cache_size:
        variables |= {"HOMEPORT_BLOB_REDIRECTS": "false", "HOMEPORT_BLOB_CACHE_SIZE": str(settings.blob_cache_size)}
    command = [sys.executable, "-m", "homeport", "fsck", "--json", "--data", str(settings.data)]
    run = subprocess.run(command, env=clean_environment(**variables), capture_output=True, text=True, check=False)
    return run.returncode, json.loads(run.stdout)


def fsck(settings: Settings) -> list[str]:
    """The kinds of what `homeport fsck` finds."""
    status, outcome = run_fsck(settings)
    assert "findings" in outcome, outcome
    assert status == bool(outcome["findings"])
    return [finding["kind"] for finding in outcome["findings"]]


async def _delete(services: Services, digest: str) -> str:
    """Take the bytes of a blob away behind the registry's back; their key."""
    async with services.db.read() as tx:
        blob = await blob_rows.get(tx, Digest(digest))
    assert blob is not None
    await services.blobs.delete(blob.storage_key)
    return blob.storage_key


def test_every_way_of_pushing_brings_a_blob_that_can_be_pulled(bucket_home: Home) -> None:
    name = f"admin/{unique('ways')}"
    client = bucket_home.registry(bucket_home.admin, name)
    uploads_url = f"/v2/{name}/blobs/uploads/"

    def at_once(content: bytes) -> httpx.Response:
        return client.post(uploads_url, params={"digest": digest_of(content)}, content=content)

    def whole_then_closed(content: bytes) -> httpx.Response:
        location = client.post(uploads_url).headers["location"]
        assert client.patch(location, content=content).status_code == 202
        return client.put(location, params={"digest": digest_of(content)})

    def closed_with_the_last_chunk(content: bytes) -> httpx.Response:
        location = client.post(uploads_url).headers["location"]
        half = len(content) // 2
        ranges = {"content-range": f"0-{half - 1}"}
        assert client.patch(location, content=content[:half], headers=ranges).headers["range"] == f"0-{half - 1}"
        return client.put(location, params={"digest": digest_of(content)}, content=content[half:])

    for push in (at_once, whole_then_closed, closed_with_the_last_chunk):
        for size in (3, len(LARGE)):
            content = push.__name__.encode() + LARGE[:size]
            assert push(content).status_code == 201
            got = pull(client, name, digest_of(content))
            assert (got.status_code, got.content) == (200, content)
            part = pull(client, name, digest_of(content), range="bytes=2-5")
            assert (part.status_code, part.content) == (206, content[2:6])
            head = client.head(f"/v2/{name}/blobs/{digest_of(content)}")
            assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
    assert push_blob(client, name, b"") == digest_of(b"")
    assert pull(client, name, digest_of(b"")).content == b""
    assert fsck(bucket_home.settings) == []


def test_a_redirect_is_made_for_who_may_pull_and_for_nobody_else(bucket_home: Home) -> None:
    if not bucket_home.settings.blob_redirects:
        client = bucket_home.registry(bucket_home.admin, "admin/streamed")
        digest = push_blob(client, "admin/streamed", b"streamed")
        answer = client.get(f"/v2/admin/streamed/blobs/{digest}")
        assert (answer.status_code, answer.content) == (200, b"streamed")
        return
    name = bucket_home.repository("admin", is_private=True)
    client = bucket_home.registry(bucket_home.admin, name)
    content = b"for few"
    path = f"/v2/{name}/blobs/{push_blob(client, name, content)}"
    answer = client.get(path)
    assert answer.status_code == 307
    assert answer.headers["location"].startswith(bucket_home.settings.blob_endpoint)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["docker-content-digest"] == digest_of(content)
    assert answer.headers["content-length"] == "0"
    assert f"X-Amz-Expires={bucket_home.settings.blob_redirect_lifetime}" in answer.headers["location"]
    assert httpx.get(answer.headers["location"]).content == content
    stranger = bucket_home.registry(bucket_home.user(), name)
    elsewhere = bucket_home.repository("admin")
    for refused in (
        bucket_home.anonymous.get(path),
        stranger.get(path),
        client.get(path.replace(name.name, elsewhere.name)),
    ):
        assert refused.status_code in (401, 403, 404)
        assert "location" not in refused.headers
        assert b"X-Amz" not in refused.content
    digest = digest_of(content)
    assert client.head(path).status_code == 200
    assert client.get(path, headers={"if-none-match": f'"{digest}"'}).status_code == 304
    assert client.get(path, headers={"range": "bytes=100-"}).status_code == 416
    resumed = client.get(path, headers={"range": "bytes=4-", "if-range": f'"{digest}"'})
    assert (resumed.status_code, resumed.content) == (206, b"few")


def test_what_is_streamed_is_kept_on_the_disk_and_comes_from_there(bucket_home: Home) -> None:
    if bucket_home.settings.blob_redirects:
        return
    name = f"admin/{unique('kept')}"
    client = bucket_home.registry(bucket_home.admin, name)
    content = b"kept" + LARGE
    digest = push_blob(client, name, content)
    folder = bucket_home.settings.blob_cache_path
    assert pull(client, name, digest, range="bytes=0-3").content == b"kept"
    before = {path.name for path in folder.glob("*")}
    assert pull(client, name, digest).content == content
    # The copy gets its name when it is synced, which nobody waits for.
    deadline = time.monotonic() + 20
    while not (copies := {path.name for path in folder.glob("*") if path.suffix != ".new"} - before):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (copy,) = copies
    # Nobody can tell where it came from, but for a byte that was changed there alone.
    with open(folder / copy, "r+b") as file:
        file.write(b"KEPT")
    assert pull(client, name, digest).content == b"KEPT" + LARGE
    assert pull(client, name, digest, range="bytes=2-5").content == b"PT" + LARGE[:2]
    # Who checks looks at the bucket.
    assert fsck(bucket_home.settings) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_upload_goes_on_at_another_process(
    tmp_path: Path, new_database: Callable[[str], str], s3_server: S3Server, kind: str
) -> None:
    variables = s3_server.variables(HOMEPORT_DATABASE_URL=new_database(kind), HOMEPORT_BLOB_REDIRECTS="false")
    with (
        running_server(tmp_path / "hub", **variables) as one,
        running_server(tmp_path / "hub", **variables) as two,
    ):
        headers = token(one, "admin/shared")
        content = os.urandom(100) + LARGE
        cuts = [0, 50, 60, 9_000_000, 9_000_001, len(content)]
        location = httpx.post(f"{one}/v2/admin/shared/blobs/uploads/", headers=headers).headers["location"]
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(httpx.Client(base_url=url, headers=headers)) for url in (one, two)]
            for number, (start, end) in enumerate(itertools.pairwise(cuts[:-1])):
                client = clients[number % 2]
                assert client.get(location).headers["range"] == f"0-{max(start - 1, 0)}"
                assert client.patch(location, content=content[start:end]).headers["range"] == f"0-{end - 1}"
            ended = clients[1].put(location, params={"digest": digest_of(content)}, content=content[cuts[-2] :])
            assert ended.status_code == 201, ended.text
            for client in clients:
                assert client.get(f"/v2/admin/shared/blobs/{digest_of(content)}").content == content
                assert client.get(location).status_code == 404


@contextlib.contextmanager
def serving(data: Path, **variables: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server that may be killed."""
    port = free_port()
    command = [sys.executable, "-m", "homeport", "serve", "--port", str(port), "--data", str(data)]
    environment = clean_environment(HOMEPORT_ADMIN_PASSWORD=ADMIN_PASSWORD, **variables)
    with open(data.parent / "log", "ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}", process
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def sweep(settings: Settings) -> None:
    async def run() -> None:
        async with open_services(settings) as services:
            await uploads.sweep(services)
            await uploads.sweep(services)

    asyncio.run(run())
    assert fsck(settings) == []


def test_what_a_killed_process_had_not_finished_counts_as_nothing(tmp_path: Path, s3_server: S3Server) -> None:
    data, variables = tmp_path / "hub", s3_server.variables(HOMEPORT_BLOB_REDIRECTS="false")
    content = b"0123456789" * 3_000_000
    with serving(data, **variables) as (url, process):
        headers = token(url, "admin/killed")
        location = httpx.post(f"{url}/v2/admin/killed/blobs/uploads/", headers=headers).headers["location"]
        httpx.patch(url + location, headers=headers, content=content[:10])
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            request = f"PATCH {location} HTTP/1.1\r\nhost: {host}\r\nauthorization: {headers['authorization']}\r\n"
            connection.sendall(f"{request}content-length: {len(content) - 10}\r\n\r\n".encode())
            connection.sendall(content[10:25_000_000])
            time.sleep(1)
            kill(process)
    leftovers, far = Leftovers(load(variables, data=data)), datetime.now(UTC) + timedelta(hours=1)
    assert len(asyncio.run(leftovers.find("blobs", before=far))) == 1
    with serving(data, **variables) as (url, _):
        answer = httpx.get(url + location, headers=headers)
        assert (answer.status_code, answer.headers["range"]) == (204, "0-9")
        assert httpx.patch(url + location, headers=headers, content=content[10:]).status_code == 202
        digest = digest_of(content)
        assert httpx.put(url + location, headers=headers, params={"digest": digest}).status_code == 201
        assert httpx.get(f"{url}/v2/admin/killed/blobs/{digest}", headers=headers).content == content
    settings = load(variables, data=data, upload_age_limit=1)
    time.sleep(2.1)
    sweep(settings)
    assert len(objects(settings)) == 1
    assert asyncio.run(leftovers.find("blobs", before=far)) == []


@pytest.mark.parametrize("point", [point for point in faults.POINTS if point.startswith(("upload", "blob"))])
def test_a_process_that_dies_at_any_step_leaves_nothing_wrong(tmp_path: Path, s3_server: S3Server, point: str) -> None:
    data, variables = tmp_path / "hub", s3_server.variables(HOMEPORT_BLOB_REDIRECTS="false")
    contents = [f"blob {number}".encode() for number in range(3)]
    acknowledged = []
    with (
        serving(data, **variables, **{faults.VARIABLE: f"{point}:2"}) as (url, _),
        httpx.Client(base_url=url, headers=token(url, "admin/dying")) as client,
        contextlib.suppress(httpx.TransportError),
    ):
        for content in contents:
            acknowledged.append(push_blob(client, "admin/dying", content))
    assert len(acknowledged) == 1
    settings = load(variables, data=data, upload_age_limit=1)
    time.sleep(2.1)
    sweep(settings)
    # The second one was published or not; what else there was is gone.
    assert len(objects(settings)) == (2 if point == "blob-committed" else 1)
    with (
        serving(data, **variables) as (url, _),
        httpx.Client(base_url=url, headers=token(url, "admin/dying")) as client,
    ):
        assert client.get(f"/v2/admin/dying/blobs/{acknowledged[0]}").content == contents[0]
        for content in contents:
            assert client.get(f"/v2/admin/dying/blobs/{push_blob(client, 'admin/dying', content)}").content == content
    sweep(settings)
    assert len(objects(settings)) == 3


def test_while_the_store_is_down_pushes_and_pulls_are_asked_to_come_back(tmp_path: Path, s3_server: S3Server) -> None:
    variables = s3_server.variables(HOMEPORT_BLOB_REDIRECTS="false")
    with (
        running_server(tmp_path / "hub", **variables) as url,
        httpx.Client(base_url=url, timeout=60, headers=token(url, "admin/up")) as client,
    ):
        manifest = push_image(client, "admin/up", "latest", text="before")
        digest = push_blob(client, "admin/up", LARGE)
        location = client.post("/v2/admin/up/blobs/uploads/").headers["location"]
        client.patch(location, content=b"begun ")
        s3_server.stop()
        try:
            for answer in (
                client.get(f"/v2/admin/up/blobs/{digest}"),
                client.get(f"/v2/admin/up/blobs/{digest}", headers={"range": "bytes=5-9"}),
                client.head(f"/v2/admin/up/blobs/{digest}"),
                client.post("/v2/admin/up/blobs/uploads/"),
                client.patch(location, content=b"lost"),
                client.put(location, params={"digest": digest_of(b"begun ")}),
                client.get(location),
            ):
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) > 0
                # It names no address of ours.
                assert "127.0.0.1" not in answer.text
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()["database"]) == (503, "ok")
            assert ready.json()["blobs"] != "ok"
            # What is in the database is served meanwhile.
            assert client.get("/v2/admin/up/manifests/latest").content == manifest
            assert client.get("/healthz").status_code == 200
            status, outcome = run_fsck(load(variables, data=tmp_path / "hub"))
            assert (status, list(outcome)) == (1, ["error"])
        finally:
            s3_server.start()
        assert client.get("/readyz").status_code == 200
        assert client.get(f"/v2/admin/up/blobs/{digest}").content == LARGE
        assert client.get(location).headers["range"] == "0-5"
        ended = client.put(location, params={"digest": digest_of(b"begun again")}, content=b"again")
        assert ended.status_code == 201
        assert client.get(f"/v2/admin/up/blobs/{digest_of(b'begun again')}").content == b"begun again"
    settings = load(variables, data=tmp_path / "hub", upload_age_limit=1)
    time.sleep(2.1)
    sweep(settings)
    assert len([path for path in objects(settings) if path.startswith("uploads/")]) == 0


def test_a_server_does_not_begin_its_life_without_its_bucket(tmp_path: Path, s3_server: S3Server) -> None:
    for wrong in ({"HOMEPORT_BLOB_URL": "s3://no-such-bucket"}, {"HOMEPORT_BLOB_SECRET_ACCESS_KEY": "another"}):
        variables = {**s3_server.variables(), **wrong}
        command = [sys.executable, "-m", "homeport", "serve", "--port", str(free_port()), "--data", str(tmp_path)]
        stopped = subprocess.run(
            command, env=clean_environment(**variables), capture_output=True, text=True, timeout=60, check=False
        )
        assert stopped.returncode == 1
        assert "blob store" in stopped.stderr
        assert "Traceback" not in stopped.stderr


def test_a_stream_that_breaks_off_is_never_taken_for_the_whole(tmp_path: Path, s3_server: S3Server) -> None:
    with Meddler(s3_server.endpoint).running() as meddler:
        variables = s3_server.variables(HOMEPORT_BLOB_REDIRECTS="false", HOMEPORT_BLOB_ENDPOINT=meddler.endpoint)
        with (
            running_server(tmp_path / "hub", **variables) as url,
            httpx.Client(base_url=url, timeout=60, headers=token(url, "admin/cut")) as client,
        ):
            digest = push_blob(client, "admin/cut", LARGE)
            meddler.fault = lambda asked: "cut answer" if asked.path.count("/blobs/") else None
            with contextlib.suppress(httpx.RemoteProtocolError):
                answer = client.get(f"/v2/admin/cut/blobs/{digest}")
                assert answer.status_code == 503
            meddler.always(None)
            assert client.get(f"/v2/admin/cut/blobs/{digest}").content == LARGE


def test_the_store_may_lose_bytes_and_a_push_mends_it(bucket_home: Home) -> None:
    name = f"admin/{unique('lost')}"
    client = bucket_home.registry(bucket_home.admin, name)
    content = b"to be lost " + name.encode()
    digest = push_blob(client, name, content)

    bucket_home.run(lambda services: _delete(services, digest))
    assert fsck(bucket_home.settings) == ["blob-missing"]
    assert client.head(f"/v2/{name}/blobs/{digest}").status_code == 404
    assert pull(client, name, digest).status_code == 404
    assert push_blob(client, name, content) == digest
    assert pull(client, name, digest).content == content
    assert fsck(bucket_home.settings) == []


def test_fsck_tells_of_objects_that_are_others_or_nobodys(bucket_home: Home) -> None:
    name = f"admin/{unique('checked')}"
    client = bucket_home.registry(bucket_home.admin, name)
    content = b"checked " + name.encode()
    digest = push_blob(client, name, content)
    bucket = Bucket(bucket_home.settings)
    key = bucket_home.run(lambda services: _delete(services, digest))
    asyncio.run(bucket.put(f"blobs/{key}", b"changed " + name.encode()))
    asyncio.run(bucket.put(f"blobs/{'ab' * 16}/cd", b"nobody's"))
    assert fsck(bucket_home.settings) == ["blob-content", "object-unknown"]
    asyncio.run(bucket.put(f"blobs/{key}", b"short"))
    assert fsck(bucket_home.settings) == ["blob-size", "object-unknown"]
    asyncio.run(bucket.delete([f"blobs/{'ab' * 16}/cd"]))
    asyncio.run(bucket.put(f"blobs/{key}", content))
    assert fsck(bucket_home.settings) == []


def test_pushes_of_the_same_content_leave_one_object(bucket_home: Home) -> None:
    name = f"admin/{unique('twice')}"
    client = bucket_home.registry(bucket_home.admin, name)
    content = b"twice " + name.encode()
    before = len(objects(bucket_home.settings))
    for _ in range(3):
        push_blob(client, name, content)
    assert len(objects(bucket_home.settings)) == before + 1
    location = client.post(f"/v2/{name}/blobs/uploads/").headers["location"]
    client.patch(location, content=b"given up")
    assert client.delete(location).status_code == 204
    assert len(objects(bucket_home.settings)) == before + 1
    assert client.get(location).status_code == 404
    wrong = client.post(f"/v2/{name}/blobs/uploads/", params={"digest": digest_of(b"other")}, content=b"this")
    assert wrong.status_code == 400
    assert len(objects(bucket_home.settings)) == before + 1
