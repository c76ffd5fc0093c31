"""The logs: structlog and the standard library's loggers, one line each to stderr, and no password in them."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

_PASSWORD_IN_URL = re.compile(r"(?P<front>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@'\"]*):[^\s/@'\"]+@")
# These tell of every message; what became of it is told by the task's own line.
_QUIET = ("celery.worker.strategy", "celery.app.trace.received", "kombu", "httpx2", "httpcore2", "watchfiles")


def configure_logging(level: str | int = "INFO", *, json: bool | None = None, colours: bool | None = None) -> None:
    """Send every log line of this process to stderr: JSON in a pipe or a container, readable on a terminal.

    `json` and `colours` override what stderr is. May be called again; the last call counts.
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
            *_rendering(as_json=as_json, colours=on_terminal if colours is None else colours),
        ],
    )
    _install(formatter, level)


def hide_passwords(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the password of every URL in a log line."""
    for name, value in event.items():
        if isinstance(value, str) and "://" in value:
            event[name] = without_passwords(value)
    return event


def without_passwords(text: str) -> str:
    """Return a text with the passwords of its URLs replaced."""
    return _PASSWORD_IN_URL.sub(r"\g<front>:***@", text)


def _known(*, as_json: bool) -> list[Processor]:
    stamp = structlog.processors.TimeStamper(fmt="iso") if as_json else structlog.processors.TimeStamper("%H:%M:%S", utc=False)
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        stamp,
    ]


def _rendering(*, as_json: bool, colours: bool) -> list[Processor]:
    if as_json:
        return [structlog.processors.format_exc_info, hide_passwords, structlog.processors.JSONRenderer()]
    renderer = structlog.dev.ConsoleRenderer(
        colors=colours, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.format_exc_info, hide_passwords, renderer]


def _install(formatter: logging.Formatter, level: str | int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
