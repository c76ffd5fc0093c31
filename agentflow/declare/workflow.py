"""Workflows: tools under a coordinator of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentflow.declare.budget import Budget
from agentflow.declare.declaration import COORDINATOR_QUEUE, Declaration, source_of
from agentflow.declare.fallback import Fallback
from agentflow.declare.tool import Tool
from agentflow.domain.decision import Compensate, Decision, Done, Fail, Next, Wait
from agentflow.domain.run import Outcome, Run
from agentflow.domain.step import NewStep, Step


class Workflow(Declaration):
    """Tools under `decide(run, history) -> Next | Wait | Done | Fail | Compensate`, a pure function.

    `history` is the run's steps in order, without the engine's own (verifications, compensations, approvals). The
    function is asked again after every outcome; it runs after the outcome is recorded, so that an error or a hang in it
    loses nothing. `Compensate(reason)` undoes what the run did and fails it, whatever `on_failure` says.
    """

    kind = "workflow"
    decides_at_once = False

    def __init__(
        self,
        name: str,
        *,
        decide: Callable[[Run, Sequence[Step]], Decision],
        tools: Sequence[Tool[Any, Any]],
        input: Any = None,
        budget: Budget | None = None,
        fallback: Fallback | Fail | None = None,
        on_failure: str | None = None,
        queue: str = COORDINATOR_QUEUE,
    ) -> None:
        super().__init__(
            name, tools=tools, input=input, budget=budget, fallback=fallback, on_failure=on_failure, queue=queue
        )
        self._decide = decide

    def decide(self, run: Run, history: Sequence[Step]) -> Decision:
        """Answer what the user's function decides; raise TypeError or ValueError where that is no decision."""
        decision = self._decide(run, history)
        match decision:
            case Next(steps):
                self._check_steps(steps)
            case Done(_, outcome, None | Mapping()):
                Outcome(outcome)
            case Fail(str(reason), str()) | Compensate(str(reason), str()) if reason and reason.isprintable():
                pass
            case Wait():
                pass
            case _:
                raise TypeError(
                    f"the coordinator of {self.name!r} answered {decision!r}; "
                    "answer Next(steps), Wait(), Done(result), Fail(reason, message) or Compensate(reason)"
                )
        return decision

    def _check_steps(self, steps: Sequence[NewStep]) -> None:
        if not steps:
            raise TypeError(f"the coordinator of {self.name!r} asks for no step; answer Wait() or Done(result)")
        for step in steps:
            if step.tool_name not in self.tools:
                raise TypeError(f"the coordinator of {self.name!r} asks for {step.tool_name!r}, none of its tools")
            if not isinstance(step.input, Mapping):
                raise TypeError(f"the input of {step.tool_name!r} is {step.input!r}; give its arguments by name")

    def described(self) -> dict[str, Any]:
        """Return what makes this version of the workflow what it is."""
        return {"decide": source_of(self._decide)}
