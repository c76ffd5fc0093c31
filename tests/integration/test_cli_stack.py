"""The stack of `agentflow dev`, with real children that do little."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.cli.dev.child import Program
from agentflow.cli.dev.events import Ready, Stop
from agentflow.cli.dev.screen import Screen
from agentflow.cli.dev.stack import Stack


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "failing_child.py").write_text("raise SystemExit(4)", encoding="utf-8")
    (tmp_path / "patient_child.py").write_text("print('started', flush=True)\ninput()", encoding="utf-8")
    return tmp_path


def program(name: str, folder: Path) -> Program:
    return Program(name, f"{name}_child", (), lambda: {"PYTHONPATH": str(folder)})


def test_child_that_fails_again_and_again_before_anything_is_ready_ends_the_stack(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    stack = Stack(Screen(["failing"]), lambda: None, lambda _: None, first_pause_s=0.01)
    stack.add(program("failing", folder), is_worker=True)
    assert stack.run() == 1
    said = capsys.readouterr().out
    assert said.count("failing ended (exit code 4); it starts again") == 4
    assert "failing ended 5 times in a row (exit code 4)" in said


def test_child_that_fails_once_all_are_ready_stays_down_and_the_others_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])

    class Watching(Screen):
        def say(self, line: str) -> None:
            super().say(line)
            if "it stays down" in line:
                stack.events.put(Stop())

    stack = Stack(Watching(["failing", "patient"]), lambda: None, lambda _: None, first_pause_s=0.01)
    stack.events.put(Ready())
    stack.add(program("patient", folder))
    stack.add(program("failing", folder))
    assert stack.run() == 0
    said = capsys.readouterr().out
    assert "it stays down until a file of the agents is edited" in said
    assert "ending; Ctrl-C again ends at once" in said
