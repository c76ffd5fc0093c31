"""Fallbacks: what a run comes to when it would pass a ceiling of its budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentflow.domain.decision import Fail
from agentflow.domain.errors import DeclarationError

__all__ = ["Fail", "Fallback", "Handoff", "Model", "Partial", "fallback_of"]


@dataclass(frozen=True, slots=True)
class Fallback:
    """The run ends `failed` and names the ceiling: what `Fail()` stands for, and what holds where none is declared."""

    @property
    def word(self) -> str:
        """How the run ends: fail, handoff or partial."""
        return "fail"

    @property
    def model(self) -> Any:
        """The model that goes on before the run ends, as an agent's `model=`; None where none does."""
        return None

    def described(self) -> dict[str, Any]:
        """Return the fallback as data."""
        model = self.model if self.model is None or isinstance(self.model, str) else repr(type(self.model))
        return {"word": self.word, "model": model}


@dataclass(frozen=True, slots=True)
class Handoff(Fallback):
    """The run ends `done` with the outcome `handoff` and no result: a person takes it over."""

    @property
    def word(self) -> str:
        """How the run ends."""
        return "handoff"


@dataclass(frozen=True, slots=True)
class Partial(Fallback):
    """The run ends `done` with the outcome `partial`; its result is what there is of one."""

    @property
    def word(self) -> str:
        """How the run ends."""
        return "partial"


@dataclass(frozen=True, slots=True)
class Model(Fallback):
    """A cheaper model goes on where the agent's own would pass a ceiling; where that one would too, `then` holds."""

    name: Any
    then: Fallback | Fail = field(default_factory=Fail)

    def __post_init__(self) -> None:
        if isinstance(self.name, str) and ":" not in self.name:
            raise DeclarationError(f"Model({self.name!r}): write it as 'provider:name'")
        if not isinstance(self.name, str) and not callable(getattr(self.name, "complete", None)):
            raise DeclarationError(f"Model({self.name!r}): it has no complete(request); give 'provider:name'")
        if fallback_of(self.then).model is not None:
            raise DeclarationError(f"Model(..., then={self.then!r}): give Fail(), Handoff() or Partial()")

    @property
    def word(self) -> str:
        """How the run ends once this model would pass a ceiling too."""
        return fallback_of(self.then).word

    @property
    def model(self) -> Any:
        """The model that goes on."""
        return self.name


def fallback_of(given: Any) -> Fallback:
    """Return what a `fallback=` stands for; raise DeclarationError, without a place, for what is none.

    `Fail` is the one that coordinators answer: as a fallback it takes no reason, since the ceiling is the reason.
    """
    if isinstance(given, Fallback):
        return given
    if isinstance(given, Fail):
        if given == Fail():
            return Fallback()
        raise DeclarationError(f"fallback={given!r}: the ceiling is the reason; write Fail()")
    raise DeclarationError(f"fallback={given!r}: give Fail(), Handoff(), Partial() or Model('provider:name')")
