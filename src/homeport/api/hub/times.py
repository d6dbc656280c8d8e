"""Times as the Hub writes them: UTC, always six digits of a second."""

from datetime import datetime


def wire_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def wire_time_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else wire_time(moment)
