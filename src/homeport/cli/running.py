"""Opens a Homeport for one command."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cyclopts import Parameter

from homeport.app import open_services
from homeport.cli.output import CommandError
from homeport.core.services import Services
from homeport.settings import Settings, load
from homeport.storage.db.marks import check_place
from homeport.storage.db.migrate import is_usable

T = TypeVar("T")

Data = Annotated[Path | None, Parameter(name="--data", help="The data folder (HOMEPORT_DATA).")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Answer with one JSON document.")]
PasswordStdin = Annotated[
    bool, Parameter(name="--password-stdin", negative=(), help="Read the password from standard input.")
]


def run(data: Path | None, command: Callable[[Services], Awaitable[T]]) -> T:
    """Run a command over the services of an existing Homeport.

    Raises:
        CommandError: there is none yet, or it is still to be migrated.
        SchemaTooNewError, SettingsError, HomeportError
    """
    return asyncio.run(run_with(load(data=data), command))


async def run_with(
    settings: Settings, command: Callable[[Services], Awaitable[T]], *, also_if_moved: bool = False
) -> T:
    """As `run`."""
    if settings.is_sqlite and not settings.sqlite_path.exists():
        raise CommandError(f"there is no Homeport in {settings.data}: `homeport migrate` or `homeport serve` makes one")
    if not also_if_moved:
        await check_place(settings)
    if not await is_usable(settings):
        raise CommandError("the database is not migrated to this version: run `homeport migrate`")
    # Commands look at the bucket itself: `fsck` would check copies, and drive out what others read.
    settings = msgspec.structs.replace(settings, blob_cache_size=0)
    async with open_services(settings) as services:
        return await command(services)


def read_password(*, from_stdin: bool) -> str:
    """A password from standard input, without its line end. Never from the command line, where others can see it."""
    if not from_stdin:
        raise CommandError("give the password on standard input with --password-stdin", status=2)
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError("standard input holds no password", status=2)
    return password
