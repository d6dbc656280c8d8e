"""Statements on repositories. They hold no rules: whoever calls has been let in already."""

from collections.abc import Collection, Sequence
from enum import StrEnum

import msgspec

from homeport.names import RepositoryName
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.members import contains, lower
from homeport.storage.db.records import ListedRepository, Namespace, Repository, RepositoryDetails, TagRules
from homeport.storage.db.repository_types import Kind


class Ordering(StrEnum):
    NAME = "name"
    UPDATED = "updated_at"
    PULLS = "pull_count"


class Sight(StrEnum):
    """Which repositories of a namespace a list holds: those that are public, those that have been opened to an
    account besides, or all.
    """

    PUBLIC = "public"
    OPENED = "opened"
    ALL = "all"


class Places(msgspec.Struct, frozen=True):
    """Some repositories: single ones, those of namespaces, and those of a namespace whose names begin so; or all."""

    repository_ids: tuple[int, ...] = ()
    namespace_ids: tuple[int, ...] = ()
    prefixes: tuple[tuple[int, str], ...] = ()
    is_everywhere: bool = False

    def in_namespace(self, namespace_id: int) -> "Places":
        """The same for who asks for the repositories of one namespace."""
        if self.is_everywhere or namespace_id in self.namespace_ids:
            return ALL_PLACES
        return Places(self.repository_ids, (), tuple(prefix for prefix in self.prefixes if prefix[0] == namespace_id))

    @property
    def holds_new(self) -> bool:
        """Whether what is yet to be made may be within."""
        return self.is_everywhere or bool(self.namespace_ids or self.prefixes)


ALL_PLACES = Places(is_everywhere=True)
NO_PLACES = Places()


class Reach(msgspec.Struct, frozen=True):
    """How far a token goes: which of the public repositories, and which of the private ones."""

    public: Places
    private: Places

    @property
    def named_namespace_ids(self) -> list[int]:
        """The namespaces that are named: for a whole one, or for those of its repositories whose names begin so."""
        both = (self.public, self.private)
        whole = {id_ for places in both for id_ in places.namespace_ids}
        return sorted(whole.union(id_ for places in both for id_, _ in places.prefixes))

    @property
    def named_repository_ids(self) -> list[int]:
        return sorted({*self.public.repository_ids, *self.private.repository_ids})

    def in_namespace(self, namespace_id: int) -> "Reach":
        return Reach(self.public.in_namespace(namespace_id), self.private.in_namespace(namespace_id))


EVERYWHERE = Reach(ALL_PLACES, ALL_PLACES)

# Behind every name that begins with the same: no name has this sign.
_BEHIND = "{"


def reached(reaches: Sequence[Reach]) -> str:
    """A condition: `repositories` is within all of some reaches."""
    conditions = []
    for number, reach in enumerate(reaches):
        public = _within(reach.public, f"public_{number}")
        private = _within(reach.private, f"private_{number}")
        same = reach.public == reach.private
        conditions.append(private if same else f"case when repositories.is_private then {private} else {public} end")
    return " and ".join(conditions) or "true"


def _within(places: Places, key: str) -> str:
    if places.is_everywhere:
        return "true"
    parts = []
    if places.repository_ids:
        parts.append(f"repositories.id in (:{key}_ids...bigint)")
    if places.namespace_ids:
        parts.append(f"repositories.namespace_id in (:{key}_namespaces...bigint)")
    for number, _ in enumerate(places.prefixes):
        place = f"{key}_{number}"
        parts.append(
            f"repositories.namespace_id = :{place}_namespace"
            f" and repositories.name >= :{place}_prefix and repositories.name < :{place}_behind"
        )
    return f"({' or '.join(parts)})" if parts else "false"


def reach_parameters(reaches: Sequence[Reach]) -> dict[str, object]:
    """What `reached` takes."""
    parameters: dict[str, object] = {}
    for number, reach in enumerate(reaches):
        for key, places in ((f"public_{number}", reach.public), (f"private_{number}", reach.private)):
            parameters |= {f"{key}_ids": list(places.repository_ids), f"{key}_namespaces": list(places.namespace_ids)}
            for place, (namespace_id, prefix) in enumerate(places.prefixes):
                parameters |= {
                    f"{key}_{place}_namespace": namespace_id,
                    f"{key}_{place}_prefix": prefix,
                    f"{key}_{place}_behind": prefix + _BEHIND,
                }
    return parameters


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of a namespace's repositories is narrowed to. Empty texts and lists narrow nothing."""

    namespace_id: int
    sight: Sight
    account_id: int | None
    reaches: Sequence[Reach] = ()
    part: str = ""
    media_types: Sequence[str] = ()
    content_types: Sequence[str] = ()


