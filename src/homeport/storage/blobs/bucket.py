"""One bucket of an object store, through obstore: S3 and what speaks it, Google Cloud Storage, Azure.

The only module that knows the library. Every call ends within a bounded time: requests and the pauses between them have
limits, and a stream that stands still is given up. What goes wrong is `StoreUnavailable`, with a reason that says
nothing of addresses; the library's own words go to the log.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import obstore
import structlog
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from homeport.errors import BlobUnknown, StoreFull, StoreUnavailable
from homeport.settings import Settings, SettingsError

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig, S3Config

log = structlog.get_logger()

CONNECT_TIMEOUT = timedelta(seconds=5)
REQUEST_TIMEOUT = timedelta(seconds=30)
"""For one try of a request, its body included: parts of a few mebibytes, small objects, pages of lists."""
STALL_TIMEOUT = timedelta(seconds=30)
"""After which a download that brings nothing is given up."""
RETRY_TIMEOUT = timedelta(seconds=10)
MAX_RETRIES = 4
CHECK_TIMEOUT_S = 5.0

CHUNK_BYTES = 1024 * 1024
PARTS_IN_FLIGHT = 2

# Ceph says QuotaExceeded with 403, others answer 507.
_FULL = ("QuotaExceeded", "507 Insufficient Storage")

Version = dict[str, str]
"""What a conditional write compares: an entity tag, a generation, or both."""


class Found(msgspec.Struct, frozen=True):
    """What is told of an object."""

    path: str
    size: int
    modified_at: datetime


class Bucket:
    """Objects under the prefix that `blob_url` names."""

    def __init__(self, settings: Settings) -> None:
        """Raises: SettingsError: the library does not take the settings."""
        # A download may take as long as it brings something; anything else is over soon.
        self._store = _connect(settings, {"timeout": REQUEST_TIMEOUT})
        self._reader = _connect(settings, {"timeout": timedelta(days=7), "read_timeout": STALL_TIMEOUT})

    async def put(self, path: str, content: bytes) -> None:
        """Write an object at once.

        Raises:
            StoreFull, StoreUnavailable: as all others.
        """
        with _explained(path):
            await self._store.put_async(path, content, use_multipart=False, attributes=_ATTRIBUTES)

    async def create(self, path: str, content: bytes) -> Version | None:
        """Write an object if there is none; None if there is one."""
        with _explained(path):
            try:
                return _version(await self._store.put_async(path, content, mode="create"))
            except AlreadyExistsError:
                return None

    async def swap(self, path: str, content: bytes, version: Version) -> Version | None:
        """Write an object in the place of a version of it; None if that is not what is there."""
        mode: Any = version
        with _explained(path):
            try:
                return _version(await self._store.put_async(path, content, mode=mode))
            except (PreconditionError, AlreadyExistsError, FileNotFoundError):
                return None

    async def fetch(self, path: str) -> tuple[bytes, Version] | None:
        """A small object with its version; None if there is none."""
        with _explained(path):
            try:
                found = await self._store.get_async(path)
                return bytes(await found.bytes_async()), _version(found.meta)
            except FileNotFoundError:
                await self._confirm_missing(path)
                return None

    async def upload(self, path: str, parts: AsyncIterator[bytes], *, part_bytes: int) -> None:
        """Write an object of parts that have this size each, but for the last. It is there when all of it is.

        What the iterator raises is raised here, and nothing is kept.
        """
        with _explained(path):
            await self._store.put_async(
                path,
                parts,
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=PARTS_IN_FLIGHT,
                attributes=_ATTRIBUTES,
            )

    async def open(
        self, path: str, *, start: int = 0, length: int | None = None
    ) -> tuple[int, AsyncGenerator[bytes, None]]:
        """How large an object is, and its bytes from `start` on, no more and no less than `length`.

        Raises:
            BlobUnknown: there is no such object.
        """
        options: Any = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        with _explained(path):
            try:
                found = await self._reader.get_async(path, options=options)
            except FileNotFoundError:
                await self._confirm_missing(path)
                raise BlobUnknown(path) from None
        if length is not None and found.range != (start, start + length):
            raise StoreUnavailable(f"{path} is shorter than it was")
        return found.meta["size"], _chunks(path, found)

    async def size(self, path: str) -> int | None:
        """How large an object is; None if there is none."""
        found = await self._head(path)
        return None if found is None else found.size

    async def modified_at(self, path: str) -> datetime | None:
        """When an object was written; None if there is none."""
        found = await self._head(path)
        return None if found is None else found.modified_at

    async def _head(self, path: str) -> Found | None:
        with _explained(path):
            try:
                return _found(await self._store.head_async(path))
            except FileNotFoundError:
                await self._confirm_missing(path)
                return None

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove objects, whether or not they are there."""
        if not paths:
            return
        with _explained(paths[0]):
            try:
                await self._store.delete_async(list(paths))
                return
            except FileNotFoundError:  # Google and Azure tell; S3 does not
                pass
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    await self._store.delete_async(path)

    async def list(self, folder: str) -> AsyncIterator[Found]:
        """What is in a folder, at any depth."""
        with _explained(folder):
            async for page in self._store.list(folder):
                for meta in page:
                    yield _found(meta)

    async def sign(self, path: str, *, lifetime_s: int) -> str:
        """A URL with which anybody can read an object for so long."""
        with _explained(path):
            store: Any = self._store  # `from_url` may give stores that cannot sign; `_connect` does not ask for those
            return await obstore.sign_async(store, "GET", path, timedelta(seconds=lifetime_s))

    async def check(self, path: str) -> None:
        """Raises: StoreUnavailable: nothing can be written now."""
        try:
            await asyncio.wait_for(self.put(path, b""), CHECK_TIMEOUT_S)
        except TimeoutError:
            raise StoreUnavailable("it does not answer in time") from None

    async def _confirm_missing(self, path: str) -> None:
        """A bucket that is not there answers as an object does that is not there: a list tells them apart.

        Raises:
            StoreUnavailable: through the caller's `_explained`.
        """
        async for _ in self._store.list(path, chunk_size=1):
            break


