"""`homeport …` as processes in groups of their own, so that all of one can be killed at once."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.home import clean_environment


def started(log: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """A command that runs beside this process; what it writes is appended to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "homeport", *arguments],
            env=clean_environment(**variables),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def ended(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended, with its status and what it wrote."""
    return subprocess.run(
        [sys.executable, "-m", "homeport", *arguments],
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the whole group at once: no process gets to tidy up."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def serving(process: subprocess.Popen[bytes]) -> int | None:
    """The process that serves; None once it, or the one that watches over it, is dead."""
    if process.poll() is not None:
        return None
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            if "\nState:\tZ" not in Path(f"/proc/{child}/status").read_text():
                return int(child)
    return None
