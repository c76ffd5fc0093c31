"""Real workers tell Sentry of a tool's bug, once, and of nothing that was foreseen; and a person gets one page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentflow.client.handle import RunHandle
from tests.integration.receivers import WebReceiver
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

WORKERS = (WorkerPlan("default", ("bugs",)), WorkerPlan("models", ("bugs",)))
CARD = "4111-s3cret"


@pytest.fixture(scope="module", autouse=True)
def receiver() -> Iterator[WebReceiver]:
    """Takes events, pages and the calls of tools, and refuses the last; the module's worker is told where it is."""
    with WebReceiver().serving() as web, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENTRY_DSN", web.dsn)
        patch.setenv("SENTRY_ENVIRONMENT", "tests")
        patch.setenv("AGENTFLOW_ALERT_URLS", web.alert_url)
        patch.setenv("AGENTFLOW_API_URL", "https://agents.example")
        patch.setenv("REFUSING_SERVER", f"http://127.0.0.1:{web.port}/refuse")
        web.statuses["/refuse"] = 422
        yield web


@pytest.fixture(scope="module")
def runs(running_stack: Stack, receiver: WebReceiver) -> dict[str, RunHandle]:
    """One run of each agent, all over; what was to be told of them has been told."""
    names = ("declining", "asking", "stumbling")
    handles = {name: running_stack.submit(name, [{"card": CARD}])[0] for name in names}
    running_stack.await_final(list(handles.values()))
    until(lambda: receiver.events and receiver.pages, "the event and the page")
    for node in running_stack.nodes:
        node.container.stop()
    return handles


def test_a_bug_is_one_event_that_says_where_it_is(receiver: WebReceiver, runs: dict[str, RunHandle]) -> None:
    [event] = receiver.events

    [exception] = event["exception"]["values"]
    place = exception["stacktrace"]["frames"][-1]
    assert (exception["type"], exception["value"]) == ("KeyError", "'total'")
    assert (place["function"], place["context_line"].strip()) == ("stumble", "return f\"{card} {prices['total']}\"")
    tags = {name: event["tags"][name] for name in ("run_id", "step_index", "tool")}
    assert tags == {"run_id": runs["stumbling"].run_id, "step_index": "0", "tool": "stumble"}
    assert event["environment"] == "tests"


def test_a_bug_is_one_page_with_the_runs_address(receiver: WebReceiver, runs: dict[str, RunHandle]) -> None:
    [page] = receiver.pages

    assert page["title"].startswith("agentflow: bug:")
    assert "KeyError: 'total'" in page["message"]
    assert page["message"].endswith(f"https://agents.example/runs/{runs['stumbling'].run_id}")


@pytest.mark.usefixtures("runs")
def test_nothing_else_leaves_and_no_argument_of_a_tool(receiver: WebReceiver) -> None:
    told = [body for path, _, body in receiver.requests if path == "/s3cret"]

    assert {header["type"] for header, _ in receiver.envelopes} == {"event"}
    assert "s3cret" not in repr(receiver.envelopes)
    assert b"4111" not in b"".join(told)


@pytest.mark.usefixtures("runs")
def test_no_address_of_a_service_is_in_the_workers_log(running_stack: Stack) -> None:
    log = running_stack.worker("default").container.logs()

    assert "pager_ready" in log
    assert "s3cret" not in log


def test_the_worker_ends_in_peace(running_stack: Stack, runs: dict[str, RunHandle]) -> None:
    assert len(runs) == 3
    assert running_stack.worker("default").container.exit_code == 0
