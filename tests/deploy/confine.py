"""Runs a command as a unit's restrictions have it, without systemd: `confine.py UNIT COMMAND…`.

For Debian's own Python with Debian's `python3-seccomp`. The mounts are made by whoever calls.
"""

import contextlib
import errno
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import seccomp

unit, command = Path(sys.argv[1]), sys.argv[2:]
settings = [
    (name, words.split())
    for name, is_setting, words in (line.partition("=") for line in unit.read_text().splitlines())
    if is_setting and not name.startswith("#")
]


def only(name: str) -> list[str]:
    [words] = [words for key, words in settings if key == name]
    return words


def calls(group: str) -> set[str]:
    """The calls of a group, as the systemd of this machine knows it."""
    if not group.startswith("@"):
        return {group}
    done = subprocess.run(["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True)
    words = [line.strip() for line in done.stdout.splitlines()[1:]]
    return set().union(*(calls(word) for word in words if word and not word.startswith("#")))


allowed: set[str] = set()
for words in (words for name, words in settings if name == "SystemCallFilter"):
    if words[0].startswith("~"):
        allowed -= set().union(*(calls(word.lstrip("~")) for word in words))
    else:
        allowed |= set().union(*(calls(word) for word in words))
families = [int(getattr(socket, name)) for name in only("RestrictAddressFamilies")]
assert only("MemoryDenyWriteExecute") == only("NoNewPrivileges") == only("RestrictNamespaces") == ["yes"]
assert only("CapabilityBoundingSet") == []

rules = seccomp.SyscallFilter(defaction=seccomp.ERRNO(getattr(errno, only("SystemCallErrorNumber")[0])))
masked, equal = seccomp.MASKED_EQ, seccomp.EQ
for call in sorted(allowed - {"socket", "mmap", "mprotect", "pkey_mprotect"}):
    # Some are of other architectures.
    with contextlib.suppress(RuntimeError, ValueError):
        rules.add_rule(seccomp.ALLOW, call)
for family in families:
    rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, equal, family))
# No memory that is written and executed, at once or in turn.
rules.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, masked, mmap.PROT_WRITE, 0))
rules.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, masked, mmap.PROT_EXEC, 0))
rules.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, masked, mmap.PROT_EXEC, 0))
rules.load()


def refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False


# It holds: otherwise what follows would show nothing.
assert refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC))
assert refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
assert refused(lambda: os.chroot("/"))
assert refused(lambda: Path("/written").touch())
os.execv(command[0], command)
