"""The images of the demo: small, and real. Layers are made of fixed bytes, so that a second run finds them there."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from homeport.core import manifests, uploads
from homeport.core.access import Actor
from homeport.core.demo.data import BASE, HELLO, OWNER, PLATFORM_ENGINEER, SECRET, TOOLS, WRITER
from homeport.core.manifest_parsing import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from homeport.core.services import Services
from homeport.errors import Unknown
from homeport.names import Digest, RepositoryName, TagName
from homeport.storage.db import blobs as blob_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import tags as tag_rows

CREATED = "2026-01-01T00:00:00Z"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"


class Pushed(msgspec.Struct, frozen=True):
    """The tags that are there, and how many of them are new."""

    tags: Sequence[str]
    new_tags: int


async def push_all(services: Services, actors: Mapping[str, Actor]) -> Pushed:
    """Push each image as a user whose work it would be; `actors` by name."""
    hello = _Pusher(services, actors[WRITER], HELLO)
    for version in ("1.0", "1.1", "2.0"):
        await hello.push(version, await hello.image("amd64", f"hello {version}\n"))
    await hello.push("latest", await hello.image("amd64", "hello 2.0\n"))
    await hello.push("docker", await hello.image("amd64", "hello\n", is_docker=True))
    secret = _Pusher(services, actors[WRITER], SECRET)
    await secret.push("latest", await secret.image("amd64", "a secret\n"))
    tools = _Pusher(services, actors[PLATFORM_ENGINEER], TOOLS)
    await _push_tools(tools)
    base = _Pusher(services, actors[OWNER], BASE)
    await base.push("1.0", await base.image("amd64", "a base for other images\n"))
    pushers = (hello, secret, tools, base)
    return Pushed(
        [tag for pusher in pushers for tag in pusher.tags],
        sum(pusher.new_tags for pusher in pushers),
    )


async def _push_tools(tools: "_Pusher") -> None:
    """An image of two platforms, and a note about it."""
    children = []
    for architecture in ("amd64", "arm64"):
        content = await tools.image(architecture, f"tools for {architecture}\n")
        await tools.push(None, content)
        platform = {"os": "linux", "architecture": architecture}
        children.append({**_descriptor(OCI_MANIFEST, content), "platform": platform})
    index = msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
    await tools.push("latest", index)
    await tools.push(None, await tools.note(_descriptor(OCI_INDEX, index)))


class _Pusher:
    """Pushes to one repository as one actor, and remembers the tags."""

    def __init__(self, services: Services, actor: Actor, name: RepositoryName) -> None:
        self._services = services
        self._actor = actor
        self._name = name
        self.tags: list[str] = []
        self.new_tags = 0

    async def push(self, tag: str | None, content: bytes) -> None:
        """Push a manifest, unless it is there under its tag already."""
        digest = _digest(content)
        if tag is not None:
            self.tags.append(f"{self._name}:{tag}")
        if await self._is_there(tag, digest):
            return
        self.new_tags += tag is not None
        await manifests.push(
            self._services,
            actor=self._actor,
            name=self._name,
            reference=digest,
            tags=[TagName(tag)] if tag else (),
            content=content,
            content_type=None,
        )

    async def _is_there(self, tag: str | None, digest: Digest) -> bool:
        async with self._services.db.read() as tx:
            if tag is None:
                try:
                    await manifests.access_manifest(tx, actor=self._actor, name=self._name, reference=digest)
                except Unknown:
                    return False
                return True
            repository = await repository_rows.get(tx, self._name, actor_id=self._actor.account_id)
            assert repository is not None
            found = await tag_rows.get(tx, repository_id=repository.id, name=tag)
        return found is not None and found.digest == digest

    async def image(self, architecture: str, text: str, *, is_docker: bool = False) -> bytes:
        """Push the blobs of a one-file image; its manifest."""
        tar = _tar({"etc/motd": text.encode()})
        layer = gzip.compress(tar, mtime=0)
        config = msgspec.json.encode(
            {
                "created": CREATED,
                "os": "linux",
                "architecture": architecture,
                "config": {"Cmd": ["/bin/sh"], "Labels": {"org.opencontainers.image.title": self._name.name}},
                "rootfs": {"type": "layers", "diff_ids": [str(_digest(tar))]},
                "history": [
                    {"created": CREATED, "created_by": "COPY motd /etc/motd"},
                    {"created": CREATED, "created_by": 'CMD ["/bin/sh"]', "empty_layer": True},
                ],
            }
        )
        await self._blob(layer)
        await self._blob(config)
        layer_type, config_type = (_DOCKER_LAYER, _DOCKER_CONFIG) if is_docker else (_OCI_LAYER, _OCI_CONFIG)
        return msgspec.json.encode(
            {
                "schemaVersion": 2,
                "mediaType": DOCKER_MANIFEST if is_docker else OCI_MANIFEST,
                "config": _descriptor(config_type, config),
                "layers": [_descriptor(layer_type, layer)],
            }
        )

    async def note(self, subject: Mapping[str, Any]) -> bytes:
        """Push the blobs of a note about another manifest; its manifest."""
        empty, note = b"{}", b"this is a demo\n"
        await self._blob(empty)
        await self._blob(note)
        return msgspec.json.encode(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": "application/vnd.example.note",
                "config": _descriptor("application/vnd.oci.empty.v1+json", empty),
                "layers": [_descriptor("text/plain", note)],
                "subject": subject,
            }
        )

    async def _blob(self, content: bytes) -> None:
        digest = _digest(content)
        async with self._services.db.read() as tx:
            found = await repository_rows.get(tx, self._name, actor_id=self._actor.account_id)
            assert found is not None
            if await blob_rows.get_in_repository(tx, repository_id=found.id, digest=digest):
                return
        upload = await uploads.begin(self._services, actor=self._actor, name=self._name)
        await uploads.finish(
            self._services, actor=self._actor, name=self._name, upload=upload, digest=digest, body=_once(content)
        )


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _digest(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(_digest(content)), "size": len(content)}


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
