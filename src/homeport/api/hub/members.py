"""Docker Hub API §Organizations: the members of an organization, their roles, and their export as CSV."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Router, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from msgspec import Meta

from homeport.api.hub.errors import ORGANIZATION_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Query, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp_or_none
from homeport.api.hub.users import UserInfo, user_fields
from homeport.core import members
from homeport.core.members import MemberQuery, ShownMember
from homeport.core.services import Services
from homeport.errors import FieldInvalid
from homeport.storage.db.database import utcnow
from homeport.storage.db.records import OrganizationRole

_LIST = "/v2/orgs/{org_name:str}/members"
_EXPORT = f"{_LIST}/export"
_ONE = f"{_LIST}/{{username:str}}"

PAGE_SIZE = 25
INVITEE = "Invitee"

CSV_HEADER = ("Name", "Username", "Email", "Type", "Permission", "Teams", "Date Joined")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins with one of these is a formula to a spreadsheet."""

_TYPES = ("all", "invitee", "member")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


_Insight = Annotated[str | msgspec.UnsetType | None, Meta(description="Only if the organization has insights on.")]


class MemberInfo(UserInfo, kw_only=True):
    """A member of an organization, or somebody who is invited to be one."""

    email: Annotated[
        str,
        Meta(
            description="Empty for callers who are no owners, and with a personal access token.",
            examples=["ann@example.com"],
        ),
    ]
    role: Annotated[str, Meta(description="`Owner`, `Editor`, `Member` or `Invitee`.", examples=["Owner"])]
    groups: Annotated[
        Sequence[str],
        Meta(description="The member's teams in this organization, by name.", examples=[["developers", "owners"]]),
    ]
    is_guest: Annotated[
        bool, Meta(description="The organization has verified domains, and the member's address is in none of them.")
    ]
    primary_email: Annotated[str, Meta(description="The same as `email`.", examples=["ann@example.com"])]
    last_logged_in_at: _Insight = msgspec.UNSET
    last_seen_at: _Insight = msgspec.UNSET
    last_desktop_version: _Insight = msgspec.UNSET

    @classmethod
    def of(cls, shown: ShownMember) -> "MemberInfo":
        member = shown.member
        email = _email(shown)
        info = cls(
            **user_fields(member, shows_email=shown.shows_email),
            email=email,
            role=_role(shown),
            groups=shown.teams,
            is_guest=shown.is_guest,
            primary_email=email,
        )
        if shown.shows_insights:
            info.last_logged_in_at = timestamp_or_none(member.last_logged_in_at)
            info.last_seen_at = timestamp_or_none(member.last_seen_at)
            info.last_desktop_version = member.last_desktop_version
        return info


class MemberPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[MemberInfo]


class UpdateMember(msgspec.Struct):
    role: Annotated[str, Meta(description="`owner`, `editor` or `member`, in any case.", examples=["editor"])]


