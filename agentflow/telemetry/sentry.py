"""Sentry: the bugs of tools, each once, and what a person is paged of; never an expected failure, and no payload.

What leaves is chosen, not filtered: an event is made anew of the fields that tell where code failed. Variables, tasks'
arguments, breadcrumbs and requests are not among them, and of an exception's message only its first line.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agentflow.telemetry.pages import PageText
from agentflow.telemetry.redaction import without_secrets

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

FLUSH_S = 2.0

_KEPT = {
    "event_id", "timestamp", "level", "platform", "release", "environment", "server_name", "dist", "sdk", "transaction",
    "fingerprint", "tags", "message", "logentry", "exception",
}  # fmt: skip
_KEPT_CONTEXTS = {"trace", "runtime", "os"}
_LONGEST = 500


class SentryService:
    """Sentry as a service that takes pages: one event each. Bugs are there already, with their tracebacks."""

    key = "sentry"
    name = "Sentry"

    def take(self, page: PageText) -> bool:
        """Send a page."""
        import sentry_sdk

        if page.topic.partition(":")[0] == "bug":
            return True
        with sentry_sdk.new_scope() as scope:
            scope.fingerprint = ["agentflow", page.topic]
            scope.set_tag("topic", page.topic)
            if page.run_id is not None:
                scope.set_tag("run_id", page.run_id)
            sentry_sdk.capture_message(f"{page.title}\n{page.body}", level="error")
        return True


def start_reporting(dsn: str) -> None:
    """Report from this process to Sentry; called again after a fork, so that nothing of the parent's is waited for.

    Release and environment are the SDK's own variables, SENTRY_RELEASE and SENTRY_ENVIRONMENT.
    """
    import sentry_sdk

    sentry_sdk.init(**_options(dsn))


def report_bug(error: BaseException, *, run_id: str, step_index: int, tool: str) -> None:
    """Send a tool's bug to Sentry, if this process reports at all."""
    # Who has not imported the SDK has not started it either; its import takes longer than most steps.
    if "sentry_sdk" not in sys.modules:
        return
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        scope.set_tags({"run_id": run_id, "step_index": str(step_index), "tool": tool})
        sentry_sdk.capture_exception(error)


def flush_reports() -> None:
    """Wait, not long, until what was reported is sent."""
    if "sentry_sdk" in sys.modules:
        import sentry_sdk

        sentry_sdk.flush(timeout=FLUSH_S)


def stripped(event: Event, _: Hint) -> Event:
    """Return an event with nothing in it but where code failed."""
    if event.get("type") == "check_in":
        return event
    kept: dict[str, Any] = {name: value for name, value in event.items() if name in _KEPT}
    contexts = event.get("contexts", {})
    kept["contexts"] = {name: value for name, value in contexts.items() if name in _KEPT_CONTEXTS}
    for each in kept.get("exception", {}).get("values", ()):
        each["value"] = _first_line(each.get("value"))
        for frame in (each.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    return kept  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _options(dsn: str) -> dict[str, Any]:
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.utils import get_default_release

    return {
        "dsn": dsn,
        # The rest would read requests, prompts and statements, or put headers on what tools send.
        "default_integrations": False,
        "auto_enabling_integrations": False,
        "integrations": [
            # A message is a hint, two ids and nothing else: no traces travel with it.
            CeleryIntegration(monitor_beat_tasks=True, propagate_traces=False),
            LoggingIntegration(level=None, event_level=None),
            ExcepthookIntegration(),
            DedupeIntegration(),
            AtexitIntegration(callback=lambda pending, timeout: None),  # noqa: ARG005 - it says so on stderr otherwise
        ],
        "release": get_default_release(),
        "before_send": stripped,
        "send_default_pii": False,
        "include_local_variables": False,
        "max_breadcrumbs": 0,
        "max_request_body_size": "never",
        "auto_session_tracking": False,
        "trace_propagation_targets": [],
        "in_app_exclude": ["agentflow"],
        "shutdown_timeout": FLUSH_S,
    }


def _first_line(message: str | None) -> str:
    line = (message or "").strip().split("\n")[0]
    return without_secrets(line[: 4 * _LONGEST])[:_LONGEST]
