"""Owns one example: what the machine's rules do to the fleet, and what is looked at after each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from agentflow.domain.claim import Claim
from tests.stateful import healing, observer, rules_of_effects, rules_of_runs
from tests.stateful.attempt import Attempt
from tests.stateful.fleet import Boot, Fleet
from tests.stateful.outside import Manner
from tests.stateful.people import People
from tests.stateful.picture import FINAL, NOTHING, Picture, Row

T = TypeVar("T")

MOST_RUNS = 6
THINKING = {"clerk", "cashier"}
_MOST_ANSWERS = 20
_PAUSE_S, _LONGEST_S = 4.0, 2000.0
_FENCED = """
    select status, attempt, claim_token::text, tool_output::text, error::text from agentflow.agent_steps
    where run_id = %(run_id)s and step_index = %(step_index)s
"""


class Example:
    """A fleet that begins with nothing. `picture` is what was there after the last move."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.people = fleet, People(fleet)
        self.picture = NOTHING
        self._seen = 0
        fleet.begin_anew()

    def submit(self, agent: str, n: int, *, talks: bool) -> None:
        """Submit a run, in the one conversation or in none; past the most that an example has, nothing."""
        submission = {"conversation": "the one"} if talks else {}
        wanted: object = f"number {n}" if agent in THINKING else {"n": n}
        if len(self.picture.runs) < MOST_RUNS:
            self.fleet.client.submit(agent, wanted, **submission)

    def act(self, act: str, pick: int, **wanted: Any) -> None:
        """Have an operator do something to one of the runs that it makes sense for, or to any."""
        runs = self.picture.runs
        fitting = [run for run in runs if _fits(act, run)] or runs
        if act != "fork" or len(runs) < MOST_RUNS:
            self.people.act(act, one_of(fitting, pick)["run_id"], **wanted)

    @property
    def asked(self) -> list[Row]:
        """What people are asked and have not decided."""
        return [each for each in self.picture.approvals if each["status"] == "pending"]

    @property
    def doubts(self) -> list[Row]:
        """The steps that a person has to tell of."""
        return [each for each in self.picture.steps if each["status"] == each["waiting_reason"] == "in_doubt"]

    def deliver(self, pick: int, boot: Boot, manner: Manner, *, keep: bool = False, **points: str) -> None:
        """Give a worker one of the hints; where there is none, let some time pass, and a sweeper look for more."""
        self.fleet.world.manner, self.fleet.world.knows = manner, True
        if not self.fleet.post.hints:
            self.fleet.pass_time(_PAUSE_S)
            boot.sweeper.sweep()
            return
        hint = one_of(self.fleet.post.hints, pick)
        if not keep:
            self.fleet.post.hints.remove(hint)
        self.fleet.deliver(hint, boot, **points)

    def deliver_in_order(self, count: int) -> None:
        """Deliver some hints as they came, to one worker, in a world that answers."""
        for _ in range(count):
            self.deliver(0, self.fleet.boots[0], Manner.ANSWERED)

    def go_on(self, attempt: Attempt, stop_at: str | None) -> None:
        """Let an attempt go on; what is not its own any more it must leave alone."""
        claim, before = attempt.claim, self._foreign(attempt)
        attempt.go_on(stop_at=stop_at)
        if claim is not None and before is not None:
            assert self._row_of(claim) == before, f"attempt {claim} was not ours any more, and was recorded"

    def look(self) -> None:
        """Take a picture; raise AssertionError for everything in it that must not be."""
        picture = Picture.take(self.fleet.database, self._seen)
        self._seen = max([self._seen, *(each["id"] for each in picture.seen)])
        wrong = observer.violations(picture.seen)
        wrong += [each for holds in rules_of_runs.RULES for each in holds(picture)]
        wrong += [each for holds in rules_of_effects.RULES for each in holds(picture, self.fleet.world)]
        assert not wrong, "\n".join(wrong)
        self.picture = picture

    def come_to_an_end(self) -> None:
        """End every fault: each run ends, or waits for a person; once people have said everything, each ends."""
        for _ in range(_MOST_ANSWERS):
            healing.heal(self.fleet, self.people)
            self.look()
            if not self.asked and not self.doubts:
                break
            for each in self.asked:
                self.people.decide(each, gladly=True)
            for doubt in self.doubts:
                self.people.resolve(doubt, again=True)
        if any(run["finished_at"] is None for run in self.picture.runs):
            # A call was failed of which nobody could tell: who waits for its key does so until its deadline.
            self.fleet.pass_time(_LONGEST_S)
            self.fleet.boots[0].sweeper.sweep()
            healing.heal(self.fleet, self.people)
            self.look()
        still_open = [run for run in self.picture.runs if run["finished_at"] is None]
        assert not still_open, f"people have answered everything, and still open are {still_open}"

    def _foreign(self, attempt: Attempt) -> Mapping[str, Any] | None:
        """The row of a step that is not this attempt's any more; None of its own, or one it has not claimed."""
        if attempt.claim is None or attempt.point == "after_record":
            return None
        row = self._row_of(attempt.claim)
        is_own = (row["claim_token"], row["attempt"]) == (attempt.claim.token, attempt.claim.attempt)
        return None if is_own and row["status"] in {"running", "in_doubt"} else row

    def _row_of(self, claim: Claim) -> Mapping[str, Any]:
        [row] = self.fleet.sql(_FENCED, run_id=claim.run.run_id, step_index=claim.step.step_index)
        return row


def _fits(act: str, run: Row) -> bool:
    match act:
        case "resume":
            return bool(run["pause_requested"])
        case "retry":
            return bool(run["status"] == "failed")
        case "fork":
            return True
    return run["status"] not in FINAL


def one_of(things: Sequence[T], pick: int) -> T:
    """Return the thing that a drawn number points to, however many there are."""
    return things[pick % len(things)]
