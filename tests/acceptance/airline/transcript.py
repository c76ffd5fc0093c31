"""Owns the comparison of agentflow's logs with the recordings: runs' ends, tools' answers, the model's prompts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, text

from agentflow.domain import message
from agentflow.llm.wire import read_message
from tests.acceptance.airline.dataset import HANDOFF, Conversation, Ending, Turn, policy

RUNS = text(
    "select r.conversation_id, r.status, s.tool_name, r.result::text, r.error::text "
    "from agentflow.agent_runs r "
    "left join agentflow.agent_steps s on s.run_id = r.run_id and s.step_index = r.current_step "
    "order by r.conversation_id, r.created_at, r.run_id"
)
TOOL_CALLS = text(
    "select r.conversation_id, c.tool, c.input::text, c.output::text "
    "from agentflow.tool_calls c join agentflow.agent_runs r using (run_id) "
    "where c.status = 'ok' order by r.conversation_id, r.created_at, r.run_id, c.step_index"
)
MODEL_CALLS = text(
    "select r.conversation_id, c.prompt::text, c.response::text "
    "from agentflow.llm_calls c join agentflow.agent_runs r using (run_id) "
    "where c.response is not null order by r.conversation_id, r.created_at, r.run_id, c.step_index"
)
TOOLS = "tools"


def ending_differences(connection: Connection, conversations: Iterable[Conversation]) -> list[str]:
    """Name each run that did not end as its message's recording does."""
    runs = _by_conversation(connection, RUNS)
    return [
        f"{each.conversation_id}, message {number}: expected {wanted}, got {got}"
        for each in conversations
        for number, wanted, got in _unequal(map(_ending, each.turns), map(_run_ending, runs[each.conversation_id]))
    ]


def answer_differences(connection: Connection, conversations: Iterable[Conversation]) -> list[str]:
    """Name each tool call whose tool, arguments or answer is not the recorded one, letter for letter."""
    logged = _by_conversation(connection, TOOL_CALLS)
    differences = []
    for each in conversations:
        wanted = ((call.name, call.arguments, call.answer) for call in each.calls)
        got = ((tool, json.loads(given), json.loads(answer)) for tool, given, answer in logged[each.conversation_id])
        for number, recorded, happened in _unequal(wanted, got):
            differences.append(f"{each.conversation_id}, call {number}: expected {recorded}, got {happened}")
    return differences


def prompt_differences(connection: Connection, conversations: Iterable[Conversation]) -> list[str]:
    """Name each model call that did not see exactly the recorded prefix, or whose answer is not the recorded one."""
    logged = _by_conversation(connection, MODEL_CALLS)
    differences = []
    for each in conversations:
        messages = [message.system(policy()), *map(read_message, each.messages)]
        wanted = (messages[: place + 2] for place in each.thoughts)
        got = (_seen(json.loads(prompt), json.loads(answer)) for prompt, answer in logged[each.conversation_id])
        for number, recorded, seen in _unequal(wanted, got):
            differences.append(f"{each.conversation_id}, thought {number}: {_first_difference(recorded, seen)}")
    return differences


def _seen(prompt: Sequence[Mapping[str, Any]], answer: Mapping[str, Any]) -> list[Any]:
    """Return the messages that the model was sent, and its answer. The log keeps the tools' schemas before them."""
    sent = prompt[1:] if prompt[0]["role"] == TOOLS else prompt
    return [read_message(each) for each in [*sent, answer]]


def _ending(turn: Turn) -> tuple[str, str | None]:
    return turn.ending, turn.result


def _run_ending(run: Sequence[Any]) -> tuple[str, str | None]:
    status, last_step, result, error = run
    if status == "done":
        return (Ending.HANDED_OFF if last_step == HANDOFF else Ending.ANSWERED), json.loads(result)
    if status == "failed" and "recording ends here" in json.loads(error)["message"].lower():
        return Ending.RECORDING_ENDED, None
    return f"{status}: {error}", None


def _by_conversation(connection: Connection, statement: Any) -> Mapping[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for conversation_id, *values in connection.execute(statement):
        found[conversation_id].append(values)
    return found


def _unequal(wanted: Iterable[Any], got: Iterable[Any]) -> Iterator[tuple[int, Any, Any]]:
    for number, (recorded, happened) in enumerate(zip_longest(wanted, got)):
        if recorded != happened:
            yield number, recorded, happened


def _first_difference(wanted: Sequence[Any] | None, got: Sequence[Any] | None) -> str:
    place, recorded, seen = next(_unequal(wanted or (), got or ()))
    return f"message {place - 1} (-1 is the system prompt): expected {recorded}, got {seen}"
