"""A working day of a registry: log in, build, push, look, sign, pull, delete, log out, with the clients people use.

`make e2e` runs this; plain `make test` does not collect it, since the clients have to be installed.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.home import ADMIN_PASSWORD, digest_of, push_blob, running_server

STORAGE = """[storage]
driver = "vfs"
runroot = "{folder}/runroot"
graphroot = "{folder}/root"
"""
POLICY = {"default": [{"type": "insecureAcceptAnything"}]}
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


class Desk:
    """A folder with all that clients remember: credentials, images. Another desk is another person."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.host = url.removeprefix("http://")
        folder.mkdir()
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
        (folder / "policy.json").write_text(json.dumps(POLICY))
        (folder / "registries.conf").write_text('unqualified-search-registries = []\nshort-name-mode = "disabled"\n')
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def try_(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        # podman looks into docker's file too, and refuses to log in where docker has an identity token.
        docker = {"DOCKER_CONFIG": str(self.folder / "docker")} if command[0] == "docker" else {}
        return subprocess.run(
            command,
            input=stdin,
            env=self._environment | docker,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def run(self, *command: str, stdin: str = "") -> str:
        done = self.try_(*command, stdin=stdin)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def skopeo(self, *arguments: str) -> str:
        return self.run("skopeo", "--policy", str(self.folder / "policy.json"), *arguments)

    def log_in(self, program: str, user: str, secret: str) -> subprocess.CompletedProcess[str]:
        insecure = [] if program == "docker" else ["--tls-verify=false"]
        return self.try_(program, "login", *insecure, "--username", user, "--password-stdin", self.host, stdin=secret)

    def manifest(self, image: str) -> bytes:
        """The manifest of an image as it stands, by its own client."""
        return self.skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{self.host}/{image}").encode()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("e2e") / "hub"
    with running_server(data, HOMEPORT_DEFAULT_PRIVACY="private") as found:
        yield found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, url: str) -> Desk:
    """The desk of the administrator, logged in everywhere."""
    made = Desk(tmp_path_factory.mktemp("desks") / "first", url)
    for program in ("docker", "podman", "skopeo"):
        done = made.log_in(program, "admin", ADMIN_PASSWORD)
        assert done.returncode == 0, done.stderr
        assert "Login Succeeded" in done.stdout
    return made


@pytest.fixture(scope="module")
def hub(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url) as client:
        token = client.post("/v2/auth/token", json={"identifier": "admin", "secret": ADMIN_PASSWORD}).json()
        client.headers["authorization"] = f"Bearer {token['access_token']}"
        yield client


def access_token(hub: httpx.Client, *scopes: str) -> dict[str, Any]:
    made = hub.post("/v2/access-tokens", json={"token_label": "e2e", "scopes": list(scopes)})
    assert made.status_code == 201
    found: dict[str, Any] = made.json()
    return found


def registry(url: str, name: str) -> httpx.Client:
    answer = httpx.get(
        f"{url}/token", params={"scope": f"repository:{name}:pull,push,delete"}, auth=("admin", ADMIN_PASSWORD)
    )
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {answer.json()['token']}"})


@pytest.fixture(scope="module")
def image(desk: Desk) -> str:
    """An image of real files, built and pushed: what it is called, and its digest where it was pushed."""
    container = desk.run("buildah", "from", "scratch").strip()
    root = desk.folder / "files"
    for path in ("/usr/bin/env", "/usr/bin/sort", "/etc/passwd", "/usr/share/common-licenses/GPL-3"):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path).read_bytes())
    desk.run("buildah", "copy", container, str(root), "/")
    desk.run("buildah", "config", "--cmd", "/usr/bin/env", "--env", "DAY=1", container)
    name = f"{desk.host}/admin/app:1.0"
    desk.run("buildah", "commit", "--format", "oci", container, name)
    desk.run("buildah", "push", "--tls-verify=false", name)
    return name


def test_a_wrong_password_is_told_so(tmp_path: Path, url: str) -> None:
    desk = Desk(tmp_path / "wrong", url)
    for program in ("docker", "podman", "skopeo"):
        done = desk.log_in(program, "admin", "wrong")
        assert done.returncode != 0
        words = ("unauthorized", "incorrect username or password", "invalid username/password")
        assert any(word in done.stderr.lower() for word in words), done.stderr


