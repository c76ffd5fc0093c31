from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict

from agentflow import Context, DeclarationError, tool
from agentflow.declare.tool import Tool
from agentflow.domain.errors import PayloadRefused
from agentflow.domain.step import RESERVED_TOOL_NAMES

HERE = r"test_declare_tool\.py:\d+: "


class Refund(BaseModel):
    order_id: str
    cents: int


class Line(TypedDict):
    sku: str


class Size(enum.Enum):
    SMALL = "s"


def explode(value: str) -> str:
    raise KeyError(value)


def read(function: Callable[..., Any]) -> Tool[..., Any]:
    return tool(effect="read")(function)


def refund(ctx: Context, order_id: str, cents: int = 5, reason: str | None = None) -> str:
    """Refund an order.

    It is final.

    Args:
        order_id: the order's number
        cents: how much
    """
    return f"{ctx.idempotency_key} {order_id} {cents} {reason}"


def test_a_schema_is_read_off_the_signature_and_the_docstring() -> None:
    declared = tool(effect="keyed")(refund)

    assert declared.description == "Refund an order.\n\nIt is final."
    assert declared.signature.schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["order_id"],
        "properties": {
            "order_id": {"type": "string", "description": "the order's number"},
            "cents": {"type": "integer", "description": "how much", "default": 5},
            "reason": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
    }


def test_a_schema_knows_models_enumerations_literals_and_constraints() -> None:
    @read
    def order(
        refund: Refund, lines: list[Line], size: Size, how: Literal["a", "b"], n: Annotated[int, Field(ge=1)]
    ) -> None:
        pass

    properties = order.signature.schema["properties"]

    assert properties["refund"] == {"$ref": "#/$defs/Refund"}
    assert properties["lines"] == {"type": "array", "items": {"$ref": "#/$defs/Line"}}
    assert properties["how"]["enum"] == ["a", "b"]
    assert properties["n"]["minimum"] == 1


