"""The contract of a blob store: bytes under keys that are never used twice.

An upload gathers bytes under its id; `seal` checks them against a digest and gives them their lasting key, which holds
the upload's id, and a slash, which no id has. A key says nothing about being published: a blob exists when its row is
committed. So whoever removes the bytes of one key can never harm a later push of the same digest.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from homeport.names import Digest


class BlobStore(Protocol):
    async def begin(self, upload: str) -> None:
        """Make room for an upload. Not durable: an upload that is gone after a crash begins again at zero."""
        ...

    async def append(self, upload: str, body: AsyncIterator[bytes], *, offset: int, limit_bytes: int) -> int:
        """Write a stream behind the first `offset` bytes; how many bytes the upload has then.

        What came before the stream broke off is kept.

        Raises:
            UploadUnknown: nothing is kept under this id, or less than `offset` bytes.
            UploadBusy: another request is writing to it, or has written behind `offset` meanwhile. Of two that write at
                the same time one may find that only at its end; then nothing of what it wrote is kept.
            BlobTooLarge: more than `limit_bytes` in all.
            StoreFull, StoreUnavailable
        """
        ...

    async def size(self, upload: str) -> int | None:
        """How many bytes an upload has; None if nothing is kept under this id."""
        ...

    async def seal(self, upload: str, digest: Digest) -> str:
        """Make an upload durable under its lasting key, which is returned. The upload's id is free of it then.

        Raises:
            DigestMismatch: the bytes are others; they are discarded.
            UploadUnknown, UploadBusy, StoreFull, StoreUnavailable
        """
        ...

    async def discard(self, upload: str) -> None:
        """Forget an upload: gathered bytes, and a sealed key that was not published. Never fails for absence."""
        ...

    async def list_stale(self, *, before: datetime) -> list[str]:
        """Uploads that gather bytes and were not written to since a time."""
        ...

    def local_path(self, key: str) -> str | None:
        """The file that holds the bytes, where there is one that the server can send by itself.

        Raises:
            StoreUnavailable: it is missing.
        """
        ...

    async def url(self, key: str) -> str | None:
        """A URL where whoever has it can read the bytes for a short while; None if the server is to send them.

        Raises:
            StoreUnavailable
        """
        ...

    def read_cached(self, key: str, length: int) -> bytes | None:
        """All bytes of a small blob, if they are in memory and nothing has to wait for them; None otherwise."""
        ...

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` on.

        Raises:
            BlobUnknown: nothing is kept under the key.
            StoreUnavailable
        """
        ...

    async def stored_size(self, key: str) -> int | None:
        """How many bytes are kept under a key; None if none are.

        Raises:
            StoreUnavailable
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the bytes of a key. Never fails for absence."""
        ...

    def keys(self) -> AsyncIterator[tuple[str, int]]:
        """Each key with its size in bytes, in no order; uploads that are not sealed are left out."""
        ...

    def upload_of(self, key: str) -> str:
        """The id of the upload that a key was sealed for."""
        ...

    async def check(self) -> None:
        """Raises StoreUnavailable if nothing can be written now."""
        ...