def test_the_tags_are_in_the_hub(hub: httpx.Client, desk: Desk, image: str) -> None:
    page = hub.get("/v2/namespaces/admin/repositories/app/tags").json()
    assert page["count"] == 1
    tag = page["results"][0]
    content = desk.manifest("admin/app:1.0")
    assert (tag["name"], tag["digest"]) == ("1.0", digest_of(content))
    layers = json.loads(content)["layers"]
    assert tag["full_size"] == sum(layer["size"] for layer in layers) > 10_000
    assert tag["images"][0]["os"] == "linux"
    inspected = json.loads(desk.skopeo("inspect", "--tls-verify=false", f"docker://{image}"))
    assert inspected["Digest"] == tag["digest"]
    assert "DAY=1" in inspected["Env"]
    assert json.loads(desk.skopeo("list-tags", "--tls-verify=false", f"docker://{desk.host}/admin/app"))["Tags"] == [
        "1.0"
    ]


def test_every_client_pulls_the_same_bits(tmp_path: Path, url: str, desk: Desk, image: str) -> None:
    digest = digest_of(desk.manifest("admin/app:1.0"))
    other = Desk(tmp_path / "puller", url)
    for program in ("podman", "skopeo"):
        assert other.log_in(program, "admin", ADMIN_PASSWORD).returncode == 0
    other.run("podman", "pull", "--tls-verify=false", image)
    assert digest in other.run("podman", "image", "inspect", "--format", "{{.Digest}}", image)
    other.run("buildah", "pull", "--tls-verify=false", image)
    other.skopeo("copy", "--src-tls-verify=false", f"docker://{image}", f"dir:{tmp_path}/copy")
    assert digest_of((tmp_path / "copy/manifest.json").read_bytes()) == digest
    manifest = json.loads((tmp_path / "copy/manifest.json").read_bytes())
    for layer in manifest["layers"]:
        content = (tmp_path / "copy" / layer["digest"].removeprefix("sha256:")).read_bytes()
        assert digest_of(content) == layer["digest"]
    mounted = other.run("podman", "create", "--tls-verify=false", image).strip()
    folder = other.run("podman", "mount", mounted).strip()
    assert (Path(folder) / "etc/passwd").read_bytes() == (desk.folder / "files/etc/passwd").read_bytes()


def test_docker_reads_and_lists_manifests(desk: Desk, image: str, hub: httpx.Client) -> None:
    shown = json.loads(desk.run("docker", "manifest", "inspect", "--insecure", "--verbose", image))
    assert shown["Descriptor"]["digest"] == digest_of(desk.manifest("admin/app:1.0"))
    desk.skopeo(
        "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", "v2s2",
        f"docker://{image}", f"docker://{desk.host}/admin/app:docker",
    )  # fmt: skip
    single = f"{desk.host}/admin/app:docker"
    listed = f"{desk.host}/admin/app:list"
    desk.run("docker", "manifest", "create", "--insecure", listed, single)
    desk.run("docker", "manifest", "annotate", "--os", "linux", "--arch", "arm64", "--variant", "v8", listed, single)
    desk.run("docker", "manifest", "push", "--insecure", listed)
    tag = hub.get("/v2/repositories/admin/app/tags/list").json()
    assert tag["media_type"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert [(image["architecture"], image["variant"]) for image in tag["images"]] == [("arm64", "v8")]


def test_two_platforms(desk: Desk, image: str, hub: httpx.Client) -> None:
    name = f"{desk.host}/admin/multi:latest"
    desk.run("buildah", "manifest", "create", "multi")
    for architecture in ("amd64", "arm64"):
        container = desk.run("buildah", "from", "--pull-never", image).strip()
        desk.run("buildah", "config", "--arch", architecture, "--label", f"for={architecture}", container)
        built = desk.run("buildah", "commit", "--format", "oci", container, f"built-{architecture}").split()[-1]
        desk.run("buildah", "manifest", "add", "multi", f"containers-storage:{built}")
    desk.run(
        "buildah", "manifest", "push", "--all", "--format", "oci", "--tls-verify=false", "multi", f"docker://{name}"
    )
    tag = hub.get("/v2/repositories/admin/multi/tags/latest").json()
    assert tag["media_type"] == OCI_INDEX
    assert sorted(image["architecture"] for image in tag["images"]) == ["amd64", "arm64"]
    desk.skopeo(
        "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false",
        f"docker://{name}", f"docker://{desk.host}/admin/mirror:latest",
    )  # fmt: skip
    assert desk.manifest("admin/mirror:latest") == desk.manifest("admin/multi:latest")
    assert hub.get("/v2/repositories/admin/mirror/tags/latest").json()["images"][0]["size"] > 0


def test_a_signature_and_an_artifact(url: str, desk: Desk, image: str) -> None:
    subject = desk.manifest("admin/app:1.0")
    with registry(url, "admin/app") as client:
        for kind, text in (("application/vnd.example.signature", b"signed"), ("application/vnd.example.sbom", b"{}")):
            push_blob(client, "admin/app", text)
            push_blob(client, "admin/app", b"{}")
            artifact = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": kind,
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2},
                "layers": [{"mediaType": "text/plain", "digest": digest_of(text), "size": len(text)}],
                "subject": {
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": digest_of(subject),
                    "size": len(subject),
                },
            }
            content = json.dumps(artifact).encode()
            headers = {"content-type": str(artifact["mediaType"])}
            answer = client.put(f"/v2/admin/app/manifests/{digest_of(content)}", content=content, headers=headers)
            assert answer.headers["oci-subject"] == digest_of(subject)
        referrers = client.get(f"/v2/admin/app/referrers/{digest_of(subject)}").json()
        kinds = {entry["artifactType"] for entry in referrers["manifests"]}
        assert kinds == {"application/vnd.example.signature", "application/vnd.example.sbom"}


