"""What Docker Hub's API tells of a user wherever one is shown."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from homeport.api.hub.times import timestamp
from homeport.storage.db.records import Profile


class UserInfo(msgspec.Struct, kw_only=True):
    id: Annotated[
        str, Meta(description="The user's UUID without dashes.", examples=["1f0e2c6e6a3b4d539a5e0b7a1c9d8e21"])
    ]
    company: str
    date_joined: Annotated[str, Meta(description="When the account was made.")]
    full_name: str
    gravatar_email: str
    gravatar_url: str
    location: str
    profile_url: str
    type: Annotated[str, Meta(description="`User`.", examples=["User"])]
    username: str


def user_fields(profile: Profile, *, shows_email: bool) -> dict[str, Any]:
    """The fields of a `UserInfo`."""
    return {
        "id": profile.uuid.replace("-", ""),
        "company": profile.company,
        "date_joined": timestamp(profile.created_at),
        "full_name": profile.full_name,
        "gravatar_email": profile.gravatar_email if shows_email else "",
        "gravatar_url": "",
        "location": profile.location,
        "profile_url": profile.profile_url,
        "type": "User",
        "username": profile.name,
    }
