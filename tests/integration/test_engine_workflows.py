from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from agentflow import Agent, Done, Fail, Next, Pipeline, Run, Step, Wait, Workflow, tool
from agentflow.declare.registry import Registry
from agentflow.domain.decision import Decision
from agentflow.domain.errors import IllegalTransition
from agentflow.domain.outcome import Completed
from agentflow.domain.run import FINAL_RUN_STATUSES, RUN_TRANSITIONS, RunStatus
from agentflow.domain.step import STEP_TRANSITIONS, NewStep, StepStatus
from agentflow.store import runs, steps
from agentflow.store.database import Transaction
from agentflow.testing import Harness
from tests.integration.hands import Hands


@tool(effect="read")
def look(n: int) -> int:
    return n


@tool(effect="read", key="look:{name}")
def look_by_name(name: str) -> str:
    return name


class Coordinator:
    """A coordinator that plays its answers by how many steps there are; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def __call__(self, run: Run, history: Sequence[Step]) -> Decision:
        answer = self.answers[len(history)]
        if isinstance(answer, Exception):
            raise answer
        return answer(run, history) if callable(answer) else answer  # type: ignore[no-any-return]


ONE = Next([NewStep("look", {"n": 1})])
TWO = Next([NewStep("look", {"n": 1}), NewStep("look", {"n": 2})])


def workflow(decide: Any) -> Workflow:
    return Workflow("flow", decide=decide, tools=[look, look_by_name])


def begun(agentflow: Harness, *answers: Any) -> tuple[Hands, str, Coordinator]:
    coordinator = Coordinator(*answers)
    hands = Hands(agentflow, workflow(coordinator))
    return hands, hands.begin(workflow(coordinator)), coordinator


def test_a_workflow_goes_the_way_that_its_function_decides(agentflow: Harness) -> None:
    def total(run: Run, history: Sequence[Step]) -> Decision:
        return Done({"input": run.input, "sum": sum(step.output for step in history)})

    run = agentflow.run(workflow(Coordinator(TWO, None, total)), "x")

    assert (run.status, run.result) == ("done", {"input": "x", "sum": 3})


def test_a_workflow_may_fail_its_run_with_reason_and_message(agentflow: Harness) -> None:
    run = agentflow.run(workflow(Coordinator(ONE, Fail("no_stock", "nothing \ud800 left", 0))), None)

    assert (run.status, run.error) == (
        "failed",
        {"kind": "no_stock", "message": "nothing � left", "step_index": 0},
    )
    assert run.transitions[-1]["reason"] == "no_stock"


def test_a_first_decision_that_raises_fails_the_run(agentflow: Harness) -> None:
    run = agentflow.run(workflow(Coordinator(KeyError("order"))), None)

    assert (run.status, run.steps, run.error["kind"]) == ("failed", [], "bug")
    assert run.error["message"] == "the first step of 'flow' cannot be made: KeyError: 'order'"


NONSENSE = [KeyError("order"), None, "done", Next([]), Next([NewStep("nothing", {})]), Done(1, "great"), Fail("", "")]  # type: ignore[arg-type]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=repr)
def test_an_outcome_stands_whatever_happens_to_the_decision(agentflow: Harness, nonsense: Any) -> None:
    hands, run_id, coordinator = begun(agentflow, ONE, nonsense)

    ending = hands.do(run_id)

    run = hands.run_row(run_id)
    assert ending == Completed(1)
    assert (hands.step_row(run_id)["status"], run["status"], run["current_step"]) == ("ok", "running", 0)
    assert hands.value("select advance_due_at > clock_timestamp() from agentflow.agent_runs") is True
    assert hands.causes() == {"decide_raised"}

    coordinator.answers[1] = Done("mended")
    hands.advance(run_id)
    assert agentflow.client.get(run_id).result == "mended"


def test_a_decision_that_hangs_holds_no_lock_and_no_outcome(agentflow: Harness) -> None:
    asked, let_go = Event(), Event()

    def hang(run: Run, history: Sequence[Step]) -> Decision:
        asked.set()
        assert let_go.wait(10)
        return Done("at last")

    hands, run_id, _ = begun(agentflow, ONE, hang)

    with ThreadPoolExecutor(1) as threads:
        doing = threads.submit(hands.do, run_id)
        assert asked.wait(10)
        row = hands.sql("select * from agentflow.agent_runs for update nowait")[0]
        assert (row["current_step"], row["advance_due_at"] is not None) == (0, True)
        assert hands.step_row(run_id)["status"] == "ok"
        let_go.set()
        assert doing.result() == Completed(1)
    assert agentflow.client.get(run_id).result == "at last"


def test_a_decision_that_another_overtook_is_made_again_on_what_is_known_now(agentflow: Harness) -> None:
    seen: list[list[str]] = []

    def slow(run: Run, history: Sequence[Step]) -> Decision:
        seen.append([step.status.value for step in history])
        if len(seen) == 1:
            hands.record(claim)
        return Done(len(seen)) if all(not step.is_open for step in history) else Wait()

    hands, run_id, _ = begun(agentflow, TWO, None, slow)
    claim = hands.claim(run_id, 1)

    hands.do(run_id, 0)

    assert seen == [["ok", "running"], ["ok", "ok"]]
    assert agentflow.client.get(run_id).result == 2


def test_a_run_that_is_said_to_be_done_skips_what_was_not_begun_and_waits_for_what_runs(agentflow: Harness) -> None:
    three = Next([NewStep("look", {"n": n}) for n in range(3)])
    hands, run_id, _ = begun(agentflow, three, None, None, Done("enough"))
    claim = hands.claim(run_id, 1)

    hands.do(run_id, 0)
    assert [hands.step_row(run_id, n)["status"] for n in range(3)] == ["ok", "running", "skipped"]
    assert hands.run_row(run_id)["status"] == "running"
    hands.record(claim)
    hands.advance(run_id)

    assert (agentflow.client.get(run_id).status, hands.step_row(run_id, 1)["status"]) == ("done", "ok")


def test_arguments_that_cannot_make_a_key_fail_the_run(agentflow: Harness) -> None:
    run = agentflow.run(workflow(Coordinator(Next([NewStep("look_by_name", {"name": "x" * 501})]))), None)

    assert (run.status, run.error["kind"]) == ("failed", "bad_input")
    assert "may hold 500 printable characters" in run.error["message"]


def test_a_worker_without_the_agents_code_leaves_the_run_to_others_and_tells_a_person(agentflow: Harness) -> None:
    flow = workflow(Coordinator(ONE, Done("here")))
    hands = Hands(agentflow, flow)
    run_id = hands.submit(flow)
    known = hands.runtime.registry
    hands.runtime.registry = Registry.of([Pipeline("other", [look])])

    assert hands.advance(run_id).answer == "undecided"
    assert hands.causes() == {"unknown_agent"}
    assert hands.run_row(run_id)["status"] == "pending"
    hands.runtime.registry = known
    hands.advance(run_id)
    hands.work()
    assert agentflow.client.get(run_id).result == "here"


def test_a_result_that_cannot_be_kept_fails_the_run(agentflow: Harness) -> None:
    run = agentflow.run(workflow(Coordinator(Done(float("nan")))), None)

    assert (run.status, run.error["kind"]) == ("failed", "bad_output")


def test_none_is_a_result(agentflow: Harness) -> None:
    run = agentflow.run(workflow(Coordinator(Done(None))), None)

    assert (run.status, run.result) == ("done", None)


@pytest.mark.parametrize("final", sorted(FINAL_RUN_STATUSES))
@pytest.mark.parametrize("status", list(RunStatus))
def test_a_run_that_has_ended_changes_by_an_operator_alone(
    agentflow: Harness, final: RunStatus, status: RunStatus
) -> None:
    hands, run_id, _ = begun(agentflow, ONE, Done(1))
    hands.sql("update agentflow.agent_runs set status = %(final)s", final=final)
    logged = len(agentflow.client.transitions(run_id))

    def change(tx: Transaction) -> None:
        locked = runs.lock(tx, run_id)
        assert locked is not None
        runs.set_status(tx, locked[0], status, "tested", waiting="something")

    if status in RUN_TRANSITIONS[final] or status is final:
        agentflow.database.atomically(change)
        assert len(agentflow.client.transitions(run_id)) == logged + (status is not final)
    else:
        with pytest.raises(IllegalTransition, match=f"cannot go from '{final}' to '{status}'"):
            agentflow.database.atomically(change)
        assert hands.run_row(run_id)["status"] == final


@pytest.mark.parametrize("old", list(StepStatus))
@pytest.mark.parametrize("new", [StepStatus.OK, StepStatus.ERROR, StepStatus.IN_DOUBT])
def test_a_step_ends_only_where_its_status_allows(agentflow: Harness, old: StepStatus, new: StepStatus) -> None:
    hands, run_id, _ = begun(agentflow, ONE, Done(1))
    hands.claim(run_id)
    hands.sql("update agentflow.agent_steps set status = %(old)s", old=old)

    def end(tx: Transaction) -> None:
        runs.lock(tx, run_id)
        locked = steps.lock(tx, run_id, 0)
        assert locked is not None
        steps.finish(tx, locked, new, output=1)

    if new in STEP_TRANSITIONS[old]:
        agentflow.database.atomically(end)
    else:
        with pytest.raises(IllegalTransition, match=f"step 0 of run '{run_id}' cannot go from '{old}' to '{new}'"):
            agentflow.database.atomically(end)


def test_an_agent_whose_prompt_raises_fails_with_what_it_raised(agentflow: Harness) -> None:
    agent = Agent("picky", model="openai:gpt-4o-mini", prompt=lambda value: str(value["text"]))

    run = agentflow.run(agent, {"txt": "hi"})

    assert (run.status, run.error["kind"]) == ("failed", "bug")
    assert run.error["message"] == "the first step of 'picky' cannot be made: KeyError: 'text'"
