"""The resources of one organization, as scim2-server wants them stored: turned into calls of core's verbs.

A request has one transaction. One that writes holds the organization's lock from its first read on, so that what a
PATCH was applied to is what it changes.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from scim2_models import Meta, Path, Reference, Resource, ResourceType, ResponseParameters, SearchRequest
from scim2_models.exceptions import InvalidValueException, NotImplementedException, PreconditionFailedException
from scim2_server.storage import AsyncScimStorage, SearchPage

from homeport.api.scim import filters
from homeport.api.scim.models import SCIM_USER, DockerUser, Email, Group, GroupMember, Name, User, UserGroup
from homeport.core import scim_groups, scim_tokens, scim_users
from homeport.core.scim_groups import ShownGroup, WantedGroup
from homeport.core.scim_tokens import Provider
from homeport.core.scim_users import EmailAddress, ShownUser, Wanted
from homeport.errors import InvitedInstead
from homeport.storage.db.database import Database, Transaction
from homeport.storage.db.records import OrganizationRole, ScimGroupMember
from homeport.storage.db.scim_filters import Search

_OFFSET_LIMIT = 2**53


class OrganizationStorage(AsyncScimStorage):
    """What one provider may reach, for one request."""

    def __init__(self, db: Database, provider: Provider, *, base_url: str, is_read: bool) -> None:
        self._db = db
        self._provider = provider
        self._base_url = base_url
        self._is_read = is_read
        self._tx: Transaction | None = None
        self._members: Sequence[str] | None = None

    @asynccontextmanager
    async def operation(self) -> AsyncIterator[None]:
        """One transaction. Who is invited instead of made is so although the request fails."""
        invited: InvitedInstead | None = None
        async with self._db.read(scan=True) if self._is_read else self._db.write() as tx:
            if not self._is_read:
                await scim_tokens.hold(tx, self._provider)
            self._tx = tx
            try:
                yield
            except InvitedInstead as error:
                invited = error
        if invited is not None:
            raise invited

    @contextmanager
    def members_among(self, uuids: Sequence[str]) -> Iterator[None]:
        """Groups have no members but those of these users meanwhile: others are neither read nor changed."""
        former, self._members = self._members, uuids
        try:
            yield
        finally:
            self._members = former

    @property
    def _open(self) -> Transaction:
        assert self._tx is not None
        return self._tx

    async def get(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        response_parameters: ResponseParameters[Any] | None = None,
    ) -> Resource[Any]:
        if resource_type.name == "User":
            return self._user(await scim_users.get(self._open, provider=self._provider, uuid=resource_id))
        members = self._members if response_parameters is None or _keeps_members(response_parameters) else []
        return self._group(await scim_groups.get(self._open, provider=self._provider, uuid=resource_id, among=members))

    async def search(
        self, resource_types: list[ResourceType], search_request: SearchRequest[Any], *, position: Any = None
    ) -> SearchPage:
        names = [resource_type.name or "" for resource_type in resource_types]
        if len(names) > 1 and search_request.sort_by is not None:
            raise NotImplementedException(detail="Sort Users and Groups each for themselves")
        total = 0
        found: list[Resource[Any]] = []
        offset, limit = min(search_request.start_index_0 or 0, _OFFSET_LIMIT), search_request.count or 0
        for name in names:
            # What comes before the page is before this kind, or within it.
            page = await self._search_one(name, search_request, max(0, offset - total), limit - len(found))
            found += page.resources
            total += page.total or 0
        return SearchPage(total, found)

    async def _search_one(self, name: str, search_request: SearchRequest[Any], offset: int, limit: int) -> SearchPage:
        is_user = name == "User"
        search = Search(
            base_url=self._base_url,
            filter=filters.condition(search_request, self._constants(is_user=is_user)),
            order=filters.order(search_request, SCIM_USER if is_user else Group),
            offset=offset,
            limit=limit,
        )
        if is_user:
            users = await scim_users.find(self._open, provider=self._provider, search=search)
            return SearchPage(users.total, [self._user(user) for user in users.users])
        with_members = _keeps_members(search_request)
        groups = await scim_groups.find(self._open, provider=self._provider, search=search, with_members=with_members)
        return SearchPage(groups.total, [self._group(group) for group in groups.groups])

    async def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        if isinstance(resource, User):
            return self._user(
                await scim_users.create(self._open, provider=self._provider, wanted=wanted_user(resource, is_new=True))
            )
        assert isinstance(resource, Group)
        return self._group(
            await scim_groups.create(self._open, provider=self._provider, wanted=_wanted_group(resource))
        )

    async def update(
        self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None
    ) -> Resource[Any]:
        assert resource.id is not None
        await self._check_version(resource_type, resource.id, expected_version)
        if isinstance(resource, User):
            return self._user(
                await scim_users.replace(
                    self._open, provider=self._provider, uuid=resource.id, wanted=wanted_user(resource)
                )
            )
        assert isinstance(resource, Group)
        return self._group(
            await scim_groups.replace(
                self._open,
                provider=self._provider,
                uuid=resource.id,
                wanted=_wanted_group(resource),
                among=self._members,
            )
        )

    async def delete(
        self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None
    ) -> None:
        await self._check_version(resource_type, resource_id, expected_version)
        verb = scim_users.delete if resource_type.name == "User" else scim_groups.delete
        await verb(self._open, provider=self._provider, uuid=resource_id)

    async def _check_version(self, resource_type: ResourceType, resource_id: str, expected: str | None) -> None:
        """The lock is held since the resource was read; who calls without reading first is told all the same."""
        if expected is None:
            return
        with self.members_among([]):
            present = await self.get(resource_type, resource_id)
        if present.meta is None or present.meta.version != expected:
            raise PreconditionFailedException

    def _constants(self, *, is_user: bool) -> Any:
        if not is_user:
            return filters.constants_of(Group, "Group")
        return filters.constants_of(SCIM_USER, "User", DockerUser(docker_org=self._provider.organization.name))

    # Records as resources

    def _user(self, shown: ShownUser) -> Resource[Any]:
        user = shown.user
        emails = [
            Email(value=email.value, display=email.display, type=email.type, primary=email.is_primary)
            for email in shown.emails
        ]
        groups = [
            UserGroup(
                value=membership.team_uuid,
                ref=Reference(f"{self._base_url}/Groups/{membership.team_uuid}"),
                display=membership.display,
                type="direct",
            )
            for membership in shown.memberships
        ]
        has_name = user.given_name is not None or user.family_name is not None
        resource: Resource[Any] = SCIM_USER(
            id=user.uuid,
            external_id=user.external_id,
            user_name=user.user_name,
            name=Name(given_name=user.given_name, family_name=user.family_name) if has_name else None,
            display_name=user.display_name,
            active=user.is_in,
            emails=emails or None,
            groups=groups or None,
            meta=Meta(
                resource_type="User",
                created=user.created_at,
                last_modified=user.updated_at,
                location=f"{self._base_url}/Users/{user.uuid}",
                version=_etag(user.version),
            ),
        )
        resource[DockerUser] = DockerUser(
            docker_role=user.ordered_role,
            docker_org=self._provider.organization.name,
            docker_team=user.ordered_team,
        )
        return resource

    def _group(self, shown: ShownGroup) -> Resource[Any]:
        group = shown.group
        return Group(
            id=group.uuid,
            external_id=group.external_id,
            display_name=group.display_name,
            members=[self._member(member) for member in shown.members] or None,
            meta=Meta(
                resource_type="Group",
                created=group.created_at,
                last_modified=group.updated_at,
                location=f"{self._base_url}/Groups/{group.uuid}",
                version=_etag(group.version),
            ),
        )

    def _member(self, member: ScimGroupMember) -> GroupMember:
        return GroupMember(value=member.uuid, ref=Reference(f"{self._base_url}/Users/{member.uuid}"), type="User")


def _etag(version: str) -> str:
    return f'W/"{version}"'


def _keeps_members(parameters: ResponseParameters[Any] | SearchRequest[Any]) -> bool:
    """Whether an answer shows the members of groups: who leaves them out is not made to wait for them."""
    kept = Path[Group].iter_paths(
        include_subattributes=False,
        attributes=parameters.attributes,
        excluded_attributes=parameters.excluded_attributes,
    )
    return any(str(path).rpartition(":")[2].lower() == "members" for path in kept)


# Resources as what is wanted


def wanted_user(resource: Any, *, is_new: bool = False) -> Wanted:
    """What a resource asks for. A new user is let in unless it is said otherwise.

    Raises:
        InvalidValueException: the role is none, or the organization another one.
    """
    extension = resource[DockerUser]
    name = resource.name or Name()
    return Wanted(
        user_name=resource.user_name or "",
        external_id=resource.external_id,
        given_name=name.given_name,
        family_name=name.family_name,
        display_name=resource.display_name,
        emails=tuple(
            EmailAddress(email.value, email.display, email.type, email.primary) for email in resource.emails or ()
        ),
        is_active=is_new if resource.active is None else resource.active,
        role=_role(extension.docker_role) if extension else None,
        team=extension.docker_team or None if extension else None,
    )


def _role(text: str | None) -> OrganizationRole | None:
    if not text:
        return None
    try:
        return OrganizationRole(text.lower())
    except ValueError:
        raise InvalidValueException(detail=f"dockerRole: use one of {', '.join(OrganizationRole)}") from None


def _wanted_group(resource: Group) -> WantedGroup:
    members = (member.value for member in resource.members or ())
    return WantedGroup(
        display_name=resource.display_name or "",
        external_id=resource.external_id,
        members=tuple(dict.fromkeys(value for value in members if value)),
    )
