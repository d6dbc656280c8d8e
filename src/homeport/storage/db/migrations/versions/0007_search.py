"""An index of what repositories are found by: FTS5 on SQLite, full text on PostgreSQL, both over the same tokens."""

import json

import sqlalchemy as sa
from alembic import op

from homeport.search_tokens import tokens_of
from homeport.storage.db.migrations.columns import reference, table, text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BATCH = 1000


def upgrade() -> None:
    # A table of its own: rows of `repositories` change with each push, and each change would write the index anew.
    table(
        "repository_search",
        reference("repository_id", "repositories"),
        text("tokens"),
        sa.PrimaryKeyConstraint("repository_id"),
    )
    _fill()
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_index()
    else:
        _postgres_index()
    _popular()
    # Namespaces with a badge are few, and asked for again and again.
    has_badge = sa.text("badge <> ''")
    op.create_index("accounts_badge", "accounts", ["badge"], sqlite_where=has_badge, postgresql_where=has_badge)


def _fill() -> None:
    bind = op.get_bind()
    after = 0
    while found := bind.execute(
        sa.text(
            """
            select repositories.id, namespace_id, accounts.name as namespace, repositories.name, description,
                is_private, categories
            from repositories join accounts on accounts.id = namespace_id
            where repositories.id > :after order by repositories.id limit :limit
            """
        ),
        {"after": after, "limit": BATCH},
    ).all():
        rows = [
            {
                "id": row.id,
                "tokens": tokens_of(
                    namespace_id=row.namespace_id,
                    namespace=row.namespace,
                    name=row.name,
                    description=row.description,
                    is_private=bool(row.is_private),
                    categories=json.loads(row.categories),
                ),
            }
            for row in found
        ]
        bind.execute(sa.text("insert into repository_search (repository_id, tokens) values (:id, :tokens)"), rows)
        after = found[-1].id


def _sqlite_index() -> None:
    # The tokens stand in the table alone; the index has neither places nor sizes, which only ranks by text need. Beside
    # letters and digits the signs of tokens and those of names belong to tokens; whatever is not ASCII does anyway.
    op.execute(
        """
        create virtual table repository_tokens using fts5(
            tokens, content = 'repository_search', content_rowid = 'repository_id', detail = none, columnsize = 0,
            prefix = '2 3', tokenize = "ascii tokenchars '~=#-._'"
        )
        """
    )
    op.execute("insert into repository_tokens (repository_tokens) values ('rebuild')")
    forget = "insert into repository_tokens (repository_tokens, rowid, tokens) values ('delete', old.{0}, old.tokens);"
    learn = "insert into repository_tokens (rowid, tokens) values (new.{0}, new.tokens);"
    for event, steps in (("insert", learn), ("delete", forget), ("update of tokens", forget + learn)):
        op.execute(
            f"""
            create trigger repository_search_{event.partition(" ")[0]} after {event} on repository_search
            begin {steps.format("repository_id")} end
            """
        )


def _postgres_index() -> None:
    # The cost says that to read a row and look at its tokens is the last thing to do: else the planner takes a table
    # for quicker than its index where it believes that a few rows will hold enough, and reads all of it where they
    # do not.
    op.execute(
        """
        create function repository_tokens(tokens text) returns tsvector
        language plpgsql immutable strict parallel safe cost 10000
        as $$ begin return array_to_tsvector(string_to_array(tokens, ' ')); end $$
        """
    )
    op.execute("create index repository_search_tokens on repository_search using gin (repository_tokens(tokens))")


def _popular() -> None:
    """Those that come first where very many are found."""
    for column in ("star_count", "pull_count"):
        is_popular = sa.text(f"{column} > 0 and not is_private")
        op.create_index(
            f"repositories_popular_{column}",
            "repositories",
            [column, "id"],
            sqlite_where=is_popular,
            postgresql_where=is_popular,
        )
