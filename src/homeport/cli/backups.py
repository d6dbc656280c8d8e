"""`homeport export`, `homeport import`."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from homeport.cli.maintenance import find
from homeport.cli.output import note, show
from homeport.cli.progress import Shown, sized
from homeport.cli.running import Data, Json, run, run_with
from homeport.core import backups
from homeport.core.services import Services
from homeport.settings import Settings, load
from homeport.storage.backup import Manifest, Problem

Incomplete = Annotated[
    bool, Parameter(negative=(), help="Go without blobs that are missing or wrong; `homeport fsck` names them then.")
]


def export(folder: Path, /, *, data: Data = None, json: Json = False) -> None:
    """Back up everything to a folder while the hub runs; into a folder with a backup, what is new since. Exit status 1
    if a blob could not be saved; all the rest is.
    """

    async def verb(services: Services) -> Manifest:
        with Shown() as progress:
            return await backups.export(services, folder, progress)

    manifest = run(data, verb)
    name_problems(manifest.problems, manifest.problem_count)
    text = f"{counted(manifest)} in {folder}"
    if manifest.problem_count:
        text += f": INCOMPLETE, {manifest.problem_count} blobs could not be saved"
    show({**summary(manifest), "problems": manifest.problems}, text, json=json)
    if manifest.problem_count:
        sys.exit(1)


def import_(
    folder: Path,
    /,
    *,
    check: Annotated[bool, Parameter(negative=(), help="Read the whole backup, and change nothing.")] = False,
    incomplete: Incomplete = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Bring a backup to an empty place: no database yet or one without tables, and nothing where the blobs go."""
    if check:
        _check(folder, json=json)
        return
    settings = load(data=data)
    with Shown() as progress:
        manifest = asyncio.run(backups.import_(settings, folder, progress, is_complete=not incomplete))
    errors = find_errors(settings)
    shown = {**summary(manifest), "errors": errors}
    show(shown, f"{counted(manifest)} from {folder}; {errors} errors found", json=json)
    if errors:
        sys.exit(1)


def _check(folder: Path, *, json: bool) -> None:
    with Shown() as progress:
        problems = asyncio.run(backups.check(folder, progress))
    name_problems(problems.named, problems.count)
    show({"problems": problems.named}, f"{problems.count} blobs are missing or wrong", json=json)
    if problems.count:
        sys.exit(1)


def find_errors(settings: Settings) -> int:
    """How many errors the check finds that `homeport fsck --fast` makes: the bytes were hashed when they came."""
    findings = asyncio.run(run_with(settings, lambda services: find(services, is_fast=True)))
    return sum(finding.severity == "error" for finding in findings)


def name_problems(problems: Sequence[Problem], count: int) -> None:
    for problem in problems:
        note(f"blob {problem.digest}: {problem.why}")
    if count > len(problems):
        note(f"and {count - len(problems)} more")


def summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "schema": manifest.revision,
        "begun_at": manifest.begun_at,
        "rows": manifest.row_count,
        "blobs": manifest.blob_count,
        "blob_bytes": manifest.blob_bytes,
    }


def counted(manifest: Manifest) -> str:
    return f"{manifest.row_count} rows and {manifest.blob_count} blobs of {sized(manifest.blob_bytes)}"
