"""A request at the Hub door: who asks, with what body, from which page on."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from litestar import Request
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

    @property
    def query(self) -> Mapping[str, list[str]]:
        """Parameters with all their values.

        Raises:
            BodyInvalid: longer or more than any client needs.
        """
        return http.Request(self.scope, self.receive).query

    async def body(self) -> bytes:
        """Raises: BodyTooLarge, BodyBroken."""
        if self._body is Empty:
            self._body = await http.Request(self.scope, self.receive).whole_body(BODY_SIZE_LIMIT)
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
            raise BodyInvalid("EOF")
        try:
            return msgspec.json.decode(body, type=type_)
        except msgspec.ValidationError as error:
            raise _explained(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BodyInvalid(str(error)) from None
        except RecursionError:
            raise BodyInvalid("nested too deep") from None


def _explained(reason: str) -> BodyInvalid | FieldInvalid:
    """What msgspec says of a value, as the field it says it of."""
    if match := _MISSING_FIELD.fullmatch(reason):
        return FieldInvalid({match[1]: ["This field is required."]})
    if match := _WRONG_FIELD.fullmatch(reason):
        return FieldInvalid({match[2]: [f"{match[1]}."]})
    return BodyInvalid(reason)


def actor_provider(services: Services) -> Callable[[HubRequest], Awaitable[Actor]]:
    """How handlers get the actor of a request."""

    async def provide_actor(request: HubRequest) -> Actor:
        """Nobody without an `Authorization` header; whoever comes with one has to be let in."""
        plain = http.Request(request.scope, request.receive)
        actor = ANONYMOUS
        if header := plain.header(b"authorization"):
            token = http.bearer_token(header)
            if token is None:
                raise NotAuthenticated
            actor = await services.authenticator.hub_actor(token)
        return msgspec.structs.replace(actor, address=plain.address, user_agent=plain.user_agent)

    return provide_actor