def listed(table: str) -> str:
    """The columns of a `ListedRepository`; `accounts` are the namespaces."""
    return f"""{table}.id, accounts.name as namespace, {table}.name, {table}.is_private, {table}.is_active,
        {table}.description, {table}.star_count, {table}.pull_count, {table}.storage_bytes, {table}.created_at,
        {table}.updated_at, {table}.modified_at, {table}.categories, {table}.media_types, {table}.content_types"""


_OPENED = """and (not repositories.is_private
    or repositories.id in (select repository_id from repository_collaborators where account_id = :account_id)
    or repositories.id in (
        select repository_id from repository_teams
        join team_members on team_members.team_id = repository_teams.team_id
        join teams on teams.id = repository_teams.team_id
        join organization_members on organization_members.organization_id = teams.organization_id
            and organization_members.account_id = team_members.account_id
        where team_members.account_id = :account_id and teams.organization_id = :namespace_id
    ))"""

_SIGHT = {Sight.PUBLIC: "and not repositories.is_private", Sight.OPENED: _OPENED, Sight.ALL: ""}

_OF_TYPE = """and exists (
    select 1 from repository_types where repository_id = repositories.id and kind = '{kind}'
        and type in (:{kind}_types...text)
    )"""


def _conditions(filter_: Filter) -> str:
    return f"""repositories.namespace_id = :namespace_id {_SIGHT[filter_.sight]} and {reached(filter_.reaches)}
        {"and " + contains("repositories.name") if filter_.part else ""}
        {_OF_TYPE.format(kind=Kind.MEDIA) if filter_.media_types else ""}
        {_OF_TYPE.format(kind=Kind.CONTENT) if filter_.content_types else ""}"""


def _parameters(filter_: Filter) -> dict[str, object]:
    return {
        "namespace_id": filter_.namespace_id,
        "account_id": filter_.account_id,
        "part": lower(filter_.part),
        "media_types": list(filter_.media_types),
        "content_types": list(filter_.content_types),
        **reach_parameters(filter_.reaches),
    }


async def count(tx: Transaction, filter_: Filter) -> int:
    found = await tx.value(
        int, f"select count(*) from repositories where {_conditions(filter_)}", **_parameters(filter_)
    )
    return found or 0


async def list_page(
    tx: Transaction, filter_: Filter, *, ordering: Ordering, is_descending: bool, offset: int, limit: int
) -> list[ListedRepository]:
    """A page of repositories, as `count` counts them. Those that are equal in an order go by their ids."""
    direction = "desc" if is_descending else ""
    order = ", ".join(
        f"{{table}}.{column} {direction}" for column in ([ordering] if ordering is Ordering.NAME else [ordering, "id"])
    )
    return await tx.many(
        ListedRepository,
        f"""
        select {listed("page")} from (
            select repositories.* from repositories where {_conditions(filter_)}
            order by {order.format(table="repositories")} limit :limit offset :offset
        ) as page join accounts on accounts.id = page.namespace_id
        order by {order.format(table="page")}
        """,
        **_parameters(filter_),
        offset=offset,
        limit=limit,
    )


async def exists(tx: Transaction, repository_id: int) -> bool:
    return bool(await tx.value(int, "select 1 from repositories where id = :id", id=repository_id))


async def get_by_id(tx: Transaction, repository_id: int) -> Repository | None:
    """A repository, with nothing granted to anybody."""
    return await tx.one(
        Repository,
        """
        select repositories.id, namespace_id, accounts.name as namespace, repositories.name, is_private,
            cast(null as text) as role, cast(null as text) as collaborator_permission,
            cast(null as text) as team_permission, false as audits_pulls, cast(null as text) as restricting_organization
        from repositories join accounts on accounts.id = namespace_id where repositories.id = :id
        """,
        id=repository_id,
    )


async def get_details(tx: Transaction, repository_id: int, *, actor_id: int | None) -> RepositoryDetails | None:
    return await tx.one(
        RepositoryDetails,
        f"""
        select {listed("repositories")}, repositories.full_description,
            (select count(*) from repository_collaborators where repository_id = repositories.id)
                as collaborator_count,
            exists (select 1 from repository_stars where repository_id = repositories.id and account_id = :actor_id)
                as is_starred,
            repositories.has_immutable_tags, repositories.immutable_tag_rules
        from repositories join accounts on accounts.id = repositories.namespace_id
        where repositories.id = :id
        """,
        id=repository_id,
        actor_id=actor_id,
    )


COLLABORATED = "select repository_id from repository_collaborators where account_id = :account_id"

