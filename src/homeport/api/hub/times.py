"""Times as Docker Hub writes them."""

from datetime import datetime


def timestamp(moment: datetime) -> str:
    """A time in UTC as `2021-01-05T21:06:53.506400Z`, always with six digits behind the point."""
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def timestamp_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
