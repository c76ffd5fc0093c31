"""Owns the value of an expression of numbers, the four operators and parentheses."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from tests.acceptance.airline.refusal import Refused

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
ALLOWED = frozenset("0123456789+-*/(). ")


def evaluate(expression: str) -> Any:
    """Return the value; refuse anything else than arithmetic."""
    if not ALLOWED.issuperset(expression):
        raise Refused("invalid characters in expression")
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, KeyError) as error:
        raise Refused(str(error)) from error


def _value(node: ast.AST) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(operand=operand):
            return OPERATORS[type(node.op)](_value(operand))
        case ast.BinOp(left=left, right=right):
            return OPERATORS[type(node.op)](_value(left), _value(right))
        case _:
            raise SyntaxError(f"{ast.unparse(node)!r} is no arithmetic")
