"""Statements on the members of organizations, and on who is invited to be one. They hold no rules."""

from collections.abc import Sequence

import msgspec

from homeport.storage.db.accounts import PROFILE
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Member, OrganizationRole


class MemberId(msgspec.Struct, frozen=True):
    account_id: int


_MEMBER = f"""
    select {PROFILE}, accounts.last_logged_in_at, accounts.last_seen_at, accounts.last_desktop_version,
        page.account_id, page.role, page.created_at as joined_at, cast(null as text) as team,
        cast(null as text) as invite_id, cast(null as bigint) as invited_at
    """

# The address that an invite was written to. One that was written to a name goes to the account's own address: that, and
# when its owner was here last, is nobody's business before they have joined.
_WRITTEN_EMAIL = "case when lower(invites.invitee) = lower(invites.email) then invites.email end"

_INVITEE = f"""
    select coalesce(accounts.uuid, invites.id) as uuid, coalesce(accounts.name, '') as name,
        coalesce(accounts.full_name, '') as full_name, {_WRITTEN_EMAIL} as email,
        coalesce(accounts.location, '') as location, coalesce(accounts.company, '') as company,
        coalesce(accounts.profile_url, '') as profile_url, '' as gravatar_email,
        coalesce(accounts.created_at, invites.created_at) as created_at, cast(null as bigint) as last_logged_in_at,
        cast(null as bigint) as last_seen_at, '' as last_desktop_version,
        invites.account_id, cast(null as text) as role, cast(null as bigint) as joined_at, teams.name as team,
        invites.id as invite_id, invites.created_at as invited_at
    """


_JOIN_ACCOUNTS = "join accounts on accounts.id = organization_members.account_id"
_OF_ROLE = "and organization_members.role = :role"
_IS_PENDING = "invites.organization_id = :organization_id and invites.status = 'pending' and invites.expires_at > :now"


def contains(column: str) -> str:
    """A condition: the column holds the text `:part`, in any case of ASCII letters; `:part` comes in lower case.

    `replace` tells that on both databases alike; `like` differs in case and escapes.
    """
    # Both sides by the database's own `lower`: beyond ASCII it goes by the locale of a PostgreSQL database.
    part = "lower(cast(:part as text))"
    return f"replace(lower({column}), {part}, '') <> lower({column})"


def lower(text: str) -> str:
    """As the `lower` of both databases has it: ASCII letters alone."""
    return "".join(character.lower() if character.isascii() else character for character in text)


def matches(email: str, *, searches_emails: bool) -> str:
    """A condition: the account's names hold `:part`, or its address in the column `email` does."""
    columns = ["accounts.name", "accounts.full_name", *([email] if searches_emails else [])]
    return f"and ({' or '.join(contains(column) for column in columns)})"


async def put(tx: Transaction, *, organization_id: int, account_id: int, role: OrganizationRole) -> None:
    """Add a member, or change the role of one."""
    await tx.run(
        """
        insert into organization_members (organization_id, account_id, account_name, role, created_at)
        values (:organization_id, :account_id, (select name from accounts where id = :account_id), :role, :now)
        on conflict (organization_id, account_id) do update set role = excluded.role
        """,
        organization_id=organization_id,
        account_id=account_id,
        role=role,
        now=utcnow(),
    )


async def delete(tx: Transaction, *, organization_id: int, account_id: int) -> None:
    await tx.run(
        "delete from organization_members where organization_id = :organization_id and account_id = :account_id",
        organization_id=organization_id,
        account_id=account_id,
    )


async def get_role(tx: Transaction, *, organization_id: int, account_id: int) -> OrganizationRole | None:
    return await tx.value(
        OrganizationRole,
        """
        select role from organization_members
        where organization_id = :organization_id and account_id = :account_id
        """,
        organization_id=organization_id,
        account_id=account_id,
    )


async def get(tx: Transaction, *, organization_id: int, name: str) -> Member | None:
    return await tx.one(
        Member,
        f"""
        {_MEMBER} from organization_members as page join accounts on accounts.id = page.account_id
        where page.organization_id = :organization_id and page.account_name = :name
        """,
        organization_id=organization_id,
        name=name,
    )


async def list_among(tx: Transaction, *, organization_id: int, account_ids: Sequence[int]) -> list[MemberId]:
    """Which of these accounts are members; the caller bounds their number."""
    return await tx.many(
        MemberId,
        """
        select account_id from organization_members
        where organization_id = :organization_id and account_id in (:account_ids...bigint)
        """,
        organization_id=organization_id,
        account_ids=list(account_ids),
    )


