"""Which blob store the settings ask for. The library of buckets is loaded only where there is one."""

import asyncio

from homeport.metrics import NOT_MEASURED, Metrics
from homeport.settings import Settings, SettingsError
from homeport.storage.blobs.filesystem import FilesystemStore
from homeport.storage.blobs.store import BlobStore
from homeport.storage.blobs.trial import try_bucket


async def open_store(settings: Settings, metrics: Metrics = NOT_MEASURED) -> BlobStore:
    """The store, ready for use. A bucket is not asked: a worker can start while it is away.

    Raises:
        SettingsError, StoreUnavailable
    """
    if not settings.blob_url:
        return await _folder(settings)
    try:
        from homeport.storage.blobs.s3 import S3Store  # noqa: PLC0415 - only who has a bucket needs it
    except ImportError:
        raise SettingsError("blob_url: buckets need the extra s3: pip install 'homeport[s3]'") from None
    return S3Store(settings, metrics)


async def prepare_store(settings: Settings) -> None:
    """Make the folders, or try whether the bucket can do what is needed.

    Raises:
        SettingsError, StoreUnavailable
    """
    if settings.blob_url:
        await try_bucket(settings)
    else:
        await _folder(settings)


async def _folder(settings: Settings) -> FilesystemStore:
    store = FilesystemStore(settings.blobs_path)
    await asyncio.to_thread(store.prepare)
    return store
