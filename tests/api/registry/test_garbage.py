"""What is garbage, what is not, and that collecting it harms nobody who pushes or pulls meanwhile."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.core import accounts, garbage, integrity, repositories, uploads
from homeport.core.access import OPERATOR, Actor
from homeport.core.garbage import Collected
from homeport.core.services import Services
from homeport.errors import StoreUnavailable
from homeport.names import Digest, RepositoryName
from homeport.storage.db import garbage as rows
from homeport.storage.db import uploads as upload_rows
from homeport.storage.db.database import Transaction, utcnow
from tests.conftest import DATABASES, NewHome
from tests.home import (
    OCI_INDEX,
    OCI_MANIFEST,
    Home,
    digest_of,
    image_manifest,
    index_manifest,
    push_blob,
    push_image,
    put_manifest,
    unique,
)
from tests.inviting import run as execute
from tests.inviting import value
from tests.plans import plans_of

RETENTION_DAYS = 30
NODES = 6


@pytest.fixture(scope="module", params=DATABASES)
def home(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """Collecting looks at everything: this one is nobody else's."""
    variables = {
        "HOMEPORT_UNTAGGED_RETENTION_DAYS": str(RETENTION_DAYS),
        "HOMEPORT_MANIFEST_DEPTH_LIMIT": str(NODES),
    }
    with new_home(request.param, **variables) as running:
        yield running


