"""What is of buckets alone among the blob stores; the rest is in `test_blobs.py`."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import msgspec
import pytest

from homeport.errors import StoreUnavailable, UploadBusy, UploadUnknown
from homeport.names import Digest
from homeport.settings import Settings, load
from homeport.storage.blobs import bucket, s3
from homeport.storage.blobs.bucket import Bucket
from homeport.storage.blobs.leftovers import Leftovers
from homeport.storage.blobs.s3 import PART_BYTES, S3Store, part_bytes
from tests.buckets import ACCESS_KEY_ID, READ_ONLY_KEY_ID, SECRET_ACCESS_KEY, S3Server
from tests.home import digest_of
from tests.meddling import Fault, Meddler
from tests.storage.test_blobs import UNLIMITED, begun, keys, sealed, stream, whole

SMALLEST_PART_BYTES = 5 * 1024**2
"""S3 takes no smaller one, but for the last."""
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def settings(s3_server: S3Server) -> Settings:
    return load(s3_server.variables())


@pytest.fixture
def store(settings: Settings) -> S3Store:
    return S3Store(settings)


@pytest.fixture
def meddler(s3_server: S3Server) -> Iterator[Meddler]:
    with Meddler(s3_server.endpoint).running() as meddler:
        yield meddler


def behind(meddler: Meddler, server: S3Server, **others: str) -> Settings:
    """An empty place behind the meddler."""
    return load(server.variables(HOMEPORT_BLOB_ENDPOINT=meddler.endpoint, **others))


async def objects(settings: Settings) -> list[str]:
    """Everything that there is."""
    return [found.path async for found in Bucket(settings).list("")]


async def _all_keys(store: S3Store) -> None:
    await keys(store)


CALLS: dict[str, Callable[[S3Store, str, str], Coroutine[Any, Any, object]]] = {
    "prepare": lambda store, _, __: store.prepare(),
    "begin": lambda store, _, __: store.begin(uuid4().hex),
    "append": lambda store, upload, _: store.append(upload, stream(b"x"), offset=0, limit_bytes=UNLIMITED),
    "size": lambda store, upload, _: store.size(upload),
    "seal": lambda store, upload, _: store.seal(upload, Digest(digest_of(b""))),
    "discard": lambda store, upload, _: store.discard(upload),
    "list_stale": lambda store, _, __: store.list_stale(before=LONG_AGO),
    "read": lambda store, _, key: whole(store, key),
    "read a range": lambda store, _, key: whole(store, key, start=1, length=1),
    "stored_size": lambda store, _, key: store.stored_size(key),
    "delete": lambda store, _, key: store.delete(key),
    "keys": lambda store, _, __: _all_keys(store),
    "check": lambda store, _, __: store.check(),
}


@pytest.mark.parametrize("fault", ["refuse", "500", "hang", "lose answer"])
def test_a_store_that_does_not_answer_is_unavailable_whatever_is_asked(
    s3_server: S3Server, meddler: Meddler, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(bucket, "MAX_RETRIES", 1)

    async def run() -> None:
        variables = s3_server.variables()
        near = S3Store(load(variables))
        upload = await begun(near)
        _, key = await sealed(near, b"abc")
        monkeypatch.setattr(bucket, "REQUEST_TIMEOUT", timedelta(seconds=0.4))
        monkeypatch.setattr(bucket, "STALL_TIMEOUT", timedelta(seconds=0.4))
        far = S3Store(load({**variables, "HOMEPORT_BLOB_ENDPOINT": meddler.endpoint}))
        meddler.always(fault)
        for call in CALLS.values():
            with pytest.raises(StoreUnavailable):
                await call(far, upload, key)
        if fault != "lose answer":
            assert await whole(near, key) == b"abc"
            assert await near.size(upload) == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "wrong",
    [
        {"HOMEPORT_BLOB_SECRET_ACCESS_KEY": "another"},
        {"HOMEPORT_BLOB_ACCESS_KEY_ID": "nobody"},
        {"HOMEPORT_BLOB_URL": "s3://no-such-bucket/prefix"},
    ],
)
def test_who_is_not_let_in_hears_of_no_missing_blob(s3_server: S3Server, wrong: dict[str, str]) -> None:
    async def run() -> None:
        store = S3Store(load({**s3_server.variables(), **wrong}))
        for name, call in CALLS.items():
            if name == "delete" and "HOMEPORT_BLOB_URL" in wrong:
                continue  # where there is no bucket there is nothing left to delete, say some
            with pytest.raises(StoreUnavailable):
                await call(store, "0" * 32, f"{'0' * 32}/key")

    asyncio.run(run())


def test_who_may_only_read_cannot_begin_but_reads(s3_server: S3Server) -> None:
    async def run() -> None:
        variables = s3_server.variables()
        _, key = await sealed(S3Store(load(variables)), b"abc")
        reader = S3Store(load({**variables, "HOMEPORT_BLOB_ACCESS_KEY_ID": READ_ONLY_KEY_ID}))
        assert await whole(reader, key) == b"abc"
        for name in ("prepare", "begin", "check"):
            with pytest.raises(StoreUnavailable):
                await CALLS[name](reader, "0" * 32, key)

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["refuse", "500"])
def test_a_moment_of_trouble_is_nobodys_trouble(s3_server: S3Server, meddler: Meddler, fault: Fault) -> None:
    async def run() -> None:
        store = S3Store(behind(meddler, s3_server))
        for number in range(9):
            meddler.once(number, fault)
            _, key = await sealed(store, b"abc")
            meddler.once(0, fault)
            assert await whole(store, key) == b"abc"

    # A condition that fails at the second try because the first was kept is told apart by what stands there.
    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "chunks"),
    [
        *((fault, [b"hello ", b"world"]) for fault in ("refuse", "500", "lose answer")),
        ("lose answer", [b"x" * SMALLEST_PART_BYTES, b"y" * (SMALLEST_PART_BYTES + 1)]),
    ],
)
def test_whatever_request_fails_a_client_that_tries_again_gets_its_blob_and_nothing_else_is_left(
    s3_server: S3Server,
    meddler: Meddler,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    chunks: list[bytes],
) -> None:
    monkeypatch.setattr(bucket, "MAX_RETRIES", 0)
    monkeypatch.setattr(s3, "PART_BYTES", SMALLEST_PART_BYTES)
    content = b"".join(chunks)

    async def push(store: S3Store, upload: str) -> str:
        """What a client does that knows how to go on."""
        while (size := await store.size(upload)) is None:
            await store.begin(upload)
        for end in (len(chunks[0]), len(content)):
            if size < end:
                size = await store.append(upload, stream(content[size:end]), offset=size, limit_bytes=UNLIMITED)
        return await store.seal(upload, Digest(digest_of(content)))

    async def push_again(store: S3Store, upload: str) -> str | None:
        try:
            return await push(store, upload)
        except UploadUnknown:  # it was sealed, and nobody heard the key: the sweeper discards it
            await store.discard(upload)
            return None

    async def run() -> None:
        variables = s3_server.variables()
        near, far = load(variables), load({**variables, "HOMEPORT_BLOB_ENDPOINT": meddler.endpoint})
        for number in range(100):
            upload = uuid4().hex
            store = S3Store(far)
            meddler.once(number, fault)
            before = len(meddler.asked)
            try:
                key: str | None = await push(store, upload)
            except StoreUnavailable:
                key = await push_again(S3Store(far), upload)
            is_past_the_last = len(meddler.asked) - before <= number
            store = S3Store(near)
            await store.list_stale(before=datetime.now(UTC) + timedelta(hours=1))
            assert await objects(near) == ([f"blobs/{key}"] if key else [])
            if key:
                assert await whole(store, key) == content
                await store.delete(key)
            if is_past_the_last:
                break
        assert 10 < number < 99

    asyncio.run(run())


def test_parts_have_one_size(s3_server: S3Server, meddler: Meddler) -> None:
    async def run() -> None:
        store = S3Store(behind(meddler, s3_server))
        content = b"0123456789" * 3_000_000
        chunks = [content[start : start + 123_457] for start in range(0, len(content), 123_457)]
        upload = await begun(store)
        await store.append(upload, stream(*chunks), offset=0, limit_bytes=UNLIMITED)
        sizes = sorted((asked.size_bytes for asked in meddler.asked if "partNumber=" in asked.path), reverse=True)
        assert sizes == [PART_BYTES] * 3 + [len(content) - 3 * PART_BYTES]

    asyncio.run(run())


def test_parts_grow_so_that_the_largest_blob_has_no_more_than_stores_take() -> None:
    assert part_bytes(64 * 1024**3) == PART_BYTES
    assert part_bytes(1024**4) * 10_000 >= 1024**4
    assert part_bytes(2**62) * 10_000 >= 5 * 1024**4


def test_a_body_is_asked_for_no_faster_than_it_is_taken(s3_server: S3Server, meddler: Meddler) -> None:
    asked_for = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked_for
        while True:
            asked_for += 1
            yield b"x" * 1_000_000

    async def run() -> None:
        store = S3Store(behind(meddler, s3_server))
        upload = await begun(store)
        meddler.fault = lambda asked: "hang" if "partNumber=" in asked.path else None
        writing = asyncio.create_task(store.append(upload, endless(), offset=0, limit_bytes=UNLIMITED))
        await asyncio.wait([writing], timeout=3)
        assert not writing.done()
        assert PART_BYTES < asked_for * 1_000_000 < 5 * PART_BYTES
        writing.cancel()
        await asyncio.wait([writing])

    asyncio.run(run())


def test_an_answer_that_breaks_off_is_never_taken_for_the_whole(
    s3_server: S3Server, meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "MAX_RETRIES", 1)

    async def run() -> None:
        store = S3Store(behind(meddler, s3_server))
        _, key = await sealed(store, b"0123456789" * 1000)
        meddler.always("cut answer")
        for bounds in ({}, {"start": 5, "length": 5000}):
            with pytest.raises(StoreUnavailable):
                await whole(store, key, **bounds)

    asyncio.run(run())


def test_a_store_without_conditions_is_refused(s3_server: S3Server, meddler: Meddler) -> None:
    async def run() -> None:
        settings = behind(meddler, s3_server)
        await S3Store(settings).prepare()
        assert await objects(settings) == []
        meddler.always("forget conditions")
        with pytest.raises(StoreUnavailable, match="conditions"):
            await S3Store(settings).prepare()

    asyncio.run(run())


def test_many_small_chunks_make_one_object(settings: Settings, store: S3Store) -> None:
    async def run() -> None:
        upload = await begun(store)
        for size in range(30):
            await store.append(upload, stream(b"x"), offset=size, limit_bytes=UNLIMITED)
        assert len(await objects(settings)) == 2
        key = await store.seal(upload, Digest(digest_of(b"x" * 30)))
        assert await objects(settings) == [f"blobs/{key}"]

    asyncio.run(run())


def test_who_comes_late_is_told_that_another_wrote(store: S3Store) -> None:
    async def run() -> None:
        upload = await begun(store)
        await store.append(upload, stream(b"hello"), offset=0, limit_bytes=UNLIMITED)
        with pytest.raises(UploadBusy):
            await store.append(upload, stream(b"other"), offset=0, limit_bytes=UNLIMITED)
        assert await store.size(upload) == 5

    asyncio.run(run())


def test_a_request_that_goes_on_after_the_end_leaves_nothing(settings: Settings, store: S3Store) -> None:
    async def run(*, ends: str) -> None:
        upload = await begun(store)
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"slow"
            entered.set()
            await leave.wait()

        late = asyncio.create_task(store.append(upload, slow(), offset=0, limit_bytes=UNLIMITED))
        await entered.wait()
        key = ""
        if ends == "sealed":
            key = await S3Store(settings).seal(upload, Digest(digest_of(b"")))
        else:
            await S3Store(settings).discard(upload)
        leave.set()
        with pytest.raises(UploadUnknown):
            await late
        assert await objects(settings) == ([f"blobs/{key}"] if key else [])
        await store.discard(upload)

    asyncio.run(run(ends="sealed"))
    asyncio.run(run(ends="discarded"))


def test_a_seal_that_a_dead_process_left_is_ended_by_the_sweeper(
    settings: Settings, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise StoreUnavailable("dead")

    async def run() -> None:
        upload = await begun(store)
        await store.append(upload, stream(b"x" * PART_BYTES), offset=0, limit_bytes=UNLIMITED)
        await store.append(upload, stream(b"y"), offset=PART_BYTES, limit_bytes=UNLIMITED)
        monkeypatch.setattr(store, "_tidy", die)
        key = await store.seal(upload, Digest(digest_of(b"x" * PART_BYTES + b"y")))
        assert await store.size(upload) is None
        assert len(await objects(settings)) == 4
        other = S3Store(settings)
        for late in (other.seal(upload, Digest(digest_of(b""))), _append(other, upload)):
            with pytest.raises(UploadUnknown):
                await late
        assert await other.list_stale(before=datetime.now(UTC) + timedelta(hours=1)) == []
        assert await objects(settings) == [f"blobs/{key}"]

    asyncio.run(run())


async def _append(store: S3Store, upload: str) -> None:
    await store.append(upload, stream(b"x"), offset=0, limit_bytes=UNLIMITED)


def test_a_long_request_keeps_its_upload_from_the_sweeper(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_touch_interval_s", 0)

    async def run() -> None:
        upload = await begun(store)
        moment = LONG_AGO

        async def slow() -> AsyncIterator[bytes]:
            nonlocal moment
            await asyncio.sleep(1.5)
            moment = datetime.now(UTC)
            await asyncio.sleep(1.5)
            yield b"x" * PART_BYTES
            yield b"x" * PART_BYTES
            assert await store.list_stale(before=moment) == []

        await store.append(upload, slow(), offset=0, limit_bytes=UNLIMITED)
        assert await store.size(upload) == 2 * PART_BYTES

    asyncio.run(run())


def test_half_an_object_is_taken_away_once_nobody_can_be_writing_it(settings: Settings, store: S3Store) -> None:
    async def run() -> None:
        leftovers = Leftovers(settings)
        far = datetime.now(UTC) + timedelta(hours=1)

        async def left() -> int:
            return len(await leftovers.find("blobs", before=far))

        alive, dead = await begun(store), uuid4().hex
        for number, upload in enumerate((alive, dead, dead)):
            # What a process does first that dies then; any of its names may hold odd characters.
            path = f"{urlsplit(settings.blob_url).path.strip('/')}/blobs/{upload}/{number} +é"
            assert leftovers._ask("POST", path, {"uploads": ""})
        assert await left() == 3
        assert await leftovers.find("blobs", before=LONG_AGO) == []
        await store.list_stale(before=LONG_AGO)
        assert await left() == 3
        await asyncio.sleep(1.5)
        moment = datetime.now(UTC)
        await asyncio.sleep(1.5)
        await store.append(alive, stream(b"x"), offset=0, limit_bytes=UNLIMITED)
        await store.list_stale(before=moment)
        assert await left() == 1
        assert await store.list_stale(before=far) == [alive]
        assert await left() == 0

    asyncio.run(run())


def test_half_an_object_is_left_to_a_rule_of_the_bucket_where_the_key_is_unknown(settings: Settings) -> None:
    role = msgspec.structs.replace(settings, blob_access_key_id="", blob_secret_access_key="")
    wrong = msgspec.structs.replace(settings, blob_secret_access_key="another")
    down = msgspec.structs.replace(settings, blob_endpoint="http://127.0.0.1:1")
    for leftovers in (Leftovers(role, {}), Leftovers(wrong), Leftovers(down)):
        assert asyncio.run(leftovers.find("blobs", before=datetime.now(UTC))) == []
    environ = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    by_environment = Leftovers(role, environ)
    path = f"{urlsplit(settings.blob_url).path.strip('/')}/blobs/x/y"
    assert by_environment._ask("POST", path, {"uploads": ""})
    (found,) = asyncio.run(by_environment.find("blobs", before=datetime.now(UTC) + timedelta(hours=1)))
    assert found.path == "blobs/x/y"
    asyncio.run(by_environment.abort(found))


def test_a_signed_url_opens_one_blob_for_a_while(s3_server: S3Server) -> None:
    async def run() -> tuple[str, str, str]:
        store = S3Store(load(s3_server.variables(HOMEPORT_BLOB_REDIRECT_LIFETIME="8")))
        _, key = await sealed(store, b"0123456789")
        _, other = await sealed(store, b"another")
        url = await store.url(key)
        assert url is not None
        assert await S3Store(load(s3_server.variables(HOMEPORT_BLOB_REDIRECTS="false"))).url(key) is None
        return url, key, other

    url, key, other = asyncio.run(run())
    assert httpx.get(url).content == b"0123456789"
    ranged = httpx.get(url, headers={"range": "bytes=2-4"})
    assert (ranged.status_code, ranged.content) == (206, b"234")
    assert httpx.get(url.replace(key, other)).status_code == 403
    assert httpx.put(url, content=b"x").status_code == 403
    time.sleep(9.1)
    assert httpx.get(url).status_code == 403


def test_every_object_is_encrypted_as_the_settings_ask(s3_server: S3Server) -> None:
    async def run() -> list[str | None]:
        store = S3Store(load(s3_server.variables(HOMEPORT_BLOB_ENCRYPTION="AES256")))
        upload = await begun(store)
        await store.append(upload, stream(b"x" * PART_BYTES), offset=0, limit_bytes=UNLIMITED)
        await store.append(upload, stream(b"y"), offset=PART_BYTES, limit_bytes=UNLIMITED)
        joined = await store.seal(upload, Digest(digest_of(b"x" * PART_BYTES + b"y")))
        assert await whole(store, joined) == b"x" * PART_BYTES + b"y"
        _, small = await sealed(store, b"small")
        _, large = await sealed(store, b"z" * PART_BYTES)
        return [await store.url(key) for key in (joined, small, large)]

    for url in asyncio.run(run()):
        assert url is not None
        assert httpx.get(url).headers["x-amz-server-side-encryption"] == "AES256"


def test_with_a_folder_the_library_of_buckets_is_not_loaded() -> None:
    code = "import sys, homeport.app, homeport.cli.main; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
