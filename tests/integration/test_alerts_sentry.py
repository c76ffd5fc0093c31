"""What Sentry's own SDK sends for us, from processes of their own: bugs, pages, and nothing that surrounds them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.cli_commands import ROOT, environment
from tests.integration.receivers import WebReceiver

RUN = "01a203c4-30b2-70db-b23c-5b03044fcb4e"

PAGES = f"""
page = Page("default", "quota:openai", "quota:openai", "openai is out of credits", "{RUN}", 1, 2)
SentryService().take(page_text(page, "https://agents.example"))
SentryService().take(page_text(replace(page, topic="bug:pay", cause="bug:1"), None))
"""
BUG = f"""
def pay(card):
    logging.getLogger("shop").error("paying with %s", card)
    requests.post(os.environ["SHOP"], json={{"card": card}}, timeout=5)
    raise ValueError(f"no price for password={{card}}\\n[parameters: {{card}}]")

def call():
    try:
        pay("4111-s3cret")
    except ValueError as error:
        report_bug(error, run_id="{RUN}", step_index=3, tool="pay")

call()
"""
LOCKED_FORK = """
lock = sentry_sdk.get_client().transport._worker._lock
lock.acquire()
child = os.fork()
if child == 0:
    start_reporting(os.environ["SENTRY_DSN"])
    call()
    flush_reports()
    os._exit(0)
lock.release()
assert os.waitpid(child, 0)[1] == 0
"""
START = """
import logging, os, requests, sentry_sdk
from dataclasses import replace
from agentflow.domain.page import Page
from agentflow.telemetry.pages import page_text
from agentflow.telemetry.sentry import SentryService, flush_reports, report_bug, start_reporting

start_reporting(os.environ["SENTRY_DSN"])
"""


@pytest.fixture
def sentry() -> Iterator[WebReceiver]:
    with WebReceiver().serving() as receiver:
        yield receiver


def run(sentry: WebReceiver, *script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "".join([START, *script, "\nflush_reports()\n"])],
        env=environment(SENTRY_DSN=sentry.dsn, SENTRY_RELEASE="shop@7", SHOP=f"http://127.0.0.1:{sentry.port}/shop"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_page_is_one_message_with_the_runs_address_and_a_page_of_a_bug_is_none(sentry: WebReceiver) -> None:
    run(sentry, PAGES)

    [event] = sentry.events
    assert event["message"].splitlines() == [
        "agentflow: quota:openai", "openai is out of credits", "", "2 more alerts of this topic since the last page.",
        "", f"https://agents.example/runs/{RUN}",
    ]  # fmt: skip
    assert (event["tags"], event["level"], event["release"]) == (
        {"topic": "quota:openai", "run_id": RUN}, "error", "shop@7",
    )  # fmt: skip
    assert event["fingerprint"] == ["agentflow", "quota:openai"]


def test_a_bug_is_one_event_and_neither_variables_nor_logs_nor_requests_leave_with_it(sentry: WebReceiver) -> None:
    run(sentry, BUG)

    [event] = sentry.events
    [exception] = event["exception"]["values"]
    assert exception["value"] == "no price for password=***"
    assert [frame["function"] for frame in exception["stacktrace"]["frames"]] == ["call", "pay"]
    assert event["tags"] == {"run_id": RUN, "step_index": "3", "tool": "pay"}
    assert "s3cret" not in repr(sentry.envelopes)


def test_nothing_of_sentrys_is_put_on_what_tools_send(sentry: WebReceiver) -> None:
    run(sentry, BUG)

    [(_, headers, _)] = [request for request in sentry.requests if request[0] == "/shop"]
    assert {"sentry-trace", "baggage"} & set(headers) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="pools fork on Linux alone")
def test_a_child_reports_though_its_parent_was_sending_when_it_was_forked(sentry: WebReceiver) -> None:
    run(sentry, BUG, LOCKED_FORK)

    assert [event["exception"]["values"][0]["type"] for event in sentry.events] == ["ValueError", "ValueError"]
