"""The demo organization of `homeport seed`: users, teams, repositories, and small images that are real.

Everything goes through the verbs that requests go through, as the users who would send them. Layers are made of fixed
bytes, so that a second run finds what the first one made, and changes nothing.
"""

import gzip
import hashlib
import io
import secrets
import tarfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from homeport.core import accounts, domains, manifests, members, org_settings, orgs, repositories, teams, uploads
from homeport.core.access import OPERATOR, Actor, OrganizationAction, access_organization
from homeport.core.manifest_parsing import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from homeport.core.org_settings import CustomRegistry, RegistryAccess
from homeport.core.services import Services
from homeport.errors import Unknown
from homeport.names import Digest, RepositoryName, TagName
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import blobs as blob_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import tags as tag_rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.records import OrganizationRole, Permission

ORGANIZATION = "demo"
OWNER = "demo-owner"
USERS = {OWNER: "Olive Owner", "demo-editor": "Edda Editor", "demo-writer": "Will Writer", "demo-reader": "Rita Reader"}
MEMBERS = {
    "demo-editor": OrganizationRole.EDITOR,
    "demo-writer": OrganizationRole.MEMBER,
    "demo-reader": OrganizationRole.MEMBER,
}
TEAMS = {"writers": ("demo-writer", Permission.WRITE), "readers": ("demo-reader", Permission.READ)}
REGISTRIES = [CustomRegistry("registry.example.com:5000", "The old registry", is_allowed=True)]
DOMAIN = "demo.example.com"
REPOSITORIES = {"hello": False, "tools": False, "secret": True}
"""Name → whether it is private."""

CREATED = "2026-01-01T00:00:00Z"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"


class Seeded(msgspec.Struct, frozen=True):
    """What is there, and what of it this run has made. `passwords` are of new users alone."""

    passwords: Mapping[str, str]
    tags: list[str]
    new_tags: int


async def seed(services: Services) -> Seeded:
    """Make the demo organization, or what of it is missing."""
    passwords = await _make_users(services)
    await _make_organization(services)
    async with services.db.read() as tx:
        owner = Actor.of(await accounts.access_user(tx, OWNER))
    await _make_settings(services, owner)
    await _make_repositories(services, owner)
    maker = _Maker(services, owner)
    await maker.push_all()
    return Seeded(passwords, maker.tags, maker.new_tags)


async def _make_users(services: Services) -> dict[str, str]:
    passwords = {}
    for name, full_name in USERS.items():
        async with services.db.read() as tx:
            if await account_rows.get(tx, name) is not None:
                continue
        password = secrets.token_urlsafe(12)
        password_hash = await accounts.hash_new_password(password)
        async with services.db.write() as tx:
            await accounts.create_user(
                tx,
                actor=OPERATOR,
                name=name,
                email=f"{name}@example.com",
                password_hash=password_hash,
                full_name=full_name,
            )
        passwords[name] = password
    return passwords


async def _make_organization(services: Services) -> None:
    plans = services.settings.plans
    async with services.db.write() as tx:
        if await account_rows.get(tx, ORGANIZATION) is None:
            await orgs.create_organization(tx, actor=OPERATOR, name=ORGANIZATION, owner=OWNER)
        owner = Actor.of(await accounts.access_user(tx, OWNER))
        organization = await access_organization(tx, owner, ORGANIZATION, OrganizationAction.MANAGE)
        for name, role in MEMBERS.items():
            await members.add_member(tx, actor=owner, organization=ORGANIZATION, user=name, role=role, plans=plans)
        for team, (name, _) in TEAMS.items():
            if await team_rows.get(tx, organization_id=organization.id, name=team) is None:
                await teams.create_team(tx, actor=owner, organization=ORGANIZATION, name=team, plans=plans)
            await teams.add_member(tx, actor=owner, organization=ORGANIZATION, team=team, user=name, plans=plans)


async def _make_settings(services: Services, owner: Actor) -> None:
    plans = services.settings.plans
    access = RegistryAccess(is_enabled=False, allows_docker_hub=True, custom_registries=REGISTRIES)
    async with services.db.write() as tx:
        await org_settings.restrict_registries(tx, actor=owner, organization=ORGANIZATION, plans=plans, access=access)
        await org_settings.set_policies(tx, actor=owner, organization=ORGANIZATION, plans=plans, has_insights=True)
        await domains.add_domain(tx, actor=owner, organization=ORGANIZATION, name=DOMAIN, plans=plans)