class Place:
    """A repository, and somebody who pushes to it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.user = home.user()
        self.name = home.repository(self.user.name)
        self.client = home.registry(self.user, self.name)

    def holds(self, digest: str) -> bool:
        """What a client is told that asks before it pushes."""
        return self.client.head(f"/v2/{self.name}/blobs/{digest}").status_code == 200

    def pulls(self, digest: str) -> int:
        return self.client.get(f"/v2/{self.name}/blobs/{digest}").status_code

    def manifest(self, reference: str) -> int:
        return self.client.get(f"/v2/{self.name}/manifests/{reference}").status_code

    def stored_bytes(self) -> int:
        return value(
            self.home,
            int,
            "select storage_bytes from repositories where id = :id",
            id=self.home.repository_id(self.name),
        )


@pytest.fixture
def place(home: Home) -> Place:
    return Place(home)


def collect(home: Home, *, hours: float = 0, days: float = 0) -> Collected:
    """A run some time from now."""
    now = utcnow() + timedelta(hours=hours, days=days)
    return home.run(lambda services: garbage.collect(services, now=now))


def key_of(home: Home, digest: str) -> str:
    return value(home, str, "select coalesce(max(storage_key), '') from blobs where digest = :digest", digest=digest)


def has_bytes(home: Home, key: str) -> bool:
    async def verb(services: Services) -> bool:
        return await services.blobs.stored_size(key) is not None

    return home.run(verb)


def findings(home: Home) -> list[integrity.Finding]:
    async def verb(services: Services) -> list[integrity.Finding]:
        return [found async for found in integrity.check(services) if found.severity == integrity.ERROR]

    return home.run(verb)


def delete_repository(home: Home, name: RepositoryName) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await repositories.delete_repository(tx, actor=OPERATOR, name=name)

    home.run(verb)


# Blobs


def test_a_blob_waits_for_its_manifest_for_the_grace_period(place: Place) -> None:
    digest = push_blob(place.client, place.name, unique("blob").encode())
    collect(place.home, hours=23.9)
    assert place.holds(digest)
    collect(place.home, hours=24.1)
    assert not place.holds(digest)
    assert place.pulls(digest) == 200


def test_what_is_condemned_goes_an_hour_later_and_its_bytes_after_that(place: Place) -> None:
    digest = push_blob(place.client, place.name, unique("blob").encode())
    key = key_of(place.home, digest)
    collect(place.home, hours=24.1)
    collect(place.home, hours=25)
    assert place.pulls(digest) == 200
    collect(place.home, hours=25.2)
    assert place.pulls(digest) == 404
    assert key_of(place.home, digest) == ""
    assert has_bytes(place.home, key)
    assert findings(place.home) == []
    collect(place.home, hours=25.4)
    assert has_bytes(place.home, key)
    collect(place.home, hours=25.5)
    assert not has_bytes(place.home, key)
    assert findings(place.home) == []


def test_what_is_condemned_and_pushed_again_stays(place: Place) -> None:
    content = unique("blob").encode()
    digest = push_blob(place.client, place.name, content)
    collect(place.home, hours=24.1)
    push_blob(place.client, place.name, content)
    assert place.holds(digest)
    collect(place.home, hours=23)
    assert place.holds(digest)


def test_what_is_condemned_and_mounted_again_stays(place: Place) -> None:
    digest = push_blob(place.client, place.name, unique("blob").encode())
    collect(place.home, hours=24.1)
    answer = place.client.post(f"/v2/{place.name}/blobs/uploads/", params={"mount": digest, "from": str(place.name)})
    assert answer.status_code == 201
    assert place.holds(digest)


def test_a_manifest_saves_what_was_condemned_before_it_came(place: Place) -> None:
    config, layer = b"{}", unique("layer").encode()
    for content in (config, layer):
        push_blob(place.client, place.name, content)
    collect(place.home, hours=24.1)
    assert not place.holds(digest_of(layer))
    assert put_manifest(place.client, place.name, "late", image_manifest(config, layer)).status_code == 201
    assert place.holds(digest_of(layer))
    collect(place.home, hours=26)
    collect(place.home, hours=48)
    assert (place.pulls(digest_of(layer)), place.pulls(digest_of(config))) == (200, 200)
    assert value(place.home, int, "select count(*) from repository_blobs where condemned_at is not null") == 0


def test_the_blobs_of_manifests_are_never_garbage(place: Place) -> None:
    push_image(place.client, place.name, "kept", text=unique("text"))
    before = place.stored_bytes()
    for hours in (24.1, 25.2, 25.5, 100):
        collect(place.home, hours=hours)
    assert place.stored_bytes() == before
    assert findings(place.home) == []


def test_a_blob_in_two_repositories_goes_when_it_is_in_none(place: Place) -> None:
    other = Place(place.home)
    content = unique("shared").encode()
    for holder in (place, other):
        push_blob(holder.client, holder.name, content)
        assert put_manifest(holder.client, holder.name, "v1", image_manifest(b"{}", content)).status_code in (201, 404)
        push_blob(holder.client, holder.name, b"{}")
        assert put_manifest(holder.client, holder.name, "v1", image_manifest(b"{}", content)).status_code == 201
    digest, key = digest_of(content), key_of(place.home, digest_of(content))
    delete_repository(place.home, place.name)
    collect(place.home, hours=24.1)
    assert other.pulls(digest) == 200
    delete_repository(place.home, other.name)
    collect(place.home, hours=24.1)
    assert key_of(place.home, digest) == ""
    collect(place.home, hours=25)
    assert not has_bytes(place.home, key)


def test_what_comes_again_has_bytes_of_its_own(place: Place) -> None:
    content = unique("again").encode()
    digest = push_blob(place.client, place.name, content)
    former = key_of(place.home, digest)
    collect(place.home, hours=24.1)
    collect(place.home, hours=25.2)
    assert place.pulls(digest) == 404
    push_blob(place.client, place.name, content)
    collect(place.home, hours=25.5)
    assert not has_bytes(place.home, former)
    assert place.client.get(f"/v2/{place.name}/blobs/{digest}").content == content


def test_the_size_of_a_repository_loses_what_is_taken_out_of_it(place: Place) -> None:
    push_image(place.client, place.name, "kept", text=unique("text"))
    before = place.stored_bytes()
    manifest = push_image(place.client, place.name, "gone", text="much longer than the other " + unique("text"))
    assert place.stored_bytes() > before
    assert place.client.delete(f"/v2/{place.name}/manifests/{digest_of(manifest)}").status_code == 202
    collect(place.home, hours=24.1)
    collect(place.home, hours=25.2)
    assert place.stored_bytes() == before
    assert findings(place.home) == []


def test_a_store_that_is_away_ends_the_run_and_the_next_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = push_blob(place.client, place.name, unique("blob").encode())
    key = key_of(place.home, digest)
    collect(place.home, hours=24.1)
    collect(place.home, hours=25.2)

    async def away(_key: str) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(place.home.services.blobs, "delete", away)
        with pytest.raises(StoreUnavailable):
            collect(place.home, hours=26)
    assert has_bytes(place.home, key)
    assert findings(place.home) == []
    collect(place.home, hours=26)
    assert not has_bytes(place.home, key)


def test_what_was_uploaded_and_not_published_goes_with_its_repository(place: Place) -> None:
    content = unique("sealed").encode()
    path = place.client.post(f"/v2/{place.name}/blobs/uploads/").headers["location"]
    assert place.client.patch(path, content=content).status_code == 202

    async def verb(services: Services) -> str:
        # What a process does that dies, or loses the database, before it can say so.
        return await services.blobs.seal(path.rpartition("/")[2], Digest.parse(digest_of(content)))

    key = place.home.run(verb)
    delete_repository(place.home, place.name)
    assert findings(place.home) == []
    collect(place.home, hours=0.2)
    assert has_bytes(place.home, key)
    collect(place.home, hours=0.3)
    assert not has_bytes(place.home, key)
    assert findings(place.home) == []


def test_what_is_published_while_its_repository_is_deleted_keeps_its_bytes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = unique("published").encode()
    digest = Digest.parse(digest_of(content))
    path = place.client.post(f"/v2/{place.name}/blobs/uploads/").headers["location"]
    assert place.client.patch(path, content=content).status_code == 202
    published, delete = asyncio.Event(), upload_rows.delete

    async def slow_delete(tx: Transaction, upload: str) -> bool:
        is_deleted = await delete(tx, upload)
        published.set()
        await asyncio.sleep(0.3)
        return is_deleted

    async def verb(services: Services) -> None:
        async with services.db.read() as tx:
            actor = Actor.of(await accounts.access_user(tx, place.user.name))
        upload = path.rpartition("/")[2]
        finishing = asyncio.create_task(
            uploads.finish(services, actor=actor, name=place.name, upload=upload, digest=digest, body=None)
        )
        await published.wait()
        async with services.db.write() as tx:
            await repositories.delete_repository(tx, actor=OPERATOR, name=place.name)
        await finishing

    monkeypatch.setattr(upload_rows, "delete", slow_delete)
    place.home.run(verb)
    other = Place(place.home)
    push_blob(other.client, other.name, content)
    collect(place.home, hours=1)
    assert other.client.get(f"/v2/{other.name}/blobs/{digest}").content == content


# Manifests


def age(home: Home, digest: str, *, days: float) -> None:
    """Have a manifest, and all that was done with tags until now, be so much older."""
    past = int(timedelta(days=days).total_seconds() * 1_000_000)
    execute(home, "update manifests set pushed_at = pushed_at - :past where digest = :digest", past=past, digest=digest)


def test_a_manifest_goes_when_it_has_long_been_without_a_tag(place: Place) -> None:
    old = digest_of(push_image(place.client, place.name, "latest", text=unique("old")))
    push_image(place.client, place.name, "latest", text=unique("new"))
    age(place.home, old, days=400)
    collect(place.home, days=RETENTION_DAYS - 0.1)
    assert place.manifest(old) == 200
    collect(place.home, days=RETENTION_DAYS + 0.1)
    assert place.manifest(old) == 404
    assert place.manifest("latest") == 200
    assert findings(place.home) == []
    assert (
        value(
            place.home,
            int,
            "select count(*) from audit_events where action = 'repo.manifest.delete' and actor = 'homeport'"
            " and name = :name",
            name=str(place.name),
        )
        == 1
    )


def test_the_time_of_a_repository_is_not_changed_by_collecting(place: Place) -> None:
    old = digest_of(push_image(place.client, place.name, text=unique("old")))
    sql = "select updated_at from repositories where id = :id"
    before = value(place.home, int, sql, id=place.home.repository_id(place.name))
    collect(place.home, days=RETENTION_DAYS + 0.1)
    assert place.manifest(old) == 404
    collect(place.home, days=RETENTION_DAYS + 2)
    assert value(place.home, int, sql, id=place.home.repository_id(place.name)) == before


def test_what_was_pulled_lately_stays(place: Place) -> None:
    digest = digest_of(push_image(place.client, place.name, text=unique("pulled")))
    execute(
        place.home,
        "update manifests set last_pulled_at = pushed_at + :later where digest = :digest",
        later=10 * 24 * 3600 * 1_000_000,
        digest=digest,
    )
    collect(place.home, days=RETENTION_DAYS + 9)
    assert place.manifest(digest) == 200
    collect(place.home, days=RETENTION_DAYS + 11)
    assert place.manifest(digest) == 404


def test_what_a_kept_index_holds_stays_and_goes_with_it(place: Place) -> None:
    child = push_image(place.client, place.name, text=unique("child"))
    index = index_manifest((child, {"os": "linux", "architecture": "amd64"}))
    assert put_manifest(place.client, place.name, "multi", index, OCI_INDEX).status_code == 201
    signature = push_image(
        place.client,
        place.name,
        text=unique("signature"),
        subject={"mediaType": OCI_MANIFEST, "digest": digest_of(child), "size": len(child)},
    )
    collect(place.home, days=RETENTION_DAYS + 1)
    assert [place.manifest(digest_of(content)) for content in (index, child, signature)] == [200] * 3
    assert place.client.delete(f"/v2/{place.name}/manifests/multi").status_code == 202
    collect(place.home, days=RETENTION_DAYS + 1)
    assert [place.manifest(digest_of(content)) for content in (index, child, signature)] == [404] * 3


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[list[int], int | None, bool]]:
    """Manifests that name only those before them: children, a subject, and whether there is a tag."""
    graph = []
    for number in range(NODES):
        earlier = st.integers(0, number - 1)
        children = draw(st.lists(earlier, unique=True, max_size=2)) if number else []
        subject = draw(st.none() | earlier) if number else None
        graph.append((children, subject, draw(st.booleans())))
    return graph


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs())
def test_what_stays_is_what_something_kept_leads_to(
    place: Place, graph: list[tuple[list[int], int | None, bool]]
) -> None:
    contents: list[bytes] = []
    for number, (children, subject, is_tagged) in enumerate(graph):
        fields: dict[str, Any] = {"annotations": {"salt": unique("salt")}}
        if subject is not None:
            about = contents[subject]
            fields["subject"] = {"mediaType": OCI_INDEX, "digest": digest_of(about), "size": len(about)}
        content = index_manifest(*((contents[child], {}) for child in children), **fields).replace(
            OCI_MANIFEST.encode(), OCI_INDEX.encode()
        )
        contents.append(content)
        reference = f"{unique('t')}-{number}" if is_tagged else digest_of(content)
        assert put_manifest(place.client, place.name, reference, content, OCI_INDEX).status_code == 201
    kept = {number for number, (_, _, is_tagged) in enumerate(graph) if is_tagged}
    while True:
        more = {child for number in kept for child in graph[number][0]}
        more |= {number for number, (_, subject, _) in enumerate(graph) if subject in kept}
        if more <= kept:
            break
        kept |= more
    collect(place.home, days=RETENTION_DAYS + 1)
    found = {number for number, content in enumerate(contents) if place.manifest(digest_of(content)) == 200}
    assert found == kept


# Meanwhile


def test_no_push_is_answered_and_then_collected(home: Home) -> None:
    """The collector's clock is days ahead: it condemns, takes out and deletes whatever has no manifest this moment."""
    places = [Place(home) for _ in range(3)]
    shared = unique("shared").encode()
    ended = threading.Event()
    pushed: list[tuple[Place, bytes, bytes]] = []
    failures: list[object] = []

    def push(place: Place) -> None:
        for number in range(12):
            config, layer = b"{}", shared if number % 2 else f"{shared.decode()}-{place.name}-{number}".encode()
            content = image_manifest(config, layer, annotations={"number": f"{place.name} {number}"})
            for _ in range(200):
                if _push_once(place, f"v{number}", content, config, layer):
                    pushed.append((place, content, layer))
                    break
            else:
                failures.append((place.name, number))

    def collecting() -> None:
        while not ended.is_set():
            for hours in (24.1, 25.2, 25.5):
                try:
                    collect(home, hours=hours)
                except Exception as error:
                    failures.append(error)

    collector = threading.Thread(target=collecting)
    pushers = [threading.Thread(target=push, args=(place,)) for place in places]
    collector.start()
    for thread in pushers:
        thread.start()
    for thread in pushers:
        thread.join()
    ended.set()
    collector.join()
    assert failures == []
    assert len(pushed) == 36
    for place, content, layer in pushed:
        assert place.manifest(digest_of(content)) == 200
        assert place.client.get(f"/v2/{place.name}/blobs/{digest_of(layer)}").content == layer
    assert findings(home) == []


