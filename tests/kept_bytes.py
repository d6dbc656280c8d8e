"""The bytes that a Homeport keeps, in a folder or a bucket: how often, and what befalls them."""

import asyncio
from pathlib import Path

from homeport.core.services import Services
from homeport.storage.blobs.bucket import Bucket
from homeport.storage.db import blobs as blob_rows
from tests.home import Home


def lose(home: Home, digest: str) -> None:
    """Take the bytes of a blob away."""

    async def verb(services: Services) -> None:
        await services.blobs.delete(await _key(services, digest))

    home.run(verb)


def overwrite(home: Home, digest: str, content: bytes) -> None:
    """Put other bytes in the place of a blob's."""

    async def verb(services: Services) -> None:
        key = await _key(services, digest)
        if path := services.blobs.local_path(key):
            await asyncio.to_thread(Path(path).write_bytes, content)
        else:
            await Bucket(services.settings).put(f"blobs/{key}", content)

    home.run(verb)


def times_kept(home: Home, content: bytes) -> int:
    """How often the store has a content."""

    async def verb(services: Services) -> int:
        store = services.blobs
        alike = [key async for key, size in store.keys() if size == len(content)]  # noqa: SIM118 - no mapping
        found = [b"".join([chunk async for chunk in store.read(key)]) for key in alike]
        return found.count(content)

    return home.run(verb)


def keys_of_upload(home: Home, upload: str) -> list[str]:
    """What the store has sealed of an upload."""

    async def verb(services: Services) -> list[str]:
        store = services.blobs
        return [key async for key, _ in store.keys() if store.upload_of(key) == upload]  # noqa: SIM118 - no mapping

    return home.run(verb)


async def _key(services: Services, digest: str) -> str:
    async with services.db.read() as tx:
        blob = await blob_rows.get(tx, digest)
    assert blob is not None
    return blob.storage_key
