"""What a worker's processes know before their first step: how long a message may take, and that the worker ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys

LIMITS = """
import json, sys
from types import SimpleNamespace
from celery.concurrency import get_implementation
from tasks.app import app
from tasks.lifecycle import prepare_children
limits = []
for queues in sys.argv[1:]:
    app.amqp.queues.select(queues.split(","))
    prepare_children(SimpleNamespace(pool_cls=get_implementation("threads")))
    limits.append([app.tasks[f"step.{name}"].time_limit for name in ("charge", "pack", "model")])
print(json.dumps(limits))
"""
DRAINING = """
import os, signal
from tasks import lifecycle
from tasks.app import app
from tasks.process import process
app.amqp.queues.select(["tool.charge"])
seen = [process.is_draining()]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
child = os.fork()
if child == 0:
    signal.sigwait([signal.SIGUSR1])
    os._exit(3 if process.is_draining() and process.queues == {"tool.charge"} else 4)
lifecycle.drain()
os.kill(child, signal.SIGUSR1)
print(seen, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
ENVIRONMENT = {
    "AGENTFLOW_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "AGENTFLOW_REDIS_URL": "redis://127.0.0.1:1/0",
    "AGENTFLOW_AGENTS": "tests.integration.workers.agents.shop",
}


def said(program: str, *arguments: str, **environment: str) -> str:
    """What a process says that imports the tasks."""
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return ended.stdout.strip()


def test_a_message_may_take_the_continuation_and_the_longest_call_that_the_worker_serves() -> None:
    of_ten_s, with_thirty_s, with_a_minute = "tool.charge,tool.price", "tool.charge,tool.pack", "tool.charge,model"

    limits = said(LIMITS, of_ten_s, with_thirty_s, with_a_minute, AGENTFLOW_CONTINUE_S="2")

    # Beside the continuation and the call: 10 s to record, and 5 s behind the timer.
    assert json.loads(limits) == [[27.0, 47.0, 77.0], [47.0, 47.0, 77.0], [77.0, 77.0, 77.0]]


def test_a_message_may_take_one_call_where_nothing_is_continued() -> None:
    assert json.loads(said(LIMITS, "tool.charge,model", AGENTFLOW_CONTINUE_STEPS="1")) == [[25.0, 45.0, 75.0]]


def test_a_worker_that_was_told_to_end_is_seen_draining_by_the_children_that_it_had() -> None:
    assert said(DRAINING) == "[False] 3"