def _push_once(place: Place, tag: str, content: bytes, *blobs: bytes) -> bool:
    for blob in blobs:
        begun = place.client.post(f"/v2/{place.name}/blobs/uploads/")
        if begun.status_code == 503:
            return False
        assert begun.status_code == 202, begun.text
        ended = place.client.put(begun.headers["location"], params={"digest": digest_of(blob)}, content=blob)
        if ended.status_code == 503:
            return False
        assert ended.status_code == 201, ended.text
    answer: httpx.Response = put_manifest(place.client, place.name, tag, content)
    assert answer.status_code in (201, 404, 503), answer.text  # 404: a blob was collected, as the clock is wrong
    return answer.status_code == 201


TABLES = (
    "repository_blobs",
    "blobs",
    "manifests",
    "manifest_references",
    "tags",
    "tag_moves",
    "discarded_keys",
    "arrived",
    "gone",
)


def test_each_page_is_found_by_an_index(place: Place) -> None:
    now, repository_id = utcnow(), place.home.repository_id(place.name)
    digests = [digest_of(push_image(place.client, place.name, "v1", text=unique("text")))]

    async def verb(tx: Transaction) -> None:
        page: dict[str, Any] = {"after": 0, "before": now, "limit": 100}
        await rows.list_with_unused(tx, [repository_id], before=now)
        await rows.condemn(tx, repository_id, before=now, now=now)
        await rows.list_with_condemned(tx, **page)
        await rows.pardon(tx, repository_id)
        await rows.unlink_condemned(tx, repository_id, before=now)
        await rows.list_blobs(tx, **page)
        await rows.delete_unlinked(tx, [1])
        await rows.list_discarded(tx, before=now, limit=100)
        await rows.list_manifests(tx, **page)
        await rows.list_above(tx, repository_id, digests)
        await rows.list_kept(tx, repository_id, digests, before=now)

    plans = plans_of(place.home, verb, must_scan=True)
    assert len(plans) == 11
    for plan in plans:
        assert not any(plan.scans(table) for table in TABLES), plan
        assert plan.indexes(), plan
