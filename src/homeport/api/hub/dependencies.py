"""What routes are given: the services, and who asks."""

from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import State

from homeport.api.http import bearer_token, client_address
from homeport.core.access import ANONYMOUS, Actor
from homeport.core.services import Services
from homeport.errors import NotAuthenticated


async def provide_services(state: State) -> Services:
    services: Services = state.services
    return services


async def provide_actor(request: Request[Any, Any, Any], services: Services) -> Actor:
    """Who asks; anonymous without an `Authorization` header.

    Raises:
        NotAuthenticated: a header that is not a bearer token of ours which is still good. A personal access token
            is none: it has to be exchanged for one.
    """
    address = client_address(request.scope)  # type: ignore[arg-type]
    user_agent = request.headers.get("user-agent", "")
    header = request.headers.get("authorization")
    if not header:
        actor = ANONYMOUS
    elif (token := bearer_token(header)) is not None:
        actor = await services.authenticator.hub_actor(token)
    else:
        raise NotAuthenticated("use a bearer token")
    return msgspec.structs.replace(actor, address=address, user_agent=user_agent)
