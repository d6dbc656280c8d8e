"""Badges of namespaces: an extension of ours. All published paths below a namespace begin with `repositories`."""

from typing import Annotated

import msgspec
from litestar import put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import badges
from homeport.core.badges import BadgeWord
from homeport.core.services import Services


class NamespaceBadge(msgspec.Struct):
    badge: Annotated[BadgeWord, Meta(examples=["verified_publisher"])]


@put(
    "/v2/namespaces/{namespace:str}/badge",
    **reference(
        Section.SETTINGS,
        permission="Site administrators, signed in with a password.",
        errors=(401, 403, 404),
        is_extension=True,
    ),
)
async def set_badge(
    namespace: FromPath[str],
    data: JSONBody[NamespaceBadge],
    request: HubRequest,
    services: NamedDependency[Services],
) -> NamespaceBadge:
    """Mark a namespace as official, as a verified publisher's or as open source; `none` takes the mark away.

    Organizations that restrict images may let their members pull from official namespaces and verified publishers.
    """
    async with services.db.write() as tx:
        await badges.set_badge(tx, actor=request.actor, namespace=namespace, badge=badges.called(data.badge))
    return data


handlers = [set_badge]
