"""Log lines: one JSON object each (or a readable line), with the id of the request, and never with a secret."""

import logging
import sys

import structlog

from homeport.settings import Settings


def configure_logs(settings: Settings) -> None:
    """Have all of structlog's lines written to stderr as the settings say."""
    is_json = settings.log_format == "json"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Tracebacks without the values of variables: those may be secrets.
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer()
            if is_json
            else structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
