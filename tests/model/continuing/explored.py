"""The runs that are explored, how many states each has, and what must come of each guard that is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agentflow.domain.step import Effect
from tests.model.continuing.machine import ContinuingMachine
from tests.model.continuing.state import Guards, Rules
from tests.model.explorer import STUCK

_FROM_READ = (Effect.READ, Effect.UNSAFE)
_STRICT = (Effect.UNSAFE, Effect.VERIFIED, Effect.TRANSACTIONAL)
_REPEATED = (Effect.KEYED, Effect.IDEMPOTENT, Effect.READ)
# A run that is not begun when it is found.
_FRESH = (Effect.UNSAFE, Effect.READ)

# With two processes and one slot, with three and two.
_STATES = {
    (_FROM_READ, 3): (19_200, 44_395),
    (_STRICT, 3): (24_051, 43_824),
    (_REPEATED, 2): (6_830, 10_679),
    (_FRESH, 2): (3_162, 8_646),
}

_TWO = "two processes are about to make one call"

_GUARDS = (
    ("version", _FROM_READ, "the run went on by a history that is not its own"),
    ("stop", _FROM_READ, "a step was begun after its run was asked to stop"),
    ("together", _FROM_READ, _TWO),
    ("fence", _FROM_READ, "an outcome was recorded over another"),
    ("token", _FROM_READ, _TWO),
    ("pending", _FROM_READ, _TWO),
    ("timer", _FROM_READ, _TWO),
    ("deadline", _FROM_READ, _TWO),
    ("due", _FROM_READ, STUCK),
    ("give_back", _FROM_READ, "a slot is held for nothing"),
    ("room", _FROM_READ, "more slots are held than there are"),
    ("slot_lease", _FROM_READ, STUCK),
    ("fresh", _FRESH, _TWO),
    ("draining", _STRICT, "a process that was told to end goes on and on"),
)


def runs() -> Iterator[tuple[str, ContinuingMachine, int]]:
    """Return each run with its name and the number of its states, with two and with three processes."""
    for (effects, faults), counts in _STATES.items():
        for processes, states in zip((2, 3), counts, strict=True):
            rules = Rules(effects, processes, faults, slots=processes - 1, is_fresh=effects == _FRESH)
            yield f"continuing, {', '.join(effects)}", ContinuingMachine(rules), states


def unguarded() -> Iterator[tuple[str, ContinuingMachine, str]]:
    """Return runs that lack one guard each, with the guard's name and what must be found broken."""
    for guard, effects, reason in _GUARDS:
        rules = Rules(effects, guards=replace(Guards(), **{guard: False}), is_fresh=effects == _FRESH)
        yield guard, ContinuingMachine(rules), reason
