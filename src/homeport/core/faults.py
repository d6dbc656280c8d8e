"""Named points of a push, and of a copy of a hub, at which a test may stop the process dead (`make crash`).

`HOMEPORT_FAULT_POINT=blob-committed:3` kills the process with SIGKILL at the third passage of that point. Where it is
not set a point costs one comparison.
"""

import os
import signal

POINTS = (
    "upload-row-written",
    "upload-received",
    "upload-sealed",
    "blob-uncommitted",
    "blob-committed",
    "manifest-uncommitted",
    "manifest-committed",
    "tag-delete-uncommitted",
    "tag-delete-committed",
)
COPY_POINTS = ("rows-written", "copied-blob", "rows-loaded", "hub-left")
VARIABLE = "HOMEPORT_FAULT_POINT"

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)


def point(name: str) -> None:
    """Die here, if this is the place and time."""
    if name == _name:
        _pass()


def _pass() -> None:
    global _left  # noqa: PLW0603 - the state of one process
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
