"""Manifests and configs as they come: whatever the bytes, nothing but a domain error."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.core import manifest_parsing
from homeport.core.manifest_parsing import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, parse
from homeport.errors import DigestMismatch, ManifestInvalid, ManifestUnsupported
from homeport.names import Digest
from tests.home import digest_of, image_manifest, index_manifest

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
digests = st.sampled_from(["sha256:" + "0" * 64, "sha512:" + "a" * 128, "sha256:0", "md5:1", ""]) | st.text(max_size=8)
descriptors = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from([OCI_MANIFEST, "a/b", ""]) | json,
        "digest": digests | json,
        "size": st.integers(-1, 2**70) | json,
        "platform": json | st.dictionaries(st.sampled_from(["os", "architecture", "os.features"]), json),
        "annotations": json | st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
        "urls": json,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": st.just(2) | json,
        "mediaType": st.sampled_from([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST]) | json,
        "config": descriptors | json,
        "layers": st.lists(descriptors, max_size=3) | json,
        "manifests": st.lists(descriptors, max_size=3) | json,
        "subject": descriptors | json,
        "annotations": st.dictionaries(st.text(max_size=5), st.text(max_size=5)) | json,
        "fsLayers": json,
    },
)
types = st.sampled_from([None, OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, "application/json", "x", ""])


def encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return b"{}"


@given(documents.map(encoded) | st.binary(max_size=200) | json.map(encoded), types)
def test_any_bytes_are_a_manifest_or_a_domain_error(content: bytes, content_type: str | None) -> None:
    try:
        parsed = parse(content, content_type)
    except (ManifestInvalid, ManifestUnsupported):
        return
    assert parsed.manifest.content == content
    assert parsed.manifest.media_type in {OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST}
    assert content_type in (None, "application/json", parsed.manifest.media_type, "")


@given(json.map(encoded) | st.binary(max_size=200))
def test_any_config_is_read_or_left_alone(config: bytes) -> None:
    parsed = parse(image_manifest(b"config", b"layer"), None)
    manifest = manifest_parsing.with_config(parsed, config)
    assert [layer.digest for layer in manifest.layers if layer.digest] == [digest_of(b"layer")]
    for text in (manifest.os, manifest.architecture, manifest.variant, manifest.os_version):
        assert text is None or (text and "\0" not in text)


def test_what_an_image_says_of_itself() -> None:
    config = {
        "os": "windows",
        "os.version": "10.0.17763.1",
        "os.features": ["win32k"],
        "architecture": "arm",
        "variant": "v7",
        "history": [
            {"created_by": "ADD file"},
            {"created_by": "ENV A=1", "empty_layer": True},
            {"comment": "no command"},
            {"created_by": "more steps than layers"},
        ],
    }
    parsed = parse(image_manifest(b"c", b"one", b"three", b"extra"[:0] + b"last"), OCI_MANIFEST)
    manifest = manifest_parsing.with_config(parsed, msgspec.json.encode(config))
    assert (manifest.os, manifest.os_version, manifest.os_features) == ("windows", "10.0.17763.1", "win32k")
    assert (manifest.architecture, manifest.variant) == ("arm", "v7")
    assert manifest.image_size_bytes == len(b"one") + len(b"three") + len(b"last")
    assert [(layer.digest, layer.size_bytes, layer.instruction) for layer in manifest.layers] == [
        (digest_of(b"one"), 3, "ADD file"),
        (None, 0, "ENV A=1"),
        (digest_of(b"three"), 5, "no command"),
        (digest_of(b"last"), 4, "more steps than layers"),
    ]


def test_the_artifact_type_is_the_config_type_where_there_is_none() -> None:
    plain = parse(image_manifest(b"c"), None)
    assert plain.manifest.artifact_type == "application/vnd.oci.image.config.v1+json"
    named = parse(image_manifest(b"c", artifactType="application/x"), None)
    assert named.manifest.artifact_type == "application/x"
    assert parse(index_manifest(), None).manifest.artifact_type is None


def test_foreign_layers_need_not_be_there() -> None:
    document = msgspec.json.decode(image_manifest(b"c", b"a", b"b"))
    document["layers"][0]["urls"] = ["https://example.com/a"]
    parsed = parse(msgspec.json.encode(document), None)
    assert list(parsed.required) == [digest_of(b"c"), digest_of(b"b")]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_has_the_digest_it_is_pushed_by(algorithm: str) -> None:
    expected = Digest(digest_of(b"content", algorithm))
    assert manifest_parsing.digest_of(b"content", expected) == expected
    with pytest.raises(DigestMismatch):
        manifest_parsing.digest_of(b"other", expected)
    assert manifest_parsing.digest_of(b"content", None) == digest_of(b"content")
