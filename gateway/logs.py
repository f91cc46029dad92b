"""Log lines: structlog renders every one, ours and the libraries'. JSON in production, colours at home.

A line carries ids, sizes and times; never a prompt, a completion, or a key.
"""

import logging
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def console_formatter() -> logging.Formatter:
    """Return the formatter for people."""
    return _formatter(structlog.dev.ConsoleRenderer(colors=False))


def json_formatter() -> logging.Formatter:
    """Return the formatter for machines: one JSON object a line."""
    return _formatter(structlog.processors.JSONRenderer())


def _formatter(renderer: Any) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )


structlog.configure(
    processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
