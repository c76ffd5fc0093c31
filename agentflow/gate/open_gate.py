"""A gate that stands open: for a process without Redis, a test's harness say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentflow.gate.protocol import Admitted, Bulkhead, BulkheadState, Denied, Heard, Held, Visitor, Waiter

_PLENTY = 1_000


class OpenGate:
    """Lets everything through."""

    def enter(self, bulkhead: Bulkhead, visitor: Visitor) -> Admitted | Denied:  # noqa: ARG002 - a gate's signature
        """Admit."""
        return Admitted(bulkhead, None)

    def leave(self, admitted: Admitted, heard: Heard) -> Sequence[Waiter]:  # noqa: ARG002
        """Wake nobody: nobody waits."""
        return ()

    def pass_on(
        self,
        admitted: Admitted | None,  # noqa: ARG002
        heard: Heard,  # noqa: ARG002
        bulkhead: Bulkhead,
        visitor: Visitor,
    ) -> tuple[Sequence[Waiter], Admitted | Denied]:
        """Wake nobody, and admit."""
        return (), self.enter(bulkhead, visitor)

    def capacity(self, names: Sequence[str]) -> Mapping[str, int]:
        """Return plenty for each."""
        return dict.fromkeys(names, _PLENTY)

    def held(self, bulkheads: Sequence[str], holder: str) -> Sequence[Held]:  # noqa: ARG002
        """Return nothing: no slot is held."""
        return ()

    def evict(self, bulkhead: str, run_id: str, step_index: int, holder: str | None = None) -> None:
        """Do nothing: no slot is held."""

    def hold_open(self, breaker: str, seconds: float, reason: str) -> None:
        """Do nothing: there is no breaker."""

    def close_breaker(self, breaker: str) -> None:
        """Do nothing: there is no breaker."""

    def states(self, bulkheads: Mapping[str, str]) -> Sequence[BulkheadState]:  # noqa: ARG002
        """Return nothing: nothing is limited here."""
        return ()
