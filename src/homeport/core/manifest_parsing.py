"""Reads manifests and image configs, once, when they are pushed. Pure: bytes in, structs out.

Sources: OCI Image Spec §Manifest, §Image Index, §Image Configuration; Docker Image Manifest V2, Schema 2. Fields that
those do not know are kept in the bytes and ignored here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from homeport.errors import (
    DigestInvalid,
    DigestMismatch,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnsupported,
)
from homeport.names import Digest
from homeport.storage.db.manifests import NewLayer, NewManifest, NewReference

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes of a manifest."""

CONFIG_SIZE_LIMIT = 4 * 1024 * 1024
"""A larger config is kept, but not read."""

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

_IMAGES = {OCI_MANIFEST, DOCKER_MANIFEST}
_INDEXES = {OCI_INDEX, DOCKER_LIST}
_SCHEMA_1 = {
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
}
_IMAGE_CONFIGS = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
}

Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_TEXT_LIMIT = 1024
"""Characters of a platform's fields or an instruction that are shown; bytes as pushed are never cut."""


class _Platform(msgspec.Struct, frozen=True, rename={"os_version": "os.version", "os_features": "os.features"}):
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    os_version: str | None = None
    os_features: list[str] | None = None
    features: list[str] | None = None


class _Descriptor(msgspec.Struct, frozen=True, rename={"media_type": "mediaType"}):
    media_type: str
    digest: str
    size: Size
    urls: list[str] | None = None
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    """An image manifest or an index, whichever its media type says."""

    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None
    # Schema 1 is told by these.
    fs_layers: Any = None
    signatures: Any = None


class _History(msgspec.Struct, frozen=True):
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class _Config(msgspec.Struct, frozen=True, rename={"os_version": "os.version", "os_features": "os.features"}):
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    os_version: str | None = None
    os_features: list[str] | None = None
    history: list[_History] | None = None


class Parsed(msgspec.Struct, frozen=True):
    """A manifest that is well formed. `required` are the blobs that have to be there."""

    manifest: NewManifest
    required: Sequence[Digest]
    children: Sequence[Digest]
    config: Digest | None
    layers: Sequence[_Descriptor]


_decode = msgspec.json.Decoder(_Document).decode
_decode_config = msgspec.json.Decoder(_Config).decode


def parse(content: bytes, content_type: str | None) -> Parsed:
    """Read a manifest.

    Raises:
        ManifestInvalid, ManifestUnsupported, ManifestTooLarge
    """
    if len(content) > SIZE_LIMIT:
        raise ManifestTooLarge(SIZE_LIMIT)
    stated = (content_type or "").partition(";")[0].strip().lower() or None
    if stated in _SCHEMA_1:
        raise ManifestUnsupported(stated, "schema 1 is obsolete, push schema 2 or OCI")
    try:
        document = _decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ManifestInvalid(str(error)) from None
    media_type = _media_type(document, stated)
    _check_shape(document, media_type)
    return _index(document, content, media_type) if media_type in _INDEXES else _image(document, content, media_type)


def digest_of(content: bytes, expected: Digest | None) -> Digest:
    """The digest that content is kept under: the one it is pushed by, sha256 otherwise.

    Raises:
        DigestMismatch
    """
    algorithm = expected.algorithm if expected else "sha256"
    digest = Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")
    if expected is not None and digest != expected:
        raise DigestMismatch(expected)
    return digest


def with_config(parsed: Parsed, config: bytes | None) -> NewManifest:
    """The manifest with what its image config says: platform and history. A config that cannot be read says nothing:
    artifacts put anything there.
    """
    found = _read_config(config) if config is not None else None
    if found is None:
        layers = [NewLayer(digest=layer.digest, size_bytes=layer.size, instruction="") for layer in parsed.layers]
        return msgspec.structs.replace(parsed.manifest, layers=layers)
    return msgspec.structs.replace(
        parsed.manifest,
        os=_text(found.os),
        os_version=_text(found.os_version),
        os_features=_joined(found.os_features),
        architecture=_text(found.architecture),
        variant=_text(found.variant),
        layers=_steps(parsed.layers, found.history or ()),
    )


def is_image_config(media_type: str | None) -> bool:
    return media_type in _IMAGE_CONFIGS


def _media_type(document: _Document, stated: str | None) -> str:
    """The one media type that the header and the document agree on."""
    if document.schema_version == 1 or document.fs_layers is not None or document.signatures is not None:
        raise ManifestUnsupported("schema 1", "it is obsolete, push schema 2 or OCI")
    if document.schema_version != 2:
        raise ManifestInvalid("schemaVersion has to be 2")
    generic = stated in (None, "application/json", "application/octet-stream")
    media_type = document.media_type if generic else stated
    if media_type is None:
        # An OCI document need not name its type; its shape tells.
        media_type = OCI_INDEX if document.manifests is not None else OCI_MANIFEST
    if media_type not in _IMAGES | _INDEXES:
        raise ManifestUnsupported(media_type[:_TEXT_LIMIT])
    if document.media_type is not None and document.media_type != media_type:
        raise ManifestInvalid(f"mediaType {document.media_type!r} differs from Content-Type {media_type!r}")
    if document.media_type is None and media_type in (DOCKER_MANIFEST, DOCKER_LIST):
        raise ManifestInvalid("mediaType is missing")
    return media_type


