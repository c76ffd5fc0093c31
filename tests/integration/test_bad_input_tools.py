"""What a tool may give, write, send or raise: it is kept, or a typed error that says whether the call happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from agentflow import Agent, Context, Pipeline, ToolError, Unknown, tool
from agentflow.policy.prompt import SHOWN_BYTES
from agentflow.testing import FinishedRun, Harness, call, scripted
from tests.integration.hard_json import nested
from tests.integration.readback import read_everything

HUGE = 10**5_000


class Note(BaseModel):
    value: Any = None


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("it says nothing of itself")

    __str__ = __repr__


class Unreadable(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("it does not let itself be read")


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it says nothing of itself")


@pytest.fixture(autouse=True)
def everything_reads_back(agentflow: Harness) -> Iterator[None]:
    with capture_logs():
        yield
    read_everything(agentflow)


def doing(work: Callable[[Context], Any], effect: str = "keyed") -> Pipeline:
    def act(ctx: Context) -> Any:
        return work(ctx) if ctx.idempotency_key else None

    return Pipeline("doing", [tool(effect=effect)(act)])


def raising(error: BaseException) -> Callable[[Context], Any]:
    def work(_: Context) -> Any:
        raise error

    return work


UNKEPT: dict[str, tuple[Callable[[Context], Any], str]] = {
    "a NaN in a model": (lambda _: Note(value=float("nan")), "it holds a NaN or an Infinity"),
    "a NaN deep in a model": (lambda _: Note(value=[{"a": Note(value=float("inf"))}]), "a NaN or an Infinity"),
    "a model of 6,000 levels": (lambda _: Note(value=nested(6_000)), "a Note is no JSON data"),
    "a huge number in a model": (lambda _: Note(value=HUGE), r"\$\.value: an integer of over 1000 digits"),
    "a key of 5,000 digits": (lambda _: {HUGE: 1}, "a dict is no JSON data"),
    "bytes that are no text": (lambda _: b"\xff", "a bytes is no JSON data"),
    "what says nothing": (lambda _: Unprintable(), "a Unprintable is no JSON data"),
    "two keys in one": (lambda _: dict.fromkeys(("\ud800", "\ud801")), "a dict is no JSON data"),
    "long keys": (lambda _: {"k" * 100_000: nested(65)}, "kkk.*: nested deeper than 64 levels"),
    "a note's key": (lambda ctx: ctx.scratchpad.update({HUGE: 1}), "the key a int that cannot be printed is not a str"),
    "a note": (lambda ctx: ctx.scratchpad.update(note=Unprintable()), r"\$\.note: a Unprintable is not JSON"),
    "an unreadable note": (lambda ctx: ctx.scratchpad.update(note=Unreadable(a=1)), "it does not let itself be read"),
    "a deep note": (lambda ctx: ctx.scratchpad.update(note=nested(6_000)), "nested deeper than 64 levels"),
    "a webhook": (lambda ctx: ctx.outbox.webhook("https://example.com", {HUGE: 1}), r"\$\.payload: the key a int"),
    "a huge webhook": (lambda ctx: ctx.outbox.webhook("https://example.com", [HUGE]), "over 1000 digits"),
    "a deep webhook": (lambda ctx: ctx.outbox.webhook("https://example.com", nested(6_000)), "nested deeper than 64"),
}


@pytest.mark.parametrize(("work", "says"), UNKEPT.values(), ids=UNKEPT)
@pytest.mark.parametrize(("effect", "happened"), [("keyed", True), ("transactional", False)])
def test_what_cannot_be_kept_fails_its_step_after_the_call_and_is_not_called_again(
    agentflow: Harness, effect: str, happened: bool, work: Callable[[Context], Any], says: str
) -> None:
    run = agentflow.run(doing(work, effect), None)

    error = run.steps[0].error
    assert (run.status, run.attempts("act"), run.outbox, run.record.scratchpad) == ("failed", 1, [], {})
    assert (error["kind"], error["happened"]) == ("bad_output", happened)
    assert len(error["message"]) < 1_000
    with pytest.raises(ValueError, match=says):
        raise ValueError(error["message"])


@pytest.mark.parametrize(
    "value",
    [{"\ud800": "\udfff"}, {"\x00": {"\x00\ud800": ["\x00"]}}, {"a": [nested(62)]}, [Note(value="\x00").model_dump()]],
    ids=["half pairs as keys", "NUL in keys", "64 levels", "NUL from a model"],
)
def test_what_is_odd_is_kept(agentflow: Harness, value: Any) -> None:
    run = agentflow.run(doing(lambda _: value), None)

    assert run.status == "done"
    assert repr(run.result) == repr(value).replace(r"\ud800", "\ufffd").replace(r"\udfff", "\ufffd")


ADDRESSES: dict[str, tuple[Callable[[Context], Any], str]] = {
    "half a pair": (lambda ctx: ctx.outbox.email(to="a\ud800@b.org", subject="", body=""), "half of a surrogate pair"),
    "NUL": (lambda ctx: ctx.outbox.email(to="a\x00@b.org", subject="", body=""), "a control character"),
    "another header": (
        lambda ctx: ctx.outbox.email(to="a@b.org\r\nBcc: c@d.org", subject="", body=""),
        "a line break or a control character",
    ),
    "a subject of two lines": (lambda ctx: ctx.outbox.email(to="a@b.org", subject="\r\nBcc:", body=""), "a line break"),
    "a reply to two": (
        lambda ctx: ctx.outbox.email(to="a@b.org", subject="", body="", reply_to="a@b.org,c@d.org"),
        "give one address",
    ),
    "10 MB": (lambda ctx: ctx.outbox.email(to="a" * 10_000_000, subject="", body=""), "10,000,000 characters"),
    "a number": (lambda ctx: ctx.outbox.email(to=7, subject="", body=""), "'to' is a int; give text"),  # type: ignore[arg-type]
    "emoji alone": (lambda ctx: ctx.outbox.email(to="🎉", subject="", body=""), "give one address"),
    "half a URL": (lambda ctx: ctx.outbox.webhook("https://b.org/\ud800", {}), "half of a surrogate pair"),
    "a URL with NUL": (lambda ctx: ctx.outbox.webhook("https://b.org/\x00", {}), "a control character"),
    "a header of two lines": (
        lambda ctx: ctx.outbox.webhook("https://b.org", {}, headers={"X-A": "a\r\nX-B: b"}),
        "holds what no header may",
    ),
    "half a header": (lambda ctx: ctx.outbox.webhook("https://b.org", {}, headers={"X": "\ud800"}), "what no header"),
    "an unknown kind": (lambda ctx: ctx.outbox.send("\x00", {}), "there is no kind of message"),
}


@pytest.mark.parametrize(("send", "says"), ADDRESSES.values(), ids=ADDRESSES)
def test_a_message_to_nobody_that_could_be_meant_is_refused_and_not_sent(
    agentflow: Harness, send: Callable[[Context], Any], says: str
) -> None:
    run = agentflow.run(doing(send), None)

    error = run.steps[0].error
    assert (run.status, error["kind"], error["happened"], run.outbox) == ("failed", "bad_input", False, [])
    with pytest.raises(ValueError, match=says):
        raise ValueError(error["message"])


def test_a_mail_is_written_letter_for_letter_but_for_half_pairs(agentflow: Harness) -> None:
    run = agentflow.run(
        doing(lambda ctx: ctx.outbox.email(to="Ann 🎉 <ann@example.com>", subject="🎉 \ud800", body="\x00\ud800é")),
        None,
    )

    sent = run.outbox[0]["payload"]
    assert sent == {"to": "Ann 🎉 <ann@example.com>", "subject": "🎉 \ufffd", "body": "\x00\ufffdé"}


ERRORS: dict[str, tuple[BaseException, str, str]] = {
    "half a pair": (ToolError("no \ud800\x00"), "tool_error", "no \ufffd\x00"),
    "half a pair, unforeseen": (ValueError("no \ud800\x00"), "bug", "ValueError: no \ufffd\x00"),
    "a group of half pairs": (ExceptionGroup("g \ud800", [ValueError("\x00")]), "bug", "ExceptionGroup: g \ufffd (1"),
    "10 MB": (ToolError("x" * 10_000_000), "tool_error", "xxx"),
    "10 MB of half pairs": (ValueError("\ud800" * 10_000_000), "bug", "ValueError: \ufffd\ufffd"),
    "emoji alone": (ToolError("🎉"), "tool_error", "🎉"),
    "a huge number": (KeyError(HUGE), "bug", "KeyError"),
    "no words": (Wordless(), "bug", "Wordless"),
    "no words inside": (ValueError(Unprintable()), "bug", "ValueError"),
    "no depth left": (RecursionError("deep"), "bug", "RecursionError: deep"),
    "no memory left": (MemoryError(), "bug", "MemoryError"),
    "bytes that are no text": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "malformed", "UnicodeDecodeError"),
    "a huge status": (ToolError("s", status=HUGE), "tool_error", "s"),
    "a status of no number": (ToolError("s", status="\x00"), "tool_error", "s"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("error", "kind", "says"), ERRORS.values(), ids=ERRORS)
def test_an_error_of_any_text_is_recorded_and_told(
    agentflow: Harness, error: BaseException, kind: str, says: str
) -> None:
    run = agentflow.run(doing(raising(error)), None)

    stored = run.steps[0].error
    assert (run.status, stored["kind"]) == ("failed", kind)
    assert stored["message"].startswith(says)
    assert len(stored["message"]) <= 8_000
    assert "status" not in stored


WISHES = [float("nan"), float("inf"), -1.0, 0, HUGE, "soon", [1]]


@pytest.mark.parametrize("wish", WISHES, ids=[str(type(wish).__name__) + str(n) for n, wish in enumerate(WISHES)])
def test_a_wish_to_be_left_alone_is_granted_for_an_hour_at_most_or_not_at_all(agentflow: Harness, wish: Any) -> None:
    asked: list[int] = []

    def work(_: Context) -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ToolError("busy", kind="rate_limited", retry_after_s=wish)
        return "found"

    run = agentflow.run(doing(work), None)

    assert (run.status, len(asked)) == ("done", 2)
    assert run.steps[0].tries[0]["error"].get("retry_after_s") == (3_600 if wish is HUGE else None)


@pytest.mark.parametrize("said", ["maybe", nested(6_000), 1], ids=["a word", "6,000 levels", "a number"])
def test_a_tool_error_says_yes_no_or_nothing_of_whether_it_happened(said: Any) -> None:
    with pytest.raises(ValueError, match="give True, False, or None where nobody can tell"):
        ToolError("no", happened=said)


VERDICTS: dict[str, tuple[Any, str, str]] = {
    "nothing": (None, "error", "the verifier answered None; answer Happened"),
    "a word": ("yes", "error", "the verifier answered 'yes'"),
    "what says nothing": (Unprintable(), "error", "a Unprintable that cannot be printed"),
    "a reason that is none": (Unknown(Unprintable()), "error", "cannot be printed"),  # type: ignore[arg-type]
    "a long word": ("x" * 10_000_000, "error", "the verifier answered 'xxx"),
    "an odd reason": (Unknown("\ud800\x00"), "ok", "\ufffd\x00"),
}


@pytest.mark.parametrize(("verdict", "status", "says"), VERDICTS.values(), ids=VERDICTS)
def test_a_verification_that_gives_no_verdict_leaves_the_doubt_to_a_person(
    agentflow: Harness, verdict: Any, status: str, says: str
) -> None:
    @tool(effect="verified", settle_s=1)
    def send(ctx: Context) -> str:
        return ctx.idempotency_key

    @send.verify
    def ask() -> Any:
        return verdict

    run = agentflow.run(Pipeline("sending", [send]), None, crash_after="send")

    asked = run.steps[1]
    told = asked.output["reason"] if status == "ok" else asked.error["message"]
    assert (run.status, run.steps[0].status, asked.status) == ("waiting_human", "in_doubt", status)
    assert says in told
    assert len(told) < 1_000


@pytest.mark.parametrize(
    "answer", [float("nan"), nested(6_000), {HUGE: 1}, Unprintable()], ids=lambda each: str(type(each))
)
def test_an_undoing_whose_answer_cannot_be_kept_is_not_taken_for_done(agentflow: Harness, answer: Any) -> None:
    @tool(effect="idempotent")
    def book() -> str:
        return "booked"

    @book.compensate
    def unbook(result: str) -> Any:
        return answer if result else None

    run = agentflow.run(Pipeline("booking", [book, *doing(raising(ToolError("no"))).tools.values()]), None)

    assert (run.status, run.record.compensation) == ("failed", "failed")
    assert (run.steps[2].tool_name, run.steps[2].error["kind"]) == ("compensate", "bad_output")


def asked_with(agentflow: Harness, work: Callable[[Context], Any]) -> tuple[FinishedRun, str]:
    """Let a model call a tool once; return the run, and what the model was told."""
    told: list[str] = []

    def answer(request: Any) -> str:
        told.append(request.messages[-1]["content"])
        return "done"

    act = doing(work, "read").tools["act"]
    run = agentflow.run(
        Agent("asker", model="openai:gpt-4o-mini", tools=[act]), "go", model=scripted(call("act"), answer)
    )
    return run, told[0]


def test_10_megabytes_of_data_are_kept_whole_and_shown_shortened(agentflow: Harness) -> None:
    rows = [{"row": number, "text": "é🎉" * 50} for number in range(31_000)]

    run, told = asked_with(agentflow, lambda _: rows)

    assert len(json.dumps(rows, ensure_ascii=False).encode()) > 10_000_000
    assert run.steps[1].output == rows
    assert SHOWN_BYTES <= len(told.encode()) < SHOWN_BYTES + 100
    assert "[shortened: " in told


def test_10_megabytes_of_error_are_told_in_brief(agentflow: Harness) -> None:
    run, told = asked_with(agentflow, raising(ToolError("é" * 10_000_000)))

    assert run.status == "done"
    assert len(told) <= 8_000
    assert told.endswith("(the rest is left out)")
