"""What a person asked of `agentflow dev`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options."""

    flower_port: int | None = None
    flower: bool = True
    reload: bool = True
