"""What a caller of the client may send: it is refused in one sentence, and then nothing was written, or it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from agentflow import Agent, Client, Notify, Pipeline, tool
from agentflow.domain.errors import (
    AgentflowError,
    ApprovalNotFound,
    InputTooLarge,
    InterventionRefused,
    InvalidInput,
    RunNotFound,
    SubmissionRefused,
    UnknownAgent,
    UnknownTool,
)
from agentflow.testing import Harness, scripted
from tests.integration.hands import Hands
from tests.integration.hard_json import nested
from tests.integration.operated import operations_of, refused
from tests.integration.readback import count_runs, read_everything

HUGE = 10**5_000
"""Python itself refuses to print it."""

NO_RUN = "0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a11"


class Ticket(BaseModel):
    note: Any = None


class Tree(BaseModel):
    children: list[Tree] = []


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("it says nothing of itself")


@tool(effect="read")
def echo(value: Any = None) -> Any:
    return value


echoing = Pipeline("echoing", [echo])
forest = Pipeline("forest", [echo], input=Tree)
thinker = Agent("thinker", model="openai:gpt-4o-mini")


@pytest.fixture
def client(agentflow: Harness) -> Client:
    agentflow.runtime(echoing, forest, thinker)
    return agentflow.client


@pytest.fixture(autouse=True)
def everything_reads_back(agentflow: Harness) -> Iterator[None]:
    yield
    read_everything(agentflow)


def tree(levels: int) -> dict[str, Any]:
    top: dict[str, Any] = {"children": []}
    for _ in range(levels):
        top = {"children": [top]}
    return top


INPUTS: dict[str, tuple[Any, type[AgentflowError], str]] = {
    "NaN": ({"a": float("nan")}, InvalidInput, r"\$\.a: nan is not JSON; send null or a string"),
    "1e400": ([1, float("1e400")], InvalidInput, r"\$\[1\]: inf is not JSON"),
    "5,000 digits": ([HUGE], InvalidInput, r"\$\[0\]: an integer of over 1000 digits; send it as a string"),
    "a key of 5,000 digits": ({HUGE: 1}, InvalidInput, r"\$: the key a int that cannot be printed is not a string"),
    "a key that is no text": ({7: 1}, InvalidInput, r"\$: the key 7 is not a string"),
    "a key that says nothing": ({Unprintable(): 1}, InvalidInput, "a Unprintable that cannot be printed"),
    "6,000 levels": (nested(6_000), InvalidInput, "nested deeper than 64 levels; flatten the value"),
    "65 levels": (nested(65), InvalidInput, "nested deeper than 64 levels"),
    "two keys in one": (dict.fromkeys(("\ud800", "\ud801")), InvalidInput, "two keys are the same once"),
    "bytes": (b"\xff", InvalidInput, "a bytes is not JSON"),
    "an object": (object(), InvalidInput, "the input is no JSON data"),
    "a NaN that pydantic would make null": (Ticket(note=float("nan")), InvalidInput, "it holds a NaN or an Infinity"),
    "a model of 6,000 levels": (Ticket(note=nested(6_000)), InvalidInput, "the input is no JSON data"),
    "10 MB": (
        "x" * 10_000_000,
        InputTooLarge,
        r"is 10000002 bytes; the limit is 1000000 \(AGENTFLOW_MAX_INPUT_BYTES\)",
    ),
}


@pytest.mark.parametrize(("value", "kind", "says"), INPUTS.values(), ids=INPUTS)
def test_input_that_cannot_be_kept_is_refused_with_its_place(
    client: Client, agentflow: Harness, value: Any, kind: type[AgentflowError], says: str
) -> None:
    with pytest.raises(kind, match=says) as refusal:
        client.submit("echoing", value)

    assert len(str(refusal.value)) < 500
    assert count_runs(agentflow) == 0


KEPT: dict[str, Any] = {
    "NUL": {"\x00": "\x00"},
    "64 levels": nested(64),
    "1,000 digits": 10**999,
    "emoji alone": "🎉" * 20,
    "nothing": "",
    "a model": Ticket(note={"\x00": [None, True, -0.0]}),
    "a megabyte": "x" * 999_998,
}


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT)
def test_input_that_is_odd_is_kept_as_it_was_sent(client: Client, value: Any) -> None:
    read = client.get(client.submit("echoing", value).run_id).input

    assert repr(read) == repr(value.model_dump() if isinstance(value, BaseModel) else value)


def test_a_recursive_schema_is_checked_to_its_last_level(client: Client) -> None:
    deepest = tree(31)
    assert client.get(client.submit("forest", deepest).run_id).input == deepest

    wrong = deepest
    while wrong["children"]:
        wrong = wrong["children"][0]
    wrong["children"] = "none"
    with pytest.raises(InvalidInput, match=r"children\.0\.children.*'none' is not of type 'array'"):
        client.submit("forest", deepest)


def ago(years: float) -> timezone:
    return timezone(timedelta(hours=years))


MOMENTS: dict[str, tuple[Any, str]] = {
    "after the last year": (datetime.max.replace(tzinfo=ago(-12)), "is no time to wait for"),
    "before the first year": (datetime.min.replace(tzinfo=ago(12)), "is no time to wait for"),
    "the last year": (datetime(9999, 12, 31, tzinfo=UTC), "is no time to wait for"),
    "without a zone": (datetime(2030, 1, 1), "has no time zone"),  # noqa: DTZ001 - what is refused
    "a word": ("soon", "'soon' is no datetime"),
}


@pytest.mark.parametrize(("moment", "says"), MOMENTS.values(), ids=MOMENTS)
def test_a_start_that_could_not_be_read_back_is_refused(
    client: Client, agentflow: Harness, moment: Any, says: str
) -> None:
    with pytest.raises(SubmissionRefused, match=says):
        client.submit("echoing", None, not_before=moment)
    assert count_runs(agentflow) == 0


def test_a_start_in_a_far_year_is_read_back(client: Client) -> None:
    far = datetime(9998, 12, 31, 23, 59, tzinfo=ago(-12))

    assert client.get(client.submit("echoing", None, not_before=far).run_id).not_before == far


SUBMISSIONS: dict[str, tuple[dict[str, Any], type[AgentflowError], str]] = {
    "agent with NUL": ({"agent": "a\x00"}, UnknownAgent, "no worker has registered an agent 'a"),
    "agent half a pair": ({"agent": "\ud800"}, UnknownAgent, "no worker has registered an agent"),
    "agent a number": ({"agent": 7}, UnknownAgent, "no worker has registered an agent 7"),
    "agent of 10 MB": ({"agent": "x" * 10_000_000}, UnknownAgent, "no worker has registered an agent 'xxx"),
    "user with NUL": ({"user": "a\x00"}, SubmissionRefused, "user='a"),
    "user half a pair": ({"user": "\ud800"}, SubmissionRefused, "user='"),
    "user of 10 MB": ({"user": "x" * 10_000_000}, SubmissionRefused, "give a str of 1 to 500 printable characters"),
    "user a huge number": ({"user": HUGE}, SubmissionRefused, "user=a int that cannot be printed"),
    "empty key": ({"idempotency_key": ""}, SubmissionRefused, "idempotency_key=''"),
    "key a list": ({"idempotency_key": ["k"]}, SubmissionRefused, r"idempotency_key=\['k'\]"),
    "conversation of two lines": ({"conversation": "a\nb"}, SubmissionRefused, "conversation='a"),
    "budget of no number": ({"budget": {"steps": float("nan")}}, SubmissionRefused, "steps=nan is no ceiling"),
    "budget without end": ({"budget": {"cost_usd": float("inf")}}, SubmissionRefused, "cost_usd=inf is no ceiling"),
    "huge budget": ({"budget": {"steps": HUGE}}, SubmissionRefused, "steps=a int that cannot be printed"),
    "budget of NaN dollars": ({"budget": {"cost_usd": Decimal("NaN")}}, SubmissionRefused, "is no ceiling"),
    "budget of nothing known": ({"budget": {"\x00": 1}}, SubmissionRefused, "is no ceiling of 'echoing'"),
    "budget a list": ({"budget": [1]}, SubmissionRefused, r"budget=\[1\]: give a mapping"),
    "notify a dict": ({"notify": {"email": "a@example.com"}}, SubmissionRefused, "is no Notify; give one"),
    "notify half a pair": ({"notify": Notify(email="a\ud800@example.com")}, SubmissionRefused, "half of a surrogate"),
    "notify NUL": ({"notify": Notify(email="a\x00@example.com")}, SubmissionRefused, "a control character"),
    "notify two": ({"notify": Notify(email="a@example.com, b@example.com")}, SubmissionRefused, "give one address"),
    "notify a header": (
        {"notify": Notify(email="a@example.com\r\nBcc: b@example.com")},
        SubmissionRefused,
        "line break",
    ),
    "notify a URL of NUL": ({"notify": Notify(webhook="https://example.com/\x00")}, SubmissionRefused, "control char"),
    "notify half a URL": ({"notify": Notify(webhook="https://example.com/\ud800")}, SubmissionRefused, "half of a"),
    "notify a number": ({"notify": Notify(webhook=7)}, SubmissionRefused, "'url' must be text"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("given", "kind", "says"), SUBMISSIONS.values(), ids=SUBMISSIONS)
def test_a_submission_that_cannot_be_kept_is_refused_in_one_sentence(
    client: Client, agentflow: Harness, given: dict[str, Any], kind: type[AgentflowError], says: str
) -> None:
    with pytest.raises(kind, match=says) as refusal:
        client.submit(**{"agent": "echoing", "input": None, **given})

    assert len(str(refusal.value)) < 500
    assert count_runs(agentflow) == 0


@pytest.mark.parametrize("on", ["end", 7, (["end"],), ("later",), ()], ids=str)
def test_notices_of_unknown_events_are_refused(on: Any) -> None:
    with pytest.raises(SubmissionRefused, match="name 'end', 'person' or both"):
        Notify(email="a@example.com", on=on)


READS: dict[str, tuple[Callable[[Client], object], type[AgentflowError], str]] = {
    "user": (lambda client: client.list(user="\x00"), SubmissionRefused, "user='"),
    "status": (lambda client: client.list(status="\ud800"), SubmissionRefused, "status='"),
    "agent": (lambda client: client.list(agent="\ud800"), SubmissionRefused, "agent='"),
    "conversation": (lambda client: client.list(conversation="\x00"), SubmissionRefused, "conversation='"),
    "run": (lambda client: client.get("\x00"), RunNotFound, "is no run id"),
    "run of digits": (lambda client: client.steps("٣" * 32), RunNotFound, "is no run id"),
    "approvals": (lambda client: client.approvals.list(status="\x00"), SubmissionRefused, "status='"),
    "approval": (lambda client: client.approvals.answer("\ud800", 1), ApprovalNotFound, "is no approval's id"),
    "messages": (lambda client: client.messages.list(kind="\ud800"), SubmissionRefused, "kind='"),
    "message": (lambda client: client.messages.retry("\x00", reason="r"), InterventionRefused, "is no message's id"),
    "resumed tool": (lambda client: client.tools.resume("\x00"), UnknownTool, "no worker has registered a tool"),
    "paused tool": (lambda client: client.tools.pause("\ud800", reason="r"), UnknownTool, "no worker has registered"),
    "reason": (lambda client: client.tools.pause("echo", reason="\x00"), SubmissionRefused, "reason='"),
    "cancelled run": (lambda client: client.operations.cancel("\ud800"), RunNotFound, "is no run id"),
    "nobody": (lambda client: client.operations.cancel(NO_RUN, by="\ud800"), InterventionRefused, "names nobody"),
    "resolution": (lambda client: client.operations.resolve(NO_RUN, "\x00"), InterventionRefused, "says nothing of"),
}


@pytest.mark.parametrize(("read", "kind", "says"), READS.values(), ids=READS)
def test_what_can_name_nothing_is_said_and_not_left_to_the_driver(
    client: Client, read: Callable[[Client], object], kind: type[AgentflowError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        read(client)


FORKS: dict[str, tuple[dict[str, Any], str]] = {
    "model with NUL": ({"model": "openai:gpt\x00"}, "names none; write it as 'provider:name'"),
    "model half a pair": ({"model": "openai:\ud800"}, "names none"),
    "model of 10 MB": ({"model": "openai:" + "x" * 10_000_000}, "names none"),
    "model a number": ({"model": 7}, "model=7 names none"),
    "instructions a number": ({"instructions": 7}, "instructions=7 are no text"),
    "instructions of nothing": ({"instructions": " \n"}, "is empty; leave it out"),
    "step a word": ({"from_step": "one"}, "step 'one' is not a step to fork from"),
    "step beyond any": ({"from_step": HUGE}, "is not a step to fork from"),
    "step before any": ({"from_step": -1}, "step -1 is not a step to fork from"),
}


@pytest.mark.parametrize(("given", "says"), FORKS.values(), ids=FORKS)
def test_a_fork_that_could_never_begin_is_refused(agentflow: Harness, given: dict[str, Any], says: str) -> None:
    hands = Hands(agentflow, thinker, model=scripted("thought"))
    run_id = hands.submit(thinker, "think")
    hands.work()

    with refused(hands, says):
        operations_of(hands).fork(run_id, **{"from_step": 0, **given})


def test_a_fork_is_told_its_instructions_letter_for_letter(agentflow: Harness) -> None:
    asked: list[str] = []

    def answer(request: Any) -> str:
        asked.append(request.messages[0]["content"])
        return "thought"

    hands = Hands(agentflow, thinker, model=scripted(answer))
    run_id = hands.submit(thinker, "think")
    hands.work()
    fork_id = operations_of(hands).fork(run_id, 0, instructions="a\x00 \ud800 🎉", reason="\x00\ud800")
    hands.work()

    assert agentflow.client.get(fork_id).status == "done"
    assert asked[1] == "a\x00 \ufffd 🎉"


RAISED: dict[str, Any] = {"NaN": float("nan"), "a word": "many", "huge": HUGE, "beyond": 10**30}


@pytest.mark.parametrize("value", RAISED.values(), ids=RAISED)
def test_a_ceiling_is_raised_to_numbers_alone(agentflow: Harness, value: Any) -> None:
    hands = Hands(agentflow, echoing)
    run_id = hands.submit(echoing, {"value": 1})
    operations_of(hands).cancel(run_id)
    hands.work()

    with refused(hands, "is no ceiling|is cancelled|not failed|cannot be retried"):
        operations_of(hands).retry(run_id, budget={"attempts": value})
