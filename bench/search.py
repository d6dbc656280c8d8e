"""Search among very many repositories: fills a database with them, and measures what a search takes.

    python -m bench.search [--rows N] [--database sqlite|postgres] [--keep FOLDER]

Names and descriptions are made of invented words, some of which are as common as `app` is on Docker Hub and most of
which are rare; three in ten repositories are private. The times are those of the whole verb, statements and rows, in
milliseconds, on a database that has just been asked something else. The table is for docs/decisions/0013-search.md.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from homeport.core import search, setup
from homeport.core.access import ANONYMOUS, Actor
from homeport.core.search import Search
from homeport.search_tokens import tokens_of
from homeport.settings import Settings, load
from homeport.storage.db import accounts as account_rows
from homeport.storage.db.database import Database
from homeport.storage.db.engine import open_database
from homeport.storage.db.migrate import migrate

COMMON = ("app", "web", "api", "server", "proxy", "nginx", "redis", "postgres", "go", "db", "python", "base", "image")
SYLLABLES = [a + b for a in "bcdfgklmnprstvz" for b in "aeiou"] + ["an", "er", "in", "on", "ar"]
WORDS = 30_000
PER_NAMESPACE = 20
OF_MEMBER = 0.02
"""Of all repositories so many are private ones of an organization whose editor the member is."""

OPENED = 2000
"""Private repositories that have been opened to the member by a team."""

RUNS = 9
FIRST_ACCOUNT = 1000

QUERIES = ("app", "nginx proxy", "ap", "go", "{rare}", "{name}", "{rare} app", "nothing-like-it", "")


class Town:
    """Accounts and repositories, the same at each run."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._random = random.Random(13)
        words = dict.fromkeys(COMMON)
        while len(words) < WORDS:
            words["".join(self._random.choices(SYLLABLES, k=self._random.randint(2, 4)))] = None
        self._words = list(words)
        self._weights = list(itertools.accumulate(1 / (place + 1) ** 0.8 for place in range(WORDS)))
        self.rare = self._words[-1]
        self.name = ""

    def _some(self, least: int, most: int) -> list[str]:
        return self._random.choices(self._words, cum_weights=self._weights, k=self._random.randint(least, most))

    def accounts(self) -> list[dict[str, Any]]:
        """The first is an organization, the second the member."""
        count = self.rows // PER_NAMESPACE + 2
        return [
            {
                "id": FIRST_ACCOUNT + number,
                "uuid": f"uuid-{number}",
                "name": f"{'-'.join(self._some(1, 2))}{number}"[:30],
                "kind": "user" if number else "organization",
                "created_at": 0,
            }
            for number in range(count)
        ]

    def repositories(self, accounts: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Rows of `repositories` and of `repository_search`."""
        of_member = int(self.rows * OF_MEMBER)
        for id_ in range(1, self.rows + 1):
            is_of_member = id_ <= of_member
            account = accounts[0] if is_of_member else accounts[1 + id_ % (len(accounts) - 1)]
            name = f"{'-'.join(self._some(1, 3))}-{id_}" if is_of_member or id_ % 3 else f"{self._some(1, 1)[0]}-{id_}"
            if id_ % 50 == 0:
                name = self._some(1, 1)[0] + str(id_ % 7)
            if id_ == self.rows // 2:
                name = self.name = f"{self.rare}-one-of-a-kind"
            is_private = is_of_member or self._random.random() < 0.3
            description = " ".join(self._some(4, 14))[:100]
            yield (
                {
                    "id": id_,
                    "namespace_id": account["id"],
                    "name": f"{name}-x{id_}" if id_ % 50 == 0 else name,
                    "is_private": is_private,
                    "description": description,
                    "star_count": int(self._random.paretovariate(0.6)) - 1 if id_ % 10 == 0 else 0,
                    "pull_count": int(self._random.paretovariate(0.4)) - 1 if id_ % 3 == 0 else 0,
                    "created_at": id_,
                    "updated_at": id_,
                },
                {
                    "repository_id": id_,
                    "tokens": tokens_of(
                        namespace_id=account["id"],
                        namespace=account["name"],
                        name=name,
                        description=description,
                        is_private=is_private,
                        categories=(),
                    ),
                },
            )


async def fill(db: Database, town: Town, *, is_postgres: bool) -> None:
    """Write everything in the order in which it would come, in few transactions."""
    accounts = town.accounts()
    await _insert(db, "accounts", accounts)
    repositories = town.repositories(accounts)
    while batch := list(itertools.islice(repositories, 10_000)):
        await _insert(db, "repositories", [row for row, _ in batch])
        await _insert(db, "repository_search", [row for _, row in batch])
    organization, member = accounts[0], accounts[1]
    joined = {"organization_id": organization["id"], "account_id": member["id"], "role": "editor", "created_at": 0}
    await _insert(db, "organization_members", [{**joined, "account_name": member["name"]}])
    opened = [
        {"repository_id": town.rows - number, "account_id": member["id"], "permission": "read", "created_at": 0}
        for number in range(min(OPENED, town.rows // 2))
    ]
    await _insert(db, "repository_collaborators", opened)
    if is_postgres:
        # As its own workers do it after so many changes.
        async with db.write() as tx:
            await tx.run("analyze")


async def _insert(db: Database, table: str, rows: Sequence[dict[str, Any]]) -> None:
    columns = list(rows[0])
    async with db.write(scan=True) as tx:
        values = ", ".join(f":{column}" for column in columns)
        await tx.run_many(f"insert into {table} ({', '.join(columns)}) values ({values})", rows)


async def measure(db: Database, town: Town) -> list[tuple[str, ...]]:
    """For each query and who asks: how many are found, the median and the longest time."""
    async with db.read() as tx:
        admin = await account_rows.get(tx, "admin")
    assert admin is not None
    actors = {"anonymous": ANONYMOUS, "member": Actor(account_id=FIRST_ACCOUNT + 1), "admin": Actor.of(admin)}
    table = []
    for template in QUERIES:
        query = template.format(rare=town.rare, name=town.name)
        for who, actor in actors.items():
            times, total = [], 0
            for _ in range(RUNS):
                started = time.perf_counter()
                total = await _search(db, actor, query)
                times.append((time.perf_counter() - started) * 1000)
            shown = query or "(nothing)"
            table.append((shown, who, f"{total:,}", f"{statistics.median(times):.1f}", f"{max(times):.1f}"))
    return table


async def _search(db: Database, actor: Actor, query: str) -> int:
    text, words = search.parse_query(query, field="query")
    async with db.read(scan=True) as tx:
        found = await search.find(tx, actor=actor, search=Search(text=text, words=words), offset=0, limit=25)
    return found.total


async def run(settings: Settings, rows: int) -> dict[str, Any]:
    await migrate(settings)
    db = await open_database(settings)
    try:
        await setup.prepare(db, admin_password="a long enough password")
        town = Town(rows)
        started = time.perf_counter()
        await fill(db, town, is_postgres=not settings.is_sqlite)
        filled_s = time.perf_counter() - started
        return {"filled_s": round(filled_s), "table": await measure(db, town)}
    finally:
        await db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = ""
        if arguments.database == "postgres":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from tests.postgres import running_postgres  # noqa: PLC0415 - only where there is to be one
            url = stack.enter_context(running_postgres(folder / "postgres"))
        (folder / "hub").mkdir()
        result = asyncio.run(run(load({}, data=folder / "hub", database_url=url or None), arguments.rows))
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{arguments.rows:,} repositories on {arguments.database}, filled in {result['filled_s']} s\n")
    print("| query | who | found | median ms | longest ms |\n| --- | --- | --- | --- | --- |")
    for row in result["table"]:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
