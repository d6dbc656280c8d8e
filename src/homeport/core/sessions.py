"""Logging out: a login ends, with all tokens that it has bought."""

from homeport.core import accounts, audit
from homeport.core.access import Actor
from homeport.core.audit import AuditAction
from homeport.errors import NotAuthenticated
from homeport.storage.db import sessions as rows
from homeport.storage.db.database import Transaction


async def end_own(tx: Transaction, *, actor: Actor) -> None:
    """End the login that the actor came with. Others of the same account go on, and so do personal access tokens.

    Raises:
        NotAuthenticated
    """
    if actor.account_id is None:
        raise NotAuthenticated
    if await rows.end(tx, actor.session_id, account_id=actor.account_id):
        await accounts.revoke(tx, actor.account_id)
        await audit.record(tx, actor, AuditAction.USER_LOGOUT, account_id=actor.account_id, name=actor.name)
