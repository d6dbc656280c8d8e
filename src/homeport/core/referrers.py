"""Manifests that are about another one: signatures, attestations, bills of materials."""

from homeport.core.access import Action, Actor, access_repository
from homeport.names import Digest, RepositoryName
from homeport.storage.db import manifests as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Referrer


async def list_referrers(
    tx: Transaction,
    *,
    actor: Actor,
    name: RepositoryName,
    subject: Digest,
    artifact_type: str | None,
    after: str,
    limit: int,
) -> list[Referrer]:
    """Referrers of a subject, which need not exist, in the order of their digests.

    Raises:
        RepositoryUnknown, ImageRestricted: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.PULL)
    return await rows.list_referrers(
        tx,
        repository_id=repository.id,
        subject=subject,
        artifact_type=artifact_type,
        after=after,
        limit=limit,
    )
