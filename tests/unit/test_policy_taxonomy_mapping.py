from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.policy.taxonomy import classify_error, classify_with

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)


class VendorBusy(Exception):
    """What no table can know."""


def answering(answer: Any) -> Callable[[Exception], Any]:
    def classify_vendor(_error: Exception) -> Any:
        return answer

    return classify_vendor


def classify(answer: Any, error: BaseException | None = None) -> Failed:
    return classify_with(answering(answer), error or VendorBusy("come back"), now=NOW)


@pytest.mark.parametrize(
    ("answer", "kind", "happened"),
    [
        ("transient", "transient", None),
        (ErrorKind.TRANSIENT, "transient", None),
        ("rate_limited", "rate_limited", False),
        ("auth", "auth", False),
        ("timeout", "timeout", None),
    ],
)
def test_a_kind_of_the_mapping_is_taken_and_the_table_says_whether_it_happened(
    answer: str, kind: str, happened: bool | None
) -> None:
    assert classify(answer) == Failed(kind, "VendorBusy: come back", happened)


def test_a_kind_of_the_mapping_leaves_what_the_table_knows_of_the_connection() -> None:
    failed = classify("quota", ConnectionRefusedError("refused"))
    assert (failed.kind, failed.happened) == ("quota", False)
    failed = classify("transient", ConnectionRefusedError("refused"))
    assert (failed.kind, failed.happened) == ("transient", False)


@pytest.mark.parametrize("error", [VendorBusy("x"), TimeoutError("x"), ToolError("x", kind="auth")], ids=repr)
@pytest.mark.parametrize("custom", [None, answering(None)], ids=["no mapping", "None"])
def test_what_the_mapping_does_not_know_is_left_to_the_table(custom: Any, error: Exception) -> None:
    assert classify_with(custom, error, now=NOW) == classify_error(error, now=NOW)


def test_a_failure_of_the_mapping_is_taken_as_it_is_and_bounded() -> None:
    failed = classify(Failed("transient", "x" * 9_000, True, {"code": 7}, status=503, retry_after_s=1e9))
    assert (failed.happened, failed.details, failed.status, failed.retry_after_s) == (True, {"code": 7}, 503, 3600)
    assert len(failed.message) == 8_000


def test_a_tool_error_of_the_mapping_stands_in_for_the_exception() -> None:
    failed = classify(ToolError("the shop is busy", kind="rate_limited", retry_after_s=5))
    assert failed == Failed("rate_limited", "the shop is busy", False, retry_after_s=5.0)


@pytest.mark.parametrize(
    "answer", ["", "busy", 503, True, [], {}, VendorBusy, VendorBusy("x"), Failed("busy", "x")], ids=repr
)
def test_an_answer_that_is_none_is_a_bug_that_names_the_mapping(answer: Any) -> None:
    failed = classify(answer)
    assert (failed.kind, failed.happened) == ("bug", None)
    assert "the classifier 'answering.<locals>.classify_vendor' answered" in failed.message
    assert "give None, a Failed, a ToolError or one of transient, " in failed.message
    assert "(for VendorBusy: come back)" in failed.message


def test_a_mapping_that_raises_is_a_bug_that_names_it_and_hides_nothing() -> None:
    def broken(error: Exception) -> str:
        raise KeyError(error.args[0])

    failed = classify_with(broken, ConnectionRefusedError("refused"), now=NOW)
    assert (failed.kind, failed.happened) == ("bug", False)
    assert "broken' raised KeyError: 'refused' (for ConnectionRefusedError: refused)" in failed.message


def test_a_failure_whose_parts_are_of_wrong_types_is_a_bug_too() -> None:
    odd: Any = None
    assert "raised TypeError" in classify(Failed("transient", odd)).message


def test_what_is_no_error_of_a_tool_is_not_shown_to_the_mapping() -> None:
    assert classify("transient", KeyboardInterrupt()).kind == "bug"
