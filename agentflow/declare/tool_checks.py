"""What a tool's declaration must be to work, each refusal with the place and what to write instead."""

from __future__ import annotations

import math
import re
import string
from typing import TYPE_CHECKING, Any

from agentflow.declare.credential import Credential
from agentflow.declare.limits import Limits
from agentflow.declare.signature import uses_attribute
from agentflow.domain.errors import DeclarationError
from agentflow.domain.step import RESERVED_TOOL_NAMES, Effect

if TYPE_CHECKING:
    from agentflow.declare.tool import Tool

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
# What any clock and any timestamp of the database can still hold.
_LONGEST_S = 10 * 365 * 86_400.0
_DEPENDENCY = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def check_tool(tool: Tool[Any, Any]) -> None:
    """Raise DeclarationError for what can't work."""
    where = f"{tool.place}: tool {tool.name!r}"
    if not _NAME.fullmatch(tool.name):
        raise DeclarationError(f"{where}: give it a name of letters, digits and _, at most 64, with name=...")
    if tool.name in RESERVED_TOOL_NAMES:
        raise DeclarationError(f"{where}: the name is reserved; give it another with name=...")
    if tool.on_error not in {"model", "fail"}:
        raise DeclarationError(f"{where}: on_error={tool.on_error!r}; give 'model' or 'fail'")
    _check_times(tool, where)
    _check_effect(tool, where)
    if tool.key is not None:
        _check_template(where, "key", tool.key, set(tool.signature.arguments.model_fields))
    _check_limits(tool, where)
    _check_people(tool, where)
    _check_aftermath(tool, where)


def _check_people(tool: Tool[Any, Any], where: str) -> None:
    if not (isinstance(tool.approval, bool) or callable(tool.approval)):
        raise DeclarationError(f"{where}: approval={tool.approval!r}; give True, or a predicate over the arguments")
    if tool.ends_run not in (True, False, "handoff"):
        raise DeclarationError(f"{where}: ends_run={tool.ends_run!r}; give True, False or 'handoff'")
    if tool.approval and tool.no_approval is not None:
        raise DeclarationError(f"{where} has an approval and a no_approval; take one of them")
    _check_reason(where, "no_approval", tool.no_approval, "why its calls need nobody's word")


def _check_aftermath(tool: Tool[Any, Any], where: str) -> None:
    if tool.verify_after and tool.effect in {Effect.READ, Effect.TRANSACTIONAL}:
        raise DeclarationError(
            f"{where}: verify_after=True, but a {str(tool.effect)!r} call leaves nothing to ask about outside; "
            "leave it out"
        )
    if tool.effect is Effect.READ and tool.no_compensation is not None:
        raise DeclarationError(f"{where}: no_compensation=..., but a 'read' call changes nothing; leave it out")
    _check_reason(where, "no_compensation", tool.no_compensation, "why the effect cannot, or need not, be undone")


def _check_reason(where: str, name: str, reason: Any, what: str) -> None:
    if reason is not None and not (isinstance(reason, str) and reason.strip()):
        raise DeclarationError(f"{where}: {name}={reason!r}; say in words {what}")


def _check_times(tool: Tool[Any, Any], where: str) -> None:
    if not 0 < tool.timeout_s < math.inf:
        raise DeclarationError(f"{where}: timeout_s={tool.timeout_s!r}; give seconds above zero")
    if tool.settle_s is not None and not 0 <= tool.settle_s <= _LONGEST_S:
        raise DeclarationError(f"{where}: settle_s={tool.settle_s!r}; give seconds, zero or more, up to ten years")
    if not 0 < tool.expires_s <= _LONGEST_S:
        raise DeclarationError(f"{where}: expires_s={tool.expires_s!r}; give seconds above zero, up to ten years")


def _check_effect(tool: Tool[Any, Any], where: str) -> None:
    context = tool.signature.context_name
    if tool.effect is Effect.TRANSACTIONAL and context is None:
        raise DeclarationError(
            f"{where} is 'transactional' but takes no Context; add `ctx: Context` and write through ctx.connection"
        )
    if tool.effect is Effect.KEYED and not (context and uses_attribute(tool.function, context, "idempotency_key")):
        raise DeclarationError(
            f"{where} is 'keyed' but never uses its key; add `ctx: Context` and send ctx.idempotency_key along"
        )
    if tool.cache and tool.effect is not Effect.READ:
        raise DeclarationError(f"{where}: cache=True is for 'read' tools; a call that does something is made")


def _check_limits(tool: Tool[Any, Any], where: str) -> None:
    if not isinstance(tool.limits, Limits):
        raise DeclarationError(f"{where}: limits={tool.limits!r}; give Limits(...)")
    if tool.depends_on is not None and not _DEPENDENCY.fullmatch(tool.depends_on):
        raise DeclarationError(f"{where}: depends_on={tool.depends_on!r}; give a name of letters, digits, _ . : -")
    if tool.credential is not None and not isinstance(tool.credential, Credential):
        raise DeclarationError(f"{where}: credential={tool.credential!r} is none; decorate a function @credential")
    for rate in tool.limits.rates:
        if rate.key is not None:
            _check_template(where, "Rate key", rate.key, {"user_id", *tool.signature.arguments.model_fields})


def _check_template(where: str, what: str, template: str, known: set[str]) -> None:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise DeclarationError(f"{where}: {what}={template!r} is no format string: {error}") from error
    for field in fields:
        root = re.split(r"[.\[]", field, maxsplit=1)[0]
        if root not in known:
            names = ", ".join(sorted(known)) or "none"
            raise DeclarationError(f"{where}: {what}={template!r} names {root!r}; its parameters are {names}")
    if not fields:
        raise DeclarationError(f"{where}: {what}={template!r} is the same for every call; name a parameter in braces")
