"""How requests run: as scim2-server runs them, but that a group is not read with all of its members to change a few.

There may be 100,000, and adding one to them took ten seconds of the server's time.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scim2_models import PatchOp, Resource, ResourceType
from scim2_server.conditions import Conditions
from scim2_server.handler import AsyncScimHandler
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse

from homeport.api.scim.service import Service
from homeport.api.scim.storage import OrganizationStorage

_MEMBER = re.compile(r'members\[value eq "([^"\\]+)"\]', re.IGNORECASE)


class Handler(AsyncScimHandler):
    storage: OrganizationStorage

    def __init__(self, service: Service, storage: OrganizationStorage) -> None:
        super().__init__(service, storage)
        self._query: Mapping[str, str] = {}

    async def patch(self, request: ScimRequest) -> ScimResponse:
        self._query = request.query
        return await super().patch(request)

    async def patch_resource(
        self, resource_type: ResourceType, resource_id: str, patch_op: "PatchOp[Any]", conditions: Conditions
    ) -> Resource[Any]:
        named = named_members(patch_op) if resource_type.name == "Group" else None
        if named is None:
            return await super().patch_resource(resource_type, resource_id, patch_op, conditions)
        with self.storage.members_among(named):
            await super().patch_resource(resource_type, resource_id, patch_op, conditions)
        asked = self.service.read_response_parameters(resource_type, self._query)
        return await self.storage.get(resource_type, resource_id, response_parameters=asked)

    async def delete_resource(self, resource_type: ResourceType, resource_id: str, conditions: Conditions) -> None:
        with self.storage.members_among([]):
            await super().delete_resource(resource_type, resource_id, conditions)


def named_members(patch_op: "PatchOp[Any]") -> Sequence[str] | None:
    """The ids of the members that a PATCH of a group is about; None if it may be about others."""
    return _together(
        _named_by(operation.op, operation.path, operation.value) for operation in patch_op.operations or ()
    )


def _named_by(op: str, path: str | None, value: Any) -> Sequence[str] | None:
    if path is None:
        is_group = isinstance(value, dict)
        return _together(_named_by(op, name, part) for name, part in value.items()) if is_group else None
    if path.lower() == "members" and (op == "add" or (op == "remove" and value is not None)):
        return _ids(value)
    if (found := _MEMBER.fullmatch(path)) and op == "remove":
        return [found[1]]
    # A name with its schema may be that of the members, or of all there is.
    return None if "members" in path.lower() or ":" in path else []


def _together(found: Iterable[Sequence[str] | None]) -> Sequence[str] | None:
    named: list[str] = []
    for ids in found:
        if ids is None:
            return None
        named += ids
    return named


def _ids(value: Any) -> Sequence[str] | None:
    entries = value if isinstance(value, list) else [value]
    ids = [entry["value"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("value"), str)]
    return ids if len(ids) == len(entries) else None