async def _chunks(path: str, found: "GetResult") -> AsyncGenerator[bytes, None]:
    left = found.range[1] - found.range[0]
    with _explained(path):
        async for chunk in found.stream(CHUNK_BYTES):
            left -= len(chunk)
            yield bytes(chunk)
    if left:
        raise StoreUnavailable(f"{path} broke off")


_ATTRIBUTES: Any = {"Content-Type": "application/octet-stream"}


def _connect(settings: Settings, client: "ClientConfig") -> Any:
    is_plain = settings.blob_endpoint.startswith("http://")
    options: ClientConfig = {**client, "connect_timeout": CONNECT_TIMEOUT}
    if is_plain:
        options["allow_http"] = True
    retries: RetryConfig = {
        "max_retries": MAX_RETRIES,
        "retry_timeout": RETRY_TIMEOUT,
        "backoff": {"max_backoff": timedelta(seconds=2)},
    }
    config: Any = _s3_config(settings) if settings.blob_url.startswith("s3://") else None
    try:
        return from_url(settings.blob_url, config=config, client_options=options, retry_config=retries)
    except (BaseError, ValueError) as error:
        raise SettingsError(f"blob_url: {str(error).partition(chr(10))[0]}") from None


def _s3_config(settings: Settings) -> "S3Config":
    config: S3Config = {}
    if settings.blob_endpoint:
        config["endpoint"] = settings.blob_endpoint
    if settings.blob_region:
        config["region"] = settings.blob_region
    if settings.blob_access_key_id:
        config["access_key_id"] = settings.blob_access_key_id
        config["secret_access_key"] = settings.blob_secret_access_key
    if not settings.blob_path_style:
        config["virtual_hosted_style_request"] = True
        if settings.blob_endpoint:
            # The library wants the bucket's own host there.
            parts = urlsplit(settings.blob_endpoint)
            config["endpoint"] = f"{parts.scheme}://{urlsplit(settings.blob_url).netloc}.{parts.netloc}"
    if settings.blob_encryption:
        config["server_side_encryption"] = settings.blob_encryption
    if settings.blob_kms_key_id:
        config["sse_kms_key_id"] = settings.blob_kms_key_id
    return config


def _found(meta: Any) -> Found:
    return Found(meta["path"], meta["size"], meta["last_modified"])


def _version(result: Any) -> Version:
    return {name: result[name] for name in ("e_tag", "version") if result[name] is not None}


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """The library's errors in our words."""
    try:
        yield
    except FileNotFoundError as error:
        raise _logged(error, path, "it has no such bucket") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _logged(error, path, "it refuses us") from error
    except BaseError as error:
        raise _logged(error, path, "it does not answer as it should") from error


def _logged(error: Exception, path: str, why: str) -> StoreFull | StoreUnavailable:
    # The first line says what was tried and how it ended; the others show the library's inner state.
    text = str(error).partition("\n")[0][:500]
    log.warning("object store", path=path, reason=text)
    return StoreFull() if any(sign in str(error) for sign in _FULL) else StoreUnavailable(why)
