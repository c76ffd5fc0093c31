from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import pytest
from pydantic import AfterValidator, BaseModel

from agentflow import Context, DeclarationError, Happened, NotHappened, tool
from agentflow.declare.aftermath import Compensator, Verifier
from agentflow.declare.tool import Tool
from agentflow.domain.step import Effect
from tests.unit.given import a_run

HERE = r"test_declare_aftermath\.py:\d+: "


class Refund(BaseModel):
    refund_id: str
    at: datetime | None = None


class Opaque:
    pass


def explode(value: Any) -> Any:
    raise KeyError(value)


def refund(ctx: Context, order_id: str, cents: int = 5) -> Refund:
    """Refund an order."""
    return Refund(refund_id=f"{ctx.idempotency_key}:{order_id}:{cents}")


def with_cents(cents: int) -> Happened[int]:
    return Happened(cents)


def declared(effect: str = "verified", **options: Any) -> Tool[..., Any]:
    return tool(effect=effect, **options)(refund)


def a_context() -> Context:
    return Context(a_run(), 3, 1, "run-1:3", datetime.now(UTC), None, cast("Any", None), subject_key="refund:4421")


def verifier_of(declared: Tool[..., Any]) -> Verifier:
    assert declared.verifier is not None
    return declared.verifier


def compensator_of(declared: Tool[..., Any]) -> Compensator:
    assert declared.compensator is not None
    return declared.compensator


def test_a_verification_is_given_the_context_and_the_arguments_that_it_names() -> None:
    refunds = declared()

    @refunds.verify
    def refunded(order_id: str, ctx: Context) -> Happened[str]:
        return Happened(f"{ctx.subject_key} {order_id}")

    parsed = refunds.signature.parse({"order_id": "4421"}, defaults=True)

    assert verifier_of(refunds).call(a_context(), parsed) == Happened("refund:4421 4421")


def test_a_verification_is_given_the_default_of_an_argument_that_the_call_left_out() -> None:
    refunds = declared()
    refunds.verify(with_cents)

    parsed = refunds.signature.parse({"order_id": "4421"}, defaults=True)

    assert verifier_of(refunds).call(a_context(), parsed) == Happened(5)


def test_a_verification_stays_a_plain_function() -> None:
    def refunded(order_id: str) -> NotHappened:
        return NotHappened()

    assert declared().verify(refunded) is refunded


def test_a_compensation_is_given_the_result_as_its_type_and_the_arguments_that_it_names() -> None:
    refunds = declared()

    @refunds.compensate
    def void(ctx: Context, made: Refund, order_id: str) -> list[Any]:
        return [type(made.at), made.refund_id, order_id, ctx.subject_key]

    parsed = refunds.signature.parse({"order_id": "4421"}, defaults=True)
    made = compensator_of(refunds).parse_result({"refund_id": "r-1", "at": "2026-01-02T03:04:05Z"})

    assert compensator_of(refunds).call(a_context(), made, parsed) == [datetime, "r-1", "4421", "refund:4421"]


@pytest.mark.parametrize(
    ("hint", "result", "complaint"),
    [
        (Refund, {"refund": "r-1"}, "the stored result does not fit 'made': refund_id: Field required"),
        (Refund, None, "the stored result does not fit 'made'"),
        (Annotated[str, AfterValidator(explode)], "x", "the stored result does not fit 'made': KeyError"),
    ],
    ids=["other shape", "none", "a validator that raises"],
)
def test_a_result_that_does_not_fit_is_a_complaint(hint: Any, result: Any, complaint: str) -> None:
    def void(made: Any) -> None:
        pass

    void.__annotations__["made"] = hint
    refunds = declared()
    refunds.compensate(void)

    with pytest.raises(ValueError, match=complaint):
        compensator_of(refunds).parse_result(result)


@pytest.mark.parametrize(
    ("hint", "takes_none"), [(Refund, False), (Refund | None, True), (Any, True), (None, True), (str, False)], ids=repr
)
def test_a_compensation_says_whether_it_takes_a_result_that_nobody_knows(hint: Any, takes_none: bool) -> None:
    def void(made: Any) -> None:
        pass

    void.__annotations__["made"] = hint
    refunds = declared()
    refunds.compensate(void)

    assert compensator_of(refunds).takes_none is takes_none


def test_a_compensation_without_annotations_takes_any_result() -> None:
    refunds = declared()
    refunds.compensate(lambda made: made)

    assert compensator_of(refunds).call(a_context(), {"any": 1}, {}) == {"any": 1}


def test_what_a_compensation_answers_is_kept_by_its_own_type() -> None:
    def void(made: Refund) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC)

    refunds = declared()
    refunds.compensate(void)

    assert compensator_of(refunds).as_json(void(Refund(refund_id="r-1"))) == "2026-01-02T00:00:00Z"


def with_key(ctx: Context, made: Refund) -> str:
    return ctx.idempotency_key


