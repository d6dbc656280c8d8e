"""A hub with very many repositories and tags on PostgreSQL: its size, what its lists take, and how they are found.

    python -m bench.scale [--repositories N] [--tags N] [--events N] [--folder DIR]

Names, descriptions and stars come from `bench.search`; everything else is made by the database itself, row for row what
pushes would have left: manifests with their references and layers, blobs, tags with their moves, counted stretches. One
repository has a tenth of all tags, a thousand have a thousand each, the others share the rest. Only the bytes of the
blobs are not there. Requests go over HTTP to a server that runs beside the database on the same machine; a second
round, with PostgreSQL's auto_explain, says by which indexes each is answered, and how many rows were looked at for it.
The tables are for docs/operations/scale.md.
"""

import argparse
import asyncio
import contextlib
import json
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from bench.search import FIRST_ACCOUNT, OF_MEMBER, Town, fill
from bench.servers import free_port, running
from homeport.core import passwords, setup
from homeport.settings import load
from homeport.storage.db.engine import open_database
from homeport.storage.db.migrate import migrate
from homeport.versions import version_key

PASSWORD = "the password of the simulation"
SHARE_OF_LARGEST = 10
MIDDLING, TAGS_OF_MIDDLING = 1000, 1000
TAGS_PER_MANIFEST = 4
STRETCH = 256
MEMBERS, TEAMS = 10_000, 1_000
RUNS = 25
MONTH_US = 30 * 24 * 3600 * 1_000_000
_SERVER = (
    *("shared_buffers=4GB", "maintenance_work_mem=1GB", "max_wal_size=32GB", "checkpoint_timeout=30min"),
    *("wal_level=minimal", "max_wal_senders=0", "effective_cache_size=12GB"),
)
LARGEST = 1
"""Id of the repository with the most tags. It is of the first account, an organization, as is one in fifty others."""


