"""A request at the Hub door: who asks, with what body, from which page on."""

import re
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Empty

from homeport.api import http
from homeport.api.hub.reference import OPT, Reference
from homeport.core.access import ANONYMOUS, Actor, refuse_token
from homeport.core.services import Services
from homeport.errors import BodyInvalid, FieldInvalid, HomeportError, NotAuthenticated

T = TypeVar("T")

BODY_SIZE_LIMIT = 1024 * 1024
FORM_FIELDS_LIMIT = 64

CLOSED_TO_ORGANIZATIONS = "/v2/repositories"
"""Former paths; Docker's service refuses the tokens of organizations there, whatever their scopes."""

CALLER = "homeport.caller"
"""Where the scope of a request holds its actor, or why there is none."""

_MISSING_FIELD = re.compile(r"Object missing required field `(\w+)`")
_WRONG_FIELD = re.compile(r"(.+) - at `\$\.(\w+).*`")


class HubRequest(Request[Any, Any, Any]):
    """Reads bodies as JSON whatever their content type: scripts send none, or the one of a form."""

    @property
    def actor(self) -> Actor:
        """Who asks, as the door has found out; nobody where an `Authorization` header is not looked at.

        Raises:
            NotAuthenticated: what the caller came with lets nobody in.
        """
        return _actor_of(self)

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

    async def decoded_form(self, type_: type[T]) -> T:
        """The body, a form, as a struct of texts.

        Raises:
            BodyInvalid: not a form.
            FieldInvalid: a field is missing.
        """
        try:
            fields = parse_qs((await self.body()).decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_LIMIT)
        except ValueError:
            raise _malformed("not a form in UTF-8") from None
        try:
            return msgspec.convert({name: values[0] for name, values in fields.items()}, type_)
        except msgspec.ValidationError as error:
            raise _explained(str(error)) from None

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


async def find_caller(services: Services, request: http.Request) -> Actor | HomeportError:
    """Nobody without an `Authorization` header. Whoever comes with one has to be let in, or it is said why not."""
    actor = ANONYMOUS
    if header := request.header(b"authorization"):
        token = http.bearer_token(header)
        if token is None:
            return NotAuthenticated()
        try:
            actor = await services.authenticator.hub_actor(token, address=request.address)
        except HomeportError as error:
            return error
    return from_where(actor, request)


def from_where(actor: Actor, request: http.Request) -> Actor:
    """The actor with what is written down of where they come from."""
    return msgspec.structs.replace(actor, address=request.address, user_agent=request.user_agent)


async def identified(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: who asks comes before anything else of a request is read. Nobody passes only where the reference says
    that a bearer token is optional, an organization only where it says what opens this to it.

    Raises: NotAuthenticated, TokenNotAllowed.
    """
    actor = _actor_of(connection)
    told: Reference | None = handler.opt.get(OPT)  # none for the OPTIONS that Litestar answers by itself
    if told is None:
        return
    if actor.is_anonymous and told.bearer == "needed":
        raise NotAuthenticated
    if actor.is_organization and (not told.opened_by or connection.scope["path"].startswith(CLOSED_TO_ORGANIZATIONS)):
        refuse_token(actor)


def _actor_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    scope: Any = connection.scope
    caller: Actor | HomeportError = scope[CALLER]
    if isinstance(caller, HomeportError):
        raise caller
    return caller
