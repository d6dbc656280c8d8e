"""How many pulls are left, in the headers that Docker Hub has for it on manifests. Pulls are counted by `manifests`.

In front of the door and only where a limit is set: without one, no request pays for it.
"""

from homeport.api.http import Application, Headers, Message, Receive, Request, Scope, Send, bearer_token
from homeport.core import limits
from homeport.core.access import ANONYMOUS, Actor
from homeport.core.services import Services
from homeport.errors import HomeportError

_METHODS = ("GET", "HEAD")


class PullLimits:
    """Adds the headers to the answers on manifests."""

    def __init__(self, app: Application, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def limited(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = await self._headers(Request(scope, receive), status=message["status"])
                message["headers"] = [*message["headers"], *found]
            await send(message)

        is_pull = scope["method"] in _METHODS and scope["path"].split("/")[-2:-1] == ["manifests"]
        await self._app(scope, receive, limited if is_pull else send)

    async def _headers(self, request: Request, *, status: int) -> Headers:
        """What is left, and whose it is. Who is sent for a token may come back as another: that one learns no more
        than whom we take them for."""
        actor = await self._actor(request)
        window = await limits.look_at_pulls(self._services, actor, address=request.address)
        if window is None:
            return []
        source = (b"docker-ratelimit-source", (actor.name or request.address).encode())
        if status == 401:
            return [source]
        window_s = self._services.settings.pull_limit_window
        allowed, left = (f"{count};w={window_s}".encode() for count in (window.limit, window.remaining))
        return [
            (b"ratelimit-limit", allowed),
            (b"ratelimit-remaining", left),
            (b"x-ratelimit-limit", allowed),
            (b"x-ratelimit-remaining", left),
            source,
        ]

    async def _actor(self, request: Request) -> Actor:
        """Who asks; nobody, if the door lets nobody in by what they came with."""
        token = bearer_token(request.header(b"authorization"))
        if token is None:
            return ANONYMOUS
        try:
            return await self._services.authenticator.registry_actor(token, address=request.address)
        except HomeportError:
            return ANONYMOUS
