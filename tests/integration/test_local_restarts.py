"""Shows how often and how fast a server that dies by itself is started again."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentflow.local.restarts import Restarts
from agentflow.local.storage import shorten


def test_server_that_never_answers_is_given_up_after_five_starts() -> None:
    restarts = Restarts()
    assert [_end(restarts, None).too_many for _ in range(5)] == [False, False, False, False, True]


def test_server_that_was_ready_once_gets_more_patience() -> None:
    restarts = Restarts()
    assert [_end(restarts, 1.0).too_many for _ in range(10)] == [False] * 9 + [True]


def test_stable_time_begins_a_new_row() -> None:
    restarts = Restarts()
    for _ in range(9):
        _end(restarts, 1.0)
    assert _end(restarts, 3600.0).in_a_row == 1
    assert not restarts.too_many


def test_pauses_grow_up_to_a_bound() -> None:
    restarts = Restarts()
    pauses = [_end(restarts, 1.0).pause_s for _ in range(6)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_data_are_to_blame_once_and_only_for_starts_without_an_answer() -> None:
    restarts = Restarts()
    assert [_end(restarts, None).data_to_blame for _ in range(5)] == [False, False, True, False, False]
    assert not any(_end(restarts, 1.0).data_to_blame for _ in range(5))


def test_long_log_is_emptied_and_its_end_kept(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("x" * 990 + "\nthe end")
    shorten(log, 1000)
    assert log.read_text().endswith("the end")
    shorten(log, 500)
    assert log.read_text() == ""
    assert (tmp_path / "server.log.old").read_text().endswith("the end")


def _end(restarts: Restarts, ready_s: float | None) -> Restarts:
    restarts.note_end(ready_s)
    return restarts
