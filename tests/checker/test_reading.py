"""Group 8 can fail: rows that cannot be read, secrets in any column, text or key, and rows of another tenant's run."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis

from agentflow.local import attach
from tests.checker.breaking import Broken, assert_reported, cases, found
from tests.checker.evidence import Evidence

if TYPE_CHECKING:
    from pathlib import Path

    from tests.checker.healthy import Healthy

GROUP = 8
CANARY = "canary-5e1f"
STEP = "agent_steps {errands}/2"


def on_step(value: str) -> str:
    """Return the statement that makes a value the output of a step."""
    return f"update agentflow.agent_steps set tool_output = {value} where run_id = %(errands)s and step_index = 2"


def with_canary(evidence: Evidence, _: object) -> Evidence:
    return replace(evidence, canaries=[CANARY])


@cases(
    lone_surrogate=Broken(STEP, "cannot be read", on_step(r"""'"\ud800"'""")),
    lone_surrogate_in_a_name=Broken(STEP, "cannot be read", on_step(r"""'{"\udc00": 1}'""")),
    integer_too_long=Broken(STEP, "cannot be read", on_step("repeat('9', 5000)::json")),
    nested_too_deep=Broken(STEP, "cannot be read", on_step("(repeat('[', 5000) || repeat(']', 5000))::json")),
    secret_in_json=Broken(STEP, "a secret in 'tool_output'", on_step(f"'[\"{CANARY}\"]'"), with_canary),
    secret_in_text=Broken(
        STEP,
        "a secret in 'tool_name'",
        f"update agentflow.agent_steps set tool_name = '{CANARY}' where run_id = %(errands)s and step_index = 2",
        with_canary,
    ),
    secret_in_a_list=Broken(
        STEP,
        "a secret in 'flags'",
        f"update agentflow.agent_steps set flags = '{{{CANARY}}}' where run_id = %(errands)s and step_index = 2",
        with_canary,
    ),
    secret_in_a_row_of_no_run=Broken(
        "holds book",
        "a secret in 'reason'",
        f"insert into agentflow.holds values ('book', '{CANARY}', 'ann')",
        with_canary,
    ),
    prompt_lost=Broken(
        "run {errands} step 7",
        "its own tenant lacks",
        "update agentflow.model_calls set prompt_head = 'x' where run_id = %(errands)s and step_index = 7",
    ),
    message_lost=Broken(
        "messages of default", "its own tenant lacks", "delete from agentflow.messages where parent is null"
    ),
    conversation_of_another=Broken(
        "conversation second", "belongs to a run of 'default'", "update agentflow.conversations set tenant = 'other'"
    ),
    fork_of_another=Broken(
        "run {errands}",
        "belongs to a run of 'default'",
        "update agentflow.agent_runs set forked_from = %(gift)s, tenant = 'other' where run_id = %(errands)s",
    ),
)
def test_rows_that_nobody_should_see_so_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)


@pytest.mark.parametrize(
    ("table", "run"),
    [
        ("agent_steps", "errands"),
        ("attempts", "errands"),
        ("model_calls", "errands"),
        ("transitions", "errands"),
        ("idempotency_records", "errands"),
        ("outbox", "errands"),
        ("approvals", "gift"),
        ("interventions", "told"),
        ("alerts", "parcel"),
    ],
)
def test_row_of_another_tenant_than_its_run_is_reported(healthy: Healthy, table: str, run: str) -> None:
    crossing = f"update agentflow.{table} set tenant = 'other' where run_id = %({run})s"

    assert_reported(GROUP, healthy, Broken(f"run {{{run}}}", f"a row of 'other' in {table}", crossing))


def test_secret_in_a_log_is_reported(healthy: Healthy, tmp_path: Path) -> None:
    clean, leaking = tmp_path / "clean.log", tmp_path / "leaking.log"
    clean.write_text("all is well\n")
    leaking.write_bytes(b"\xff token=" + CANARY.encode())

    def told(evidence: Evidence, _: object) -> Evidence:
        return replace(evidence, canaries=[CANARY], texts=[clean, leaking])

    assert [each.subject for each in found(GROUP, healthy, Broken("", "", evident=told))] == [str(leaking)]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with attach(tmp_path_factory.mktemp("checker"), postgres=False) as services:
        yield services.redis_url


def test_secret_in_redis_is_reported_whatever_holds_it(healthy: Healthy, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.set("string", CANARY)
        server.lpush("list", json.dumps({"body": base64.b64encode(CANARY.encode()).decode()}))
        server.sadd("set", CANARY)
        server.zadd("zset", {CANARY: 1})
        server.hset("hash", "name", CANARY)
        server.xadd("stream", {"name": CANARY})
        server.set(f"key {CANARY}", "1")
        server.set("clean", "1")

    def beside_redis(evidence: Evidence, _: object) -> Evidence:
        return replace(evidence, canaries=[CANARY], redis_url=redis_url)

    subjects = {each.subject for each in found(GROUP, healthy, Broken("", "", evident=beside_redis))}

    kept = ("string", "list", "set", "zset", "hash", "stream", f"key {CANARY}")
    assert subjects == {f"redis {name}" for name in kept}
