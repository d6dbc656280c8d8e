"""The Hub, the registry and the token service at three names: Docker Hub's own, which skopeo knows as `docker.io`."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.desk import POLICY, Server, serving
from tests.e2e.front import HUB, REGISTRY, TOKENS, Front, running_front
from tests.e2e.working_day import hub_client
from tests.home import ADMIN_PASSWORD, digest_of, image_manifest

CONFIG = b'{"os":"linux","architecture":"amd64"}'
LAYER = b"a layer that went through three hosts"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    hosts = {
        "HOMEPORT_PUBLIC_URL": f"https://{HUB}",
        "HOMEPORT_REGISTRY_URL": f"https://{REGISTRY}",
        "HOMEPORT_TOKEN_URL": f"https://{TOKENS}",
    }
    with serving(tmp_path_factory.mktemp("own-hosts") / "hub", **hosts) as found:
        yield found


@pytest.fixture
def front(tmp_path: Path, server: Server) -> Iterator[Front]:
    with running_front(tmp_path, urlsplit(server.url).port or 0) as found:
        yield found


def test_a_push_and_a_pull_go_by_three_hosts(tmp_path: Path, server: Server, front: Front) -> None:
    pushed, pulled = tmp_path / "pushed", tmp_path / "pulled"
    manifest = write_image(pushed)
    for name, text in (("policy.json", json.dumps(POLICY)), ("registries.conf", ""), ("auth.json", "{}")):
        (tmp_path / name).write_text(text)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
        **front.environment,
    }

    def skopeo(*arguments: str, stdin: str = "") -> str:
        files = ["--policy", str(tmp_path / "policy.json"), "--registries-conf", str(tmp_path / "registries.conf")]
        done = subprocess.run(
            ["skopeo", *files, *arguments],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    skopeo("login", "--username", "admin", "--password-stdin", "docker.io", stdin=ADMIN_PASSWORD)
    skopeo("copy", "--preserve-digests", f"dir:{pushed}", "docker://docker.io/admin/app:1.0")
    assert json.loads(skopeo("list-tags", "docker://docker.io/admin/app"))["Tags"] == ["1.0"]
    skopeo("copy", "docker://docker.io/admin/app:1.0", f"dir:{pulled}")
    assert (pulled / "manifest.json").read_bytes() == manifest
    assert (pulled / digest_of(LAYER).removeprefix("sha256:")).read_bytes() == LAYER
    assert front.asked == {f"{REGISTRY}:443", f"{TOKENS}:443"}
    with hub_client(server.url, ADMIN_PASSWORD) as hub:
        tag = hub.get("/v2/namespaces/admin/repositories/app/tags/1.0").json()
    assert (tag["name"], tag["digest"]) == ("1.0", digest_of(manifest))
    # By the address of the server one reaches the Hub, and no registry.
    assert httpx.get(f"{server.url}/v2/").status_code == 404


def write_image(folder: Path) -> bytes:
    """An image in skopeo's own layout; its manifest."""
    folder.mkdir()
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    for blob in (CONFIG, LAYER):
        (folder / digest_of(blob).removeprefix("sha256:")).write_bytes(blob)
    manifest = image_manifest(CONFIG, LAYER)
    (folder / "manifest.json").write_bytes(manifest)
    return manifest
