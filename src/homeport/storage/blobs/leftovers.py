"""Multipart uploads that a dead process left in S3: bytes that cost money, and that no list of objects shows.

The library neither lists nor aborts what another process began, so the two requests that this takes are made and signed
here (AWS Signature Version 4, in headers). It works with a key that the settings or the environment hold; a machine's
role is known to the library alone, and leaves this to a lifecycle rule of the bucket, as Google and Azure do.
"""

import asyncio
import hashlib
import hmac
import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

import msgspec
import structlog

from homeport.settings import Settings

log = structlog.get_logger()

TIMEOUT_S = 30.0
PAGES_LIMIT = 100
"""Of a thousand each; the next sweep goes on."""

_NOTHING = hashlib.sha256(b"").hexdigest()


class Leftover(msgspec.Struct, frozen=True):
    """A multipart upload to a path under the prefix of `blob_url`, which may still be alive."""

    path: str
    id: str
    begun_at: datetime


class Leftovers:
    """The unfinished multipart uploads of one bucket."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        parts = urlsplit(settings.blob_url)
        self._prefix = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        self._region = (
            settings.blob_region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        )
        endpoint = urlsplit(settings.blob_endpoint or f"https://s3.{self._region}.amazonaws.com")
        if settings.blob_path_style:
            self._base = f"{endpoint.scheme}://{endpoint.netloc}/{parts.netloc}"
        else:
            self._base = f"{endpoint.scheme}://{parts.netloc}.{endpoint.netloc}"
        self._token = ""
        self._key_id, self._secret = settings.blob_access_key_id, settings.blob_secret_access_key
        if not self._key_id:
            self._key_id = environ.get("AWS_ACCESS_KEY_ID", "")
            self._secret = environ.get("AWS_SECRET_ACCESS_KEY", "")
            self._token = environ.get("AWS_SESSION_TOKEN", "")
        self._is_able = parts.scheme == "s3" and bool(self._key_id and self._secret)

    async def find(self, folder: str, *, before: datetime) -> list[Leftover]:
        """Those under a folder that began before a time; none where they cannot be asked for."""
        return await asyncio.to_thread(self._find, folder, before) if self._is_able else []

    async def abort(self, leftover: Leftover) -> None:
        await asyncio.to_thread(self._ask, "DELETE", self._prefix + leftover.path, {"uploadId": leftover.id})

    def _find(self, folder: str, before: datetime) -> list[Leftover]:
        found: list[Leftover] = []
        marker: dict[str, str] = {}
        for _ in range(PAGES_LIMIT):
            answer = self._ask("GET", "", {"uploads": "", "prefix": f"{self._prefix}{folder}/", **marker})
            if answer is None:
                break
            page = ET.fromstring(answer)  # noqa: S314 - our own store's
            found += [leftover for leftover in map(self._leftover, page.findall("{*}Upload")) if leftover]
            if page.findtext("{*}IsTruncated") != "true":
                break
            marker = {
                "key-marker": page.findtext("{*}NextKeyMarker") or "",
                "upload-id-marker": page.findtext("{*}NextUploadIdMarker") or "",
            }
        return [leftover for leftover in found if leftover.begun_at < before]

    def _leftover(self, element: ET.Element) -> Leftover | None:
        key = element.findtext("{*}Key") or ""
        # Some stores take the prefix for a hint.
        if not key.startswith(self._prefix):
            return None
        begun_at = datetime.fromisoformat(element.findtext("{*}Initiated") or "")
        return Leftover(key.removeprefix(self._prefix), element.findtext("{*}UploadId") or "", begun_at)

    def _ask(self, method: str, key: str, query: Mapping[str, str]) -> bytes | None:
        """The body of an answer; None for one that is no success, which the log tells of."""
        text = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
        url = f"{self._base}/{quote(key, safe='/-_.~')}" if key else self._base
        headers = self._signed(method, url, text, datetime.now(UTC))
        request = Request(f"{url}?{text}", method=method, headers=headers)  # noqa: S310 - the settings' own scheme
        try:
            with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except OSError as error:
            status = error.code if isinstance(error, HTTPError) else None
            log.warning("multipart uploads", method=method, status=status, reason=str(error))
            return None

    def _signed(self, method: str, url: str, query: str, now: datetime) -> dict[str, str]:
        parts = urlsplit(url)
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": parts.netloc, "x-amz-content-sha256": _NOTHING, "x-amz-date": moment}
        if self._token:
            headers["x-amz-security-token"] = self._token
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = f"{method}\n{parts.path or '/'}\n{query}\n{lines}\n{names}\n{_NOTHING}"
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self._secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        credential = f"Credential={self._key_id}/{scope},SignedHeaders={names},Signature={signature}"
        return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}