@pytest.mark.parametrize(
    ("effect", "undone"),
    [
        ("transactional", Effect.TRANSACTIONAL),
        ("keyed", Effect.KEYED),
        ("idempotent", Effect.IDEMPOTENT),
        ("verified", Effect.UNSAFE),
        ("unsafe", Effect.UNSAFE),
    ],
)
def test_a_compensation_is_of_its_tools_class_unless_that_needs_a_verification(effect: str, undone: Effect) -> None:
    refunds = declared(effect)
    refunds.compensate(with_key)

    assert (compensator_of(refunds).effect, compensator_of(refunds).says_effect) == (undone, False)


def test_a_compensation_may_say_its_own_class_and_timeout() -> None:
    refunds = declared(timeout_s=7)
    refunds.compensate(effect="keyed", timeout_s=3)(with_key)

    undo = compensator_of(refunds)

    assert (undo.effect, undo.says_effect, undo.timeout_s) == (Effect.KEYED, True, 3)


def test_a_compensation_has_its_tools_timeout_where_it_says_none() -> None:
    refunds = declared(timeout_s=7)
    refunds.compensate(with_key)

    assert compensator_of(refunds).timeout_s == 7


async def at_some_time(made: Refund) -> None:
    pass


def one_by_one(made: Refund) -> Any:
    yield made


def anything(*made: Refund) -> None:
    pass


def nothing(ctx: Context) -> None:
    pass


def without_result(order_id: str) -> None:
    pass


def with_a_stranger(made: Refund, customer: str) -> None:
    pass


def unresolved(made: "Nowhere") -> None:  # type: ignore[name-defined] # noqa: F821, UP037
    pass


def unreadable(made: Opaque) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "options", "complaint"),
    [
        (at_some_time, {}, "the compensation of 'refund' is no plain function; write a `def`"),
        (one_by_one, {}, "the compensation of 'refund' is no plain function"),
        (anything, {}, r"the compensation of 'refund' takes \*made: .*; name every parameter"),
        (nothing, {}, "takes no result; its first parameter beside the Context is the call's result"),
        (
            without_result,
            {},
            "takes 'order_id' first, where it is given the call's result, and the call has an argument",
        ),
        (
            with_a_stranger,
            {},
            "takes 'customer'; the call's own arguments are order_id, cents, and a context is annotated",
        ),
        (unresolved, {}, "the annotations of the compensation of 'refund' do not resolve: name 'Nowhere'"),
        (unreadable, {}, "nothing can be read as 'made'"),
        (with_key, {"effect": "verified"}, "effect='verified'; give one of transactional, keyed, idempotent, unsafe"),
        (with_key, {"effect": "read"}, "effect='read'; give one of"),
        (with_key, {"timeout_s": 0}, "timeout_s=0; give seconds above zero"),
        (with_a_stranger, {"timeout_s": float("nan")}, "timeout_s=nan; give seconds above zero"),
        (lambda made: None, {"effect": "transactional"}, "is 'transactional' but takes no Context"),
        (
            lambda made: None,
            {"effect": "keyed"},
            "is 'keyed' but never uses its key; send ctx.idempotency_key along, or",
        ),
    ],
)
def test_a_compensation_that_cannot_work_is_refused_with_its_place_and_a_mend(
    function: Callable[..., Any], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DeclarationError, match=HERE + f".*{complaint}"):
        declared().compensate(**options)(function)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (at_some_time, "the verification of 'refund' is no plain function"),
        (with_a_stranger, "the verification of 'refund' takes 'made'; the call's own arguments are order_id, cents"),
        (anything, r"the verification of 'refund' takes \*made"),
    ],
)
def test_a_verification_that_cannot_work_is_refused_with_its_place_and_a_mend(
    function: Callable[..., Any], complaint: str
) -> None:
    with pytest.raises(DeclarationError, match=HERE + complaint):
        declared().verify(function)


@pytest.mark.parametrize("effect", ["read", "transactional"])
def test_a_call_that_leaves_nothing_outside_has_no_verification(effect: str) -> None:
    with pytest.raises(DeclarationError, match=f"a '{effect}' call leaves nothing to ask about outside; leave it out"):
        declared(effect).verify(without_result)


def test_a_call_that_changes_nothing_has_no_compensation() -> None:
    with pytest.raises(DeclarationError, match="'refund' is 'read' and changes nothing; there is nothing to undo"):
        declared("read").compensate(with_key)


def test_a_second_verification_is_refused_with_both_places() -> None:
    refunds = declared()
    refunds.verify(without_result)

    with pytest.raises(DeclarationError, match=HERE + "'refund' has a verification at .*already; keep one"):
        refunds.verify(without_result)


def test_a_second_compensation_is_refused_with_both_places() -> None:
    refunds = declared()
    refunds.compensate(with_key)

    with pytest.raises(DeclarationError, match=HERE + "'refund' has a compensation at .*already; keep one"):
        refunds.compensate(with_key)


def test_a_compensation_beside_a_reason_for_none_is_refused() -> None:
    with pytest.raises(DeclarationError, match="'refund' has a no_compensation too; take one of them"):
        declared(no_compensation="money is never taken back").compensate(with_key)