def test_arguments_reach_the_function_as_their_types() -> None:
    @read
    def order(refund: Refund, size: Size) -> list[Any]:
        return [type(refund).__name__, size.name]

    arguments = {"refund": {"order_id": "1", "cents": 2}, "size": "s"}

    assert order.function(**order.signature.parse(arguments)) == ["Refund", "SMALL"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "order_id: Field required"),
        ({"order_id": 1}, "order_id: Input should be a valid string"),
        ({"order_id": "1", "secret": "x"}, "secret: Extra inputs are not permitted"),
        ({"order_id": "1", "ctx": "x"}, "ctx: Extra inputs are not permitted"),
    ],
    ids=["missing", "wrong type", "unknown", "the context"],
)
def test_arguments_that_do_not_fit_are_refused_argument_by_argument(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        tool(effect="keyed")(refund).signature.parse(arguments)


def test_a_complaint_does_not_repeat_the_value() -> None:
    with pytest.raises(ValueError, match="order_id") as raised:
        tool(effect="keyed")(refund).signature.parse({"order_id": ["s3cret"]})

    assert "s3cret" not in str(raised.value)


def test_a_validator_that_raises_anything_is_a_complaint_too() -> None:
    @read
    def order(order_id: Annotated[str, AfterValidator(explode)]) -> None:
        pass

    with pytest.raises(ValueError, match="KeyError: '1'"):
        order.signature.parse({"order_id": "1"})


def test_a_tool_stays_a_plain_callable() -> None:
    @read
    def double(n: int) -> int:
        """Double it."""
        return 2 * n

    assert (double(21), double.__name__, double.__doc__) == (42, "double", "Double it.")


def test_a_tool_without_an_effect_is_refused_with_the_classes() -> None:
    def ship(order_id: str) -> None:
        pass

    with pytest.raises(DeclarationError, match=HERE + "@tool needs an effect: read .*transactional .*keyed .*unsafe"):
        tool()(ship)


def no_type(order_id):  # type: ignore[no-untyped-def]
    pass


def any_number(*orders: str) -> None:
    pass


def any_name(**orders: str) -> None:
    pass


def only_by_place(order_id: str, /) -> None:
    pass


def context_only_by_place(ctx: Context, /) -> None:
    pass


def no_schema(order: Callable[[], None]) -> None:
    pass


def hidden(model_config: str) -> None:
    pass


def unresolved(order: "Nowhere") -> None:  # type: ignore[name-defined] # noqa: F821, UP037
    pass


def plain(order_id: str) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "options", "complaint"),
    [
        (plain, {"effect": "sometimes"}, "tool 'plain': effect='sometimes' is none of read"),
        (plain, {"effect": "read", "name": "a b"}, "tool 'a b': give it a name of letters"),
        (lambda: None, {"effect": "read"}, "tool '<lambda>': give it a name of letters"),
        (plain, {"effect": "read", "timeout_s": 0}, "timeout_s=0; give seconds above zero"),
        (plain, {"effect": "read", "timeout_s": float("inf")}, "timeout_s=inf; give seconds above zero"),
        (plain, {"effect": "read", "timeout_s": float("nan")}, "timeout_s=nan; give seconds above zero"),
        (plain, {"effect": "verified", "settle_s": -1}, "settle_s=-1; give seconds, zero or more"),
        (plain, {"effect": "read", "on_error": "ignore"}, "on_error='ignore'; give 'model' or 'fail'"),
        (plain, {"effect": "verified", "settle_s": float("inf")}, "settle_s=inf; give seconds, zero or more"),
        (plain, {"effect": "read", "approval": "always"}, "approval='always'; give True, or a predicate"),
        (plain, {"effect": "read", "expires_s": 0}, "expires_s=0; give seconds above zero"),
        (plain, {"effect": "read", "expires_s": 1e13}, "expires_s=1.*; give seconds above zero, up to ten years"),
        (plain, {"effect": "unsafe", "approval": True, "no_approval": "x"}, "has an approval and a no_approval"),
        (plain, {"effect": "unsafe", "no_approval": " "}, "no_approval=' '; say in words why its calls need nobody's"),
        (plain, {"effect": "unsafe", "no_compensation": True}, "no_compensation=True; say in words why the effect"),
        (plain, {"effect": "read", "no_compensation": "x"}, "no_compensation=..., but a 'read' call changes nothing"),
        (plain, {"effect": "read", "verify_after": True}, "verify_after=True, but a 'read' call leaves nothing to ask"),
        (plain, {"effect": "read", "ends_run": "later"}, "ends_run='later'; give True, False or 'handoff'"),
        (plain, {"effect": "transactional"}, "is 'transactional' but takes no Context; add `ctx: Context`"),
        (plain, {"effect": "keyed"}, "is 'keyed' but never uses its key; add `ctx: Context` and send"),
        (plain, {"effect": "read", "key": "order"}, "key='order' is the same for every call"),
        (plain, {"effect": "read", "key": "{order"}, "key='{order' is no format string"),
        (plain, {"effect": "read", "key": "{order}"}, "names 'order'; its parameters are order_id"),
        (plain, {"effect": "read", "key": "{}"}, "names ''; its parameters are order_id"),
        (refund, {"effect": "keyed", "key": "{ctx}"}, "names 'ctx'; its parameters are cents, order_id, reason"),
        (no_type, {"effect": "read"}, "parameter 'order_id' of 'no_type' has no type; annotate it"),
        (any_number, {"effect": "read"}, r"'any_number' takes \*orders: .*name every parameter"),
        (any_name, {"effect": "read"}, r"'any_name' takes \*\*orders: .*name every parameter"),
        (only_by_place, {"effect": "read"}, "'only_by_place' takes order_id: .*name every parameter"),
        (context_only_by_place, {"effect": "read"}, "'context_only_by_place' takes ctx: .*name every parameter"),
        (no_schema, {"effect": "read"}, "the parameters of 'no_schema' have no JSON schema"),
        (hidden, {"effect": "read"}, "'hidden' cannot have a parameter 'model_config'; rename it"),
        (unresolved, {"effect": "read"}, "the annotations of 'unresolved' do not resolve: name 'Nowhere'"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_with_its_place_and_a_mend(
    function: Callable[..., Any], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DeclarationError, match=HERE + f".*{complaint}"):
        tool(**options)(function)


def test_a_parameter_may_be_called_like_a_method_of_pydantics() -> None:
    @read
    def order(json: str, copy: int, model_name: str, self: str) -> list[Any]:
        return [json, copy, model_name, self]

    arguments = {"json": "{}", "copy": 2, "model_name": "x", "self": "me"}

    assert order.function(**order.signature.parse(arguments)) == ["{}", 2, "x", "me"]


@pytest.mark.parametrize("name", sorted(RESERVED_TOOL_NAMES))
def test_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match=f"tool '{name}': the name is reserved; give it another with name="):
        tool(effect="read", name=name)(plain)


def test_a_context_that_is_handed_on_may_use_the_key() -> None:
    def post(ctx: Context) -> str:
        return ctx.idempotency_key

    def pay(ctx: Context, order_id: str) -> str:
        return post(ctx) + order_id

    assert tool(effect="keyed")(pay).effect == "keyed"


def test_a_verified_tool_without_a_verifier_is_refused_once_it_is_loaded() -> None:
    declared = tool(effect="verified")(plain)

    with pytest.raises(DeclarationError, match=r"is 'verified' but nothing verifies it; add @plain\.verify"):
        declared.check_complete()


def test_a_tool_that_is_verified_each_time_without_a_verifier_is_refused_once_it_is_loaded() -> None:
    declared = tool(effect="idempotent", verify_after=True)(plain)

    with pytest.raises(DeclarationError, match=r"has verify_after=True but nothing verifies it; add @plain\.verify"):
        declared.check_complete()


def test_a_business_key_is_made_of_the_arguments_and_their_defaults() -> None:
    declared = tool(effect="keyed", key="refund:{order_id}:{cents}")(refund)

    assert declared.key_for({"order_id": "1"}) == "refund:1:5"
    assert declared.key_for({"order_id": "1", "cents": 7}) == "refund:1:7"


def test_a_tool_without_a_key_names_none() -> None:
    assert tool(effect="keyed")(refund).key_for({"order_id": "1"}) is None


@pytest.mark.parametrize(
    ("key", "order_id"),
    [("{order_id}", "a\x00b"), ("{order_id}", "x" * 501), ("{order_id}", "\ud800"), ("{reason.id}", "1")],
    ids=["NUL", "long", "surrogate", "a part that None does not have"],
)
def test_a_key_that_cannot_be_one_is_a_complaint_about_the_arguments(key: str, order_id: str) -> None:
    with pytest.raises(ValueError, match="the key "):
        tool(effect="keyed", key=key)(refund).key_for({"order_id": order_id})


class Opaque:
    pass


@pytest.mark.parametrize(
    ("returns", "result", "expected"),
    [
        (Any, None, None),
        (Any, "text", "text"),
        (Refund, Refund(order_id="1", cents=2), {"order_id": "1", "cents": 2}),
        (list[Refund], [Refund(order_id="1", cents=2)], [{"order_id": "1", "cents": 2}]),
        (Any, {"size": Size.SMALL}, {"size": "s"}),
        (tuple[int, int], (1, 2), [1, 2]),
        (set[int], {1}, [1]),
    ],
    ids=repr,
)
def test_a_result_becomes_json_by_its_type(returns: Any, result: Any, expected: Any) -> None:
    def answer() -> returns:
        return result

    answer.__annotations__["return"] = returns

    assert read(answer).as_json(result) == expected


def test_a_result_that_is_no_json_is_refused() -> None:
    with pytest.raises(PayloadRefused, match="a Opaque is no JSON data"):
        read(plain).as_json(Opaque())
