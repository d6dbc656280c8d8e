"""Badges: marks that the site administrator puts on a namespace. Policies on images ask for them."""

from typing import Literal

from homeport.core import audit
from homeport.core.access import Actor, check_site_admin
from homeport.core.audit import AuditAction
from homeport.errors import NamespaceUnknown
from homeport.storage.db import accounts as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Badge

BadgeWord = Literal["none", "official", "verified_publisher", "open_source"]
"""What people say for a badge."""


def called(word: BadgeWord) -> Badge:
    return Badge.NONE if word == "none" else Badge(word)


async def set_badge(tx: Transaction, *, actor: Actor, namespace: str, badge: Badge) -> None:
    """Mark a namespace, in place of the mark that it had.

    Raises:
        NamespaceUnknown
        NotAuthenticated, TokenNotAllowed, ActionDenied: as `check_site_admin`.
    """
    check_site_admin(actor, "change the badge", f"namespace {namespace}")
    account = await rows.get(tx, namespace.lower())
    if account is None:
        raise NamespaceUnknown(namespace)
    if account.badge is badge:
        return
    await rows.set_badge(tx, account.id, badge)
    await audit.record(
        tx,
        actor,
        AuditAction.USER_BADGE_CHANGE,
        account_id=account.id,
        name=account.name,
        badge=badge or "none",
        former_badge=account.badge or "none",
    )
