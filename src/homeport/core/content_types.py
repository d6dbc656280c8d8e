"""Docker's words for what a manifest holds, told by the type that it gives itself."""

from typing import Protocol

_WORDS = (
    ("application/vnd.oci.image.config.", "image"),
    ("application/vnd.docker.container.image.", "image"),
    ("application/vnd.docker.plugin.", "plugin"),
    ("application/vnd.cncf.helm.", "helm"),
    ("application/vnd.docker.volume.", "volume"),
    ("application/vnd.wasm.", "wasm"),
    ("application/wasm", "wasm"),
    ("application/vnd.docker.compose.", "compose"),
    ("application/vnd.docker.ai.model.", "model"),
    ("application/vnd.cncf.model.", "model"),
)
UNRECOGNIZED = "unrecognized"


class Typed(Protocol):
    """A manifest, or a tag that points at one."""

    @property
    def media_type(self) -> str: ...
    @property
    def config_media_type(self) -> str | None: ...
    @property
    def artifact_type(self) -> str | None: ...
    @property
    def depth(self) -> int: ...


def content_type(typed: Typed) -> str:
    """An index that says nothing of itself is one of images."""
    type_ = typed.artifact_type or typed.config_media_type
    if type_ is None:
        return "image" if typed.depth else UNRECOGNIZED
    return next((word for prefix, word in _WORDS if type_.startswith(prefix)), UNRECOGNIZED)


def media_type(typed: Typed) -> str:
    """An index's own media type; of a single image that of its config, as Docker Hub shows it."""
    return typed.media_type if typed.depth or typed.config_media_type is None else typed.config_media_type
