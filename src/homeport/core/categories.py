"""What a repository can be about: a fixed list, with the names and slugs that Docker Hub has."""

from collections.abc import Sequence

import msgspec

from homeport.errors import FieldInvalid

LIMIT = 3
"""Categories of one repository."""


class Category(msgspec.Struct, frozen=True):
    name: str
    slug: str


CATEGORIES = tuple(
    Category(name, slug)
    for slug, name in {
        "api-management": "API management",
        "content-management-system": "Content management system",
        "data-science": "Data science",
        "databases-and-storage": "Databases & storage",
        "developer-tools": "Developer tools",
        "geospatial": "Geospatial",
        "integration-and-delivery": "Integration & delivery",
        "internet-of-things": "Internet of things",
        "languages-and-frameworks": "Languages & frameworks",
        "machine-learning-and-ai": "Machine learning & AI",
        "message-queues": "Message queues",
        "monitoring-and-observability": "Monitoring & observability",
        "networking": "Networking",
        "operating-systems": "Operating systems",
        "security": "Security",
        "web-analytics": "Web analytics",
        "web-servers": "Web servers",
    }.items()
)
_BY_SLUG = {category.slug: category for category in CATEGORIES}


def parse(slugs: Sequence[str]) -> list[str]:
    """Check slugs that a repository is to have, each once, in the order in which they came.

    Raises:
        FieldInvalid: more than three, or one that is not in the list.
    """
    known = list(dict.fromkeys(slugs))
    if unknown := [slug for slug in known if slug not in _BY_SLUG]:
        raise FieldInvalid({"slug": [f"There is no category {unknown[0]!r}."]}, "invalid categories")
    if len(known) > LIMIT:
        raise FieldInvalid({"slug": [f"A repository has at most {LIMIT} categories."]}, "invalid categories")
    return known


def named(slugs: Sequence[str]) -> list[Category]:
    """The categories of slugs, without those that are in the list no more."""
    return [_BY_SLUG[slug] for slug in slugs if slug in _BY_SLUG]
