"""OCI Distribution Spec §Listing referrers."""

from typing import Any

from homeport.api.registry.errors import is_beyond_token
from homeport.api.registry.exchange import Exchange, next_link
from homeport.core import referrers
from homeport.core.manifest_parsing import OCI_INDEX, annotations_of
from homeport.errors import RepositoryUnknown
from homeport.names import Digest
from homeport.storage.db.records import Referrer

PAGE_SIZE = 100
"""Descriptors in one answer: the index must not outgrow what clients read, and annotations may be long."""


async def get(exchange: Exchange, item: str) -> None:
    """An index of the manifests that have this subject, which itself need not exist."""
    request = exchange.request
    subject = Digest.parse(item)
    artifact_type = request.parameter("artifactType") or None
    try:
        async with exchange.services.db.read() as tx:
            found = await referrers.list_referrers(
                tx,
                actor=exchange.actor,
                name=exchange.name,
                subject=subject,
                artifact_type=artifact_type,
                after=request.parameter("last") or "",
                limit=PAGE_SIZE + 1,
            )
    except RepositoryUnknown:
        # Who was let ask about the name learns that there are none: a 404 would say "no referrers API here".
        if is_beyond_token(exchange.actor, exchange.name, exchange.action):
            raise
        found = []
    headers: list[tuple[bytes, bytes]] = []
    if artifact_type:
        headers.append((b"oci-filters-applied", b"artifactType"))
    page = found[:PAGE_SIZE]
    if len(found) > PAGE_SIZE:
        filters = {"artifactType": artifact_type} if artifact_type else {}
        headers.append(next_link(f"{exchange.path}/referrers/{subject}", **filters, last=page[-1].digest))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_descriptor(row) for row in page]}
    await exchange.answer_json(index, headers, content_type=OCI_INDEX.encode())


def _descriptor(row: Referrer) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "mediaType": row.media_type,
        "digest": row.digest,
        "size": row.size_bytes,
    }
    if row.artifact_type:
        descriptor["artifactType"] = row.artifact_type
    if annotations := annotations_of(row.annotations):
        descriptor["annotations"] = annotations
    return descriptor
