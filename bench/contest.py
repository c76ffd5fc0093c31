"""Owns the forms of the common work side by side, each on servers of its own, idle but for the one whose turn it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agentflow.local import Services, attach
from bench.counters import Watcher
from bench.floor import Floor, measure_floor
from bench.forms import CONTINUED, THROUGH_BROKER, Agentflow, Form
from bench.raw_celery import RawCelery
from bench.rounds import Round, take_round
from bench.size import Size
from bench.stack import Stack
from bench.usage import Meter, Names, own_and, servers
from bench.waiting import until
from config.pools import read_pools

# How many steps a worker may take in a row: one, so that each next one is a message.
EVERY_STEP_THROUGH_THE_BROKER = {"AGENTFLOW_CONTINUE_STEPS": "1"}

_WARM_UP = 20


@dataclass(slots=True)
class Contest:
    """agentflow's forms and raw Celery, and a bare server for the floor; what was seen in the rounds so far."""

    ours: Sequence[Agentflow]
    celery: RawCelery
    bare: Services
    bare_folder: Path
    rounds: dict[str, list[Round]] = field(default_factory=dict)
    floors: list[Floor] = field(default_factory=list)

    @property
    def forms(self) -> list[Form]:
        """All forms."""
        return [*self.ours, self.celery]

    def warm_up(self) -> None:
        """Let each form do a little, so that nothing is still to be loaded or connected."""
        for form in self.forms:
            form.burst(_WARM_UP)

    def take_round(self, size: Size) -> None:
        """Measure the floor, then each form in its turn."""
        self.floors.append(measure_floor(self.bare.database_url, lambda: Meter(self._floor_processes)))
        for form in self.forms:
            self.rounds.setdefault(form.name, []).append(take_round(form, size))

    def _floor_processes(self) -> Names:
        return own_and({pid: name for pid, name in servers(self.bare_folder).items() if name == "Postgres"})


@contextmanager
def contest(folder: Path, size: Size) -> Iterator[Contest]:
    """Start everything, and end it with the block."""
    with ExitStack() as open_:
        bare_folder = folder / "bare"
        bare = open_.enter_context(_bare(bare_folder))
        ours = [
            open_.enter_context(_agentflow(CONTINUED, folder / "continued", {}, size)),
            open_.enter_context(_agentflow(THROUGH_BROKER, folder / "broker", EVERY_STEP_THROUGH_THE_BROKER, size)),
        ]
        processes = size.processes or read_pools()["default"].concurrency
        celery = open_.enter_context(RawCelery(folder / "celery", bare.redis_url, processes))
        yield Contest(ours, celery, bare, bare_folder)


@contextmanager
def _bare(folder: Path) -> Iterator[Services]:
    with attach(folder) as services:
        yield services
    until(lambda: not servers(folder), "end of the servers")


@contextmanager
def _agentflow(name: str, folder: Path, told: Mapping[str, str], size: Size) -> Iterator[Agentflow]:
    folder.mkdir()
    with (
        Stack(folder, told, concurrency=size.concurrency, whole=True) as stack,
        closing(Watcher(stack.database_url)) as watcher,
    ):
        yield Agentflow(name, stack, watcher)
