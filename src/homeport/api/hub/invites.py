"""Docker Hub API §Invites; the caller's own invites are an extension."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.http import base_url
from homeport.api.hub.errors import INVITE_ERRORS, renderers
from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp
from homeport.core import invites, joining
from homeport.core.invites import Letter, Outcome
from homeport.core.services import Services
from homeport.storage.db.records import Invite

_OWNERS = "Owners of the organization and site administrators, logged in by password."
_INVITED = "Whoever is invited, logged in by password."

Id = Annotated[str, Meta(description="A UUID.", examples=["8e5bb4a4-9df9-4f0b-8e0b-0c9de6f8a1f1"])]
Org = Annotated[str, Meta(description="Name of the organization.", examples=["acme"])]
Role = Annotated[
    str,
    Meta(
        description="`member`, `editor` or `owner`, in any case; the team `owners` makes an owner.",
        examples=["member"],
    ),
]


class InviteInfo(msgspec.Struct):
    id: Id
    inviter_username: Annotated[str, Meta(description="Who invites.", examples=["ann"])]
    invitee: Annotated[
        str,
        Meta(description="As it was written: an e-mail address or a Docker ID.", examples=["bob@example.com"]),
    ]
    org: Org
    team: Annotated[str, Meta(description="Name of the team to join; empty for none.", examples=["devs"])]
    role: Annotated[str, Meta(description="`member`, `editor` or `owner`.", examples=["member"])]
    created_at: Annotated[str, Meta(description="UTC.", examples=["2026-03-01T12:00:00.000000Z"])]

    @classmethod
    def of(cls, invite: Invite) -> "InviteInfo":
        return cls(
            id=invite.id,
            inviter_username=invite.inviter,
            invitee=invite.invitee,
            org=invite.organization,
            team=invite.team or "",
            role=invite.role,
            created_at=timestamp(invite.created_at),
        )


class InviteList(msgspec.Struct):
    data: Annotated[Sequence[InviteInfo], Meta(description="The oldest first; 5,000 at most.")]


class BulkInvite(msgspec.Struct):
    org: Org
    invitees: Annotated[
        list[str],
        Meta(description="E-mail addresses and Docker IDs, 1 to 1,000.", examples=[["bob", "carol@example.com"]]),
    ]
    team: Annotated[str | None, Meta(description="Name of a team to join; empty for none.", examples=["devs"])] = None
    role: Role | None = None
    dry_run: Annotated[bool, Meta(description="Say what would become of each invitee, and change nothing.")] = False


class InviteeInfo(msgspec.Struct):
    invitee: Annotated[str, Meta(description="As it was sent.", examples=["bob@example.com"])]
    status: Annotated[
        str,
        Meta(
            description="`invited`, `existing_org_member`, `invalid_email_or_docker_id`, `already_invited`, "
            "`duplicate` (named before in the same request) or `too_many_mails` (more than ten within an hour).",
            examples=["invited"],
        ),
    ]
    invite: InviteInfo | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, outcome: Outcome) -> "InviteeInfo":
        return cls(
            invitee=outcome.invitee,
            status=outcome.status,
            invite=InviteInfo.of(outcome.invite) if outcome.invite else msgspec.UNSET,
        )


class BulkInviteAnswer(msgspec.Struct):
    invitees: Annotated[Sequence[InviteeInfo], Meta(description="In the order of the request.")]


@get(
    "/v2/orgs/{org_name:str}/invites",
    **reference(Section.INVITES, permission=_OWNERS, errors=(401, 403, 404), opened_by="scope-invite-read"),
)
async def list_invites(org_name: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> InviteList:
    """List the open invites of an organization: those that nobody has accepted, declined or cancelled, and that have
    not expired. There are no pages; an organization has at most 5,000 of them.
    """
    async with services.db.read(scan=True) as tx:
        found = await invites.list_pending(tx, actor=request.actor, organization=org_name)
    return InviteList([InviteInfo.of(invite) for invite in found])


@post(
    "/v2/invites/bulk",
    status_code=202,
    **reference(Section.INVITES, permission=_OWNERS, errors=(400, 401, 403, 404, 409), opened_by="scope-invite-edit"),
)
async def invite(
    data: JSONBody[BulkInvite], request: HubRequest, services: NamedDependency[Services]
) -> BulkInviteAnswer:
    """Invite up to 1,000 people at once, by e-mail address or Docker ID. Each invitee has a status of their own; the
    others are invited whatever becomes of one. Mails go out after the answer. With `dry_run` nothing is changed. A
    409 says that the organization would have more than 5,000 pending invites. The header `X-Analytics-Client-Feature`
    is taken and not used.
    """
    is_dry_run = data.dry_run
    async with services.db.read() if is_dry_run else services.db.write() as tx:
        outcomes = await invites.invite_all(
            tx,
            actor=request.actor,
            plans=services.settings.plans,
            organization=data.org,
            team=data.team or "",
            role=data.role or "",
            invitees=data.invitees,
            letter=_letter(request, services),
            is_dry_run=is_dry_run,
        )
    return BulkInviteAnswer([InviteeInfo.of(outcome) for outcome in outcomes])


@delete(
    "/v2/invites/{invite_id:str}",
    status_code=204,
    **reference(Section.INVITES, permission=_OWNERS, errors=(401, 403, 404), opened_by="scope-invite-edit"),
)
async def cancel_invite(invite_id: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> None:
    """Cancel an invite: its link stops working. Cancelling it again is no error."""
    async with services.db.write() as tx:
        await invites.cancel(tx, actor=request.actor, id_=invite_id)


@patch(
    "/v2/invites/{invite_id:str}/resend",
    status_code=204,
    **reference(Section.INVITES, permission=_OWNERS, errors=(401, 403, 404, 429), opened_by="scope-invite-edit"),
)
async def resend_invite(invite_id: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> None:
    """Send the mail of an invite again, with a new link; the old one stops working, and the invite lasts as long as a
    new one. At most once a minute.
    """
    async with services.db.write() as tx:
        await invites.resend(tx, actor=request.actor, id_=invite_id, letter=_letter(request, services))


@get(
    "/v2/user/invites",
    **reference(Section.INVITES, permission=_INVITED, errors=(401, 403), is_extension=True),
)
async def list_own_invites(request: HubRequest, services: NamedDependency[Services]) -> InviteList:
    """List the caller's own open invites, of all organizations."""
    async with services.db.read() as tx:
        found = await joining.list_own(tx, actor=request.actor)
    return InviteList([InviteInfo.of(invite) for invite in found])


