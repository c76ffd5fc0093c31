"""A worker's life: it registers, watches over itself and the others, and says when it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

import structlog
from celery import signals
from celery.concurrency.prefork import TaskPool

from agentflow.engine.registration import Registration
from agentflow.engine.sweeper import Sweeper
from agentflow.engine.unknown_tasks import park_unknown
from agentflow.engine.watch import Watch
from agentflow.settings import settings
from agentflow.store.database import Database
from agentflow.telemetry.logs import configure_logging

from .app import app
from .leaving import Leaving
from .paging import open_pager
from .process import process
from .steps import limit_steps
from .warming import import_libraries, load_prices, warm_models

log = structlog.get_logger("agentflow.worker")

_PR_SET_PDEATHSIG = 1


@signals.setup_logging.connect
def log_as_all_do(loglevel: int, **_: Any) -> None:
    """In any process of Celery's: its lines go the way of all others, and it adds no handlers of its own."""
    form = settings().log_format
    configure_logging(loglevel, json=None if form is None else form == "json")


@signals.celeryd_after_setup.connect
def prepare_children(instance: Any, **_: Any) -> None:
    """In the main process, before its pool begins: limit the tasks, and load what each child would load amid a step."""
    limit_steps(app.amqp.queues.consume_from)
    load_prices(app.amqp.queues.consume_from)
    if issubclass(instance.pool_cls, TaskPool):
        import_libraries(app.amqp.queues.consume_from)


@signals.worker_process_init.connect
def start_child(**_: Any) -> None:
    """In a pool's child: die with the parent, and hold nothing that the parent opened."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    process.isolated = True


@signals.worker_process_shutdown.connect
def end_child(**_: Any) -> None:
    """In a pool's child: close what its tools opened."""
    process.runtime.resources.close()


@signals.worker_ready.connect
def start_watch(sender: Any, **_: Any) -> None:
    """In the main process: register, and start to watch."""
    worker = sender.controller
    database = process.database("agentflow watch", pool=1)
    hints = process.hints()
    registration = Registration(
        worker_id=process.worker_id,
        pool=os.environ.get("AGENTFLOW_POOL", "default"),
        queues=frozenset(app.amqp.queues.consume_from),
        registry=process.registry,
    )
    sweeper = Sweeper(database, hints, hints, process.worker_id, process.gate())
    process.watch = Watch(database, registration, sweeper, lambda: live_pids(worker.pool))
    process.watch.start()
    process.leaving = Leaving(process.watch, sweeper, process.worker_id, lambda: live_pids(worker.pool))
    process.pager = open_pager(process)
    if process.pager is not None:
        process.pager.start()
    # A prefork pool's children open clients of their own, after the fork.
    if not isinstance(worker.pool, TaskPool):
        warm_models(app.amqp.queues.consume_from)


@signals.worker_shutting_down.connect
def drain(**_: Any) -> None:
    """In the main process: what runs may finish for a while, nothing new is begun."""
    process.drain()
    if process.leaving is not None:
        process.leaving.begin(settings().drain_s)


@signals.worker_shutdown.connect
def stop_watch(**_: Any) -> None:
    """In the main process: say that the worker ended by itself."""
    if process.watch is not None:
        process.watch.stop()
    if process.pager is not None:
        process.pager.stop()


@signals.task_unknown.connect
def park(message: Any, name: str, **_: Any) -> None:
    """In the main process: a step whose task is not known here is parked and told of, not dropped."""
    body = message.decode()
    kwargs = body[1] if isinstance(body, list | tuple) and len(body) > 1 else {}
    run_id, step_index = kwargs.get("run_id"), kwargs.get("step_index")
    watch = process.watch
    if watch is None or not isinstance(run_id, str) or not isinstance(step_index, int):
        log.error("unknown_message", task=name)
        return

    def errand(database: Database) -> None:
        park_unknown(database, run_id, step_index, name)

    watch.later(errand)


def live_pids(pool: Any) -> list[int]:
    """Return the processes that steps of this worker may be running in."""
    if not isinstance(pool, TaskPool):
        return [os.getpid()]
    children = list(pool._pool._pool)  # noqa: SLF001 - Celery shows its children nowhere else
    return [child.pid for child in children if child.pid is not None and not is_zombie(child.pid)]


def is_zombie(pid: int) -> bool:
    """True for a child that has died and that the pool has not collected yet; only Linux can tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return sys.platform == "linux"
