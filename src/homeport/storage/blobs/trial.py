"""Tries a bucket in a process of its own.

The library has threads, and a process that is forked from one that had them hangs: the one that starts the workers of a
server must never use it.
"""

import asyncio
import os
import sys

import msgspec

from homeport.errors import StoreUnavailable
from homeport.logs import configure_logs
from homeport.settings import PREFIX, Settings, SettingsError, load

_ERRORS: dict[str, type[StoreUnavailable] | type[SettingsError]] = {
    error.__name__: error for error in (StoreUnavailable, SettingsError)
}


async def try_bucket(settings: Settings) -> None:
    """Try whether a bucket can do what is needed.

    Raises:
        SettingsError, StoreUnavailable
    """
    names = [name for name in Settings.__struct_fields__ if name.startswith(("blob_", "log_"))]
    variables = {f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in names}
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, env={**others, **variables}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    problem = msgspec.json.decode(output, type=tuple[str, str] | None)
    if problem is not None:
        raise _ERRORS[problem[0]](problem[1])


def _problem() -> tuple[str, str] | None:
    try:
        from homeport.storage.blobs.s3 import S3Store  # noqa: PLC0415 - it may not be there
    except ImportError:
        return SettingsError.__name__, "blob_url: buckets need the extra s3: pip install 'homeport[s3]'"
    settings = load()
    configure_logs(settings)  # they go elsewhere than the outcome
    try:
        asyncio.run(S3Store(settings).prepare())
    except StoreUnavailable as error:
        return StoreUnavailable.__name__, error.why
    except SettingsError as error:
        return SettingsError.__name__, str(error)
    return None


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_problem()))
