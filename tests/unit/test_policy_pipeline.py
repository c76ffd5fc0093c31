from __future__ import annotations

from typing import Any

import pytest

from agentflow.domain.decision import Done, Fail, Next, Wait
from agentflow.domain.step import NewStep, Step, StepStatus
from agentflow.policy.pipeline import Stage, decide_pipeline, feed
from tests.unit.given import a_run, a_step

STAGES = [Stage("fetch", ("url",), ("url",)), Stage("publish", ("text",), ("text",))]


def test_a_pipeline_begins_with_its_first_stage() -> None:
    assert decide_pipeline(a_run(input={"url": "x"}), [], STAGES) == Next([NewStep("fetch", {"url": "x"})])


@pytest.mark.parametrize("status", [StepStatus.PENDING, StepStatus.RUNNING, StepStatus.IN_DOUBT])
def test_a_pipeline_waits_for_its_open_stage(status: StepStatus) -> None:
    assert decide_pipeline(a_run(), [a_step(0, "fetch", status=status)], STAGES) == Wait()


def test_a_pipeline_fails_with_the_stage_that_failed() -> None:
    failed = a_step(0, "fetch", status=StepStatus.ERROR, error={"kind": "tool_error", "message": "404"})

    assert decide_pipeline(a_run(), [failed], STAGES) == Fail("tool_failed", "fetch: 404", 0)


def test_a_pipelines_result_is_its_last_stages_output() -> None:
    history = [a_step(0, "fetch", output="page"), a_step(1, "publish", output={"at": "here"})]

    assert decide_pipeline(a_run(), history, STAGES) == Done({"at": "here"})


@pytest.mark.parametrize(
    ("done", "now", "follows"),
    [
        (["fetch", "publish"], ["fetch", "check", "publish"], None),
        (["fetch", "publish"], ["fetch", "check", "publish", "tell"], "tell"),
        (["fetch", "check"], ["fetch", "publish"], "publish"),
        (["fetch"], ["check", "publish"], "check"),
        (["fetch"], ["begin", "fetch", "publish"], "publish"),
    ],
    ids=[
        "a stage before the last that is done already",
        "one in the middle, and one at the end",
        "a stage that is no more",
        "the only stage that is done is no more",
        "a stage before the first",
    ],
)
def test_a_pipeline_whose_stages_changed_goes_on_after_the_furthest_that_is_done(
    done: list[str], now: list[str], follows: str | None
) -> None:
    history = [a_step(index, name, output=name) for index, name in enumerate(done)]

    decision = decide_pipeline(a_run(), history, [Stage(name, (), ()) for name in now])

    assert decision == (Next([NewStep(follows, {})]) if follows else Done(now[-1]))


FETCHED = a_step(0, "fetch", output="page")


@pytest.mark.parametrize(
    ("parameters", "required", "run_input", "history", "arguments"),
    [
        (("a", "b"), ("a", "b"), {"a": 1, "b": 2, "c": 3}, [], {"a": 1, "b": 2}),
        (("ticket",), ("ticket",), {"id": 7}, [], {"ticket": {"id": 7}}),
        (("text",), ("text",), "hello", [], {"text": "hello"}),
        (("text",), ("text",), {"a": 1}, [FETCHED], {"text": "page"}),
        (("fetch", "a"), ("fetch", "a"), {"a": 1, "fetch": "field"}, [FETCHED], {"fetch": "page", "a": 1}),
        (("text", "limit"), ("text",), {}, [FETCHED], {"text": "page"}),
        (("text", "limit"), ("text",), {"limit": 5}, [FETCHED], {"text": "page", "limit": 5}),
        ((), (), {"a": 1}, [FETCHED], {}),
        (("a", "b"), ("a", "b"), {}, [FETCHED], {}),
    ],
    ids=[
        "fields of the input by name",
        "the whole input for the one that is left",
        "an input that is no object",
        "the output before for the one that is left",
        "an earlier tool by name comes before a field",
        "a default is left alone",
        "a default gives way to a field",
        "no parameters",
        "two that nothing feeds are left for the call to complain of",
    ],
)
def test_a_stage_is_fed(
    parameters: tuple[str, ...],
    required: tuple[str, ...],
    run_input: Any,
    history: list[Step],
    arguments: dict[str, Any],
) -> None:
    assert feed(Stage("next", parameters, required), run_input, history) == arguments


def test_an_output_of_none_feeds_as_none() -> None:
    assert feed(Stage("next", ("text",), ("text",)), {}, [a_step(0, "fetch", output=None)]) == {"text": None}