class Filling:
    """The statements that fill the tables, in order, each with what it is about."""

    def __init__(self, repositories: int, tags: int, events: int) -> None:
        largest = tags // SHARE_OF_LARGEST
        middling = min(MIDDLING, repositories // 10)
        others = repositories - middling - 1
        self.names = max(largest, TAGS_OF_MIDDLING)
        self.per_other = max((tags - largest - middling * TAGS_OF_MIDDLING) // others, 1)
        self.largest = largest
        self.statements = {
            "how many tags": f"""
                create table sim as select id as repository_id,
                    case when id = {LARGEST} then {largest} when id <= {middling + 1} then {TAGS_OF_MIDDLING}
                    else {self.per_other} end as tags from repositories
                """,
            "manifests": f"""
                insert into manifests (repository_id, digest, media_type, content, size_bytes, depth, config_media_type,
                    os, architecture, os_features, features, image_size_bytes, pushed_at, pushed_by)
                select repository_id, 'sha256:' || encode(sha256(content), 'hex'),
                    'application/vnd.oci.image.manifest.v1+json', content, length(content), 0,
                    'application/vnd.oci.image.config.v1+json', 'linux', 'amd64', '', '', 30000000, :now,
                    {FIRST_ACCOUNT + 1}
                from (
                    select repository_id, convert_to(format('{{"schemaVersion":2,"mediaType":'
                        '"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":'
                        '"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":1500}},"layers":'
                        '[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s",'
                        '"size":30000000}}]}}', {_sha("config")}, {_sha("layer")}), 'utf8') as content
                    from sim cross join lateral generate_series(0, (tags - 1) / {TAGS_PER_MANIFEST}) as number
                ) as made
                """,
            "numbers of manifests": """
                create table sim_manifests as select id as manifest_id, repository_id, digest,
                    row_number() over (partition by repository_id order by id) - 1 as number from manifests
                """,
            "what is known of them": "analyze sim, sim_names, sim_manifests",
            "references": f"""
                insert into manifest_references (manifest_id, position, repository_id, kind, digest, media_type,
                    size_bytes, os_features, features)
                select manifest_id, position, repository_id, (array['config', 'layer'])[position + 1], 'sha256:' || case position when 0
                    then {_sha("config")} else {_sha("layer")} end,
                    'application/vnd.oci.image.layer.v1.tar+gzip', 30000000, '', ''
                from sim_manifests cross join generate_series(0, 1) as position
                """,
            "layers": f"""
                insert into manifest_layers (manifest_id, position, digest, size_bytes, instruction)
                select manifest_id, 0, 'sha256:' || {_sha("layer")}, 30000000, 'COPY . /' from sim_manifests
                """,
            "blobs": f"""
                insert into blobs (digest, size_bytes, storage_key, created_at)
                select 'sha256:' || case position when 0 then {_sha("config")} else {_sha("layer")} end,
                    case position when 0 then 1500 else 30000000 end,
                    md5(manifest_id || ':' || position) || '/' || left(md5(manifest_id::text), 16), :now
                from sim_manifests cross join generate_series(0, 1) as position
                """,
            "blobs of repositories": """
                insert into repository_blobs (repository_id, blob_id, created_at, counted_bytes)
                select repository_id, blobs.id, :now, blobs.size_bytes
                from manifest_references join blobs using (digest)
                """,
            "tags": f"""
                insert into tags (repository_id, name, manifest_id, created_at, created_by, updated_at, updated_by,
                    version_key)
                select repository_id, name, manifest_id, :now + place, {FIRST_ACCOUNT + 1}, :now + place,
                    {FIRST_ACCOUNT + 1}, version_key
                from sim_manifests join sim using (repository_id)
                cross join lateral generate_series(
                    number * {TAGS_PER_MANIFEST}, least(number * {TAGS_PER_MANIFEST} + {TAGS_PER_MANIFEST - 1}, tags - 1)
                ) as series(place)
                join sim_names using (place)
                """,
            "moves": """
                insert into tag_moves (repository_id, name, digest, moved_at, moved_by)
                select tags.repository_id, tags.name, manifests.digest, tags.updated_at, tags.updated_by
                from tags join manifests on manifests.id = tags.manifest_id
                """,
            **{f"stretches by {key}": _stretches(key) for key in ("name", "updated_at", "version_key")},
            "types": """
                insert into repository_types (repository_id, kind, type, manifest_count)
                select repository_id, kind, type, count(*) from manifests cross join (values
                    ('media', 'application/vnd.oci.image.manifest.v1+json'), ('content', 'image')) as types (kind, type)
                group by repository_id, kind, type
                """,
            "ids of accounts": """
                select setval(pg_get_serial_sequence('accounts', 'id'), max(id)) from accounts
                """,
            "members": f"""
                with people as (
                    insert into accounts (uuid, name, kind, created_at)
                    select 'member-' || n, 'member' || n, 'user', :now from generate_series(1, {MEMBERS}) as n
                    returning id, name
                )
                insert into organization_members (organization_id, account_id, role, created_at, account_name)
                select {FIRST_ACCOUNT}, id, 'member', :now, name from people
                """,
            "teams": f"""
                insert into teams (uuid, organization_id, name, created_at, updated_at)
                select 'team-' || n, {FIRST_ACCOUNT}, 'team' || n, :now, :now from generate_series(1, {TEAMS}) as n
                """,
            "audit events": f"""
                insert into audit_events (account_id, action, name, actor, data, created_at)
                select case when n % 4 = 0 then {FIRST_ACCOUNT} else {FIRST_ACCOUNT} + n % 10000 end,
                    case when n % 3 = 0 then 'repo.tag.push' else 'repo.create' end, 'app-' || n % 1000,
                    'member' || n % {MEMBERS}, '{{"digest":"' || md5(n::text) || '"}}',
                    :now - (n % 90) * {MONTH_US // 30}
                from generate_series(1, {events}) as n
                """,
            "what is known of it": "analyze",
        }


def _sha(kind: str) -> str:
    """The hex digest that a config or a layer would have; each manifest has its own."""
    return f"encode(sha256(convert_to('{kind}' || repository_id || ':' || number, 'utf8')), 'hex')"


def _stretches(key: str) -> str:
    lowest = "repeat('0', 20)" if key == "updated_at" else "''"
    start = f"lpad(min({key})::text, 20, '0')" if key == "updated_at" else f"min({key})"
    return f"""
        insert into tag_stretches (repository_id, ordering, start, tag_count)
        select repository_id, '{key}', case when stretch = 0 then {lowest} else {start} end, count(*)
        from (
            select repository_id, {key}, (row_number() over (partition by repository_id order by {key}) - 1) / {STRETCH}
                as stretch
            from tags
        ) as placed
        group by repository_id, stretch
        """


async def prepare(url: str, data: Path, filling: Filling, repositories: int) -> None:
    """Fill an empty database."""
    settings = load({}, data=data, database_url=url)
    await migrate(settings)
    db = await open_database(settings)
    try:
        await setup.prepare(db, admin_password=PASSWORD)
        _say("repositories, their names and what is searched")
        await fill(db, Town(repositories), is_postgres=True)
    finally:
        await db.close()
    async with _connected(url) as connection:
        # Without a look at what rows refer to: that takes most of the time, and what is written here is right.
        await connection.execute("set synchronous_commit = off; set work_mem = '512MB'")
        await connection.execute("set session_replication_role = replica")
        await connection.execute("create table sim_names (place bigint primary key, name text, version_key text)")
        names = ((place, name, version_key(name)) for place, name in enumerate(map(_tag, range(filling.names))))
        await connection.copy_records_to_table("sim_names", records=names)
        now = str(time.time_ns() // 1000)
        indexes = await _drop_indexes(connection)
        for about, statement in filling.statements.items():
            if about == "what is known of it":
                for index in indexes:
                    began = time.monotonic()
                    await connection.execute(index)
                    _say(f"{index[:80]}: {time.monotonic() - began:.0f} s")
            began = time.monotonic()
            await connection.execute(statement.replace(":now", now))
            _say(f"{about}: {time.monotonic() - began:.0f} s")
        for table in ("sim", "sim_names", "sim_manifests"):
            await connection.execute(f"drop table {table}")
        # The member may log in, and has the organization's twentieth thousand of private repositories.
        await connection.execute(
            "update accounts set password_hash = $1 where id = $2",
            passwords._hasher.hash(PASSWORD),
            FIRST_ACCOUNT + 1,
        )
        await connection.execute("vacuum analyze")


_LARGE = [
    "manifests",
    "manifest_references",
    "manifest_layers",
    "blobs",
    "repository_blobs",
    "tags",
    "tag_moves",
    "tag_stretches",
]


async def _drop_indexes(connection: Any) -> list[str]:
    """Drop what is quicker made at the end; the statements that make it again."""
    unique = await connection.fetch(
        """
        select format('alter table %s drop constraint %I', conrelid::regclass, conname),
            format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        from pg_constraint where contype = 'u' and conrelid = any($1::text[]::regclass[])
        """,
        _LARGE,
    )
    for drop, _ in unique:
        await connection.execute(drop)
    others = await connection.fetch(
        """
        select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid) from pg_index
        where not indisprimary and indrelid = any($1::text[]::regclass[])
        """,
        _LARGE,
    )
    for drop, _ in others:
        await connection.execute(drop)
    return [make for _, make in (*unique, *others)]


def _tag(place: int) -> str:
    """Half are versions, half are names of builds."""
    return f"{place // 10_000}.{place // 100 % 100}.{place % 100}" if place % 2 else f"build-{place:07d}"


class Hub:
    """Clients of the running server: of the organization's member, the site's administrator, and nobody."""

    def __init__(self, url: str, member: str) -> None:
        self.clients = {"nobody": httpx.Client(base_url=url, timeout=60)}
        for who, name in (("member", member), ("admin", "admin")):
            login = self.clients["nobody"].post("/v2/users/login", json={"username": name, "password": PASSWORD})
            login.raise_for_status()
            headers = {"authorization": f"Bearer {login.json()['token']}"}
            self.clients[who] = httpx.Client(base_url=url, timeout=60, headers=headers)

    def registry(self, name: str, repository: str) -> None:
        answer = self.clients["nobody"].get(
            "/token", params={"scope": f"repository:{repository}:pull"}, auth=(name, PASSWORD)
        )
        headers = {"authorization": f"Bearer {answer.json()['token']}"}
        self.clients["registry"] = httpx.Client(base_url=self.clients["nobody"].base_url, timeout=60, headers=headers)


def lists(organization: str, name: str, *, repositories: int, largest: int) -> dict[str, tuple[str, str]]:
    """What is asked → who asks, and the path."""
    far = max(int(repositories * OF_MEMBER) // 100 * 3 // 4, 1)
    of_organization = f"/v2/namespaces/{organization}/repositories"
    tags = f"/v2/repositories/{organization}/{name}/tags"
    registry = f"/v2/{organization}/{name}"
    last = largest // 100
    return {
        "repositories of an organization": ("member", f"{of_organization}?page_size=100"),
        f"the same, page {far}": ("member", f"{of_organization}?page_size=100&page={far}"),
        "the same, by pulls": ("member", f"{of_organization}?page_size=100&ordering=pull_count"),
        "the same, names with `app`": ("member", f"{of_organization}?page_size=100&name=app"),
        "one repository": ("member", f"{of_organization}/{name}"),
        f"tags of {largest:,}": ("member", f"{tags}?page_size=100"),
        "the same, the page in the middle": ("member", f"{tags}?page_size=100&page={last // 2}"),
        "the same, the last page": ("member", f"{tags}?page_size=100&page={last}"),
        "the same, by name": ("member", f"{tags}?page_size=100&ordering=name&page={last // 2}"),
        "the same, by version": ("member", f"{tags}?page_size=100&ordering=version&page={last // 2}"),
        "the same, names with `99.9`": ("member", f"{tags}?page_size=100&name=99.9"),
        "one tag": ("member", f"{tags}/build-{largest // 4 * 2:07d}"),
        "history of one tag": ("member", f"{of_organization}/{name}/tags/build-0000100/history"),
        "registry: tags, 100 from the middle": (
            "registry",
            f"{registry}/tags/list?n=100&last=build-{largest // 2:07d}",
        ),
        "registry: manifest by tag": ("registry", f"{registry}/manifests/build-0000100"),
        "search, a common word": ("nobody", "/v2/search/repositories?query=app&page_size=25"),
        "search, two words": ("member", "/v2/search/repositories?query=nginx%20proxy&page_size=25"),
        "members of 10,000": ("member", f"/v2/orgs/{organization}/members?page_size=100&page=90"),
        "teams of 1,000": ("member", f"/v2/orgs/{organization}/groups?page_size=100&page=5"),
        "audit log, newest": ("admin", f"/v2/auditlogs/{organization}?page_size=100"),
        "audit log, one action in one week": (
            "admin",
            f"/v2/auditlogs/{organization}?page_size=100&action=repo.tag.push&{_week()}",
        ),
    }


def _week() -> str:
    """A week of a month ago."""
    first, last = (time.gmtime(time.time() - days * 24 * 3600) for days in (30, 23))
    form = "%Y-%m-%dT00:00:00Z"
    return f"from={time.strftime(form, first)}&to={time.strftime(form, last)}"


def measure(hub: Hub, asked: dict[str, tuple[str, str]]) -> dict[str, list[float]]:
    """Milliseconds of each request, after one that is not counted."""
    found: dict[str, list[float]] = {}
    for about, (who, path) in asked.items():
        times = []
        for _ in range(RUNS + 1):
            began = time.perf_counter()
            answer = hub.clients[who].get(path)
            times.append((time.perf_counter() - began) * 1000)
            if answer.status_code != 200:
                sys.exit(f"{about}: {answer.status_code} {answer.text[:300]}")
        found[about] = times[1:]
    return found


def explain(hub: Hub, asked: dict[str, tuple[str, str]], log: Callable[[], str]) -> dict[str, list[dict[str, Any]]]:
    """The plans of the statements of each request."""
    found: dict[str, list[dict[str, Any]]] = {}
    for about, (who, path) in asked.items():
        hub.clients[who].get(path)
        before = len(log())
        hub.clients[who].get(path)
        time.sleep(0.3)
        found[about] = list(_plans(log()[before:]))
    return found


def _plans(log: str) -> Iterator[dict[str, Any]]:
    """Those of requests: each process looks for revocations by itself, twice a second."""
    for match in re.finditer(r"plan:\s*(?=\{)", log):
        found, _ = json.JSONDecoder().raw_decode(log[match.end() :].replace("\n\t", "\n"))
        if "from revocations" not in found["Query Text"]:
            yield found["Plan"]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


_REMOVED = "Rows Removed by Filter"
SMALL = 100


def _looked_at(plans: list[dict[str, Any]]) -> int:
    """Rows that the scans of the plans came by."""
    total = 0.0
    for plan in plans:
        for node in _nodes(plan):
            if "Scan" in node["Node Type"] and "Relation Name" in node:
                removed = node.get(_REMOVED, 0) + node.get("Rows Removed by Index Recheck", 0)
                total += (node["Actual Rows"] + removed) * node["Actual Loops"]
    return round(total)


def _ways(plans: list[dict[str, Any]]) -> str:
    """The indexes that are used; a table that is read in full is named as such, unless it is as good as empty."""
    ways: dict[str, None] = {}
    for plan in plans:
        for node in _nodes(plan):
            if "Index Name" in node and not node["Index Name"].endswith("_pkey"):
                ways[f"`{node['Index Name']}`"] = None
            elif node["Node Type"] == "Seq Scan" and node["Actual Rows"] + node.get(_REMOVED, 0) >= SMALL:
                ways[f"all of `{node['Relation Name']}`"] = None
    return ", ".join(ways) or "by ids"


async def sizes(url: str) -> list[tuple[str, int, int, int]]:
    """Tables with their rows, and the bytes of the table and of its indexes; the largest first."""
    async with _connected(url) as connection:
        rows = await connection.fetch(
            """
            select relname, reltuples::bigint as rows, pg_table_size(oid) as bytes, pg_indexes_size(oid) as index_bytes
            from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
            order by pg_total_relation_size(oid) desc limit 14
            """
        )
    return [tuple(row) for row in rows]


async def names(url: str) -> tuple[str, str, str]:
    """The organization, its largest repository, and its member."""
    async with _connected(url) as connection:
        accounts = await connection.fetch("select name from accounts where id in ($1, $2) order by id", *_OURS)
        repository = await connection.fetchval("select name from repositories where id = $1", LARGEST)
    return accounts[0][0], repository, accounts[1][0]


_OURS = (FIRST_ACCOUNT, FIRST_ACCOUNT + 1)


async def explain_from_now_on(url: str) -> None:
    """Have PostgreSQL write the plans of new connections into its log."""
    values = {
        "session_preload_libraries": "auto_explain",
        "auto_explain.log_min_duration": "0",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_timing": "off",
        "auto_explain.log_format": "json",
    }
    async with _connected(url) as connection:
        for name, value in values.items():
            await connection.execute(f"alter role postgres set {name} = '{value}'")


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def run(folder: Path, arguments: argparse.Namespace) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tests.postgres import PostgresServer  # noqa: PLC0415 - the tests have it

    filling = Filling(arguments.repositories, arguments.tags, arguments.events)
    (folder / "hub").mkdir()
    postgres = PostgresServer(folder / "postgres", settings=_SERVER)
    postgres.create()
    with postgres.running():
        url = postgres.url
        began = time.monotonic()
        asyncio.run(prepare(url, folder / "hub", filling, arguments.repositories))
        _say(f"filled in {time.monotonic() - began:.0f} s")
        organization, repository, member = asyncio.run(names(url))
        asked = lists(organization, repository, repositories=arguments.repositories, largest=filling.largest)

        def serving(visit: Callable[[Hub], Any]) -> Any:
            port = free_port()
            command = [sys.executable, "-m", "homeport", "serve", "--port", str(port), "--data", str(folder / "hub")]
            limits = {"HOMEPORT_RATE_LIMIT_USER": "0", "HOMEPORT_RATE_LIMIT_ANONYMOUS": "0", "HOMEPORT_JOBS": "false"}
            address = f"http://127.0.0.1:{port}"
            with running(command, f"{address}/readyz", HOMEPORT_DATABASE_URL=url, **limits):
                hub = Hub(address, member)
                hub.registry(member, f"{organization}/{repository}")
                return visit(hub)

        times = serving(lambda hub: measure(hub, asked))
        asyncio.run(explain_from_now_on(url))
        log = postgres.log.read_text
        plans = serving(lambda hub: explain(hub, asked, log))
        found = asyncio.run(sizes(url))

    print(f"\n{arguments.repositories:,} repositories, {arguments.tags:,} tags, {arguments.events:,} audit events\n")
    _table(
        ("table", "rows", "table, MB", "indexes, MB"),
        ((name, f"{rows:,}", f"{size / 1e6:,.0f}", f"{indexes / 1e6:,.0f}") for name, rows, size, indexes in found),
    )
    print()
    _table(
        ("asked", "median ms", "95 of 100 ms", "statements", "rows looked at", "by"),
        (
            (
                about,
                f"{statistics.median(taken):.1f}",
                f"{sorted(taken)[int(len(taken) * 0.95)]:.1f}",
                str(len(plans[about])),
                f"{_looked_at(plans[about]):,}",
                _ways(plans[about]),
            )
            for about, taken in times.items()
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repositories", type=int, default=1_000_000)
    parser.add_argument("--tags", type=int, default=10_000_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, help="where the data goes; empty; it takes some 30 GB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        run(Path(folder), arguments)


if __name__ == "__main__":
    main()
