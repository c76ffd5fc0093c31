"""Continued steps as Flower sees them: told by an announcer in a plain process, heard by a receiver of Celery's."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator

import pytest
import redis
from celery.app.task import Context
from celery.events.state import State, Task

from agentflow.broker.batching import EventBatch
from agentflow.broker.events import EventStream
from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import Completed, Failed, Fenced, InDoubt
from agentflow.engine.executor import Ending
from agentflow.local import attach
from agentflow.local.address import choose_port
from tasks.continued import Announcer
from tests.integration.broker_app import broker_app
from tests.integration.workers.listening import Listener
from tests.integration.workers.waiting import until

RUN, WORKER = str(uuid.uuid4()), "default.7@here"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with attach(tmp_path_factory.mktemp("valkey"), postgres=False) as services:
        yield services.redis_url


class WithoutWorkers(Listener):
    """A listener that waits for no worker, but for what it sends itself."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(broker_app(redis_url))
        self._stream = EventStream(redis_url)

    def __enter__(self) -> WithoutWorkers:
        self._thread.start()
        until(self._hears_itself, "the first event")
        return self

    def tasks(self) -> dict[str, Task]:
        """What Flower knows of the tasks by now."""
        state = State()
        for event in self.of_tasks():
            state.event(dict(event))
        return dict(state.tasks)

    def _hears_itself(self) -> bool:
        self._stream.send({"type": "worker-heartbeat", "hostname": "test"}, "worker.heartbeat")
        return bool(self._heard)


@pytest.fixture
def listener(redis_url: str) -> Iterator[WithoutWorkers]:
    with WithoutWorkers(redis_url) as listening:
        yield listening


@pytest.fixture
def announcer(redis_url: str) -> Announcer:
    return Announcer(EventBatch(EventStream(redis_url)))


def request(*, clock: int | None = 40) -> Context:
    """The request of the message that a chain begins with."""
    clocks = {} if clock is None else {"agentflow_clock": clock}
    return Context(id="first", root_id="root", hostname=WORKER, **clocks)


def hint(index: int) -> Hint:
    return Hint("step.x", "tool.x", RUN, index)


def test_each_continued_step_is_a_task_of_its_own(announcer: Announcer, listener: WithoutWorkers) -> None:
    with announcer.following(request()):
        ids = [announcer.begin(hint(1))]
        announcer.end(ids[0], Completed("what the customer said"))
        ids.append(announcer.begin(hint(2)))
        announcer.end(ids[1], Completed(None))

    tasks = until(listener.tasks, "both tasks", holds=lambda each: len(each) == 2)
    for index, (task_id, parent_id) in enumerate([(ids[0], "first"), (ids[1], ids[0])], start=1):
        task = tasks[task_id]
        assert (task.name, task.state, task.worker.hostname) == ("step.x", "SUCCESS", WORKER)
        assert (task.args, task.kwargs) == ("()", f"{{'run_id': '{RUN}', 'step_index': {index}}}")
        assert (task.root_id, task.parent_id, task.result) == ("root", parent_id, "None")
        assert task.received <= task.started <= task.succeeded
        assert 0 <= task.runtime < 60
    assert "customer" not in repr(listener.of_tasks())


@pytest.mark.parametrize(
    ("ending", "state", "said"),
    [
        (Failed("tool_error", "what the customer said"), "FAILURE", "StepFailed('tool_error')"),
        (InDoubt("timeout", "what the customer said"), "FAILURE", "StepFailed('in_doubt')"),
        (Fenced(Completed(None)), "FAILURE", "StepFailed('lease_lost')"),
        (Refused(ClaimAnswer.KEY_IN_FLIGHT), "RETRY", "Parked('key_in_flight')"),
        (Refused(ClaimAnswer.DENIED, "slots_full"), "RETRY", "Parked('slots_full')"),
        (Refused(ClaimAnswer.DUPLICATE), "IGNORED", None),
        (Refused(ClaimAnswer.KEY_DONE), "SUCCESS", None),
    ],
    ids=["failed", "in doubt", "fenced", "parked", "denied", "duplicate", "known"],
)
def test_a_continued_step_ends_as_a_step_with_a_message_would(
    announcer: Announcer, listener: WithoutWorkers, ending: Ending, state: str, said: str | None
) -> None:
    with announcer.following(request()):
        task_id = announcer.begin(hint(1))
        announcer.end(task_id, ending)

    task = until(listener.tasks, "the task", holds=bool)[task_id]

    kinds = [event["type"].removeprefix("task-") for event in listener.of_tasks()]
    assert kinds[:2] == ["received", "started"]
    assert task.state == state if state != "IGNORED" else kinds[2] == "ignored"
    assert task.exception == said


def test_clocks_go_on_from_the_messages(announcer: Announcer, listener: WithoutWorkers) -> None:
    for clock in (40, 10):
        with announcer.following(request(clock=clock)):
            announcer.end(announcer.begin(hint(1)), Completed(None))

    events = until(listener.of_tasks, "all events", holds=lambda each: len(each) == 6)
    assert [event["clock"] for event in events] == [41, 42, 43, 44, 45, 46]


def test_a_long_step_is_seen_while_it_runs(announcer: Announcer, listener: WithoutWorkers) -> None:
    with announcer.following(request()):
        task_id = announcer.begin(hint(1))

        tasks = until(listener.tasks, "the task", holds=bool)

        assert tasks[task_id].state == "STARTED"
        announcer.end(task_id, Completed(None))


def test_a_chain_sends_its_events_together(redis_url: str, announcer: Announcer) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.config_resetstat()
        with announcer.following(request()):
            for index in range(20):
                announcer.end(announcer.begin(hint(index)), Completed(None))

        # Sixty events: three messages, and one for every second that this took.
        assert 3 <= server.info("commandstats")["cmdstat_publish"]["calls"] < 10


def test_nothing_is_sent_where_nobody_wants_events(redis_url: str, announcer: Announcer) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.config_resetstat()
        with announcer.following(request(clock=None)):
            task_id = announcer.begin(hint(1))
            announcer.end(task_id, Completed(None))

        assert str(uuid.UUID(task_id)) == task_id
        assert "cmdstat_publish" not in server.info("commandstats")


def test_redis_that_is_gone_costs_events_and_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    announcer = Announcer(EventBatch(EventStream(f"redis://127.0.0.1:{choose_port()}/0")))

    for index in range(3):
        with announcer.following(request()):
            announcer.end(announcer.begin(hint(index)), Completed(None))

    assert capsys.readouterr().out.count("events_not_sent") == 1


def test_redis_that_hangs_is_not_waited_for_with_each_step(redis_url: str, announcer: Announcer) -> None:
    def chains() -> None:
        for index in range(100):
            with announcer.following(request()):
                announcer.end(announcer.begin(hint(index)), Completed(None))

    with redis.Redis.from_url(redis_url) as server:
        pid = server.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        thread = threading.Thread(target=chains)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    finally:
        os.kill(pid, signal.SIGCONT)