def _check_shape(document: _Document, media_type: str) -> None:
    """A document that can be read as two kinds is refused: readers would disagree on what it is (CVE-2021-41190)."""
    if media_type in _INDEXES:
        if document.manifests is None:
            raise ManifestInvalid("an index has to have manifests")
        if document.layers is not None or document.config is not None:
            raise ManifestInvalid("an index has neither config nor layers")
    else:
        if document.config is None or document.layers is None:
            raise ManifestInvalid("an image has to have a config and layers")
        if document.manifests is not None:
            raise ManifestInvalid("an image has no manifests")


def _image(document: _Document, content: bytes, media_type: str) -> Parsed:
    assert document.config is not None
    assert document.layers is not None
    config_digest = _digest(document.config)
    layer_digests = [(layer, _digest(layer)) for layer in document.layers]
    required = [config_digest, *(digest for layer, digest in layer_digests if not _is_foreign(layer))]
    config_type = document.config.media_type
    artifact_type = document.artifact_type or config_type  # OCI Distribution Spec §Listing Referrers
    manifest = NewManifest(
        digest="",
        media_type=media_type,
        content=content,
        depth=0,
        config_media_type=_text(config_type),
        image_size_bytes=min(sum(layer.size for layer in document.layers), 2**63 - 1),
        references=[
            _reference("config", document.config),
            *(_reference("layer", layer) for layer in document.layers),
        ],
        subject=_digest(document.subject) if document.subject else None,
        artifact_type=_text(artifact_type),
        annotations=_annotations(document),
    )
    return Parsed(
        manifest=manifest,
        required=list(dict.fromkeys(required)),
        children=(),
        config=config_digest if is_image_config(config_type) else None,
        layers=document.layers,
    )


def _index(document: _Document, content: bytes, media_type: str) -> Parsed:
    assert document.manifests is not None
    manifest = NewManifest(
        digest="",
        media_type=media_type,
        content=content,
        depth=1,
        references=[_reference("manifest", child) for child in document.manifests],
        subject=_digest(document.subject) if document.subject else None,
        artifact_type=_text(document.artifact_type),
        annotations=_annotations(document),
    )
    children = list(dict.fromkeys(_digest(child) for child in document.manifests))
    return Parsed(manifest=manifest, required=(), children=children, config=None, layers=())


def _annotations(document: _Document) -> str | None:
    return msgspec.json.encode(document.annotations).decode() if document.annotations else None


def _reference(kind: str, descriptor: _Descriptor) -> NewReference:
    platform = descriptor.platform or _Platform()
    return NewReference(
        kind=kind,
        digest=_digest(descriptor),
        media_type=_text(descriptor.media_type) or "",
        size_bytes=descriptor.size,
        os=_text(platform.os),
        os_version=_text(platform.os_version),
        os_features=_joined(platform.os_features),
        architecture=_text(platform.architecture),
        variant=_text(platform.variant),
        features=_joined(platform.features),
    )


def _digest(descriptor: _Descriptor) -> Digest:
    try:
        return Digest.parse(descriptor.digest)
    except DigestInvalid as error:
        raise ManifestInvalid(str(error)) from None


def _is_foreign(layer: _Descriptor) -> bool:
    """A layer that is fetched from elsewhere: registries need not hold it."""
    return bool(layer.urls) or "foreign" in layer.media_type or "nondistributable" in layer.media_type


def _read_config(config: bytes) -> _Config | None:
    try:
        return _decode_config(config)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _steps(layers: Sequence[_Descriptor], history: Sequence[_History]) -> list[NewLayer]:
    """Layers with the instruction that made each, from the config's history; steps that made none have no digest."""
    steps = []
    left = list(layers)
    for step in history:
        instruction = _text(step.created_by) or _text(step.comment) or ""
        if step.empty_layer:
            steps.append(NewLayer(digest=None, size_bytes=0, instruction=instruction))
        elif left:
            layer = left.pop(0)
            steps.append(NewLayer(digest=layer.digest, size_bytes=layer.size, instruction=instruction))
    steps += [NewLayer(digest=layer.digest, size_bytes=layer.size, instruction="") for layer in left]
    return steps


def _text(value: str | None) -> str | None:
    """A value that is shown: no NUL, no half surrogate, not endless; the empty one is none."""
    if not value:
        return None
    return value[:_TEXT_LIMIT].replace("\0", "").encode("utf-8", "replace").decode() or None


def _joined(values: Sequence[str] | None) -> str:
    return _text(",".join(values)) or "" if values else ""


def annotations_of(text: str | None) -> Mapping[str, str]:
    return msgspec.json.decode(text, type=dict[str, str]) if text else {}
