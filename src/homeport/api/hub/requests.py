"""A request at the Hub door: who asks, with what body, from which page on."""

import re
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.types import Empty

from homeport.api import http
from homeport.core.access import ANONYMOUS, Actor
from homeport.core.services import Services
from homeport.errors import BodyInvalid, FieldInvalid, NotAuthenticated

T = TypeVar("T")

BODY_SIZE_LIMIT = 1024 * 1024

_MISSING_FIELD = re.compile(r"Object missing required field `(\w+)`")
_WRONG_FIELD = re.compile(r"(.+) - at `\$\.(\w+).*`")


class HubRequest(Request[Any, Any, Any]):
    """Reads bodies as JSON whatever their content type: scripts send none, or the one of a form."""

    actor: Actor
    """Who asks, as the guard has found out."""

    @cached_property
    def plain(self) -> http.Request:
        """The request as the other doors see it."""
        scope: Any = self.scope  # Litestar has names of its own for the types of ASGI
        receive: Any = self.receive
        return http.Request(scope, receive)

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter.

        Raises:
            BodyInvalid: more or longer parameters than any client needs.
        """
        return self.plain.parameter(name)

    async def body(self) -> bytes:
        """Raises: BodyTooLarge, BodyBroken."""
        if self._body is Empty:
            self._body = await self.plain.whole_body(BODY_SIZE_LIMIT)
        return self._body

    async def json(self) -> Any:
        """The body as what the handler calls `data`."""
        field = self.route_handler.parsed_data_field
        assert field is not None
        return await self.decoded(field.annotation)

    async def decoded(self, type_: type[T]) -> T:
        """The body as a struct.

        Raises:
            BodyInvalid: not a JSON object.
            FieldInvalid: a field is missing, or of another type.
        """
        body = await self.body()
        if not body:
            raise _malformed("EOF")
        try:
            return msgspec.json.decode(body, type=type_)
        except msgspec.ValidationError as error:
            raise _explained(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _malformed(str(error)) from None
        except RecursionError:
            raise _malformed("nested too deep") from None


def _explained(reason: str) -> BodyInvalid | FieldInvalid:
    """What msgspec says of a value, as the field it says it of."""
    if match := _MISSING_FIELD.fullmatch(reason):
        return FieldInvalid({match[1]: ["This field is required."]})
    if match := _WRONG_FIELD.fullmatch(reason):
        return FieldInvalid({match[2]: [f"{match[1]}."]})
    return _malformed(reason)


def _malformed(reason: str) -> BodyInvalid:
    """What Docker's service says of a body that it cannot read begins with the same words."""
    return BodyInvalid(f"malformed request: {reason}")


def identifier(services: Services) -> Callable[..., Awaitable[None]]:
    """A guard that finds out who asks before anything else of a request is read."""

    async def identify(request: HubRequest, _handler: BaseRouteHandler) -> None:
        """Nobody without an `Authorization` header; whoever comes with one has to be let in.

        Raises:
            NotAuthenticated
        """
        plain = request.plain
        actor = ANONYMOUS
        if header := plain.header(b"authorization"):
            token = http.bearer_token(header)
            if token is None:
                raise NotAuthenticated
            actor = await services.authenticator.hub_actor(token)
        request.actor = msgspec.structs.replace(actor, address=plain.address, user_agent=plain.user_agent)

    return identify
