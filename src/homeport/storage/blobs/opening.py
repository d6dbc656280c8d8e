"""Which blob store the settings ask for. The library of buckets is loaded only where there is one."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from homeport.errors import StoreUnavailable
from homeport.settings import Settings, SettingsError
from homeport.storage.blobs.filesystem import FilesystemStore
from homeport.storage.blobs.store import BlobStore

if TYPE_CHECKING:
    from homeport.storage.blobs.s3 import S3Store


async def open_store(settings: Settings) -> BlobStore:
    """The store, ready for use. A bucket is not asked: a worker can start while it is away.

    Raises:
        SettingsError, StoreUnavailable
    """
    return _bucket(settings) if settings.blob_url else await _folder(settings)


async def prepare_store(settings: Settings) -> None:
    """Make the folders, or try whether the bucket can do what is needed.

    Raises:
        SettingsError, StoreUnavailable
    """
    if not settings.blob_url:
        await _folder(settings)
        return
    # In a process of its own: the library has threads, and a server that is forked from one that had them hangs.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        problem = await asyncio.get_running_loop().run_in_executor(executor, _bucket_problem, settings)
    if problem is not None:
        raise problem[0](problem[1])


def _bucket_problem(settings: Settings) -> tuple[type[Exception], str] | None:
    """The error that a bucket cannot be used for, as class and argument: that is how it gets to another process."""
    try:
        asyncio.run(_bucket(settings).prepare())
    except StoreUnavailable as error:
        return StoreUnavailable, error.why
    except SettingsError as error:
        return SettingsError, str(error)
    return None


def _bucket(settings: Settings) -> "S3Store":
    try:
        from homeport.storage.blobs.s3 import S3Store  # noqa: PLC0415 - only who has a bucket needs it
    except ImportError:
        raise SettingsError("blob_url: buckets need the extra s3: pip install 'homeport[s3]'") from None
    return S3Store(settings)


async def _folder(settings: Settings) -> FilesystemStore:
    store = FilesystemStore(settings.blobs_path)
    await asyncio.to_thread(store.prepare)
    return store
