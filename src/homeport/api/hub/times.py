"""Times as Docker Hub writes them."""

from datetime import UTC, datetime


def timestamp(moment: datetime) -> str:
    """`2021-01-05T21:06:53.506400Z`: UTC, always with six digits behind the point."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def timestamp_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
