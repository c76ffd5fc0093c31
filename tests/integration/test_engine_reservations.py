"""What a model call may cost is set aside before it is made, so that parallel calls cannot overrun together."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.errors import ModelError
from agentflow.engine.recovery import take_back
from agentflow.llm.protocol import ModelRequest, ModelResponse
from agentflow.llm.scripted import played_response
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness, scripted
from agentflow.testing.crashes import SimulatedCrash
from tests.integration.hands import Hands, Interrupted
from tests.integration.lost_answers import LostAnswers
from tests.integration.outside import make_due, standing, tries
from tests.integration.thinkers import Thinkers, logged, reserved, spent, thinkers

FOR_ONE_USD = 0.001
FOR_ONE_TOKENS = 1500
FINE = scripted(*["fine"] * 9)
NOTHING = (0, Decimal(0))


def begun(agentflow: Harness, agent: Thinkers, model: Any = FINE) -> tuple[Hands, str]:
    hands = Hands(agentflow, agent, model=model)
    hands.runtime.draw = lambda: 0.5
    return hands, hands.begin(agent, "go")


@pytest.mark.parametrize(
    ("budget", "ceiling"), [({"cost_usd": FOR_ONE_USD}, "cost_usd"), ({"tokens": FOR_ONE_TOKENS}, "tokens")]
)
def test_two_calls_at_once_that_would_overrun_together_are_made_one_after_the_other(
    agentflow: Harness, budget: dict[str, Any], ceiling: str
) -> None:
    hands, run_id = begun(agentflow, thinkers(**budget))
    answers: list[Any] = []
    seen: list[Any] = []

    def meanwhile(_: object) -> None:
        answers.append(hands.do(run_id, 1))
        seen.append((standing(hands, run_id), hands.step_row(run_id, 1)))

    hands.runtime.reached = Interrupted("before_call", meanwhile)
    hands.drop_hints()
    hands.do(run_id, 0)

    assert answers == [Refused(ClaimAnswer.BUDGET_RESERVED, ceiling)]
    [(run_stood, step)] = seen
    assert run_stood == ("running", None)
    assert (step["status"], step["waiting_reason"], step["attempt"]) == ("pending", "budget_reserved", 0)
    assert [(hint.run_id, hint.step_index) for hint in [hands.harness.hints.take()] if hint] == [(run_id, 1)]
    hands.do(run_id, 1)
    run = agentflow.client.get(run_id)
    assert (run.status, run.result, run.attempts) == ("done", "thought of", 2)
    assert spent(hands, run_id) == logged(hands, run_id)


def test_calls_that_fit_together_are_made_together(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, thinkers(3, cost_usd=2.5 * FOR_ONE_USD))

    for index in range(3):
        hands.claim(run_id, index)

    tokens, cost_usd = reserved(hands, run_id)
    assert tokens > 3000
    assert Decimal("0.0018") < cost_usd < Decimal("0.0025")
    assert spent(hands, run_id) == NOTHING


def test_a_call_that_would_pass_the_ceiling_by_itself_ends_the_run_before_it_is_made(agentflow: Harness) -> None:
    asked: list[ModelRequest] = []
    hands, run_id = begun(agentflow, thinkers(cost_usd=0.0005), scripted(asked.append))

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], run.attempts, asked) == ("failed", "budget_cost_usd", 0, [])
    assert hands.causes() == {"budget_cost_usd"}


def test_what_a_call_did_not_use_is_given_back(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, thinkers(1))
    hands.work()

    tokens, cost_usd = spent(hands, run_id)
    assert 0 < tokens < 50
    assert 0 < cost_usd < Decimal("0.0001")
    assert reserved(hands, run_id) == NOTHING
    assert (tokens, cost_usd) == logged(hands, run_id)


@pytest.mark.parametrize(
    ("settings", "limit"),
    [({"max_tokens": 1000}, 1000), ({"max_completion_tokens": 300}, 300), ({"temperature": 0.5}, 4096)],
    ids=["max_tokens", "max_completion_tokens", "none named"],
)
def test_no_longer_an_answer_is_asked_for_than_was_reserved(
    agentflow: Harness, settings: dict[str, Any], limit: int
) -> None:
    asked: list[ModelRequest] = []

    def answer(request: ModelRequest) -> str:
        asked.append(request)
        tokens, _ = reserved(hands, run_id)
        assert limit < tokens < limit + 100
        return "fine"

    hands, run_id = begun(agentflow, thinkers(1, settings=settings), scripted(answer))
    hands.work()

    [request] = asked
    named = {name: value for name, value in request.settings.items() if name.startswith("max_")}
    assert list(named.values()) == [limit]
    assert agentflow.client.get(run_id).status == "done"


def test_a_lost_call_is_charged_at_all_that_was_reserved_for_it(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, thinkers(1))
    claim = hands.claim(run_id)
    set_aside = reserved(hands, run_id)

    hands.lose(claim)

    assert set_aside > (1000, Decimal("0.0006"))
    assert (spent(hands, run_id), reserved(hands, run_id)) == (set_aside, NOTHING)
    assert logged(hands, run_id) == set_aside
    [row] = hands.sql("select attempt, model, error ->> 'kind' as kind from agentflow.model_calls")
    assert row == {"attempt": 1, "model": "openai:gpt-4o-mini", "kind": "lost"}
    hands.work()
    assert agentflow.client.get(run_id).status == "done"
    assert spent(hands, run_id) == logged(hands, run_id)


def test_a_lost_call_wakes_who_waited_for_its_reservation(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, thinkers(3, cost_usd=0.0015))
    claim, _ = (hands.claim(run_id, index) for index in (0, 1))
    hands.refusal(run_id, 2)
    due = "select next_attempt_at <= clock_timestamp() from agentflow.agent_steps where step_index = 2"
    assert hands.value(due) is False

    hands.lose(claim)

    assert hands.value(due) is True


@pytest.mark.parametrize(
    ("kind", "is_charged"),
    [("rate_limited", False), ("transient", True), ("timeout", True), ("malformed", True)],
)
def test_a_call_that_failed_is_charged_where_it_may_have_been_answered(
    agentflow: Harness, kind: str, is_charged: bool
) -> None:
    hands, run_id = begun(agentflow, thinkers(1), scripted(ModelError("no", kind=kind)))

    hands.do(run_id)

    assert (spent(hands, run_id) > (1000, Decimal("0.0006"))) is is_charged
    assert reserved(hands, run_id) == NOTHING
    assert spent(hands, run_id) == logged(hands, run_id)
    assert tries(hands, run_id) == ["retried"]


def test_failures_that_may_cost_end_the_run_when_they_have_used_its_money(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, thinkers(1, cost_usd=0.002), scripted(ModelError("no", kind="timeout")))

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.error["kind"], run.attempts) == ("budget_cost_usd", 3)
    assert run.cost_usd <= Decimal("0.002")


NOBODY = "openai:nobody-knows-this-one"


def ask(agentflow: Harness, agent: Thinkers, **runtime: Any) -> tuple[Hands, str]:
    hands = Hands(agentflow, agent)
    hands.runtime.models = lambda model, api_key=None: FINE
    for name, value in runtime.items():
        setattr(hands.runtime, name, value)
    run_id = hands.begin(agent, "go")
    hands.work()
    return hands, run_id


def test_a_model_without_a_price_is_not_asked(agentflow: Harness) -> None:
    hands, run_id = ask(agentflow, thinkers(1, model=NOBODY))

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], run.attempts) == ("failed", "budget_unpriced_model", 0)
    assert "AGENTFLOW_PRICES" in run.error["message"]
    assert hands.causes() == {"budget_unpriced_model"}


def test_a_model_without_a_price_is_asked_where_no_ceiling_is_set(agentflow: Harness) -> None:
    _, run_id = ask(agentflow, thinkers(1, model=NOBODY, cost_usd=None))

    assert agentflow.client.get(run_id).status == "done"


def test_a_price_of_ones_own_is_reserved_at(agentflow: Harness) -> None:
    dear = {"nobody-knows-this-one": {"input_mtok": 1, "output_mtok": 2000}}
    _, run_id = ask(agentflow, thinkers(1, model=NOBODY, cost_usd=1), prices=dear)
    cheap = {"nobody-knows-this-one": {"input_mtok": 1, "output_mtok": 2}}
    _, other = ask(agentflow, thinkers(1, model=NOBODY, cost_usd=1), prices=cheap)

    assert agentflow.client.get(run_id).error["kind"] == "budget_cost_usd"
    assert agentflow.client.get(other).status == "done"


class Fickle:
    """Plays a script of steps to take and of what becomes of each; some are taken while others are under way."""

    def __init__(self, hands: Hands, run_id: str, script: list[tuple[int, str, bool]]) -> None:
        self._hands, self._run_id, self._script = hands, run_id, script
        self._now: list[tuple[str, bool]] = []

    def play(self) -> None:
        index, outcome, nests = self._script.pop(0)
        make_due(self._hands)
        self._now.append((outcome, nests))
        try:
            self._hands.do(self._run_id, index)
        except SimulatedCrash:
            self._lose(index)
        if self._now and self._now[-1] == (outcome, nests):
            self._now.pop()
        self.check()

    def check(self) -> None:
        row = self._hands.run_row(self._run_id)
        assert row["spent_cost_usd"] + row["reserved_cost_usd"] <= Decimal(str(row["budget"]["cost_usd"]))
        assert row["spent_tokens"] + row["reserved_tokens"] <= row["budget"]["tokens"]
        assert spent(self._hands, self._run_id) == logged(self._hands, self._run_id)

    def complete(self, request: ModelRequest) -> ModelResponse:
        outcome, nests = self._now.pop() if self._now else ("fine", False)
        if nests and self._script:
            self.play()
        if outcome == "crash":
            raise SimulatedCrash
        if outcome in {"fine", "long"}:
            return played_response(request, outcome * (1 if outcome == "fine" else 900), [])
        raise ModelError("as the script says", kind=outcome)

    def _lose(self, index: int) -> None:
        attempt = self._hands.step_row(self._run_id, index)["attempt"]
        self._hands.harness.database.atomically(
            lambda tx: take_back(tx, self._run_id, index, attempt, Evidence.CHILD_DEAD)
        )


OUTCOMES = st.sampled_from(["fine", "long", "crash", "transient", "rate_limited", "timeout", "malformed", "bad_input"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.tuples(st.integers(0, 3), OUTCOMES, st.booleans()), min_size=1, max_size=8))
def test_whatever_becomes_of_parallel_calls_no_ceiling_is_passed_and_nothing_stays_reserved(
    agentflow: Harness, script: list[tuple[int, str, bool]]
) -> None:
    hands, run_id = begun(agentflow, thinkers(4, cost_usd=0.0025, tokens=4500))
    fickle = Fickle(hands, run_id, list(script))
    hands.runtime.model_overrides = {"thinkers": fickle}

    while fickle._script:
        fickle.play()
    make_due(hands)
    hands.work()
    fickle.check()

    assert agentflow.client.get(run_id).is_final
    assert reserved(hands, run_id) == NOTHING
    assert {step.status for step in agentflow.client.steps(run_id)} <= {"ok", "error", "skipped"}


def test_the_commit_of_a_reservation_that_was_not_answered_reserves_once(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, thinkers(1, cost_usd=FOR_ONE_USD))
    LostAnswers(agentflow.database).lose_next()

    claim = hands.claim(run_id)

    tokens, cost_usd = reserved(hands, run_id)
    assert (claim.attempt, 1000 < tokens < 1100, cost_usd < Decimal(str(FOR_ONE_USD))) == (1, True, True)
