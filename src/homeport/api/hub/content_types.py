"""Docker's words for what a tag holds, told by the type that its manifest gives itself."""

from homeport.storage.db.records import Tag

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


def content_type(tag: Tag) -> str:
    """An index that says nothing of itself is one of images."""
    type_ = tag.artifact_type or tag.config_media_type
    if type_ is None:
        return "image" if tag.depth else UNRECOGNIZED
    return next((word for prefix, word in _WORDS if type_.startswith(prefix)), UNRECOGNIZED)


def media_type(tag: Tag) -> str:
    """An index's own media type; of a single image that of its config, as Docker Hub shows it."""
    return tag.media_type if tag.depth or tag.config_media_type is None else tag.config_media_type
