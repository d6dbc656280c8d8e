"""Statements on the moves of tags that have been written down (`tags.py` writes them). They hold no rules."""

from homeport.storage.db.database import Transaction
from homeport.storage.db.records import PastMove, TagMove


async def count(tx: Transaction, *, repository_id: int, name: str) -> int:
    found = await tx.value(
        int,
        "select count(*) from tag_moves where repository_id = :repository_id and name = :name",
        repository_id=repository_id,
        name=name,
    )
    return found or 0


async def list_page(tx: Transaction, *, repository_id: int, name: str, offset: int, limit: int) -> list[TagMove]:
    """Moves of a tag, the newest first."""
    return await tx.many(
        TagMove,
        """
        select page.id, page.digest, page.moved_at, accounts.name as moved_by_name, manifests.id as manifest_id,
            coalesce(manifests.media_type, '') as media_type, manifests.config_media_type, manifests.artifact_type,
            coalesce(manifests.depth, 0) as depth
        from (
            select * from tag_moves where repository_id = :repository_id and name = :name
            order by id desc limit :limit offset :offset
        ) as page
        left join accounts on accounts.id = page.moved_by
        left join manifests on manifests.repository_id = page.repository_id and manifests.digest = page.digest
        order by page.id desc
        """,
        repository_id=repository_id,
        name=name,
        offset=offset,
        limit=limit,
    )


async def has_been_at(tx: Transaction, *, repository_id: int, name: str, digest: str) -> bool:
    """Whether a tag has ever been at a digest, as far as its moves are kept."""
    found = await tx.value(
        int,
        """
        select 1 from tag_moves where repository_id = :repository_id and name = :name and digest = :digest limit 1
        """,
        repository_id=repository_id,
        name=name,
        digest=digest,
    )
    return found is not None


async def list_after(tx: Transaction, after: int, *, limit: int) -> list[PastMove]:
    """All moves in the order of their ids, a page at a time."""
    return await tx.many(
        PastMove,
        """
        select id, coalesce(
            (select newer.moved_at from tag_moves newer
                where newer.repository_id = tag_moves.repository_id and newer.name = tag_moves.name
                    and newer.id > tag_moves.id
                order by newer.id limit 1),
            case when digest is null then moved_at end) as ended_at
        from tag_moves where id > :after order by id limit :limit
        """,
        after=after,
        limit=limit,
    )


async def delete_all(tx: Transaction, ids: list[int]) -> None:
    await tx.run("delete from tag_moves where id in (:ids...bigint)", ids=ids)
