"""A person is paged once per topic and period, by real services, whatever dies, hangs or refuses on the way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentflow.engine.pager import Pager
from agentflow.store.alerts import lease_page, raise_alert
from agentflow.store.database import Database
from agentflow.telemetry.paging import open_services
from agentflow.testing import Harness
from tests.integration.receivers import MailReceiver, WebReceiver

# apprise looks for a module that Python 3.13 has no more.
pytestmark = pytest.mark.filterwarnings("ignore:.imghdr. is deprecated:DeprecationWarning")

RUN = "01a203c4-30b2-70db-b23c-5b03044fcb4e"


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with WebReceiver().serving() as receiver:
        yield receiver


@pytest.fixture
def other_web() -> Iterator[WebReceiver]:
    with WebReceiver().serving() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    with MailReceiver().serving() as receiver:
        yield receiver


@pytest.fixture
def pager(agentflow: Harness) -> Iterator[Callable[..., Pager]]:
    """Makes pagers that page by URL, each with a database of its own."""
    databases: list[Database] = []

    def make(*urls: str, period_s: float = 3600, **more: Any) -> Pager:
        databases.append(Database(agentflow.database.url, application="pager", pool=1))
        return Pager(databases[-1], lambda: open_services(", ".join(urls)), period_s=period_s, **more)

    yield make
    for database in databases:
        database.close()


def alert(
    agentflow: Harness,
    cause: str,
    message: str = "it broke",
    *,
    topic: str = "bug:pay",
    run_id: str | None = RUN,
    tenant: str = "default",
) -> None:
    agentflow.database.atomically(lambda tx: raise_alert(tx, tenant, cause, message, topic=topic, run_id=run_id))


def rows(agentflow: Harness, statement: str) -> list[Any]:
    with agentflow.database.transaction() as tx:
        result = tx.connection.exec_driver_sql(statement)
        return list(result.all()) if result.returns_rows else []


def end_pause(agentflow: Harness) -> None:
    rows(agentflow, "update agentflow.pages set leased_until = clock_timestamp() - interval '1 second'")


def wait_for(ask: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 15
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not become true in time"
        threading.Event().wait(0.05)
    return answer


def test_a_page_names_the_newest_alert_of_its_topic_how_many_others_came_and_the_run(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    for number in range(3):
        alert(agentflow, f"bug:{number}", f"'pay' raised KeyError: {number}")

    assert pager(web.alert_url, api_url="https://agents.example").page() == 1

    [page] = web.pages
    assert page["title"] == "agentflow: bug:pay"
    assert page["message"].splitlines() == [
        "'pay' raised KeyError: 2", "", "2 more alerts of this topic since the last page.", "",
        f"https://agents.example/runs/{RUN}",
    ]  # fmt: skip


def test_a_page_comes_by_mail_too(agentflow: Harness, pager: Callable[..., Pager], mail: MailReceiver) -> None:
    alert(agentflow, "bug:1", "'pay' raised <KeyError>")

    assert pager(mail.alert_url).page() == 1

    [message] = mail.messages
    assert (message["to"], message["subject"]) == ("ann@example.com", "agentflow: bug:pay")
    assert "raised <KeyError>" in message["text"]
    assert f"agentflow runs show {RUN}" in message["text"]


def test_two_pagers_at_once_send_one_page(agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver) -> None:
    alert(agentflow, "bug:1")
    pagers = [pager(web.alert_url) for _ in range(8)]
    start = threading.Barrier(len(pagers))

    def page(each: Pager) -> int:
        start.wait(10)
        return each.page()

    with ThreadPoolExecutor(len(pagers)) as threads:
        sent = sum(threads.map(page, pagers))

    assert (sent, len(web.pages)) == (1, 1)


def test_a_topic_is_paged_again_once_its_period_is_over_and_something_new_came(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    patient, hasty = pager(web.alert_url), pager(web.alert_url, period_s=0.01)
    alert(agentflow, "bug:1", "first")
    assert patient.page() == 1
    over = "select 1 from agentflow.pages where paged_at < clock_timestamp() - interval '10 ms'"
    wait_for(lambda: rows(agentflow, over))
    assert hasty.page() == 0

    alert(agentflow, "bug:2", "second")

    assert patient.page() == 0
    assert wait_for(hasty.page) == 1
    assert web.pages[-1]["message"].splitlines() == ["second", "", f"agentflow runs show {RUN}"]


def test_the_same_cause_again_is_something_new(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    hasty = pager(web.alert_url, period_s=0.01)
    alert(agentflow, "bug:1", "first")
    hasty.page()

    alert(agentflow, "bug:1", "again", run_id=None)

    assert wait_for(hasty.page) == 1
    assert web.pages[-1]["message"].splitlines() == ["again", "", "agentflow alerts"]


def test_another_topic_or_tenant_is_paged_at_once(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    alert(agentflow, "bug:1")
    one = pager(web.alert_url)
    one.page()
    alert(agentflow, "quota:openai", topic="quota:openai")
    alert(agentflow, "bug:1", tenant="acme")

    assert one.page() == 2

    assert [page["title"] for page in web.pages[1:]] == ["agentflow: quota:openai", "agentflow: bug:pay"]
    assert "Tenant: acme" in web.pages[2]["message"]


def test_an_alert_without_a_topic_is_its_own(agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver) -> None:
    for cause in ("in_doubt:1", "in_doubt:2"):
        agentflow.database.atomically(lambda tx, cause=cause: raise_alert(tx, "default", cause, "?"))  # type: ignore[misc]

    assert pager(web.alert_url).page() == 2
    assert {page["title"] for page in web.pages} == {"agentflow: in_doubt:1", "agentflow: in_doubt:2"}


def test_a_worker_that_dies_with_a_page_in_hand_leaves_it_to_another_after_its_lease(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    alert(agentflow, "bug:1")
    dead = agentflow.database.atomically(lambda tx: lease_page(tx, period_s=3600, lease_s=0.5))
    assert dead is not None

    other = pager(web.alert_url)

    assert other.page() == 0
    assert wait_for(other.page) == 1
    assert len(web.pages) == 1


def test_a_worker_that_wakes_up_after_its_lease_marks_nothing(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    alert(agentflow, "bug:1")
    web.hang()
    frozen = pager(web.alert_url, lease_s=0.01)
    sending = threading.Thread(target=frozen.page)
    sending.start()
    wait_for(lambda: web.pages)
    wait_for(lambda: agentflow.database.atomically(lambda tx: lease_page(tx, period_s=3600, lease_s=60)))

    web.answer()
    sending.join(15)

    assert rows(agentflow, "select paged_at, tries from agentflow.pages") == [(None, 2)]


def test_what_comes_while_a_page_is_sent_is_paged_next_time(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    alert(agentflow, "bug:1", "first")
    web.hang()
    hasty = pager(web.alert_url, period_s=0.01)
    sending = threading.Thread(target=hasty._send, args=(hasty._opened(), leased(agentflow)))
    sending.start()
    wait_for(lambda: web.pages)
    alert(agentflow, "bug:2", "meanwhile")
    web.answer()
    sending.join(15)

    assert wait_for(hasty.page) == 1
    assert web.pages[-1]["message"].startswith("meanwhile")


def leased(agentflow: Harness) -> Any:
    return agentflow.database.atomically(lambda tx: lease_page(tx, period_s=0.01, lease_s=60))


def test_a_receiver_that_hangs_holds_up_neither_the_pager_nor_the_others(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver, mail: MailReceiver
) -> None:
    alert(agentflow, "bug:1")
    web.hang()
    one = pager(web.alert_url, mail.alert_url, send_timeout_s=1)
    started = time.monotonic()

    assert one.page() == 0

    assert time.monotonic() - started < 10
    assert (len(web.pages), len(mail.messages)) == (1, 1)


def test_a_receiver_that_refused_is_tried_again_and_one_that_took_it_is_not(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver, mail: MailReceiver
) -> None:
    alert(agentflow, "bug:1")
    web.status = 503
    assert pager(web.alert_url, mail.alert_url).page() == 0
    web.status = 200
    end_pause(agentflow)

    assert pager(web.alert_url, mail.alert_url).page() == 1

    assert (len(web.pages), len(mail.messages)) == (2, 1)
    assert rows(agentflow, "select tries, taken_by, leased_until from agentflow.pages") == [(0, [], None)]


def test_a_receiver_that_goes_on_refusing_is_tried_at_growing_distance(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    alert(agentflow, "bug:1")
    web.status = 500
    one, pauses = pager(web.alert_url), []

    for _ in range(9):
        one.page()
        assert one.page() == 0
        pauses += rows(
            agentflow, "select round(extract(epoch from leased_until - clock_timestamp())) from agentflow.pages"
        )
        end_pause(agentflow)

    assert [float(pause) for (pause,) in pauses] == pytest.approx([10, 20, 40, 80, 160, 320, 640, 900, 900], abs=3)
    assert len(web.pages) == 9


def test_a_receiver_that_is_gone_for_good_does_not_silence_the_others(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver, other_web: WebReceiver
) -> None:
    alert(agentflow, "bug:1")
    web.status = 410
    one = pager(web.alert_url, other_web.alert_url, period_s=0.01)
    one.page()
    rows(agentflow, "update agentflow.pages set tries = 11")
    end_pause(agentflow)
    assert one.page() == 1
    alert(agentflow, "bug:2")

    wait_for(lambda: one.page() == 0 and len(other_web.pages) == 2)


def test_a_page_that_nobody_took_is_never_given_up(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    alert(agentflow, "bug:1")
    web.status = 500
    one = pager(web.alert_url)
    one.page()
    rows(agentflow, "update agentflow.pages set tries = 500")
    end_pause(agentflow)

    assert one.page() == 0
    assert rows(agentflow, "select paged_at from agentflow.pages") == [(None,)]


def test_who_sets_up_paging_later_is_not_told_of_the_past(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    alert(agentflow, "bug:1")
    rows(agentflow, "update agentflow.alerts set last_at = last_at - interval '2 days'")

    assert pager(web.alert_url).page() == 0
    assert web.pages == []


def test_without_a_service_that_can_be_used_no_page_is_taken(agentflow: Harness, pager: Callable[..., Pager]) -> None:
    alert(agentflow, "bug:1")

    assert pager("nothing://at.all").page() == 0
    assert rows(agentflow, "select topic from agentflow.pages") == []


def test_no_url_of_a_service_is_ever_logged(
    agentflow: Harness,
    pager: Callable[..., Pager],
    web: WebReceiver,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    alert(agentflow, "bug:1")
    web.status = 500
    pager(web.alert_url, "mailto://u:s3cret@127.0.0.1:1?to=ann@example.com").page()

    said = "".join(capsys.readouterr()) + caplog.text

    assert "page_put_off" in said
    assert "s3cret" not in said


def test_the_pagers_thread_looks_by_itself_and_ends_when_it_is_told_to(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver
) -> None:
    alert(agentflow, "bug:1")
    one = pager(web.alert_url)

    one.start()
    wait_for(lambda: web.pages)
    one.stop()

    assert [each.name for each in threading.enumerate() if each.name == "agentflow-pager"] == []


def test_the_pagers_thread_outlives_a_database_that_goes_away(
    agentflow: Harness, pager: Callable[..., Pager], web: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentflow.engine.pager.LOOK_EVERY_S", 0.05)
    one = pager(web.alert_url)
    one.start()
    wait_for(lambda: rows(agentflow, "select 1 from pg_stat_activity where application_name = 'pager'"))
    for _ in range(3):
        rows(agentflow, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pager'")

    alert(agentflow, "bug:1")

    wait_for(lambda: web.pages)
    one.stop()
    assert len(web.pages) == 1
