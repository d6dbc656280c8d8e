"""A place for a hub, empty or not, and the program run on it."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.settings import DEFAULTS, Settings
from tests.home import Home, clean_environment, running_server

_numbers = itertools.count(1)


class Place:
    def __init__(self, data: Path, **variables: str) -> None:
        self.data = data
        self.variables = variables

    @classmethod
    def of(cls, home: Home) -> "Place":
        names = [name for name in Settings.__struct_fields__ if name.startswith(("database_", "valkey_", "blob_"))]
        values = {name: getattr(home.settings, name) for name in names}
        set_ = {name: value for name, value in values.items() if value != getattr(DEFAULTS, name)}
        return cls(home.settings.data, **{f"HOMEPORT_{name.upper()}": str(value) for name, value in set_.items()})

    def run(self, *arguments: object, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "homeport", *map(str, arguments), "--data", str(self.data)],
            input=stdin,
            capture_output=True,
            text=True,
            env=clean_environment(**self.variables, **more),
            check=False,
            timeout=120,
        )

    def ok(self, *arguments: object, **more: str) -> str:
        done = self.run(*arguments, **more)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def answer(self, *arguments: object) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def refuses(self, *arguments: object, **more: str) -> str:
        """What a command says on one line that could not be done."""
        done = self.run(*arguments, **more)
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr

    @contextlib.contextmanager
    def serving(self, **more: str) -> Iterator[str]:
        with running_server(self.data, **self.variables, **more) as url:
            yield url


def files_of(folder: Path) -> dict[str, int]:
    """The files below a folder, with what tells that one was written anew."""
    return {
        str(path.relative_to(folder)): os.stat(path).st_ino
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".part")
    }


@pytest.fixture
def new_place(tmp_path: Path, new_database: Callable[[str], str]) -> Callable[[str], Place]:
    """Makes an empty place with a kind of database."""

    def make(kind: str) -> Place:
        url = new_database(kind)
        return Place(tmp_path / f"place{next(_numbers)}", **({"HOMEPORT_DATABASE_URL": url} if url else {}))

    return make
