"""Group 3, that results never change: a step's output is what every other place that was told of it says."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records, Row, parsed, step_of

GROUP = 3

_KEYS = """
    select s.run_id, s.step_index, s.tool_output::text as output, k.output::text as told
    from {schema}.idempotency_records k
    join {schema}.agent_steps s on s.run_id = k.run_id and s.step_index = k.step_index
    where s.status = 'ok' and k.status = 'done'
"""

_KEYS_WITHOUT_RESULT = """
    select k.run_id, k.step_index, k.key from {schema}.idempotency_records k
    join {schema}.agent_steps s on s.run_id = k.run_id and s.step_index = k.step_index
    where k.status = 'done' and s.status <> 'ok'
"""

_ANSWERS = """
    select s.run_id, s.step_index, s.tool_output::text as output, c.response::text as response
    from {schema}.agent_steps s
    join {schema}.attempts a on a.run_id = s.run_id and a.step_index = s.step_index and a.status = 'ok'
    left join {schema}.model_calls c on c.run_id = s.run_id and c.step_index = s.step_index and c.attempt = a.attempt
    where s.tool_name = 'model' and s.status = 'ok'
"""

_OUTPUTS = """
    select s.run_id, s.step_index, s.parent_index, s.call_index, s.tool_output::text as output, s.finished_at,
        p.tool_output::text as asked
    from {schema}.agent_steps s
    join {schema}.agent_steps p on p.run_id = s.run_id and p.step_index = s.parent_index
    where s.status = 'ok' and s.finished_at is not null and p.tool_name = 'model'
"""

_PROMPTS = """
    with recursive prompts as (
        select c.run_id, c.step_index, c.attempt, c.tenant, c.prompt_head as hash, 0 as depth
        from {schema}.model_calls c where c.prompt_head is not null
        union all
        select p.run_id, p.step_index, p.attempt, p.tenant, m.parent, p.depth + 1
        from prompts p join {schema}.messages m on m.tenant = p.tenant and m.hash = p.hash
        where m.parent is not null
    )
    select p.run_id, p.step_index, s.created_at, m.body::text as body from prompts p
    join {schema}.messages m on m.tenant = p.tenant and m.hash = p.hash
    join {schema}.agent_steps s on s.run_id = p.run_id and s.step_index = p.step_index
    order by p.run_id, p.step_index, p.attempt, p.depth desc
"""

# What stands in a text that was too long for the model.
_SHORTENED = "[shortened: "


def check_results(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Compare each recorded output with the key's record, the model's answer, and what later prompts quote of it."""
    for row in records.rows(_KEYS):
        if not _same(row["output"], row["told"]):
            yield Violation(GROUP, step_of(row), "has another output than the one its key answers with")
    for row in records.rows(_KEYS_WITHOUT_RESULT):
        yield Violation(GROUP, step_of(row), f"is not ok, and its key {row['key']!r} is done")
    for row in records.rows(_ANSWERS):
        yield from _answer(row)
    yield from _quotes(records)


def _same(stored: str | None, told: str | None) -> bool:
    return bool(json.dumps(parsed(stored), sort_keys=True) == json.dumps(parsed(told), sort_keys=True))


def _answer(row: Row) -> Iterator[Violation]:
    output, response = parsed(row["output"]), parsed(row["response"])
    if response is None:
        yield Violation(GROUP, step_of(row), "is a model's answer that the call log does not have")
    elif output.get("content") != response.get("content"):
        yield Violation(GROUP, step_of(row), "has another content than the answer in the call log")
    elif _asked(output) != _asked(response):
        yield Violation(GROUP, step_of(row), "asks for other calls than the answer in the call log")


def _asked(answer: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    return [(call.get("name"), call.get("arguments")) for call in answer.get("tool_calls") or ()]


def _quotes(records: Records) -> Iterator[Violation]:
    outputs: dict[str, list[Row]] = defaultdict(list)
    for row in records.rows(_OUTPUTS):
        outputs[row["run_id"]].append(row)
    prompts: dict[tuple[str, int], list[Any]] = defaultdict(list)
    asked_at = {}
    for row in records.rows(_PROMPTS):
        prompts[row["run_id"], row["step_index"]].append(parsed(row["body"]))
        asked_at[row["run_id"], row["step_index"]] = row["created_at"]
    for place, messages in prompts.items():
        run_id, step_index = place
        before = [row for row in outputs[run_id] if row["finished_at"] <= asked_at[place]]
        yield from _quoted(before, messages, step_index)


def _quoted(outputs: Sequence[Row], messages: Sequence[Any], step_index: int) -> Iterator[Violation]:
    texts = [message["content"] for message in messages if message and message.get("role") == "tool"]
    # The oldest turns of a history that is too long leave without a word.
    if len(texts) < len(outputs) or any(_SHORTENED in text for text in texts):
        return
    for row in outputs:
        if not any(_quotes_it(text, parsed(row["output"])) for text in texts):
            yield Violation(GROUP, step_of(row), f"has an output that the model was not told in step {step_index}")


def _quotes_it(text: str, output: Any) -> bool:
    return text == output if isinstance(output, str) else text == json.dumps(output, ensure_ascii=False)
