"""A hub is backed up while it runs and read back elsewhere: all of it, whatever happens in between."""

import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from homeport.core import garbage
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.storage.db import garbage as garbage_rows
from homeport.storage.db.database import utcnow
from tests.cli.places import Place, files_of, new_place
from tests.conftest import DATABASES, NewHome
from tests.home import OCI_MANIFEST, Home, User, digest_of, push_blob, push_image, running_server

__all__ = ["new_place"]

NewPlace = Callable[[str], Place]
IMAGES = 6
OTHER = {"sqlite": "postgres", "postgres": "sqlite"}


class Hub:
    """A hub that runs, with images, and who pushed them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.place = Place.of(home)
        self.user: User = home.user()
        self.name: RepositoryName = home.repository(self.user.name, is_private=True)
        self.pushed = {f"tag{number}": self.push(f"tag{number}") for number in range(IMAGES)}

    def push(self, tag: str) -> str:
        """Push an image; its digest."""
        return digest_of(push_image(self.home.registry(self.user, self.name), self.name, tag, text=f"{self.name}{tag}"))

    def key_of(self, digest: str) -> str:
        async def verb(services: Services) -> str:
            async with services.db.read() as tx:
                key = await tx.value(str, "select storage_key from blobs where digest = :digest", digest=digest)
                assert key is not None
                return key

        return self.home.run(verb)


@pytest.fixture(scope="module", params=DATABASES)
def hub(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Hub]:
    with new_home(request.param) as home:
        yield Hub(home)


@pytest.fixture(scope="module")
def backup(new_home: NewHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a hub on SQLite, for who only reads it."""
    folder = tmp_path_factory.mktemp("backup") / "of-hub"
    with new_home("sqlite") as home:
        Hub(home).place.ok("export", folder)
    return folder


def pulled(url: str, user: User, name: object, tags: dict[str, str]) -> None:
    """Pull all of these tags, with all that they name."""
    scope = {"service": "test", "scope": f"repository:{name}:pull"}
    answer = httpx.get(f"{url}/token", params=scope, auth=(user.name, user.password))
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {answer.json()['token']}"}) as client:
        for tag, digest in tags.items():
            found = client.get(f"/v2/{name}/manifests/{tag}", headers={"accept": OCI_MANIFEST})
            assert (found.status_code, digest_of(found.content)) == (200, digest)
            manifest = found.json()
            for blob in (manifest["config"], *manifest["layers"]):
                content = client.get(f"/v2/{name}/blobs/{blob['digest']}", follow_redirects=True)
                assert (content.status_code, digest_of(content.content)) == (200, blob["digest"])


def test_what_was_acknowledged_before_an_export_is_in_it_while_pushes_go_on(
    hub: Hub, new_place: NewPlace, tmp_path: Path
) -> None:
    ended = threading.Event()
    later: list[str] = []

    def push() -> None:
        while not ended.is_set():
            hub.push(f"later{len(later)}")
            later.append("pushed")

    acknowledged = dict(hub.pushed)
    pushing = threading.Thread(target=push)
    pushing.start()
    try:
        assert " blobs of " in hub.place.ok("export", tmp_path / "backup")
    finally:
        ended.set()
        pushing.join()
    assert later
    restored = new_place(OTHER["postgres" if hub.home.settings.database_url else "sqlite"])
    assert restored.answer("import", tmp_path / "backup")["errors"] == 0
    assert restored.ok("fsck") == "0 errors, 0 warnings\n"
    with restored.serving() as url:
        pulled(url, hub.user, hub.name, acknowledged)


def test_a_backup_opens_to_its_owner_only(backup: Path) -> None:
    modes = {stat.S_IMODE(os.stat(path).st_mode) for path in (backup, *backup.rglob("*")) if path.is_dir()}
    assert modes == {0o700}
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in backup.rglob("*") if path.is_file()} == {0o600}


@pytest.mark.parametrize("hub", ["sqlite"], indirect=True)
def test_a_second_export_writes_new_blobs_only_and_leaves_one_backup(hub: Hub, tmp_path: Path) -> None:
    hub.place.ok("export", tmp_path / "backup")
    first = files_of(tmp_path / "backup" / "blobs")
    hub.push("new")
    hub.place.ok("export", tmp_path / "backup")
    second = files_of(tmp_path / "backup" / "blobs")
    assert second.items() > first.items()
    assert len(second) == len(first) + 2
    assert len(os.listdir(tmp_path / "backup" / "tables")) == 1
    assert hub.place.ok("import", tmp_path / "backup", "--check") == "0 blobs are missing or wrong\n"


