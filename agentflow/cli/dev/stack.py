"""The stack: the children of `agentflow dev`, and the one loop that answers to what happens to them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from agentflow.cli.dev.child import Child, Program
from agentflow.cli.dev.events import Ended, Event, Ready, Reload, Restart, StartAgain, Stop
from agentflow.cli.dev.screen import Screen

# A child that lived this long was well; its failures before do not count any more.
_WELL_S = 10.0
_MOST_FAILURES = 5


class Stack:
    """Children by name. `run` returns the exit code once all of them are gone."""

    def __init__(
        self,
        screen: Screen,
        on_ready: Callable[[], None],
        await_ready: Callable[[Stack], None],
        *,
        first_pause_s: float = 0.5,
    ) -> None:
        self.events: SimpleQueue[Event] = SimpleQueue()
        self._screen = screen
        self._on_ready = on_ready
        self._await_ready = await_ready
        self._first_pause_s = first_pause_s
        self._children: dict[str, Child] = {}
        self._workers: set[str] = set()
        self._failures: dict[str, int] = {}
        self._restarting: set[str] = set()
        self._stopping = self._was_ready = self._awaiting = False
        self._code = 0

    def add(self, program: Program, *, is_worker: bool = False) -> None:
        """Take a program in and start it."""
        child = Child(program, self._screen.hear, lambda child, code: self.events.put(Ended(child, code)))
        self._children[program.name] = child
        if is_worker:
            self._workers.add(program.name)
        child.start()

    def worker_pids(self) -> set[int]:
        """Return the pids of the workers; -1 stands for one that is not there at this moment."""
        return {self._children[name].pid or -1 for name in self._workers}

    def run(self) -> int:
        """Answer to events until everything has ended."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.events.put(Stop()))
        self._await()
        while not (self._stopping and not self._alive()):
            self._answer(self.events.get())
        return self._code

    def _answer(self, event: Event) -> None:
        match event:
            case Stop():
                self._stop()
            case Ready():
                self._tell_ready()
            case Ended(child=child, code=code):
                self._take_end(child, code)
            case StartAgain(child=child) if not self._stopping and child.pid is None:
                child.start()
                self._await()
            case Reload() if not self._stopping:
                self._reload(event)
            case Restart() if not self._stopping:
                self._screen.say(f"{event.because}: {event.name} starts afresh")
                self._start_afresh(event.name)

    def _stop(self) -> None:
        if self._stopping:
            self._screen.say("ending at once")
            for child in self._children.values():
                child.kill()
            return
        self._stopping = True
        self._screen.say("ending; Ctrl-C again ends at once")
        for child in self._children.values():
            child.ask_to_end()

    def _await(self) -> None:
        self._awaiting = True
        self._await_ready(self)

    def _tell_ready(self) -> None:
        if not self._awaiting or self._stopping:
            return
        self._awaiting = False
        if self._was_ready:
            self._screen.say("ready again")
        else:
            self._was_ready = True
            self._on_ready()

    def _take_end(self, child: Child, code: int) -> None:
        if self._stopping:
            return
        if child.name in self._restarting:
            self._restarting.discard(child.name)
            child.start()
            if not self._restarting:
                self._await()
            return
        well = time.monotonic() - child.started_at > _WELL_S
        failures = 1 if well else self._failures.get(child.name, 0) + 1
        self._failures[child.name] = failures
        if failures < _MOST_FAILURES:
            self._start_later(child, code, self._first_pause_s * 2 ** (failures - 1))
        else:
            self._give_up(child, code)

    def _start_later(self, child: Child, code: int, pause_s: float) -> None:
        self._screen.say(f"{child.name} ended ({_meaning(code)}); it starts again in {pause_s:g} s")
        timer = threading.Timer(pause_s, lambda: self.events.put(StartAgain(child)))
        timer.daemon = True
        timer.start()

    def _give_up(self, child: Child, code: int) -> None:
        self._screen.say(
            f"{child.name} ended {_MOST_FAILURES} times in a row ({_meaning(code)}); its lines above say why"
        )
        if self._was_ready:
            self._screen.say("it stays down until a file of the agents is edited")
            return
        self._code = 1
        self._stop()

    def _reload(self, event: Reload) -> None:
        self._screen.say(f"{event.because}: the workers start afresh")
        self._failures.clear()
        for program in event.pools:
            if program.name not in self._children:
                self.add(program, is_worker=True)
        for name, child in self._children.items():
            if name in self._workers or child.pid is None:
                self._start_afresh(name)
        if not self._restarting:
            self._await()

    def _start_afresh(self, name: str) -> None:
        if self._children[name].pid is None:
            self._children[name].start()
        else:
            self._restarting.add(name)
            self._children[name].ask_to_end()

    def _alive(self) -> bool:
        return any(child.pid is not None for child in self._children.values())


def _meaning(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
