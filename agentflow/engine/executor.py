"""The executor: a hint comes in, and one step goes its way: enter, claim, call, answer, record, decide, leave, hint."""

from __future__ import annotations

from agentflow.domain.claim import Refused
from agentflow.domain.failure import ErrorKind
from agentflow.domain.hint import About
from agentflow.domain.identity import new_token
from agentflow.domain.outcome import AttemptOutcome, Failed, Fenced
from agentflow.engine.advancing import advance_run
from agentflow.engine.attempting import Attempt
from agentflow.engine.claiming import Claimed, claim_step
from agentflow.engine.continuing import Chain, Following
from agentflow.engine.deadman import TIMER_MARGIN_S
from agentflow.engine.entering import enter_bulkhead
from agentflow.engine.record import Recorded
from agentflow.engine.refusing import NotClaimed
from agentflow.engine.runtime import Runtime
from agentflow.engine.starting import start_run
from agentflow.engine.visiting import Visit

Ending = AttemptOutcome | Refused | Fenced


def execute_step(runtime: Runtime, run_id: str, step_index: int, about: About | None = None) -> Ending:
    """Take one step its whole way, and the next ones that this process may go on with; publish what follows.

    `about` is what the hint says about the step.
    """
    runtime.reached("before_enter")
    admitted = enter_bulkhead(runtime, run_id, step_index, about)
    if isinstance(admitted, Refused):
        return admitted
    visit = Visit(runtime, admitted)
    try:
        runtime.reached("before_claim")
        claimed = claim_step(runtime, run_id, step_index, new_token())
        if isinstance(claimed, NotClaimed):
            visit.end()
            runtime.hints.publish(claimed.hints)
            return claimed.refusal
        chain = Chain(runtime)
        ending, following = _work(runtime, claimed, visit, chain)
    finally:
        visit.end()
    follow_on(runtime, following, chain)
    return ending


def advance(runtime: Runtime, run_id: str) -> None:
    """Make a run's next decision and publish what follows; of a fresh run, take its first steps where that may be."""
    chain = Chain(runtime)
    started = start_run(runtime, run_id, chain)
    if started is None:
        runtime.hints.publish(advance_run(runtime, run_id).hints)
        return
    runtime.hints.publish(started.hints)
    follow_on(runtime, started.following, chain)


def follow_on(runtime: Runtime, following: Following | None, chain: Chain) -> None:
    """Take the steps one after the other that are claimed for this process, each its whole way."""
    while following is not None:
        ending: Ending = Failed(ErrorKind.BUG, "the task raised", happened=None)
        visit, task_id = following.visit, ""
        try:
            task_id = runtime.announcer.begin(following.hint)
            ending, following = _work(runtime, following.claimed, visit, chain)
        finally:
            visit.end()
            if task_id:
                runtime.announcer.end(task_id, ending)


_Worked = tuple[Ending, Following | None]


def _work(runtime: Runtime, claimed: Claimed, visit: Visit, chain: Chain) -> _Worked:
    """Work on a claimed step, under a timer of its own where this process may be killed."""
    if not runtime.isolated:
        return _call_and_follow(runtime, claimed, visit, chain)
    runtime.timer.arm(claimed.local_deadline - TIMER_MARGIN_S)
    try:
        return _call_and_follow(runtime, claimed, visit, chain)
    finally:
        runtime.timer.disarm()


def _call_and_follow(runtime: Runtime, claimed: Claimed, visit: Visit, chain: Chain) -> _Worked:
    attempt = Attempt(runtime, claimed, visit, chain)
    runtime.reached("after_claim", claimed.claim)
    try:
        recorded = attempt.make()
        if isinstance(recorded, Fenced):
            return recorded, None
        runtime.reached("after_record", claimed.claim, recorded.outcome)
        visit.end()
        following = attempt.following(recorded)
    finally:
        attempt.give_back()
    _publish(runtime, claimed.claim.run.run_id, recorded)
    return recorded.outcome, following


def _publish(runtime: Runtime, run_id: str, recorded: Recorded) -> None:
    hints = list(recorded.hints)
    if recorded.undecided:
        hints += advance_run(runtime, run_id).hints
    runtime.hints.publish(hints)
