"""All 200 conversations on real workers of several pools: all is as recorded, whatever is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.acceptance.airline.dataset import conversations
from tests.acceptance.airline.drive import count_runs, submit_conversations, wait_for_runs
from tests.acceptance.airline.stage import Stage, set_stage

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("recordings")]

TIMEOUT_S = 600.0
KILLED_EVERY_S = 5.0

ENDINGS = text(
    "select count(*) filter (where r.status = 'done'), count(*) filter (where r.status = 'failed'), "
    "count(*) filter (where r.status = 'done' and s.tool_name = 'transfer_to_human_agents') "
    "from agentflow.agent_runs r "
    "left join agentflow.agent_steps s on s.run_id = r.run_id and s.step_index = r.current_step"
)
REPEATED = text("select count(*) from agentflow.attempts where attempt > 1")
WRITES = text("select count(*), count(distinct key) from public.airline_writes")


@pytest.mark.parametrize("writes", ["transactional", pytest.param("keyed", marks=pytest.mark.long)])
def test_200_conversations_answer_ask_and_write_exactly_as_recorded(tmp_path: Path, writes: str) -> None:
    with set_stage(tmp_path, writes) as stage:
        submit_conversations(stage.client, conversations())
        wait_for_runs(stage.engine, timeout_s=TIMEOUT_S)

        assert_as_recorded(stage)


@pytest.mark.long
@pytest.mark.parametrize("writes", ["keyed", "transactional"])
def test_200_conversations_are_as_recorded_though_workers_are_killed_and_redis_is_flushed(
    tmp_path: Path, writes: str
) -> None:
    with set_stage(tmp_path, writes) as stage:
        with stage.fleet.under_fire(every_s=KILLED_EVERY_S):
            submit_conversations(stage.client, conversations())
            stage.flush_redis()
            wait_for_runs(stage.engine, timeout_s=TIMEOUT_S)

        assert stage.fleet.killed >= 3
        assert count_repeated_attempts(stage) >= 1
        assert_as_recorded(stage)


def count_repeated_attempts(stage: Stage) -> int:
    with stage.engine.connect() as connection:
        return int(connection.execute(REPEATED).scalar_one())


def assert_as_recorded(stage: Stage) -> None:
    with stage.engine.connect() as connection:
        endings = tuple(connection.execute(ENDINGS).one())
        written = tuple(connection.execute(WRITES).one())
    assert count_runs(stage.engine) == 1343
    assert endings == (1338, 5, 48)
    assert written == (175, 175)
    assert stage.differences() == []
