"""Beat tells Sentry of the schedule's runs, so that one that did not come is noticed."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.cli_commands import ROOT, environment
from tests.integration.receivers import WebReceiver

# What beat does when a task is due, on a broker in memory.
BEAT = """
from celery import signals
from celery.beat import Scheduler
from tasks.app import app

app.conf.update(broker_url="memory://", imports=())
signals.beat_init.send(sender=None)
scheduler = Scheduler(app, lazy=True)
scheduler.setup_schedule()
scheduler.apply_entry(scheduler.schedule["forget-workers"])
"""


def test_a_task_of_the_schedule_checks_in_with_sentry() -> None:
    with WebReceiver().serving() as sentry:
        nowhere = {
            "AGENTFLOW_DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
            "AGENTFLOW_REDIS_URL": "redis://127.0.0.1:1",
        }
        beat = subprocess.run(
            [sys.executable, "-c", BEAT],
            env=environment(SENTRY_DSN=sentry.dsn, **nowhere),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert (beat.returncode, beat.stderr) == (0, "")
        [(header, check_in)] = sentry.envelopes
        assert (header["type"], check_in["monitor_slug"], check_in["status"]) == (
            "check_in", "forget-workers", "in_progress",
        )  # fmt: skip
