"""Where this service goes beside scim2-server: what Docker's description says of PUT, and what clients need of answers.

* `active` is an attribute that every user has, so the schema says that it is required; who makes a user without it is
  not refused, but lets them in.
* PUT: what is left out stays as it is, but for `active`: without it (or `enabled`, Docker's own word) a user is
  deactivated. RFC 7644 §3.5.1 leaves to a service what becomes of attributes that are left out.
* PATCH answers 200 with the resource; RFC 7644 §3.5.2 allows that and 204, and not every client knows the latter.
* PATCH: a removal may list values instead of a filter, as Microsoft Entra ID does. Its nulls and mere descriptions
  (`$ref`, `display`) tell nothing apart.
* Searches may name attributes of RFC 7643 that are not kept here. Nobody has a value of them (RFC 7644 §3.4.2.1).
* What is not there says "not found" in so many words, as everywhere at the Hub.
* Lists have `resources` beside `Resources`, as Docker's description writes it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from pydantic import ValidationError
from scim2_models import Context, Error, PatchOp, Resource, ResourceType, ResponseParameters, SearchRequest
from scim2_models.exceptions import InvalidValueException
from scim2_server.conditions import Conditions
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService, scim_exception_of
from scim2_server.storage import SearchPage

from homeport.api.http import SCIM_ROOT
from homeport.api.scim.models import AskedUser, DockerUser, Name, User, build_provider

_KEPT_OF_USERS = ("user_name", "external_id", "name", "display_name", "emails")
_KEPT_OF_GROUPS = ("external_id", "members")
_DESCRIPTIONS = ("$ref", "display")
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


class Service(ScimService):
    def __init__(self) -> None:
        super().__init__(build_provider())

    def read_creation(self, resource_type: ResourceType, body: bytes, content_type: str | None) -> Resource[Any]:
        if resource_type.name == "User":
            decoded = self.decode_body(body, content_type)
            if isinstance(decoded, dict):
                body = msgspec.json.encode(_with_active(decoded, default=True))
        return super().read_creation(resource_type, body, content_type)

    def read_replacement(self, resource_type: ResourceType, body: bytes, content_type: str | None) -> Resource[Any]:
        if resource_type.name == "User":
            decoded = self.decode_body(body, content_type)
            if isinstance(decoded, dict):
                body = msgspec.json.encode(_with_active(decoded, default=False))
                if not any(name.lower() == "username" and decoded[name] for name in decoded):
                    # Docker's description asks for no user name here, and RFC 7643 wants one in every request.
                    return self.read_body(self.get_model(resource_type), body, content_type, Context.DEFAULT)
        return super().read_replacement(resource_type, body, content_type)

    def apply_replacement(
        self, current: Resource[Any], replacement: Resource[Any], conditions: Conditions
    ) -> Resource[Any] | None:
        is_user = isinstance(current, User)
        for name in _KEPT_OF_USERS if is_user else _KEPT_OF_GROUPS:
            if _is_left_out(getattr(replacement, name)):
                setattr(replacement, name, getattr(current, name))
        if is_user and replacement[DockerUser] is None:
            replacement[DockerUser] = current[DockerUser]
        return super().apply_replacement(current, replacement, conditions)

    def read_patch(self, resource_type: ResourceType, body: bytes, content_type: str | None) -> "PatchOp[Any]":
        decoded = self.decode_body(body, content_type)
        if isinstance(decoded, dict):
            body = msgspec.json.encode(_with_plain_removals(decoded))
        return super().read_patch(resource_type, body, content_type)

    def apply_patch(
        self, current: Resource[Any], patch_op: "PatchOp[Any]", conditions: Conditions
    ) -> Resource[Any] | None:
        try:
            return super().apply_patch(current, patch_op, conditions)
        except InvalidValueException as error:
            if isinstance(error.__cause__, ValidationError):
                raise scim_exception_of(error.__cause__) from error
            raise

    def patch_response(
        self, base_url: str, resource: Resource[Any], response_parameters: ResponseParameters[Any]
    ) -> ScimResponse:
        return self.replacement_response(base_url, resource, response_parameters)

    @staticmethod
    def error_of(exception: Exception) -> Error:
        error = ScimService.error_of(exception)
        if error.status == HTTPStatus.NOT_FOUND and "not found" not in (error.detail or ""):
            error.detail = f"{error.detail}: not found"
        return error

    def publish(self, base_url: str, resource: Resource[Any]) -> Resource[Any]:
        """The storage knows all URLs, and makes each resource anew: there is nothing to copy and to fill in."""
        return resource

    def service_provider_config(self, location: str, query: Mapping[str, str]) -> ScimResponse:
        answer = super().service_provider_config(location, query)
        assert answer.body is not None
        answer.body["documentationUri"] = location.partition(SCIM_ROOT)[0] + "/reference"
        return answer

    def search_models(self, resource_types: list[ResourceType]) -> list[type[Resource[Any]]]:
        asked = [AskedUser] if any(resource_type.name == "User" for resource_type in resource_types) else []
        return [*super().search_models(resource_types), *asked]

    def search_response(
        self,
        base_url: str,
        resource_types: list[ResourceType],
        page: SearchPage,
        search_request: SearchRequest[Any],
    ) -> ScimResponse:
        """The page as it is: reading what was written just before would double its time."""
        resources = [
            resource.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=search_request)
            for resource in page.resources
        ]
        body = {
            "schemas": [_LIST],
            "totalResults": page.total,
            "itemsPerPage": len(resources),
            "startIndex": search_request.start_index,
            "Resources": resources,
        }
        return ScimResponse(HTTPStatus.OK, body)


def _is_left_out(value: Any) -> bool:
    """A name without parts is none: Docker's description has names changed, and never cleared."""
    return value is None or (isinstance(value, Name) and value.given_name is None and value.family_name is None)


def _with_active(body: dict[str, Any], *, default: bool) -> dict[str, Any]:
    """A user of whom it is said whether they are let in: by `active`, else by `enabled`, else by the default."""
    names = {name.lower(): name for name in body}
    if "active" in names and body[names["active"]] is not None:
        return body
    others = {name: value for name, value in body.items() if name.lower() != "active"}
    return {**others, "active": others.get(names.get("enabled", "enabled"), default)}


def _with_plain_removals(body: dict[str, Any]) -> dict[str, Any]:
    """A PATCH in which the values of removals are no more than what they are told apart by."""
    names = {name.lower(): name for name in body}
    operations = body.get(names.get("operations", "operations"))
    if not isinstance(operations, list):
        return body
    return {**body, names["operations"]: [_with_plain_removal(operation) for operation in operations]}


def _with_plain_removal(operation: Any) -> Any:
    names = {name.lower(): name for name in operation} if isinstance(operation, dict) else {}
    if "value" not in names or str(operation.get(names.get("op", "op"))).lower() != "remove":
        return operation
    value = operation[names["value"]]
    plain = [_plain(entry) for entry in value] if isinstance(value, list) else _plain(value)
    return {**operation, names["value"]: plain}


def _plain(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    return {name: part for name, part in entry.items() if part is not None and name.lower() not in _DESCRIPTIONS}
