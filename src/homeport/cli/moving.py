"""`homeport move`."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homeport.cli.backups import Incomplete, find_errors, name_problems
from homeport.cli.output import CommandError, note, show
from homeport.cli.progress import Shown
from homeport.cli.running import Data, Json, run_with
from homeport.core import moving
from homeport.core.services import Services
from homeport.settings import CONFIG_VARIABLE, Settings, load
from homeport.storage.backup import Problems

_SETTINGS = {
    **dict.fromkeys(("postgresql", "postgres"), "database_url"),
    **dict.fromkeys(("s3", "gs", "az"), "blob_url"),
}

To = Annotated[
    Sequence[str],
    Parameter(help="Where to: `postgresql://…` for the database, `s3://…`, `gs://…` or `az://…` for the blobs."),
]


def move(
    *,
    to: To = (),
    settings: Annotated[Path | None, Parameter(help="The settings (TOML) that the hub runs with from then on.")] = None,
    ahead: Annotated[
        bool, Parameter(negative=(), help="Only copy blobs, while the hub runs; repeat as you like.")
    ] = False,
    incomplete: Incomplete = False,
    undo: Annotated[bool, Parameter(negative=(), help="Open the hub again that has moved.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Move the hub of the present settings to another database and store of blobs, where nothing may be yet. What is
    not named stays as the present settings have it.
    """
    present = load(data=data)
    if undo:
        left = asyncio.run(moving.undo(present))
        show({"left": left}, f"the hub is open here again; {left} is left as it is", json=json)
        return
    target = _target(to, settings, data)
    if ahead:
        _move_ahead(present, target, json=json)
    else:
        _move(present, target, json=json, is_complete=not incomplete)


def _target(to: Sequence[str], file: Path | None, data: Path | None) -> Settings:
    """Raises: CommandError, SettingsError."""
    if not to and file is None:
        raise CommandError("say where to, with --to URL or --settings FILE", status=2)
    flags: dict[str, object] = {}
    for url in to:
        name = _SETTINGS.get(url.partition("://")[0])
        if name is None:
            raise CommandError("--to: it has to begin with postgresql://, s3://, gs:// or az://", status=2)
        flags[name] = url
    if file is not None:
        return load({CONFIG_VARIABLE: str(file)}, **flags)
    return load(os.environ, data=data, **flags)


def _move_ahead(present: Settings, target: Settings, *, json: bool) -> None:
    async def verb(services: Services) -> Problems:
        with Shown() as progress:
            return await moving.move_ahead(services, target, progress)

    problems = asyncio.run(run_with(present, verb))
    name_problems(problems.named, problems.count)
    text = "the blobs have gone ahead"
    if problems.count:
        text += f", but for {problems.count} that cannot be read"
    show({"problems": problems.named}, text, json=json)


def _move(present: Settings, target: Settings, *, json: bool, is_complete: bool) -> None:
    async def verb(services: Services) -> None:
        with Shown() as progress:
            await moving.move(services, target, progress, is_complete=is_complete)

    asyncio.run(run_with(present, verb, also_if_moved=True))
    errors = find_errors(target)
    place = moving.described(target)
    note("Run the servers with the settings of the new place from now on; the old one takes nothing any more.")
    show({"moved_to": place, "errors": errors}, f"the hub is at {place} now; {errors} errors found", json=json)
    if errors:
        sys.exit(1)
