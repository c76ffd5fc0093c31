"""Owns one form's turn: single runs in an idle system, then a burst, with what both used and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.agents import STEPS
from bench.counters import broker_commands
from bench.forms import Agentflow, Burst, Form
from bench.size import Size
from bench.usage import Meter, own_and


@dataclass(frozen=True, slots=True)
class Round:
    """What was seen of one turn: CPU, WAL and the broker's commands are the burst's alone."""

    alone_ms: Sequence[float]
    burst: Burst
    used_s: Mapping[str, float]
    wal_bytes: int
    commands: Mapping[str, int]

    @property
    def all_steps(self) -> int:
        """The steps of the burst and of the single runs."""
        return self.burst.steps + len(self.alone_ms) * STEPS

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds of all processes, the client's included."""
        return sum(self.used_s.values()) / self.burst.steps * 1000


def take_round(form: Form, size: Size) -> Round:
    """Give a form its turn."""
    alone_ms = [form.burst(1).lasted_s * 1000 for _ in range(size.alone)]
    meter = Meter(lambda: own_and(form.processes()))
    wal_bytes, commands = _wal_bytes(form), broker_commands(form.redis_url)
    burst = form.burst(size.runs)
    later = broker_commands(form.redis_url)
    return Round(
        alone_ms,
        burst,
        meter.by_name(),
        _wal_bytes(form) - wal_bytes,
        {name: calls - commands.get(name, 0) for name, calls in later.items()},
    )


def _wal_bytes(form: Form) -> int:
    return form.watcher.wal_bytes() if isinstance(form, Agentflow) else 0
