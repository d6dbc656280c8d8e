"""How commands answer: text for people, one JSON document with `--json`, errors as one line and an exit status.

Exit status 1: it could not be done. 2: it was asked for wrongly.
"""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import msgspec

from homeport.errors import FieldInvalid, HomeportError
from homeport.settings import SettingsError
from homeport.storage.db.migrate import SchemaTooNewError


class CommandError(Exception):
    """What a person has to hear, with the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def show(value: Any, text: str, *, json: bool) -> None:
    """Print an outcome."""
    sys.stdout.write((msgspec.json.encode(value).decode() if json else text) + "\n")


def note(text: str) -> None:
    """Tell of progress, beside the outcome."""
    sys.stderr.write(text + "\n")


def when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def guarded(command: Callable[[], Any]) -> None:
    """Run the program; errors that are expected end it with a line, not with a traceback."""
    try:
        command()
    except (SettingsError, CommandError, HomeportError, SchemaTooNewError) as error:
        _fail(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: Exception) -> NoReturn:
    text = str(error)
    if isinstance(error, FieldInvalid):
        text += ": " + "; ".join(f"{name}: {' '.join(lines)}" for name, lines in error.fields.items())
    if "--json" in sys.argv:
        sys.stdout.write(msgspec.json.encode({"error": text}).decode() + "\n")
    else:
        sys.stderr.write(f"homeport: {text}\n")
    status = 2 if isinstance(error, SettingsError) else getattr(error, "status", 1)
    sys.exit(status)
