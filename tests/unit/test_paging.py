"""What a page says and what it never does; who gets one; what of an error leaves for Sentry."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sentry_sdk

from agentflow.cli.alerts import moment_of
from agentflow.cli.complaints import WrongUse
from agentflow.domain.errors import ConfigError
from agentflow.domain.page import Page
from agentflow.settings import settings
from agentflow.telemetry.pages import PageText, page_text
from agentflow.telemetry.paging import Sender, open_services
from agentflow.telemetry.redaction import without_secrets
from agentflow.telemetry.sentry import SentryService, report_bug, stripped

# apprise looks for a module that Python 3.13 has no more.
pytestmark = pytest.mark.filterwarnings("ignore:.imghdr. is deprecated:DeprecationWarning")

RUN = "01a203c4-30b2-70db-b23c-5b03044fcb4e"
PAGE = Page("default", "bug:issue_refund", f"bug:{RUN}:3", "'issue_refund' raised KeyError: 'total'", RUN, 3, 0)
TEXT = page_text(PAGE)


class Door:
    """A service that answers as it is told, and hangs while it is shut."""

    def __init__(self, key: str, *, answer: bool = True, error: Exception | None = None) -> None:
        self.key = self.name = key
        self.pages: list[PageText] = []
        self.open = threading.Event()
        self.open.set()
        self._answer = answer
        self._error = error

    def take(self, page: PageText) -> bool:
        self.pages.append(page)
        self.open.wait(10)
        if self._error is not None:
            raise self._error
        return self._answer


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in ("AGENTFLOW_ALERT_URLS", "AGENTFLOW_API_URL", "AGENTFLOW_SENTRY_DSN", "SENTRY_DSN"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def test_a_page_names_its_topic_what_happened_and_the_command_that_shows_the_run() -> None:
    assert TEXT.title == "agentflow: bug:issue_refund"
    assert TEXT.body == f"'issue_refund' raised KeyError: 'total'\n\nagentflow runs show {RUN}"


def test_a_page_links_to_the_inspector_where_there_is_one() -> None:
    assert page_text(PAGE, "https://agents.example/").link == f"https://agents.example/runs/{RUN}"


def test_a_page_without_a_run_names_the_command_that_lists_alerts() -> None:
    assert page_text(replace(PAGE, run_id=None), "https://agents.example").link == "agentflow alerts"


@pytest.mark.parametrize(("others", "said"), [(1, "1 more alert of this topic"), (7, "7 more alerts of this topic")])
def test_a_page_counts_the_alerts_that_it_does_not_show(others: int, said: str) -> None:
    assert said in page_text(replace(PAGE, others=others)).body
    assert "more alert" not in TEXT.body


def test_a_page_names_a_tenant_that_is_not_the_default_one() -> None:
    assert "Tenant: acme" in page_text(replace(PAGE, tenant="acme")).body


def test_a_page_of_a_novel_is_shortened_and_keeps_its_link() -> None:
    text = page_text(replace(PAGE, message="x" * 100_000, topic="y" * 1000))

    assert (len(text.message), len(text.title)) == (700, 120)
    assert text.body.endswith(RUN)


def test_a_page_shows_no_secret_of_its_message() -> None:
    assert "s3cret" not in page_text(replace(PAGE, message="401 from https://u:s3cret@h/x?token=s3cret")).body


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no route to postgres://u:s3cret@h:5432/d", "no route to postgres://u:***@h:5432/d"),
        ("GET https://h/p?token=s3cret failed", "GET https://h/p?*** failed"),
        ("Authorization: Bearer s3cret12345", "Authorization: Bearer ***"),
        ("{'api_key': 's3cret', 'n': 1}", "{'api_key': '***', 'n': 1}"),
        ("password=s3cret&user=ann", "password=***&user=ann"),
        ("X-Api-Key: s3cret", "X-Api-Key: ***"),
        ("Incorrect API key provided: sk-proj-s3cret-123.", "Incorrect API key provided: ***."),
        ("hook xoxb-123456-s3cret is gone", "hook *** is gone"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text", ["max_tokens=500 is too much", "the bearer of bad news", "order 4421: KeyError 'total'", "tokens: 12 of 30"]
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert without_secrets(text) == text


def test_every_service_gets_a_page_once() -> None:
    doors = [Door("slack"), Door("mail")]

    taken_by = Sender(doors).send(TEXT)

    assert taken_by == {"slack", "mail"}
    assert [door.pages for door in doors] == [[TEXT], [TEXT]]


def test_a_service_that_took_a_page_is_not_sent_it_again() -> None:
    doors = [Door("slack"), Door("mail")]

    assert Sender(doors).send(TEXT, {"slack"}) == {"slack", "mail"}
    assert [len(door.pages) for door in doors] == [0, 1]


@pytest.mark.parametrize("broken", [Door("mail", answer=False), Door("mail", error=OSError("mailto://u:s3cret@h"))])
def test_a_service_that_fails_keeps_no_page_from_the_others(broken: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert Sender([broken, Door("slack")]).send(TEXT) == {"slack"}
    assert "s3cret" not in "".join(capsys.readouterr())


def test_a_service_that_hangs_costs_its_timeout_and_one_thread_however_many_pages_come() -> None:
    hung, slack = Door("mail"), Door("slack")
    hung.open.clear()
    sender = Sender([hung, slack], timeout_s=0.1)

    assert [sender.send(TEXT) for _ in range(3)] == [{"slack"}] * 3
    assert (len(hung.pages), len(slack.pages)) == (1, 3)
    hung.open.set()


def test_a_service_that_answers_again_is_sent_the_next_page() -> None:
    hung = Door("mail")
    hung.open.clear()
    sender = Sender([hung], timeout_s=0.1)
    sender.send(TEXT)
    hung.open.set()
    for thread in threading.enumerate():
        if thread.name == "agentflow-page":
            thread.join(5)

    assert sender.send(TEXT) == {"mail"}


def test_urls_that_apprise_knows_become_services_and_others_are_told_of_by_number(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    services = open_services("json://127.0.0.1:1/s3cret, nothing://s3cret mailto://ann:s3cret@example.com")

    said = "".join(capsys.readouterr()) + caplog.text
    assert [each.name for each in services] == ["JSON", "E-Mail"]
    assert "number=2" in said
    assert "s3cret" not in said + repr(services)


def test_a_service_has_the_same_key_in_every_worker_and_the_key_tells_nothing() -> None:
    url = "json://127.0.0.1:1/s3cret"
    keys = {open_services(f"{more} {url}".strip())[-1].key for more in ("", "json://127.0.0.1:2")}

    assert len(keys) == 1
    assert "s3cret" not in keys.pop()


def test_pages_of_bugs_go_to_sentry_as_exceptions_alone() -> None:
    assert SentryService().take(TEXT) is True


def test_a_bug_is_not_reported_where_sentry_is_off() -> None:
    report_bug(KeyError("total"), run_id=RUN, step_index=3, tool="issue_refund")

    assert not sentry_sdk.is_initialized()
    assert sentry_sdk.last_event_id() is None


def event(**more: Any) -> Any:
    frame = {"filename": "shop.py", "lineno": 3, "context_line": "total = order['total']", "vars": {"card": "s3cret"}}
    value = "(psycopg2.Error) no\n[SQL: insert ...]\n[parameters: {'card': 's3cret'}]"
    exception = {"type": "KeyError", "value": value, "stacktrace": {"frames": [frame]}}
    return {"event_id": "1", "exception": {"values": [exception]}, **more}


def test_of_an_error_its_place_and_its_first_line_leave() -> None:
    [exception] = stripped(event(), {})["exception"]["values"]

    assert (exception["type"], exception["value"]) == ("KeyError", "(psycopg2.Error) no")
    assert exception["stacktrace"]["frames"][0]["context_line"] == "total = order['total']"


@pytest.mark.parametrize("where", ["extra", "breadcrumbs", "request", "user", "modules", "threads"])
def test_of_what_surrounds_an_error_nothing_leaves(where: str) -> None:
    assert "s3cret" not in repr(stripped(event(**{where: {"card": "s3cret"}}), {}))


def test_a_check_in_of_the_schedule_leaves_as_it_is() -> None:
    check_in: Any = {"type": "check_in", "monitor_slug": "nightly", "status": "ok"}

    assert stripped(check_in, {}) == check_in


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("AGENTFLOW_ALERT_URLS", "slack", "write apprise's URLs"),
        ("AGENTFLOW_API_URL", "agents.example", "write it as https://"),
        ("AGENTFLOW_SENTRY_DSN", "https://s3cret", "write it as https://key@host/project"),
        ("AGENTFLOW_ALERT_PERIOD_S", "0", "greater than 0"),
        ("AGENTFLOW_ALERT_PERIOD_S", "nan", "finite number"),
    ],
)
def test_a_variable_of_alerts_that_cannot_be_used_is_named_with_its_mend(
    environment: pytest.MonkeyPatch, name: str, value: str, mend: str
) -> None:
    environment.setenv(name, value)

    with pytest.raises(ConfigError, match=f"{name}: .*{mend}") as refused:
        settings()
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("name", ["SENTRY_DSN", "AGENTFLOW_SENTRY_DSN"])
def test_sentry_is_found_by_its_own_variable_too(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(name, "https://key@sentry.example/1")

    found = settings().sentry_dsn

    assert found is not None
    assert found.get_secret_value() == "https://key@sentry.example/1"


def test_nobody_is_paged_without_being_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AGENTFLOW_ALERT_URLS", "")

    found = settings()

    assert (found.alert_urls, found.sentry_dsn, found.api_url, found.alert_period_s) == (None, None, None, 3600.0)


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-02-28T18:00+01:00", datetime(2026, 2, 28, 17, tzinfo=UTC)),
    ],
)
def test_alerts_are_listed_since_an_age_or_a_date(text: str, moment: datetime) -> None:
    assert moment_of(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "7", "-1h", "7 d", "999999d", "2026-13-01", "0001-01-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(WrongUse, match="is no time: give 30m, 12h, 7d"):
        moment_of(text, NOW)


@pytest.mark.parametrize("piece", ["x", "a://", "eyJ-", "token=", "sk-", "bearer "])
def test_a_long_text_is_searched_for_secrets_in_no_time(piece: str) -> None:
    started = time.process_time()

    without_secrets(piece * (200_000 // len(piece)))

    assert time.process_time() - started < 1