@get(
    _LIST,
    **reference(
        Section.ORGANIZATIONS,
        permission="Members of the organization; personal access tokens too.",
        errors=(400, 401, 403, 404),
        query=(
            *PAGES,
            Query("search", "A part of the name or full name, for owners also of the e-mail address."),
            Query("role", "Members of this role alone, in any case; invitees have none yet.", OrganizationRole),
            Query("type", "Members, invitees, or all of them.", Literal["all", "invitee", "member"]),
            Query("invites", "Whether invitees are in the list, behind the members.", bool),
        ),
        opened_by="scope-member-read",
    ),
)
async def list_members(org_name: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> MemberPage:
    """The members of an organization, by name; owners may have those who are invited behind them.

    Addresses and invitees are shown to owners alone.
    """
    page = Page.of(request, default_size=PAGE_SIZE)
    query = _query(request)
    async with services.db.read(scan=True) as tx:
        found = await members.list_page(
            tx,
            actor=request.actor,
            organization=org_name,
            query=query,
            page=page.number,
            page_size=page.size,
        )
    next_, previous = page.links(request, services.settings, found.total)
    return MemberPage(found.total, next_, previous, [MemberInfo.of(shown) for shown in found.members])


@get(
    _EXPORT,
    media_type="text/csv",
    **reference(
        Section.ORGANIZATIONS,
        permission="Owners of the organization, signed in with a password.",
        errors=(401, 403, 404),
        answer_media_type="text/csv",
        opened_by="scope-member-read",
    ),
)
async def export_members(org_name: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> Stream:
    """All members of an organization, and who is invited, as a CSV file.

    Its columns are Name, Username, Email, Type, Permission, Teams and Date Joined. A cell that a spreadsheet would
    take for a formula begins with an apostrophe.
    """
    async with services.db.read() as tx:
        found = await members.access_export(tx, actor=request.actor, organization=org_name)
    name = f"{found.name}-members-{utcnow():%Y%m%dT%H%M%SZ}.csv"
    return Stream(
        _csv(members.export(services.db, actor=request.actor, organization=found)),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
        media_type="text/csv",
    )


@put(
    _ONE,
    **reference(
        Section.ORGANIZATIONS,
        permission="Owners of the organization, signed in with a password.",
        errors=(400, 401, 403, 404),
        opened_by="scope-member-edit",
    ),
)
async def update_member(
    org_name: FromPath[str],
    username: FromPath[str],
    data: JSONBody[UpdateMember],
    request: HubRequest,
    services: NamedDependency[Services],
) -> MemberInfo:
    """Give a member another role. The last owner of an organization stays its owner."""
    role = _known_role(data.role)
    async with services.db.write() as tx:
        shown = await members.change_role(tx, actor=request.actor, organization=org_name, user=username, role=role)
    return MemberInfo.of(shown)


@delete(
    _ONE,
    status_code=204,
    **reference(
        Section.ORGANIZATIONS,
        permission="Owners of the organization, and the member; signed in with a password.",
        errors=(400, 401, 403, 404),
        opened_by="scope-member-edit",
    ),
)
async def remove_member(
    org_name: FromPath[str], username: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> None:
    """Remove a member from an organization and from all of its teams; what they reach through it ends at once.

    Members may remove themselves. The last owner cannot be removed.
    """
    async with services.db.write() as tx:
        await members.remove_member(tx, actor=request.actor, organization=org_name, user=username)


def _query(request: HubRequest) -> MemberQuery:
    """Raises: FieldInvalid."""
    type_ = (request.parameter("type") or "").lower()
    if type_ and type_ not in _TYPES:
        raise FieldInvalid({"type": [f"Must be one of: {', '.join(_TYPES)}."]}, "Invalid type value")
    invites = (request.parameter("invites") or "").lower()
    if invites and invites not in _FLAGS:
        raise FieldInvalid({"invites": ["Must be true or false."]}, "Invalid invites value")
    role = request.parameter("role")
    return MemberQuery(
        part=request.parameter("search") or "",
        role=_known_role(role) if role else None,
        has_members=type_ != "invitee",
        # `type=all` means all of them, unless `invites` says otherwise.
        has_invitees=type_ == "invitee" or (type_ != "member" and _FLAGS.get(invites, type_ == "all")),
    )


def _known_role(word: str) -> OrganizationRole:
    """Raises: FieldInvalid."""
    try:
        return OrganizationRole(word.lower())
    except ValueError:
        raise FieldInvalid({"role": [f"Must be one of: {', '.join(OrganizationRole)}."]}, "Invalid role") from None


def _role(shown: ShownMember) -> str:
    return shown.member.role.capitalize() if shown.member.role else INVITEE


def _email(shown: ShownMember) -> str:
    return (shown.member.email or "") if shown.shows_email else ""


async def _csv(batches: AsyncIterator[Sequence[ShownMember]]) -> AsyncIterator[bytes]:
    """The lines of the export (RFC 4180), a batch at a time."""
    yield _lines([CSV_HEADER])
    async for batch in batches:
        yield _lines([_cells(shown) for shown in batch])


def _lines(table: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(table)
    return buffer.getvalue().encode()


def _cells(shown: ShownMember) -> Sequence[str]:
    member = shown.member
    cells = (
        member.full_name,
        member.name,
        _email(shown),
        INVITEE if member.is_invitee else "User",
        _role(shown),
        ", ".join(shown.teams),
        _date(member.joined_at),
    )
    return [f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell for cell in cells]


def _date(moment: datetime | None) -> str:
    """A time as `2020-01-01 15:00:51.193355 +0000 UTC`; nothing for who has not joined yet."""
    return f"{moment:%Y-%m-%d %H:%M:%S.%f} +0000 UTC" if moment else ""


router = Router(
    "/",
    route_handlers=[list_members, export_members, update_member, remove_member],
    exception_handlers=renderers(ORGANIZATION_ERRORS),
)