def test_access_tokens_log_in_and_end(tmp_path: Path, url: str, hub: httpx.Client, image: str) -> None:
    desk = Desk(tmp_path / "token", url)
    token = access_token(hub, "repo:read")
    for program in ("docker", "podman", "skopeo"):
        done = desk.log_in(program, "admin", token["token"])
        assert done.returncode == 0, done.stderr
    source = f"docker://{image}"
    desk.skopeo("copy", "--src-tls-verify=false", source, f"dir:{tmp_path}/pulled")
    pushed = desk.try_(
        "skopeo", "--policy", str(desk.folder / "policy.json"), "copy", "--dest-tls-verify=false",
        f"dir:{tmp_path}/pulled", f"docker://{desk.host}/admin/app:mine",
    )  # fmt: skip
    assert pushed.returncode != 0
    assert "denied" in pushed.stderr or "unauthorized" in pushed.stderr
    assert hub.patch(f"/v2/access-tokens/{token['uuid']}", json={"is_active": False}).status_code == 200
    ended = desk.try_("skopeo", "inspect", "--raw", "--tls-verify=false", source)
    assert ended.returncode != 0
    assert desk.log_in("docker", "admin", token["token"]).returncode != 0


def test_what_is_private_stays_so(tmp_path: Path, url: str, image: str) -> None:
    nobody = Desk(tmp_path / "nobody", url)
    done = nobody.try_("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}")
    assert done.returncode != 0
    assert httpx.get(f"{url}/v2/repositories/admin/app/tags").status_code == 404


def test_a_blob_is_mounted_from_one_repository_into_another(desk: Desk, image: str, url: str) -> None:
    desk.run("podman", "pull", "--tls-verify=false", image)
    desk.run("podman", "push", "--tls-verify=false", image, f"{desk.host}/admin/second:1.0")
    first, second = (json.loads(desk.manifest(f"admin/{name}:1.0")) for name in ("app", "second"))
    assert {layer["digest"] for layer in first["layers"]} == {layer["digest"] for layer in second["layers"]}


def test_deleting(desk: Desk, hub: httpx.Client, image: str) -> None:
    target = f"docker://{desk.host}/admin/gone:1.0"
    desk.skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{image}", target)
    assert hub.get("/v2/repositories/admin/gone/tags").json()["count"] == 1
    desk.skopeo("delete", "--tls-verify=false", target)
    assert hub.get("/v2/repositories/admin/gone/tags").json()["count"] == 0
    assert desk.try_("skopeo", "inspect", "--tls-verify=false", target).returncode != 0


def test_logging_out(tmp_path: Path, url: str, image: str) -> None:
    desk = Desk(tmp_path / "leaving", url)
    for program in ("docker", "podman", "skopeo"):
        assert desk.log_in(program, "admin", ADMIN_PASSWORD).returncode == 0
    desk.run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}")
    for program in ("docker", "podman"):
        desk.run(program, "logout", desk.host)
    assert desk.try_("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}").returncode != 0
