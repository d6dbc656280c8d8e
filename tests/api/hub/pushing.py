"""Images of any config, pushed through the registry by the owner of a namespace."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import msgspec

from homeport.names import RepositoryName
from tests.home import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Home,
    User,
    digest_of,
    push_blob,
    put_manifest,
    unique,
)

PLATFORM = {"os": "linux", "architecture": "amd64"}


class Pushed(NamedTuple):
    digest: str
    size: int


class Owned:
    """A repository with its owner, made by the first push."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner: User = home.user()
        self.name = RepositoryName(self.owner.name, unique("repo"))
        self._client: httpx.Client | None = None

    @property
    def client(self) -> httpx.Client:
        if self._client is None:
            self._client = self.home.registry(self.owner, self.name)
        return self._client

    @property
    def errinfo(self) -> dict[str, str]:
        return {"namespace": self.name.namespace, "repository": self.name.name}

    def path(self, tail: str = "") -> str:
        """The path of its tags that most scripts use."""
        return f"/v2/repositories/{self.name}/tags{tail}"

    def paths(self, tail: str = "") -> list[str]:
        """All paths of its tags, with a slash at the end and without."""
        namespace, name = self.name
        both = (self.path(tail), f"/v2/namespaces/{namespace}/repositories/{name}/tags{tail}")
        return [f"{path}{slash}" for path in both for slash in ("", "/")]

    def image(
        self,
        tag: str,
        *,
        layers: Sequence[bytes] = (b"layer",),
        config: Mapping[str, Any] = PLATFORM,
        config_type: str = OCI_CONFIG,
        artifact_type: str | None = None,
    ) -> Pushed:
        """Push an image."""
        written = msgspec.json.encode(config)
        for blob in (written, *layers):
            push_blob(self.client, self.name, blob)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": config_type, "digest": digest_of(written), "size": len(written)},
            "layers": [{"mediaType": OCI_LAYER, "digest": digest_of(layer), "size": len(layer)} for layer in layers],
            **({"artifactType": artifact_type} if artifact_type else {}),
        }
        return self.manifest(document, tag)

    def index(self, tag: str, *children: tuple[Pushed, Mapping[str, str]]) -> Pushed:
        """Push an index over images with their platforms."""
        manifests = [
            {"mediaType": OCI_MANIFEST, "digest": child.digest, "size": child.size, "platform": platform}
            for child, platform in children
        ]
        return self.manifest({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}, tag)

    def manifest(self, document: Mapping[str, Any], *tags: str) -> Pushed:
        content = msgspec.json.encode(document)
        for tag in tags:
            answer = put_manifest(self.client, self.name, tag, content, document["mediaType"])
            assert answer.status_code == 201, answer.text
        return Pushed(digest_of(content), len(content))

    def tagged(self, *tags: str) -> None:
        """Point tags, one after the other, at one small image."""
        layer, config = b"layer", msgspec.json.encode(PLATFORM)
        push_blob(self.client, self.name, layer)
        push_blob(self.client, self.name, config)
        self.manifest(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
                "layers": [{"mediaType": OCI_LAYER, "digest": digest_of(layer), "size": len(layer)}],
            },
            *tags,
        )