@post(
    "/v2/invites/{invite_id:str}/accept",
    status_code=204,
    **reference(Section.INVITES, permission=_INVITED, errors=(401, 403, 404, 409), is_extension=True),
)
async def accept_invite(invite_id: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> None:
    """Accept an invite of one's own, and become a member. A 409 says that it is not open any more."""
    async with services.db.write() as tx:
        await joining.accept(tx, actor=request.actor, plans=services.settings.plans, id_=invite_id)


@post(
    "/v2/invites/{invite_id:str}/decline",
    status_code=204,
    **reference(Section.INVITES, permission=_INVITED, errors=(401, 403, 404, 409), is_extension=True),
)
async def decline_invite(invite_id: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> None:
    """Decline an invite of one's own. A 409 says that it is not open any more."""
    async with services.db.write() as tx:
        await joining.decline(tx, actor=request.actor, id_=invite_id)


def _letter(request: HubRequest, services: Services) -> Letter:
    return Letter(
        base_url=base_url(services.settings, request.plain.scope),
        lifetime=timedelta(seconds=services.settings.invite_lifetime),
    )


router = Router(
    "/",
    route_handlers=[
        list_invites,
        invite,
        cancel_invite,
        resend_invite,
        list_own_invites,
        accept_invite,
        decline_invite,
    ],
    exception_handlers=renderers(INVITE_ERRORS),
)