async def _make_repositories(services: Services, owner: Actor) -> None:
    async with services.db.write() as tx:
        for repository, is_private in REPOSITORIES.items():
            name = RepositoryName(ORGANIZATION, repository)
            await repositories.create_repository(
                tx, actor=owner, name=name, is_private=is_private, plans=services.settings.plans
            )
            for team, (_, permission) in TEAMS.items():
                await teams.grant(
                    tx,
                    actor=owner,
                    organization=ORGANIZATION,
                    team=team,
                    repository=repository,
                    permission=permission,
                )


class _Maker:
    """Pushes images as one actor, and remembers the tags."""

    def __init__(self, services: Services, actor: Actor) -> None:
        self._services = services
        self._actor = actor
        self.tags: list[str] = []
        self.new_tags = 0

    async def push_all(self) -> None:
        for version in ("1.0", "1.1", "2.0"):
            await self._push("hello", version, await self._image("hello", "amd64", f"hello {version}\n"))
        await self._push("hello", "latest", await self._image("hello", "amd64", "hello 2.0\n"))
        await self._push("secret", "latest", await self._image("secret", "amd64", "a secret\n"))
        await self._push("hello", "docker", await self._image("hello", "amd64", "hello\n", is_docker=True))
        children = []
        for architecture in ("amd64", "arm64"):
            content = await self._image("tools", architecture, f"tools for {architecture}\n")
            await self._push("tools", None, content)
            platform = {"os": "linux", "architecture": architecture}
            children.append({**_descriptor(OCI_MANIFEST, content), "platform": platform})
        index = msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
        await self._push("tools", "latest", index)
        await self._push("tools", None, await self._artifact("tools", _descriptor(OCI_INDEX, index)))

    async def _push(self, repository: str, tag: str | None, content: bytes) -> None:
        """Push a manifest, unless it is there under its tag already."""
        name = RepositoryName(ORGANIZATION, repository)
        digest = _digest(content)
        if tag is not None:
            self.tags.append(f"{name}:{tag}")
        if await self._is_there(name, tag, digest):
            return
        self.new_tags += tag is not None
        await manifests.push(
            self._services,
            actor=self._actor,
            name=name,
            reference=digest,
            tags=[TagName(tag)] if tag else (),
            content=content,
            content_type=None,
        )

    async def _is_there(self, name: RepositoryName, tag: str | None, digest: Digest) -> bool:
        async with self._services.db.read() as tx:
            if tag is None:
                try:
                    await manifests.access_manifest(tx, actor=self._actor, name=name, reference=digest)
                except Unknown:
                    return False
                return True
            repository = await repository_rows.get(tx, name, actor_id=self._actor.account_id)
            assert repository is not None
            found = await tag_rows.get(tx, repository_id=repository.id, name=tag)
        return found is not None and found.digest == digest

    async def _image(self, repository: str, architecture: str, text: str, *, is_docker: bool = False) -> bytes:
        """Push the blobs of a one-file image; its manifest."""
        tar = _tar({"etc/motd": text.encode()})
        layer = gzip.compress(tar, mtime=0)
        config = msgspec.json.encode(
            {
                "created": CREATED,
                "os": "linux",
                "architecture": architecture,
                "config": {"Cmd": ["/bin/sh"], "Labels": {"org.opencontainers.image.title": repository}},
                "rootfs": {"type": "layers", "diff_ids": [str(_digest(tar))]},
                "history": [
                    {"created": CREATED, "created_by": "COPY motd /etc/motd"},
                    {"created": CREATED, "created_by": 'CMD ["/bin/sh"]', "empty_layer": True},
                ],
            }
        )
        await self._blob(repository, layer)
        await self._blob(repository, config)
        layer_type, config_type = (_DOCKER_LAYER, _DOCKER_CONFIG) if is_docker else (_OCI_LAYER, _OCI_CONFIG)
        return msgspec.json.encode(
            {
                "schemaVersion": 2,
                "mediaType": DOCKER_MANIFEST if is_docker else OCI_MANIFEST,
                "config": _descriptor(config_type, config),
                "layers": [_descriptor(layer_type, layer)],
            }
        )

    async def _artifact(self, repository: str, subject: Mapping[str, Any]) -> bytes:
        """Push the blobs of a note about another manifest; its manifest."""
        empty, note = b"{}", b"this is a demo\n"
        await self._blob(repository, empty)
        await self._blob(repository, note)
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

    async def _blob(self, repository: str, content: bytes) -> None:
        name = RepositoryName(ORGANIZATION, repository)
        digest = _digest(content)
        async with self._services.db.read() as tx:
            found = await repository_rows.get(tx, name, actor_id=self._actor.account_id)
            assert found is not None
            if await blob_rows.get_in_repository(tx, repository_id=found.id, digest=digest):
                return
        upload = await uploads.begin(self._services, actor=self._actor, name=name)
        await uploads.finish(
            self._services, actor=self._actor, name=name, upload=upload, digest=digest, body=_once(content)
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
