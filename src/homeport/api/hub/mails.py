"""The outbox, for the site administrator: an extension of the Hub API."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from homeport.api.http import base_url
from homeport.api.hub.errors import INVITE_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import Query, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import mails
from homeport.core.services import Services
from homeport.errors import FieldInvalid
from homeport.storage.db.records import Mail

_PERMISSION = "Site administrators, logged in by password."
_NOT_KEPT = {"Cache-Control": "no-store"}


class MailInfo(msgspec.Struct):
    id: int
    recipient: Annotated[str, Meta(examples=["bob@example.com"])]
    subject: str
    created_at: Annotated[str, Meta(description="UTC.", examples=["2026-03-01T12:00:00.000000Z"])]
    due_at: Annotated[str | None, Meta(description="When it is tried next; null once it is sent or given up.")]
    sent_at: str | None
    attempts: int
    last_error: Annotated[str, Meta(description="Why the last attempt failed; empty if it did not.")]
    body: Annotated[
        str | msgspec.UnsetType,
        Meta(description="The text, in the answer for one mail; empty once it has been sent."),
    ] = msgspec.UNSET

    @classmethod
    def of(cls, mail: Mail, *, is_whole: bool) -> "MailInfo":
        return cls(
            id=mail.id,
            recipient=mail.recipient,
            subject=mail.subject,
            created_at=timestamp(mail.created_at),
            due_at=timestamp_or_none(mail.due_at),
            sent_at=timestamp_or_none(mail.sent_at),
            attempts=mail.attempts,
            last_error=mail.last_error,
            body=mail.body if is_whole else msgspec.UNSET,
        )


class MailPage(msgspec.Struct):
    next: Annotated[str | None, Meta(description="Link to the older ones; null at the end.")]
    results: Sequence[MailInfo]


@get(
    "/v2/mails",
    response_headers=_NOT_KEPT,
    **reference(
        Section.INVITES,
        permission=_PERMISSION,
        errors=(401, 403),
        query=(
            Query("before", "Show mails with a lower id.", Annotated[int, Meta(ge=1)]),
            Query("page_size", "Entries; more than 100 are cut to 100.", Annotated[int, Meta(ge=1)]),
        ),
        is_extension=True,
    ),
)
async def list_mails(request: HubRequest, services: NamedDependency[Services]) -> MailPage:
    """List the mails of the outbox, the newest first and without their texts."""
    size = Page.of(request).size
    async with services.db.read() as tx:
        found = await mails.list_mails(tx, actor=request.actor, before=_before(request), limit=size + 1)
    url = f"{base_url(services.settings, request.plain.scope)}/v2/mails"
    next_ = f"{url}?before={found[size - 1].id}&page_size={size}" if len(found) > size else None
    return MailPage(next_, [MailInfo.of(mail, is_whole=False) for mail in found[:size]])


@get(
    "/v2/mails/{mail_id:int}",
    response_headers=_NOT_KEPT,
    **reference(Section.INVITES, permission=_PERMISSION, errors=(401, 403, 404), is_extension=True),
)
async def get_mail(mail_id: FromPath[int], request: HubRequest, services: NamedDependency[Services]) -> MailInfo:
    """One mail with its text, as long as it has not been sent: where no mail server is set, this is how its link gets
    to somebody.
    """
    async with services.db.read() as tx:
        mail = await mails.access_mail(tx, actor=request.actor, id_=mail_id)
    return MailInfo.of(mail, is_whole=True)


def _before(request: HubRequest) -> int:
    text = request.parameter("before")
    if text is None:
        return mails.ID_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FieldInvalid({"before": ["Must be a positive whole number."]}, "Invalid before value")
    return int(text)


router = Router("/", route_handlers=[list_mails, get_mail], exception_handlers=renderers(INVITE_ERRORS))