@pytest.mark.parametrize("hub", ["sqlite"], indirect=True)
def test_an_export_that_was_killed_goes_on_and_leaves_the_backup_that_was_there(
    hub: Hub, new_place: NewPlace, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    assert hub.place.run("export", folder, HOMEPORT_FAULT_POINT="copied-blob:5").returncode == -9
    assert "no export has ended there" in new_place("sqlite").refuses("import", folder)
    there = files_of(folder / "blobs")
    assert len(there) >= 5
    hub.place.ok("export", folder)
    assert files_of(folder / "blobs").items() >= there.items()
    before = (folder / "backup.json").read_bytes()
    assert hub.place.run("export", folder, HOMEPORT_FAULT_POINT="rows-written").returncode == -9
    assert (folder / "backup.json").read_bytes() == before
    assert hub.place.ok("import", folder, "--check") == "0 blobs are missing or wrong\n"


@pytest.mark.parametrize(("kind", "point"), [("postgres", "copied-blob:5"), ("sqlite", "rows-loaded")])
def test_an_import_that_was_killed_is_no_hub_and_goes_on(
    backup: Path, new_place: NewPlace, kind: str, point: str
) -> None:
    place = new_place(kind)
    assert place.run("import", backup, HOMEPORT_FAULT_POINT=point).returncode == -9
    for command in ("serve", "fsck"):
        assert "a hub is on its way to this place" in place.refuses(command)
    there = files_of(place.data / "blobs")
    assert len(there) >= 5
    assert place.answer("import", backup)["errors"] == 0
    # At most those that were under way when it was killed had not been noted.
    kept = files_of(place.data / "blobs").items() & there.items()
    assert len(kept) >= 5
    assert len(files_of(place.data / "blobs")) == json.loads((backup / "backup.json").read_text())["blob_count"]
    assert place.ok("fsck") == "0 errors, 0 warnings\n"


def test_a_blob_that_is_wrong_or_missing_is_named_and_all_the_rest_is_saved(
    new_home: NewHome, new_place: NewPlace, tmp_path: Path
) -> None:
    with new_home("sqlite") as home:
        hub = Hub(home)
        scope = home.registry(hub.user, hub.name)
        missing, wrong, cut = (push_blob(scope, hub.name, f"{word} of {hub.name}".encode() * 9) for word in "abc")
        blobs = home.settings.blobs_path
        os.unlink(blobs / hub.key_of(missing))
        (blobs / hub.key_of(wrong)).write_bytes(b"other bytes, and more of them than there were before" * 9)
        (blobs / hub.key_of(cut)).write_bytes(b"")
        done = hub.place.run("export", tmp_path / "backup")
    assert done.returncode == 1
    assert "INCOMPLETE, 3 blobs could not be saved" in done.stdout
    for digest in (missing, wrong, cut):
        assert digest in done.stderr
    place = new_place("sqlite")
    assert "it lacks 3 blobs" in place.refuses("import", tmp_path / "backup")
    assert place.run("import", tmp_path / "backup", "--incomplete").returncode == 1
    found = {line.split(": ")[2] for line in place.refuses("fsck").splitlines()}
    assert found == {missing, wrong, cut}
    with running_server(place.data) as url:
        pulled(url, hub.user, hub.name, hub.pushed)


def test_a_blob_of_a_backup_that_has_rotted_brings_no_hub(backup: Path, new_place: NewPlace, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(backup, folder)
    rotten = next(path for path in sorted((folder / "blobs").rglob("*")) if path.is_file())
    content = rotten.read_bytes()
    rotten.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    place = new_place("sqlite")
    assert rotten.name in place.refuses("import", folder, "--check")
    assert rotten.name in place.refuses("import", folder)
    assert "on its way" in place.refuses("serve")
    rotten.write_bytes(content)
    assert place.answer("import", folder)["errors"] == 0


def test_a_backup_goes_to_an_empty_place_only(backup: Path, new_place: NewPlace, tmp_path: Path) -> None:
    taken = new_place("postgres")
    taken.ok("migrate")
    assert "there are rows in the database" in taken.refuses("import", backup)
    assert taken.ok("fsck") == "0 errors, 0 warnings\n"
    with_bytes = new_place("sqlite")
    (with_bytes.data / "blobs" / "ab").mkdir(parents=True)
    (with_bytes.data / "blobs" / "ab" / "abc.sha256-1").write_bytes(b"somebody's")
    assert "there are bytes in the store" in with_bytes.refuses("import", backup)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother").write_text("dear")
    assert "holds something else" in taken.refuses("export", tmp_path / "letters")


def test_a_backup_of_an_older_schema_is_migrated_and_one_of_a_newer_program_refused(
    backup: Path, new_place: NewPlace, tmp_path: Path
) -> None:
    """Between 0014 and 0015 no table changed that is copied: the backup is one of 0014 but for its word."""
    folder = tmp_path / "copy"
    shutil.copytree(backup, folder)
    manifest = json.loads((folder / "backup.json").read_text())
    (folder / "backup.json").write_text(json.dumps({**manifest, "revision": "0014"}))
    for kind in DATABASES:
        # At the end it looks for errors, which works on the newest schema alone.
        assert new_place(kind).answer("import", folder)["errors"] == 0
    (folder / "backup.json").write_text(json.dumps({**manifest, "revision": "9999"}))
    assert "upgrade the program" in new_place("sqlite").refuses("import", folder)
    (folder / "backup.json").write_text(json.dumps({**manifest, "format": 2}))
    assert "upgrade the program" in new_place("sqlite").refuses("import", folder)


def test_garbage_is_not_taken_from_under_an_export(hub: Hub) -> None:
    client = hub.home.registry(hub.user, hub.name)
    digest = push_blob(client, hub.name, f"unneeded in {hub.name}".encode())
    key = hub.key_of(digest)

    async def collect(services: Services) -> int:
        return (await garbage.collect(services, now=utcnow() + timedelta(days=3))).discarded

    async def is_there(services: Services) -> bool:
        return await services.blobs.stored_size(key) is not None

    async def discard(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                "delete from repository_blobs where blob_id = (select id from blobs where storage_key = :key)", key=key
            )
            await tx.run("delete from blobs where storage_key = :key", key=key)
            await garbage_rows.insert_discarded(tx, [key], now=utcnow())

    async def export(services: Services) -> None:
        async with garbage.bytes_kept(services):
            await discard(services)
            assert await collect(services) == 0
            assert await is_there(services)

    async def let_go(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run("delete from job_turns where job = 'bytes are kept'")

    hub.home.run(export)
    hub.home.run(let_go)
    assert hub.home.run(collect) >= 1
    assert not hub.home.run(is_there)
