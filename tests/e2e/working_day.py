"""A working day of a registry: log in, build, push, look, sign, pull, delete, log out, with real clients.

`make e2e` runs this; plain `make test` does not collect it, since the clients have to be installed.
"""

import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.desk import CLIENTS, Desk, Server, running_engine, serving
from tests.home import (
    ADMIN_PASSWORD,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    PASSWORD,
    digest_of,
    push_blob,
    put_manifest,
)

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
SIGNATURE = "application/vnd.example.signature"
SBOM = "application/vnd.example.sbom"

FILES = ("/usr/bin/env", "/usr/bin/sort", "/etc/passwd", "/usr/share/common-licenses/GPL-3")
TAG_FIELDS = {
    "creator", "id", "images", "last_updated", "last_updater", "last_updater_username", "name", "repository",
    "full_size", "v2", "tag_status", "tag_last_pulled", "tag_last_pushed", "media_type", "content_type", "digest",
}  # fmt: skip
# A pull is written down in passing, so the tag shows it a little later.
PULL_SHOWN_WITHIN_S = 15


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "HOMEPORT_DEFAULT_PRIVACY": "private",
        # Wrong passwords belong to this day, and some clients try each several times.
        "HOMEPORT_LOGIN_ATTEMPTS_PER_ACCOUNT": "100",
        "HOMEPORT_LOGIN_ATTEMPTS_PER_ADDRESS": "100",
    }
    with serving(tmp_path_factory.mktemp("e2e") / "hub", **settings) as found:
        yield found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Desk:
    """The desk of the administrator, logged in everywhere."""
    return Desk(tmp_path_factory.mktemp("desks") / "first", server.url).logged_in("admin", ADMIN_PASSWORD)


@pytest.fixture(scope="module")
def hub(server: Server) -> Iterator[httpx.Client]:
    with hub_client(server.url, ADMIN_PASSWORD) as client:
        yield client


@pytest.fixture(scope="module")
def image(desk: Desk) -> str:
    """An OCI image of real files, built and pushed."""
    root = desk.folder / "files"
    for path in FILES:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path).read_bytes())
    container = desk.run("buildah", "from", "scratch").strip()
    desk.run("buildah", "copy", container, str(root), "/")
    desk.run("buildah", "config", "--cmd", "/usr/bin/env", "--env", "DAY=1", container)
    desk.run("buildah", "commit", "--format", "oci", container, desk.name("admin/app:1.0"))
    desk.run("buildah", "push", desk.name("admin/app:1.0"))
    return "admin/app:1.0"


@pytest.fixture(scope="module")
def docker_image(desk: Desk, image: str) -> str:
    """The same image in Docker's format, which older docker clients are bound to."""
    desk.skopeo("copy", "--format", "v2s2", desk.url(image), desk.url("admin/classic:1.0"))
    return "admin/classic:1.0"


@pytest.fixture(scope="module")
def index(desk: Desk, image: str) -> str:
    """An index over images for two platforms."""
    desk.run("buildah", "manifest", "create", "multi")
    for architecture in ("amd64", "arm64"):
        container = desk.run("buildah", "from", "--pull-never", desk.name(image)).strip()
        desk.run("buildah", "config", "--arch", architecture, "--label", f"for={architecture}", container)
        built = desk.run("buildah", "commit", "--format", "oci", container, f"built-{architecture}").split()[-1]
        desk.run("buildah", "manifest", "add", "multi", f"containers-storage:{built}")
    # This command alone does not look into registries.conf.
    pushing = ("buildah", "manifest", "push", "--all", "--format", "oci", "--tls-verify=false")
    desk.run(*pushing, "multi", desk.url("admin/multi:latest"))
    return "admin/multi:latest"


def hub_client(url: str, secret: str) -> httpx.Client:
    """A client of the Hub API that has exchanged the administrator's password or access token."""
    answer = httpx.post(f"{url}/v2/auth/token", json={"identifier": "admin", "secret": secret})
    assert answer.status_code == 200, answer.text
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {answer.json()['access_token']}"})


