"""The logs: structlog and the standard library's loggers, one line each to stderr, and no password in them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from agentflow.telemetry.redaction import without_passwords

# These tell of what is only on its way; what became of it has lines of its own.
_QUIET = {
    "alembic": logging.WARNING,
    "celery.worker.consumer.connection": logging.WARNING,
    "flower.inspector": logging.ERROR,
    "httpcore2": logging.WARNING,
    "httpx2": logging.WARNING,
    "watchfiles": logging.WARNING,
}

# A line per message costs more than Celery's part of a step, and says less than the step's rows: only for the curious.
_QUIET_UNLESS_DEBUGGING = {"celery.app.trace", "celery.worker.strategy"}


def configure_logging(level: str | int = "INFO", *, json: bool | None = None) -> None:
    """Send every log line of this process to stderr: JSON in a pipe or a container, readable on a terminal.

    `json` overrides what stderr is; FORCE_COLOR asks for colours in a pipe. May be called again; the last call counts.
    """
    on_terminal = sys.stderr.isatty()
    as_json = not on_terminal if json is None else json
    known = _known(as_json=as_json)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *known,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=known,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_rendering(as_json=as_json, colours=on_terminal or bool(os.environ.get("FORCE_COLOR"))),
        ],
    )
    _install(formatter, level)


def hide_passwords(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the password of every URL in a log line."""
    for name, value in event.items():
        if isinstance(value, str) and "://" in value:
            event[name] = without_passwords(value)
    return event


def _known(*, as_json: bool) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
    ]


def _rendering(*, as_json: bool, colours: bool) -> list[Processor]:
    if as_json:
        return [structlog.processors.format_exc_info, hide_passwords, structlog.processors.JSONRenderer()]
    renderer = structlog.dev.ConsoleRenderer(
        colors=colours, pad_event_to=0, pad_level=False, exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.format_exc_info, _drop_logger_name, hide_passwords, renderer]


def _drop_logger_name(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("logger", None)
    return event


def _install(formatter: logging.Formatter, level: str | int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    for name in _QUIET_UNLESS_DEBUGGING:
        logging.getLogger(name).setLevel(logging.WARNING if root.level > logging.DEBUG else logging.DEBUG)