# What a team has been given counts for members of the organization that the repository belongs to.
THROUGH_TEAMS = """select repository_teams.repository_id from team_members
    join repository_teams on repository_teams.team_id = team_members.team_id
    join repositories as given on given.id = repository_teams.repository_id
    join organization_members on organization_members.organization_id = given.namespace_id
        and organization_members.account_id = team_members.account_id
    where team_members.account_id = :account_id"""

# Those that an account has been given anything on: by a role in their namespace, by itself, or by a team.
_HELD = f"""accounts.is_active and repositories.id in (
    select id from repositories where namespace_id in (:namespace_ids...bigint)
    union {COLLABORATED} union {THROUGH_TEAMS}
)"""

# A repository with all that has been granted to an actor on it, and what bars them.
_GRANTED = """
    select repositories.id, repositories.namespace_id, accounts.name as namespace, repositories.name,
        repositories.is_private,
        (select role from organization_members
            where organization_id = accounts.id and account_id = :actor_id) as role,
        (select permission from repository_collaborators
            where repository_id = repositories.id and account_id = :actor_id) as collaborator_permission,
        (select permission from repository_teams
            join team_members on team_members.team_id = repository_teams.team_id
            where repository_id = repositories.id and team_members.account_id = :actor_id
            order by case permission when 'admin' then 1 when 'write' then 2 else 3 end limit 1)
            as team_permission,
        coalesce((select audits_pulls from organization_settings where organization_id = accounts.id), false)
            as audits_pulls,
        (select organizations.name from organization_members
            join organization_settings
                on organization_settings.organization_id = organization_members.organization_id
            join accounts as organizations on organizations.id = organization_members.organization_id
            where organization_members.account_id = :actor_id and restricts_images and organizations.is_active
                and not case accounts.badge when 'official' then allows_official_images
                    when 'verified_publisher' then allows_verified_publishers else false end
            order by organizations.name limit 1) as restricting_organization
    from accounts join repositories on repositories.namespace_id = accounts.id
    """


async def get(tx: Transaction, name: RepositoryName, *, actor_id: int | None) -> Repository | None:
    """A repository of an active namespace, with all that has been granted to an actor on it and what bars them."""
    return await tx.one(
        Repository,
        f"""
        {_GRANTED}
        where accounts.name = :namespace and repositories.name = :name and accounts.is_active
        """,
        namespace=name.namespace,
        name=name.name,
        actor_id=actor_id,
    )


async def list_by_names(
    tx: Transaction, names: Collection[RepositoryName], *, actor_id: int | None
) -> list[Repository]:
    """Those of some repositories that there are, as `get` gives them."""
    found = await tx.many(
        Repository,
        f"""
        {_GRANTED}
        where accounts.name in (:namespaces...text) and repositories.name in (:names...text) and accounts.is_active
        """,
        namespaces=sorted({name.namespace for name in names}),
        names=sorted({name.name for name in names}),
        actor_id=actor_id,
    )
    return [repository for repository in found if RepositoryName(repository.namespace, repository.name) in names]


async def count_held(
    tx: Transaction, *, account_id: int, namespace_ids: Sequence[int], reaches: Sequence[Reach]
) -> int:
    """How many repositories an account has been given anything on, those of some namespaces among them, that are
    within some reaches.
    """
    found = await tx.value(
        int,
        f"""
        select count(*) from accounts join repositories on repositories.namespace_id = accounts.id
        where {_HELD} and {reached(reaches)}
        """,
        account_id=account_id,
        namespace_ids=list(namespace_ids),
        **reach_parameters(reaches),
    )
    return found or 0


async def list_held(
    tx: Transaction,
    *,
    account_id: int,
    namespace_ids: Sequence[int],
    reaches: Sequence[Reach],
    offset: int,
    limit: int,
) -> list[Repository]:
    """The oldest first, as `count_held` counts them and `get` gives them."""
    return await tx.many(
        Repository,
        f"""
        {_GRANTED}
        where {_HELD} and {reached(reaches)} order by repositories.id limit :limit offset :offset
        """,
        account_id=account_id,
        actor_id=account_id,
        namespace_ids=list(namespace_ids),
        offset=offset,
        limit=limit,
        **reach_parameters(reaches),
    )


async def insert(
    tx: Transaction,
    namespace: Namespace,
    *,
    name: str,
    is_private: bool,
    description: str = "",
    full_description: str = "",
) -> bool:
    """Insert a repository; False if the namespace has one of that name."""
    # ON CONFLICT, not a look first: another push may create the name between SELECT and INSERT.
    return bool(
        await tx.run(
            """
            insert into repositories (namespace_id, name, is_private, description, full_description, created_at,
                updated_at)
            values (:namespace_id, :name, :is_private, :description, :full_description, :now, :now)
            on conflict (namespace_id, name) do nothing
            """,
            namespace_id=namespace.id,
            name=name,
            is_private=is_private,
            description=description,
            full_description=full_description,
            now=utcnow(),
        )
    )


