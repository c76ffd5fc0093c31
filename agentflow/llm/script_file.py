"""Scripts in a file, one per customer: {"scripts": [{"match": {"user_contains": "order 4421"}, "answers": [...]}]}.

The first script that fits is played. `user_contains` looks into the customer's first message and into the request's
`user`, `user` is the request's `user` itself; a script without `match` fits everybody. An answer is text, or
{"tool_calls": [{"name": str, "arguments": object or text}], "content": text or null}, or
{"error": {"kind": str, "message": str, "status": int, "retry_after_s": number}}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentflow.domain.errors import ConfigError, ModelError
from agentflow.llm.protocol import ModelRequest, ModelResponse
from agentflow.llm.scripted import Answer, ScriptedCall, ScriptedModel, call, calls

MATCHES = {"user", "user_contains"}


@dataclass(frozen=True)
class Script:
    """The answers for those who fit `match`."""

    match: Mapping[str, str]
    model: ScriptedModel

    def fits(self, request: ModelRequest) -> bool:
        """Whether this script is the one for the request's customer."""
        customer = request.user or ""
        first = next((message["content"] or "" for message in request.messages if message["role"] == "user"), "")
        wanted = self.match.get("user_contains", "")
        return (wanted in first or wanted in customer) and self.match.get("user", customer) == customer


class ScriptedByCustomer:
    """Plays the first script that fits the request."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.scripts = scripts

    def complete(self, request: ModelRequest) -> ModelResponse:
        """Give the script's answer; raise ModelError where no script fits or the one that does is over."""
        for script in self.scripts:
            if script.fits(request):
                return script.model.complete(request)
        raise ModelError("No script fits this customer: add one, or one without 'match' for all.", kind="bad_input")


def read_scripts(path: Path) -> ScriptedByCustomer:
    """Read a file of scripts; raise ConfigError saying what in it is wrong."""
    try:
        scripts = json.loads(path.read_text(encoding="utf-8"))["scripts"]
        return ScriptedByCustomer([_read_script(script) for script in scripts])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no file of scripts: {error!r}") from error


def _read_script(body: Mapping[str, Any]) -> Script:
    match = body.get("match") or {}
    if unknown := set(match) - MATCHES:
        raise ValueError(f"'match' knows {sorted(MATCHES)}, not {sorted(unknown)}")
    return Script(match, ScriptedModel(read_answer(answer) for answer in body["answers"]))


def read_answer(body: Any) -> Answer:
    """One answer of a script file; raise ValueError, KeyError or TypeError where it is none."""
    if isinstance(body, str):
        return body
    if "error" in body:
        return _read_error(body["error"])
    if "tool_calls" in body:
        return calls(*(_read_call(wanted) for wanted in body["tool_calls"]), text=body.get("content"))
    raise ValueError(f"an answer is text or has 'tool_calls' or 'error', not {sorted(body)}")


def _read_call(body: Mapping[str, Any]) -> ScriptedCall:
    arguments = body.get("arguments", {})
    if isinstance(arguments, str):
        return call(body["name"], raw=arguments)
    return call(body["name"], raw=json.dumps(arguments, ensure_ascii=False, separators=(",", ":")))


def _read_error(body: Mapping[str, Any]) -> ModelError:
    kind = body["kind"]
    return ModelError(
        body.get("message", f"The script says: {kind}."),
        kind=kind,
        status=body.get("status"),
        retry_after_s=body.get("retry_after_s"),
    )
