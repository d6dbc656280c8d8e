"""Passwords: argon2id at OWASP's parameters (19 MiB, two passes), in a small pool of threads.

The pool is small on purpose: logins queue, and leave the processor to everything else.
"""

import asyncio
import functools
import os
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from homeport.errors import FieldInvalid

LENGTH_LIMIT = 1024
"""Characters; more would only cost time."""

LENGTH_MINIMUM = 8

THREADS = 2

_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")


# A forked server process must not wait for threads that only its parent has.
os.register_at_fork(after_in_child=_pool.cache_clear)


# What an account without a password is compared with, so that it takes as long as one that has it.
_NOBODY = _hasher.hash("nobody has this password")


def check_new(password: str, *, field: str = "password") -> None:
    """Raises FieldInvalid if a password cannot be given to an account; `field` is what the caller calls it."""
    if not LENGTH_MINIMUM <= len(password) <= LENGTH_LIMIT:
        raise FieldInvalid({field: [f"Use {LENGTH_MINIMUM} to {LENGTH_LIMIT} characters."]}, "invalid password")


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_pool(), _hasher.hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether a password is right; takes as long when there is no hash to compare with."""
    if len(password) > LENGTH_LIMIT:
        password = password[:LENGTH_LIMIT] + "\0too long"
    verified = await asyncio.get_running_loop().run_in_executor(_pool(), _verify, password, password_hash or _NOBODY)
    return verified and password_hash is not None


def _verify(password: str, password_hash: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
