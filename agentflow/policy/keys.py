"""What becomes of a business key when the step that holds it has its outcome."""

from __future__ import annotations

from enum import StrEnum

from agentflow.domain.outcome import Completed, Failed, InDoubt
from agentflow.domain.step import Effect


class KeyEnd(StrEnum):
    """What is written of the key."""

    DONE = "done"
    FREED = "freed"
    HELD = "in_doubt"


def decide_key_end(effect: Effect, outcome: Completed | Failed | InDoubt) -> KeyEnd:
    """Answer whether the key is spent, free again, or held until a person resolves it.

    A failure that may have happened holds the key only where a second call under it could do it twice.
    """
    match outcome:
        case Completed():
            return KeyEnd.DONE
        case InDoubt():
            return KeyEnd.HELD
        case Failed(happened=False):
            return KeyEnd.FREED
        case Failed():
            return KeyEnd.HELD if effect in {Effect.UNSAFE, Effect.VERIFIED} else KeyEnd.FREED