async def is_elsewhere(tx: Transaction, *, account_id: int, organization_id: int) -> bool:
    """Whether an account is a member of another organization than this one."""
    found = await tx.value(
        int,
        """
        select 1 from organization_members
        where account_id = :account_id and organization_id <> :organization_id limit 1
        """,
        account_id=account_id,
        organization_id=organization_id,
    )
    return found is not None


async def has_other_owner(tx: Transaction, *, organization_id: int, account_id: int) -> bool:
    """Whether an organization has an owner who can log in, beside one account."""
    found = await tx.value(
        int,
        """
        select 1 from organization_members join accounts on accounts.id = organization_members.account_id
        where organization_members.organization_id = :organization_id and organization_members.role = 'owner'
            and organization_members.account_id <> :account_id and accounts.is_active
        limit 1
        """,
        organization_id=organization_id,
        account_id=account_id,
    )
    return found is not None


async def count(
    tx: Transaction,
    *,
    organization_id: int,
    role: OrganizationRole | None = None,
    part: str = "",
    searches_emails: bool = False,
) -> int:
    """How many members there are; of one role, and with `part` in what is searched, if these are given."""
    found = await tx.value(
        int,
        f"""
        select count(*) from organization_members {_JOIN_ACCOUNTS if part else ""}
        where organization_members.organization_id = :organization_id {_OF_ROLE if role else ""}
            {matches("accounts.email", searches_emails=searches_emails) if part else ""}
        """,
        organization_id=organization_id,
        role=role,
        part=lower(part),
    )
    return found or 0


async def list_page(
    tx: Transaction,
    *,
    organization_id: int,
    role: OrganizationRole | None,
    part: str,
    searches_emails: bool,
    offset: int,
    limit: int,
) -> list[Member]:
    """Members by name, as `count` counts them. Without `part` they are found in an index alone."""
    return await tx.many(
        Member,
        f"""
        {_MEMBER} from (
            select organization_members.account_id, organization_members.account_name, organization_members.role,
                organization_members.created_at
            from organization_members {_JOIN_ACCOUNTS if part else ""}
            where organization_members.organization_id = :organization_id {_OF_ROLE if role else ""}
                {matches("accounts.email", searches_emails=searches_emails) if part else ""}
            order by organization_members.account_name limit :limit offset :offset
        ) as page join accounts on accounts.id = page.account_id
        order by page.account_name
        """,
        organization_id=organization_id,
        role=role,
        part=lower(part),
        offset=offset,
        limit=limit,
    )


async def list_members(tx: Transaction, *, organization_id: int, after: Member | None, limit: int) -> list[Member]:
    """Members by name, those behind one of them."""
    return await tx.many(
        Member,
        f"""
        {_MEMBER} from (
            select account_id, account_name, role, created_at from organization_members
            where organization_id = :organization_id and account_name > :after
            order by account_name limit :limit
        ) as page join accounts on accounts.id = page.account_id
        order by page.account_name
        """,
        organization_id=organization_id,
        after=after.name if after else "",
        limit=limit,
    )


async def count_invitees(tx: Transaction, *, organization_id: int, part: str) -> int:
    """How many invites are open; with `part` in an address or in the names of whom it means, if that is given."""
    found = await tx.value(
        int,
        f"""
        select count(*) from invites left join accounts on accounts.id = invites.account_id
        where {_IS_PENDING} {matches(_WRITTEN_EMAIL, searches_emails=True) if part else ""}
        """,
        organization_id=organization_id,
        part=lower(part),
        now=utcnow(),
    )
    return found or 0


async def list_invitees(
    tx: Transaction,
    *,
    organization_id: int,
    part: str = "",
    after: Member | None = None,
    offset: int = 0,
    limit: int,
) -> list[Member]:
    """Who is invited, those first who were first, behind one of them; otherwise as `count_invitees` counts them."""
    return await tx.many(
        Member,
        f"""
        {_INVITEE} from invites
        left join accounts on accounts.id = invites.account_id
        left join teams on teams.id = invites.team_id
        where {_IS_PENDING} {"and (invites.created_at, invites.id) > (:after_at, :after_id)" if after else ""}
            {matches(_WRITTEN_EMAIL, searches_emails=True) if part else ""}
        order by invites.created_at, invites.id limit :limit offset :offset
        """,
        organization_id=organization_id,
        part=lower(part),
        after_at=after.invited_at if after else None,
        after_id=after.invite_id if after else None,
        offset=offset,
        limit=limit,
        now=utcnow(),
    )
