"""The types of columns that both databases share, as the migrations write them."""

import sqlalchemy as sa
from alembic import op

# Names compare in byte order: SQLite's default, `collate "C"` on PostgreSQL.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Int = sa.BigInteger
Moment = sa.BigInteger  # microseconds since 1970, UTC
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Flag = sa.Boolean(create_constraint=False)


def table(name: str, *items: sa.schema.SchemaItem) -> None:
    """A table whose ids are never given twice, also after a delete."""
    op.create_table(name, *items, sqlite_autoincrement=any(getattr(item, "name", "") == "id" for item in items))


def identity() -> sa.Column[int]:
    return sa.Column("id", Id, sa.Identity(), primary_key=True)


def reference(name: str, table: str, *, nullable: bool = False, cascade: bool = True) -> sa.Column[int]:
    """A row of another table. Unless it cascades, that row cannot be deleted as long as it is named here."""
    return sa.Column(name, Id, sa.ForeignKey(f"{table}.id", ondelete="CASCADE" if cascade else None), nullable=nullable)


def text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, Text, nullable=nullable, server_default=default)


def integer(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, Int, nullable=nullable, server_default=default)


def flag(name: str, *, default: bool) -> sa.Column[bool]:
    return sa.Column(name, Flag, nullable=False, server_default=sa.true() if default else sa.false())


def moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, Moment, nullable=nullable)
