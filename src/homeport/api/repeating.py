"""Requests whose change was taken back by the database, for it crossed another, are handled once more.

PostgreSQL ends one of two transactions that wait for each other (deadlock, 40P01), or that could not have come one
after the other (serialization failure, 40001). Nothing of it is kept, so that the same request can begin anew: if none
of its transactions was kept, and it does nothing but read and write rows. Whatever cannot be repeated, or has been so
often enough, gets the 503 of its door.
"""

import asyncio
import random
from collections.abc import Callable

from homeport.api.http import ROUTE, Application, Message, Receive, Scope, Send
from homeport.settings import Settings
from homeport.storage.db.database import ATTEMPT, Attempt

WAITS_S = (0.05, 0.2)
"""How long to wait at most before the second try, and before the third and last."""

RECORDED_BYTES_LIMIT = 8 * 1024 * 1024
"""What of a body is kept for another try: enough for any manifest and any list of members."""


def repeating(app: Application, settings: Settings, *, unless: Callable[[str], bool] | None = None) -> Application:
    """A door, or what is behind its limits, with other tries; `unless` tells paths where more than rows is changed.

    SQLite has one writer: there nothing crosses anything.
    """
    return app if settings.is_sqlite else _Repeating(app, unless)


class _Repeating:
    def __init__(self, app: Application, unless: Callable[[str], bool] | None) -> None:
        self._app = app
        self._unless = unless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._unless is not None and self._unless(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = _Body(receive)
        for wait_s in WAITS_S:
            if await self._is_answered(scope, body, send):
                return
            await asyncio.sleep(random.uniform(wait_s / 10, wait_s))  # noqa: S311 - so that two do not meet again
        await self._app(scope, body.again(), send)

    async def _is_answered(self, scope: Scope, body: "_Body", send: Send) -> bool:
        """Handle the request; False if it was as if it had never come."""
        attempt = Attempt()
        is_held = False

        async def sent(message: Message) -> None:
            nonlocal is_held
            if message["type"] == "http.response.start" and message["status"] == 503:
                is_held = attempt.may_be_repeated and body.is_kept
            if not is_held:
                await send(message)

        token = ATTEMPT.set(attempt)
        # A framework writes into the scope what it has found out of a request.
        own_scope = {**scope, "state": dict(scope.get("state") or {})}
        try:
            await self._app(own_scope, body.again(), sent)
        finally:
            ATTEMPT.reset(token)
            if ROUTE in own_scope:
                scope[ROUTE] = own_scope[ROUTE]
        return not is_held


class _Body:
    """The messages of a request, which can be read from the beginning again."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []
        self._size_bytes = 0
        self.is_kept = True

    def again(self) -> Receive:
        """The messages from the first one on."""
        kept = iter(tuple(self._messages))

        async def receive() -> Message:
            return next(kept, None) or await self._next()

        return receive

    async def _next(self) -> Message:
        message = await self._receive()
        self._size_bytes += len(message.get("body") or b"")
        if self._size_bytes > RECORDED_BYTES_LIMIT:
            self.is_kept = False
            self._messages.clear()
        if self.is_kept:
            self._messages.append(message)
        return message
