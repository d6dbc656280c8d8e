"""Examples for the reference: what a field of this name may hold, so that every operation shows one that fits."""

from typing import Any

from msgspec import inspect

_DIGEST = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_UUID = "1f0e2c6e-6a3b-4d53-9a5e-0b7a1c9d8e21"
_MOMENT = "2026-02-03T04:05:06.789012Z"

EXAMPLES: dict[str, Any] = {
    "access_token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
    "architecture": "amd64",
    "code": "492039",
    "count": 1,
    "content_type": "image",
    "creator": 7,
    "creator_ip": "203.0.113.9",
    "creator_ua": "Docker-Client/28.2.2 (linux)",
    "digest": _DIGEST,
    "client_id": "HUB",
    "expires_at": "2027-01-31T12:00:00Z",
    "features": "",
    "full_size": 2_219_949,
    "generated_by": "manual",
    "id": 42,
    "identifier": "ann",
    "instruction": "COPY app /app",
    "last_updater_username": "ann",
    "login_2fa_token": "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJzZWNvbmQtZmFjdG9yIn0.c2lnbmF0dXJl",
    "media_type": "application/vnd.oci.image.index.v1+json",
    "name": "1.0",
    "next": "https://hub.example.com/v2/namespaces/acme/repositories/app/tags?page=3",
    "namespace": "acme",
    "os": "linux",
    "os_features": "",
    "os_version": None,
    "password": "a long enough password",
    "previous": None,
    "repository_type": "image",
    "refresh_token": "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJyZWZyZXNoIn0.c2lnbmF0dXJl",
    "repository": 12,
    "scopes": ["repo:read"],
    "secret": "dckr_pat_0123456789abcdefghijklmnopq",
    "size": 2_219_949,
    "status": "active",
    "token": "dckr_pat_0123456789abcdefghijklmnopq",
    "token_label": "for the build server",
    "username": "ann",
    "uuid": _UUID,
    "variant": None,
}
"""Field name → example. What a field's own `Meta(examples=…)` says comes first."""

_MOMENTS = ("_at", "_pulled", "_pushed", "_updated", "last_used", "date_joined", "timestamp")


def example_of(type_: Any) -> Any:
    """A value of a type, as JSON has it."""
    return _example(inspect.type_info(type_), "")


def _example(info: inspect.Type, name: str) -> Any:  # noqa: PLR0911 - one line a kind of type
    if isinstance(info, inspect.Metadata):
        given = (info.extra_json_schema or {}).get("examples")
        return given[0] if given else _example(info.type, name)
    if isinstance(info, inspect.StructType):
        return {field.encode_name: _example(field.type, field.encode_name) for field in info.fields}
    if isinstance(info, inspect.ListType | inspect.CollectionType) and name not in EXAMPLES:
        return [_example(info.item_type, name)]
    if isinstance(info, inspect.UnionType):
        known = [option for option in info.types if not isinstance(option, inspect.NoneType)]
        return _example(known[0], name)
    if isinstance(info, inspect.EnumType):
        return next(iter(info.cls)).value
    if isinstance(info, inspect.DictType):
        return {}
    if name in EXAMPLES:
        return EXAMPLES[name]
    return _of_kind(info, name)


def _of_kind(info: inspect.Type, name: str) -> Any:
    if isinstance(info, inspect.BoolType):
        return True
    if isinstance(info, inspect.IntType):
        return 1
    return _MOMENT if name.endswith(_MOMENTS) else name.replace("_", " ")
