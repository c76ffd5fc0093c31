"""Celery's programs in this process, on the application of `tasks`.

They are started as its command line would start them, without that command line: its imports take longer than a worker.
"""

from __future__ import annotations

import errno
import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentflow import layout
from agentflow.domain.errors import ConfigError


def run_worker(options: Mapping[str, Any]) -> int:
    """Run a worker until it is told to end, and return its exit code."""
    # The warning is about pickles, which a worker of ours does not accept.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    worker = _app().Worker(quiet=True, task_events=True, without_gossip=True, without_mingle=True, **options)
    worker.start()
    return int(worker.exitcode or 0)


def run_beat(schedule: Path, level: str) -> int:
    """Run the schedule until it is told to end."""
    app = _app()
    # It sends tasks by name: it needs no module of them, and so none of the agents.
    app.conf.imports = ()
    app.Beat(schedule=str(schedule), loglevel=level, quiet=True).run()
    return 0


def run_flower(configuration: Path, level: str) -> int:
    """Run Flower until it is told to end, and return its exit code."""
    app = _app()
    app.conf.imports = ()
    try:
        return _start_flower(app, configuration, level)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise ConfigError("Flower's port is in use: set AGENTFLOW_FLOWER_PORT to another one") from error


def _start_flower(app: Any, configuration: Path, level: str) -> int:
    return int(app.start(["--quiet", "flower", f"--conf={configuration}", f"--logging={level.lower()}"]) or 0)


def _app() -> Any:
    return importlib.import_module(layout.module_name("tasks.app")).app