async def update(
    tx: Transaction,
    repository_id: int,
    *,
    description: str,
    full_description: str,
    is_private: bool,
    is_active: bool,
    categories: str,
    has_immutable_tags: bool,
    immutable_tag_rules: str,
) -> None:
    """Write the properties of a repository. The caller holds its lock."""
    await tx.run(
        """
        update repositories set description = :description, full_description = :full_description,
            is_private = :is_private, is_active = :is_active, categories = :categories,
            has_immutable_tags = :has_immutable_tags, immutable_tag_rules = :immutable_tag_rules, modified_at = :now
        where id = :id
        """,
        id=repository_id,
        description=description,
        full_description=full_description,
        is_private=is_private,
        is_active=is_active,
        categories=categories,
        has_immutable_tags=has_immutable_tags,
        immutable_tag_rules=immutable_tag_rules,
        now=utcnow(),
    )


async def touch(tx: Transaction, repository_id: int, *, added_bytes: int = 0) -> TagRules | None:
    """What is in a repository changes: which of its tags may not; None if it is gone. The caller holds its lock, and
    has not yet written to a manifest or a tag: the pulls that are folded meanwhile lock rows in that order.
    """
    return await tx.one(
        TagRules,
        """
        update repositories set updated_at = :now, storage_bytes = storage_bytes + :added_bytes where id = :id
        returning has_immutable_tags, immutable_tag_rules
        """,
        id=repository_id,
        added_bytes=added_bytes,
        now=utcnow(),
    )


async def get_tag_rules(tx: Transaction, repository_id: int) -> TagRules | None:
    return await tx.one(
        TagRules,
        "select has_immutable_tags, immutable_tag_rules from repositories where id = :id",
        id=repository_id,
    )


async def add_bytes(tx: Transaction, repository_id: int, added_bytes: int) -> None:
    """What is kept for a repository has changed, by nobody's doing. The caller holds its lock, as for `touch`."""
    await tx.run(
        "update repositories set storage_bytes = storage_bytes + :added_bytes where id = :id",
        id=repository_id,
        added_bytes=added_bytes,
    )


async def add_stars(tx: Transaction, repository_id: int, stars: int) -> None:
    """Count stars, of which fewer than none may come."""
    await tx.run(
        "update repositories set star_count = star_count + :stars where id = :id", id=repository_id, stars=stars
    )


async def delete(tx: Transaction, repository_id: int) -> bool:
    """Delete a repository with its manifests, tags and their history, links to blobs, uploads, stars, and what teams
    and collaborators were given on it; False if it is gone already. The caller holds its lock.
    """
    return bool(await tx.run("delete from repositories where id = :id", id=repository_id))


class _Name(msgspec.Struct, frozen=True):
    namespace: str
    name: str


async def list_names(tx: Transaction, filter_: Filter, *, limit: int) -> list[RepositoryName]:
    """Names of repositories, in their order, as `count` counts them."""
    found = await tx.many(
        _Name,
        f"""
        select accounts.name as namespace, page.name from (
            select namespace_id, name from repositories where {_conditions(filter_)} order by name limit :limit
        ) as page join accounts on accounts.id = page.namespace_id
        order by page.name
        """,
        **_parameters(filter_),
        limit=limit,
    )
    return [RepositoryName(row.namespace, row.name) for row in found]


async def list_names_with_blob(tx: Transaction, *, digest: str) -> list[RepositoryName]:
    """Some repositories that see a blob: those that saw it first."""
    found = await tx.many(
        _Name,
        """
        select accounts.name as namespace, repositories.name
        from blobs
        join repository_blobs on blob_id = blobs.id
        join repositories on repositories.id = repository_id
        join accounts on accounts.id = namespace_id
        where digest = :digest order by repository_blobs.repository_id limit 20
        """,
        digest=digest,
    )
    return [RepositoryName(row.namespace, row.name) for row in found]


async def add_pulls(tx: Transaction, repository_id: int, pulls: int) -> None:
    await tx.run(
        "update repositories set pull_count = pull_count + :pulls where id = :id",
        id=repository_id,
        pulls=pulls,
    )


async def count_private(tx: Transaction, *, namespace_id: int) -> int:
    found = await tx.value(
        int,
        "select count(*) from repositories where namespace_id = :namespace_id and is_private",
        namespace_id=namespace_id,
    )
    return found or 0
