"""Messages that we write ourselves, read by kombu and by a worker of Celery's, and seen in its events."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery import Task as TaskOfCelery
from celery.contrib.testing.worker import start_worker
from celery.events.state import State, Task

from agentflow.broker.dispatcher import BatchedEvents
from agentflow.broker.hints import BrokerHints
from agentflow.domain.hint import Hint, advance_hint, relay_hint
from agentflow.local import attach
from tests.integration.broker_app import broker_app
from tests.integration.workers.listening import Listener
from tests.integration.workers.waiting import until

RUN = str(uuid.uuid4())


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with attach(tmp_path_factory.mktemp("valkey"), postgres=False) as services:
        yield services.redis_url


@pytest.fixture
def hints(redis_url: str) -> Iterator[BrokerHints]:
    published = BrokerHints(redis_url)
    yield published
    published.close()


def seen(listener: Listener) -> dict[str, Task]:
    """What Flower would know of the tasks."""
    state = State()
    for event in listener.of_tasks():
        state.event(dict(event))
    return dict(state.tasks)


@pytest.mark.parametrize(
    ("hint", "kwargs"),
    [
        (Hint("step.x", "tool.x", RUN, 3), {"run_id": RUN, "step_index": 3}),
        (advance_hint(RUN, "coordinator"), {"run_id": RUN}),
        (relay_hint("email"), {}),
    ],
    ids=["step", "decision", "relay"],
)
def test_kombu_reads_all_that_a_hint_says(
    redis_url: str, hints: BrokerHints, hint: Hint, kwargs: dict[str, object]
) -> None:
    assert hints.publish([hint])

    with broker_app(redis_url).connection_for_read() as connection:
        message = connection.SimpleQueue(hint.queue).get(timeout=10)

    assert message.payload == [[], kwargs, {}]
    assert message.headers["task"] == hint.task_name
    assert message.headers["root_id"] == message.headers["id"] == str(uuid.UUID(message.headers["id"]))
    assert message.delivery_info == {"exchange": "", "routing_key": hint.queue}


def test_hints_of_one_call_keep_their_order_in_each_queue(redis_url: str, hints: BrokerHints) -> None:
    assert hints.publish([Hint("step.x", f"tool.{name}", RUN, index) for index, name in enumerate("abab")])

    with broker_app(redis_url).connection_for_read() as connection:
        read = {
            name: [connection.SimpleQueue(f"tool.{name}").get(timeout=10).payload[1]["step_index"] for _ in range(2)]
            for name in "ab"
        }

    assert read == {"a": [0, 2], "b": [1, 3]}


def test_a_worker_runs_the_task_with_its_ids_and_events_tell_of_it(redis_url: str, hints: BrokerHints) -> None:
    app = Celery("read", broker=redis_url, events=BatchedEvents, set_as_current=False)
    app.conf.update(worker_send_task_events=True, worker_hijack_root_logger=False, worker_redirect_stdouts=False)
    app.conf.task_default_queue = "tool.read"
    ran: list[Any] = []

    class Read(TaskOfCelery):  # type: ignore[misc]  # Celery publishes no types
        name = "step.read"
        ignore_result = True

        def run(self, **kwargs: object) -> None:
            ran.append((self.request.id, self.request.root_id, self.request.delivery_info["routing_key"], kwargs))

    app.register_task(Read())
    with (
        start_worker(app, perform_ping_check=False, without_heartbeat=False, loglevel="WARNING"),
        Listener(app) as listener,
    ):
        assert hints.publish([Hint("step.read", "tool.read", RUN, 5)])
        until(lambda: ran, "the task")
        task: Task = until(lambda: seen(listener).get(ran[0][0]), "its end", holds=lambda each: each and each.ready)

    task_id, root_id, queue, kwargs = ran[0]
    assert (root_id, queue, kwargs) == (task_id, "tool.read", {"run_id": RUN, "step_index": 5})
    assert (task.name, task.state, task.root_id, task.retries) == ("step.read", "SUCCESS", task_id, 0)
    assert (task.args, task.kwargs) == ("()", repr(kwargs))
    assert task.received <= task.started <= task.succeeded
