"""Shows that what arrived is kept before it is answered, and that the world ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.integration.workers.waiting import until
from tests.world.arrival import read_arrivals
from tests.world.books import Books, Request
from tests.world.knocks import pay
from tests.world.process import REPOSITORY, World


def test_an_answer_means_that_the_line_is_there_whoever_dies_then(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        for number in range(5):
            pay(world, f"k-{number}")
        os.kill(world.pid, signal.SIGKILL)
        assert [each.key for each in read_arrivals(tmp_path) if each.effect] == [f"k-{number}" for number in range(5)]


def test_what_cannot_be_kept_on_disk_is_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_file: int) -> None:
        raise OSError("the disk is gone")

    books = Books(tmp_path)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        books.do(Request("unsafe", "act"))


def test_the_world_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, threading; from pathlib import Path; from tests.world.process import World\n"
        "with World(Path(sys.argv[1])) as world: print(world.pid, flush=True); threading.Event().wait()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    until(lambda: not _lives(pid), "the end of the world")


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
