"""Owns the people: they decide what they are asked, and say of a doubt what the world knows to be true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from agentflow.domain.errors import InterventionRefused
from tests.stateful.fleet import Fleet
from tests.stateful.picture import sent_key

_WHO = "ada"
_ALTER = """
    update agentflow.agent_steps
    set tool_input = '{"n": 99}', args_hash = decode(md5('99'), 'hex')
    where run_id = %(run_id)s and step_index = %(step_index)s and status = 'pending'
"""


class People:
    """Operators and those who approve. What is refused to them changes nothing, and is no error."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._operations, self._approvals = fleet.client.operations, fleet.client.approvals

    def act(self, act: str, run_id: str, **wanted: Any) -> None:
        """Cancel, pause, resume, retry or fork a run."""
        with suppress(InterventionRefused):
            getattr(self._operations, act)(run_id, by=_WHO, **wanted)

    def decide(self, asked: Mapping[str, Any], *, gladly: bool) -> None:
        """Answer what is asked: a question, the approval of a call, whether a run is undone."""
        decided: Callable[..., object] = self._approvals.approve if gladly else self._approvals.reject
        with suppress(InterventionRefused):
            if asked["kind"] == "question":
                self._approvals.answer(asked["approval_id"], "yes", by=_WHO)
            else:
                decided(asked["approval_id"], by=_WHO)

    def alter(self, asked: Mapping[str, Any]) -> None:
        """Change the arguments of a call behind the back of who approves it, or has."""
        self._fleet.sql(_ALTER, run_id=asked["run_id"], step_index=asked["step_index"])

    def resolve(self, doubt: Mapping[str, Any], *, again: bool) -> None:
        """Say what became of a call, as far as the world can tell: it happened, it never will, or nobody knows yet."""
        world, place = self._fleet.world, (doubt["tool_name"], sent_key(doubt))
        if world.has(place):
            self._say(doubt, "happened", answer=world.answer_of(place))
        elif world.may_have(place):
            self._say(doubt, "fail")
        # A run that is being stopped makes no call again.
        elif not again or not self._say(doubt, "retry"):
            self._say(doubt, "fail", did_not_happen=True)

    def _say(self, doubt: Mapping[str, Any], resolution: str, **said: Any) -> bool:
        with suppress(InterventionRefused):
            self._operations.resolve(doubt["run_id"], resolution, step_index=doubt["step_index"], by=_WHO, **said)
            return True
        return False