def registry_client(url: str, repository: str, actions: str, secret: str) -> httpx.Client:
    """A client of the registry with a token for one repository."""
    scope = f"repository:{repository}:{actions}"
    answer = httpx.get(f"{url}/token", params={"scope": scope}, auth=("admin", secret))
    assert answer.status_code == 200, answer.text
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {answer.json()['token']}"})


def access_token(hub: httpx.Client, *scopes: str) -> dict[str, Any]:
    made = hub.post("/v2/access-tokens", json={"token_label": "e2e", "scopes": list(scopes)})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def tag_of(hub: httpx.Client, image: str) -> dict[str, Any]:
    repository, name = image.split(":")
    answer = hub.get(f"/v2/repositories/{repository}/tags/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def layers_of(manifest: bytes) -> list[str]:
    return [layer["digest"] for layer in json.loads(manifest)["layers"]]


def artifact_over(subject: bytes, kind: str, payload: bytes) -> bytes:
    """The manifest of an artifact that refers to an image."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": kind,
            "config": {"mediaType": EMPTY_CONFIG, "digest": digest_of(b"{}"), "size": 2},
            "layers": [{"mediaType": "text/plain", "digest": digest_of(payload), "size": len(payload)}],
            "subject": {"mediaType": OCI_MANIFEST, "digest": digest_of(subject), "size": len(subject)},
            "annotations": {"org.example.of": "the day"},
        }
    ).encode()


def assert_refused(done: subprocess.CompletedProcess[str]) -> None:
    """The client failed, and its words tell why."""
    assert done.returncode != 0, done.stdout
    words = ("denied", "unauthorized", "incorrect username or password", "invalid username/password")
    assert any(word in done.stderr.lower() for word in words), done.stderr


def test_a_wrong_password_is_told_so(tmp_path: Path, server: Server) -> None:
    desk = Desk(tmp_path / "wrong", server.url)
    for client in CLIENTS:
        assert_refused(desk.log_in(client, "admin", "wrong"))


def test_the_tags_are_in_the_hub(hub: httpx.Client, desk: Desk, image: str) -> None:
    page = hub.get("/v2/namespaces/admin/repositories/app/tags").json()
    assert (page["count"], page["next"], page["previous"]) == (1, None, None)
    tag = page["results"][0]
    content = desk.manifest(image)
    assert set(tag) == TAG_FIELDS
    assert (tag["name"], tag["digest"], tag["media_type"]) == ("1.0", digest_of(content), OCI_CONFIG)
    assert tag["v2"] is True
    assert (tag["tag_status"], tag["last_updater_username"]) == ("active", "admin")
    assert tag["full_size"] == sum(layer["size"] for layer in json.loads(content)["layers"]) > 10_000
    platform = tag["images"][0]
    assert (platform["os"], platform["digest"], platform["size"]) == ("linux", tag["digest"], tag["full_size"])


def test_skopeo_lists_and_inspects(desk: Desk, image: str) -> None:
    assert "1.0" in json.loads(desk.skopeo("list-tags", desk.url("admin/app")))["Tags"]
    inspected = json.loads(desk.skopeo("inspect", desk.url(image)))
    assert inspected["Digest"] == digest_of(desk.manifest(image))
    assert "DAY=1" in inspected["Env"]


def test_every_client_pulls_the_same_bits(tmp_path: Path, server: Server, desk: Desk, image: str) -> None:
    manifest = desk.manifest(image)
    for client in ("podman", "buildah"):
        other = Desk(tmp_path / client, server.url).logged_in("admin", ADMIN_PASSWORD)
        other.run(client, "pull", other.name(image))
        assert other.run(client, "images", "--format", "{{.Digest}}").split() == [digest_of(manifest)]
    other = Desk(tmp_path / "skopeo", server.url).logged_in("admin", ADMIN_PASSWORD)
    other.skopeo("copy", other.url(image), f"dir:{tmp_path}/copy")
    assert (tmp_path / "copy/manifest.json").read_bytes() == manifest
    for digest in layers_of(manifest):
        assert digest_of((tmp_path / "copy" / digest.removeprefix("sha256:")).read_bytes()) == digest


def test_a_pulled_image_holds_the_files_that_were_pushed(tmp_path: Path, server: Server, image: str) -> None:
    desk = Desk(tmp_path / "puller", server.url).logged_in("admin", ADMIN_PASSWORD)
    desk.run("podman", "pull", desk.name(image))
    container = desk.run("podman", "create", desk.name(image)).strip()
    desk.run("podman", "export", "--output", "files.tar", container)
    with tarfile.open(desk.folder / "files.tar") as files:
        for path in FILES:
            found = files.extractfile(path.lstrip("/"))
            assert found is not None
            assert found.read() == Path(path).read_bytes()


def test_a_pull_shows_in_the_tag(hub: httpx.Client, desk: Desk, image: str) -> None:
    desk.skopeo("copy", desk.url(image), f"dir:{desk.folder}/pulled")
    deadline = time.monotonic() + PULL_SHOWN_WITHIN_S
    while tag_of(hub, image)["tag_last_pulled"] is None:
        assert time.monotonic() < deadline, "the pull does not show"
        time.sleep(0.2)


def test_docker_reads_and_lists_manifests(desk: Desk, docker_image: str, hub: httpx.Client) -> None:
    content = desk.manifest(docker_image)
    assert json.loads(content)["mediaType"] == DOCKER_MANIFEST
    assert tag_of(hub, docker_image)["media_type"] == DOCKER_CONFIG
    single, listed = desk.name(docker_image), desk.name("admin/classic:list")
    shown = json.loads(desk.run("docker", "manifest", "inspect", "--insecure", "--verbose", single))
    assert shown["Descriptor"]["digest"] == digest_of(content)
    desk.run("docker", "manifest", "create", "--insecure", listed, single)
    desk.run("docker", "manifest", "annotate", "--os", "linux", "--arch", "arm64", "--variant", "v8", listed, single)
    desk.run("docker", "manifest", "push", "--insecure", listed)
    tag = tag_of(hub, "admin/classic:list")
    assert tag["media_type"] == DOCKER_LIST
    assert [(image["architecture"], image["variant"]) for image in tag["images"]] == [("arm64", "v8")]


def test_two_platforms(tmp_path: Path, server: Server, hub: httpx.Client, index: str) -> None:
    tag = tag_of(hub, index)
    assert tag["media_type"] == OCI_INDEX
    assert sorted(image["architecture"] for image in tag["images"]) == ["amd64", "arm64"]
    desk = Desk(tmp_path / "other", server.url).logged_in("admin", ADMIN_PASSWORD)
    for architecture in ("amd64", "arm64"):
        desk.run("podman", "pull", "--platform", f"linux/{architecture}", desk.name(index))
        shown = desk.run(
            "podman", "image", "inspect", "--format", "{{.Architecture}} {{.Labels.for}}", desk.name(index)
        )
        assert shown.split() == [architecture, architecture]


def test_a_copy_of_all_platforms_is_the_same(desk: Desk, index: str) -> None:
    desk.skopeo("copy", "--all", desk.url(index), desk.url("admin/mirror:latest"))
    assert desk.manifest("admin/mirror:latest") == desk.manifest(index)
    for child in json.loads(desk.manifest(index))["manifests"]:
        assert digest_of(desk.manifest(f"admin/mirror@{child['digest']}")) == child["digest"]


def test_a_layer_is_mounted_and_not_sent_again(desk: Desk, image: str) -> None:
    done = desk.try_("podman", "--log-level", "debug", "push", desk.name(image), desk.name("admin/second:1.0"))
    assert done.returncode == 0, done.stderr
    assert "mount OK" in done.stderr
    assert layers_of(desk.manifest("admin/second:1.0")) == layers_of(desk.manifest(image))


def test_signatures_and_artifacts_are_listed_with_their_image(server: Server, desk: Desk, image: str) -> None:
    subject = desk.manifest(image)
    # The signature is sent by a client, which takes it for an image of an odd kind.
    signature = artifact_over(subject, SIGNATURE, b"signed")
    folder = desk.folder / "signature"
    folder.mkdir()
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(signature)
    for blob in (b"{}", b"signed"):
        (folder / digest_of(blob).removeprefix("sha256:")).write_bytes(blob)
    desk.skopeo("copy", f"dir:{folder}", desk.url(f"admin/app@{digest_of(signature)}"))
    # The other artifact comes as a tool of its own would send it.
    sbom = artifact_over(subject, SBOM, b'{"packages": []}')
    with registry_client(server.url, "admin/app", "pull,push", ADMIN_PASSWORD) as registry:
        for blob in (b"{}", b'{"packages": []}'):
            push_blob(registry, "admin/app", blob)
        answer = put_manifest(registry, "admin/app", digest_of(sbom), sbom)
        assert (answer.status_code, answer.headers["oci-subject"]) == (201, digest_of(subject))
        path = f"/v2/admin/app/referrers/{digest_of(subject)}"
        listed = {entry["digest"]: entry for entry in registry.get(path).json()["manifests"]}
        assert set(listed) == {digest_of(signature), digest_of(sbom)}
        assert listed[digest_of(signature)] == {
            "mediaType": OCI_MANIFEST,
            "artifactType": SIGNATURE,
            "digest": digest_of(signature),
            "size": len(signature),
            "annotations": {"org.example.of": "the day"},
        }
        chosen = registry.get(path, params={"artifactType": SBOM})
        assert [entry["digest"] for entry in chosen.json()["manifests"]] == [digest_of(sbom)]
        assert chosen.headers["oci-filters-applied"] == "artifactType"
    assert desk.manifest(f"admin/app@{digest_of(sbom)}") == sbom


def test_an_access_token_is_a_password(tmp_path: Path, server: Server, hub: httpx.Client, image: str) -> None:
    token = access_token(hub, "repo:admin")["token"]
    desk = Desk(tmp_path / "token", server.url).logged_in("admin", token)
    desk.skopeo("copy", desk.url(image), desk.url("admin/by-token:1.0"))
    assert desk.manifest("admin/by-token:1.0") == desk.manifest(image)


def test_a_token_for_reading_cannot_push(tmp_path: Path, server: Server, hub: httpx.Client, image: str) -> None:
    desk = Desk(tmp_path / "reader", server.url).logged_in("admin", access_token(hub, "repo:read")["token"])
    desk.run("podman", "pull", desk.name(image))
    assert_refused(desk.try_("podman", "push", desk.name(image), desk.name("admin/app:mine")))
    assert_refused(desk.try_("skopeo", "copy", desk.url(image), desk.url("admin/app:mine")))
    assert_refused(desk.try_("skopeo", "delete", desk.url(image)))
    assert hub.get("/v2/repositories/admin/app/tags/mine").status_code == 404


def test_a_disabled_token_stops_at_once(
    tmp_path: Path, server: Server, hub: httpx.Client, image: str, docker_image: str
) -> None:
    token = access_token(hub, "repo:read")
    desk = Desk(tmp_path / "token", server.url).logged_in("admin", token["token"])
    issued = registry_client(server.url, "admin/app", "pull", token["token"])
    exchanged = hub_client(server.url, token["token"])
    with issued, exchanged:
        assert issued.get("/v2/admin/app/tags/list").status_code == 200
        assert exchanged.get("/v2/repositories/admin/app/tags").status_code == 200
        assert hub.patch(f"/v2/access-tokens/{token['uuid']}", json={"is_active": False}).status_code == 200
        # What was issued from the token ends with it.
        assert issued.get("/v2/admin/app/tags/list").status_code == 401
        assert exchanged.get("/v2/repositories/admin/app/tags").status_code == 401
    assert_refused(desk.try_("skopeo", "inspect", "--raw", desk.url(image)))
    assert_refused(desk.try_("podman", "pull", desk.name(image)))
    assert desk.try_("docker", "manifest", "inspect", "--insecure", desk.name(docker_image)).returncode != 0
    for client in CLIENTS:
        assert_refused(desk.log_in(client, "admin", token["token"]))


def test_what_is_private_stays_so(tmp_path: Path, server: Server, image: str, docker_image: str) -> None:
    nobody = Desk(tmp_path / "nobody", server.url)
    assert_refused(nobody.try_("skopeo", "inspect", "--raw", nobody.url(image)))
    assert_refused(nobody.try_("podman", "pull", nobody.name(image)))
    assert_refused(nobody.try_("buildah", "pull", nobody.name(image)))
    assert nobody.try_("docker", "manifest", "inspect", "--insecure", nobody.name(docker_image)).returncode != 0
    assert httpx.get(f"{server.url}/v2/repositories/admin/app/tags").status_code == 404


def test_anyone_pulls_what_is_public_and_nobody_pushes(tmp_path: Path, desk: Desk, docker_image: str) -> None:
    desk.skopeo("copy", desk.url(docker_image), f"dir:{tmp_path}/image")
    with serving(tmp_path / "open", HOMEPORT_DEFAULT_PRIVACY="public") as server:
        owner = Desk(tmp_path / "owner", server.url).logged_in("admin", ADMIN_PASSWORD)
        owner.skopeo("copy", f"dir:{tmp_path}/image", owner.url("admin/open:1.0"))
        nobody = Desk(tmp_path / "nobody", server.url)
        nobody.skopeo("copy", nobody.url("admin/open:1.0"), f"dir:{tmp_path}/pulled")
        nobody.run("podman", "pull", nobody.name("admin/open:1.0"))
        nobody.run("buildah", "pull", nobody.name("admin/open:1.0"))
        nobody.run("docker", "manifest", "inspect", "--insecure", nobody.name("admin/open:1.0"))
        assert httpx.get(f"{server.url}/v2/repositories/admin/open/tags").json()["count"] == 1
        assert_refused(nobody.try_("skopeo", "copy", f"dir:{tmp_path}/image", nobody.url("admin/open:2.0")))
    pulled, pushed = (tmp_path / name / "manifest.json" for name in ("pulled", "image"))
    assert pulled.read_bytes() == pushed.read_bytes()


def test_an_organization_shares_images(tmp_path: Path, server: Server, desk: Desk, image: str, index: str) -> None:
    for user in ("ann", "bob", "eve"):
        server.command("user", "create", user, "--email", f"{user}@example.com", "--password-stdin", stdin=PASSWORD)
    server.command("org", "create", "acme", "--owner", "ann")
    server.command("org", "add-member", "acme", "bob", "--role", "editor")
    ann, bob, eve = (Desk(tmp_path / user, server.url).logged_in(user, PASSWORD) for user in ("ann", "bob", "eve"))

    desk.skopeo("copy", desk.url(image), f"dir:{tmp_path}/image")
    ann.skopeo("copy", f"dir:{tmp_path}/image", ann.url("ann/tool:1.0"))
    ann.skopeo("copy", f"dir:{tmp_path}/image", ann.url("acme/tool:1.0"))
    bob.run("podman", "pull", bob.name("acme/tool:1.0"))
    bob.run("podman", "push", bob.name("acme/tool:1.0"), bob.name("acme/tool:1.1"))
    assert json.loads(ann.skopeo("list-tags", ann.url("acme/tool")))["Tags"] == ["1.0", "1.1"]

    assert_refused(bob.try_("podman", "pull", bob.name("ann/tool:1.0")))
    assert_refused(eve.try_("podman", "pull", eve.name("acme/tool:1.0")))
    assert_refused(eve.try_("skopeo", "copy", f"dir:{tmp_path}/image", eve.url("acme/tool:1.2")))

    # A whole repository goes over to the organization, as a mirror does it every night.
    desk.skopeo("sync", "--all", "--src", "docker", "--dest", "docker", desk.name("admin/multi"), desk.name("acme"))
    assert bob.manifest("acme/multi:latest") == desk.manifest(index)


def test_searching(tmp_path: Path, server: Server, hub: httpx.Client) -> None:
    for namespace, name, is_private in (
        ("admin", "hammer", False),
        ("admin", "my-hammer", True),
        ("library", "hammer", False),
    ):
        body = {"name": name, "is_private": is_private, "description": "Drives nails"}
        assert hub.post(f"/v2/namespaces/{namespace}/repositories", json=body).status_code == 201
    public, all_ = ["hammer", "admin/hammer"], ["hammer", "admin/hammer", "admin/my-hammer"]
    desk = Desk(tmp_path / "searcher", server.url)
    with running_engine(tmp_path) as engine:

        def search(*options: str) -> list[str]:
            told = ("--format", "{{.Name}}\t{{.Description}}\t{{.IsOfficial}}")
            lines = desk.run("docker", "--host", engine, "search", *told, *options, desk.name("hammer")).splitlines()
            rows = [line.split("\t") for line in lines]
            assert {row[1] for row in rows} <= {"Drives nails"}
            assert [row[0] for row in rows if row[2] == "[OK]"] == [row[0] for row in rows if "/" not in row[0]]
            return [row[0] for row in rows]

        assert search() == public
        assert search("--limit", "1") == public[:1]
        assert search("--filter", "is-official=true") == public[:1]
        assert search("--filter", "is-official=false") == public[1:]
        assert search("--filter", "stars=1") == search("--filter", "is-automated=true") == []
        # The engine asks for a token to search with, for which it has the one of the login.
        assert desk.log_in("docker", "admin", ADMIN_PASSWORD).returncode == 0
        assert search() == all_
    found = desk.run("podman", "search", "--tls-verify=false", "--format", "{{.Name}}", desk.name("hammer"))
    assert found.split() == [desk.name(name) for name in public]


def test_a_big_layer_comes_back_whole(tmp_path: Path, server: Server, desk: Desk) -> None:
    """Sixty-four MiB that do not compress: several reads and writes on every way."""
    container = desk.run("buildah", "from", "scratch").strip()
    with open("/dev/urandom", "rb") as source:
        content = source.read(64 << 20)
    (desk.folder / "big").write_bytes(content)
    desk.run("buildah", "copy", container, "big", "/big")
    desk.run("buildah", "commit", "--format", "oci", "--rm", container, desk.name("admin/big:1.0"))
    desk.run("podman", "push", desk.name("admin/big:1.0"))
    other = Desk(tmp_path / "other", server.url).logged_in("admin", ADMIN_PASSWORD)
    other.run("podman", "pull", other.name("admin/big:1.0"))
    container = other.run("podman", "create", other.name("admin/big:1.0"), "/big").strip()
    other.run("podman", "cp", f"{container}:/big", "back")
    assert (other.folder / "back").read_bytes() == content


def test_deleting(desk: Desk, hub: httpx.Client, image: str) -> None:
    desk.skopeo("copy", desk.url(image), desk.url("admin/gone:1.0"))
    assert hub.get("/v2/repositories/admin/gone/tags").json()["count"] == 1
    desk.skopeo("delete", desk.url("admin/gone:1.0"))
    assert hub.get("/v2/repositories/admin/gone/tags").json()["count"] == 0
    assert desk.try_("skopeo", "inspect", desk.url("admin/gone:1.0")).returncode != 0
    # The layers are shared, and stay for the other repository.
    desk.skopeo("copy", desk.url(image), f"dir:{desk.folder}/still-there")


def test_logging_out(tmp_path: Path, server: Server, image: str, docker_image: str) -> None:
    desk = Desk(tmp_path / "leaving", server.url)
    reading = {
        "docker": ("docker", "manifest", "inspect", "--insecure", desk.name(docker_image)),
        "podman": ("podman", "pull", desk.name(image)),
        "buildah": ("buildah", "pull", "--policy", "always", desk.name(image)),
        "skopeo": ("skopeo", "inspect", "--raw", desk.url(image)),
    }
    for client, command in reading.items():
        assert desk.log_in(client, "admin", ADMIN_PASSWORD).returncode == 0
        desk.run(*command)
        desk.run(client, "logout", desk.host)
        assert desk.try_(*command).returncode != 0, client
