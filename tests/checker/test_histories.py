"""Group 3 can fail: gaps, attempts that do not add up, illegal changes of status, and results that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.checker.breaking import Broken, assert_reported, cases

if TYPE_CHECKING:
    from tests.checker.healthy import Healthy

GROUP = 3
CHARGE = "run {errands} step 2"
RUN = "run {errands}"


def on_charge(change: str, table: str = "attempts") -> str:
    """Return the statement that changes what there is of the step that charges."""
    return f"update agentflow.{table} set {change} where run_id = %(errands)s and step_index = 2"


def on_run(change: str, name: str = "errands") -> str:
    return f"update agentflow.agent_runs set {change} where run_id = %({name})s"


ANOTHER_ATTEMPT = """
    insert into agentflow.attempts
        (run_id, step_index, attempt, claim_token, worker_id, worker_pid, status, started_at, ended_at)
    select run_id, step_index, 2, gen_random_uuid(), worker_id, worker_pid, {status},
        ended_at + {after} * interval '1 second', ended_at + interval '9 seconds'
    from agentflow.attempts where run_id = %(errands)s and step_index = 2;
    update agentflow.agent_steps set attempt = 2 where run_id = %(errands)s and step_index = 2
"""


@cases(
    gap=Broken(
        RUN,
        "has 7 steps",
        """delete from agentflow.attempts where run_id = %(errands)s and step_index = 2;
        delete from agentflow.agent_steps where run_id = %(errands)s and step_index = 2""",
    ),
    not_from_zero=Broken(
        "run {charging}",
        "from 1 to 1",
        """update agentflow.agent_steps set step_index = 1 where run_id = %(charging)s;
        update agentflow.attempts set step_index = 1 where run_id = %(charging)s""",
    ),
    beyond_its_steps=Broken(RUN, "stands at 99", on_run("current_step = 99")),
    attempt_missing=Broken(
        CHARGE, "has 0", "delete from agentflow.attempts where run_id = %(errands)s and step_index = 2"
    ),
    attempt_skipped=Broken(CHARGE, "from 2 to 2", on_charge("attempt = 2")),
    attempt_counted_back=Broken(CHARGE, "is at attempt 0", on_charge("attempt = 0", "agent_steps")),
    attempt_without_end=Broken(CHARGE, "never ended", on_charge("ended_at = null")),
    two_results=Broken(CHARGE, "has 2 results", ANOTHER_ATTEMPT.format(status="'ok'", after=1)),
    tried_after_its_result=Broken(CHARGE, "at attempt 1", ANOTHER_ATTEMPT.format(status="'retried'", after=1)),
    result_of_a_failure=Broken(CHARGE, "is error now", on_charge("status = 'error'", "agent_steps")),
    attempts_at_once=Broken(CHARGE, "attempt 2 began", ANOTHER_ATTEMPT.format(status="'retried'", after=-1)),
    attempt_of_nothing=Broken("run {errands} step 99", "does not exist", on_charge("step_index = 99")),
)
def test_steps_and_attempts_that_do_not_add_up_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)


@cases(
    final_run_without_end=Broken(RUN, "without an end", on_run("finished_at = null")),
    open_run_with_end=Broken("run {gift}", "with an end", on_run("finished_at = now()", "gift")),
    final_step_without_end=Broken(CHARGE, "without an end", on_charge("finished_at = null", "agent_steps")),
    open_step_with_end=Broken(
        "run {parcel} step 1",
        "with an end",
        "update agentflow.agent_steps set finished_at = now() where run_id = %(parcel)s and step_index = 1",
    ),
    open_step_in_a_final_run=Broken(
        CHARGE, "in a run that is done", on_charge("status = 'pending', finished_at = null", "agent_steps")
    ),
    done_without_an_outcome=Broken(RUN, "does not say how", on_run("outcome = null")),
    failed_without_an_error=Broken("run {kept}", "does not say how", on_run("error = null", "kept")),
)
def test_endings_that_contradict_themselves_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)


@cases(
    none=Broken(RUN, "no transition", "delete from agentflow.transitions where run_id = %(errands)s"),
    no_beginning=Broken(
        RUN, "began as 'pending'", "delete from agentflow.transitions where run_id = %(errands)s and old is null"
    ),
    illegal=Broken(
        RUN,
        "not legal",
        """insert into agentflow.transitions (run_id, old, new, reason) values
            (%(errands)s, 'done', 'running', 'x'), (%(errands)s, 'running', 'done', 'x')""",
    ),
    reopened_by_nobody=Broken(
        "run {kept}",
        "nobody retried it",
        """insert into agentflow.transitions (run_id, old, new, reason) values
            (%(kept)s, 'failed', 'running', 'x'), (%(kept)s, 'running', 'failed', 'x')""",
    ),
    unconnected=Broken(
        RUN,
        "went on from 'running'",
        """insert into agentflow.transitions (run_id, old, new, reason)
        values (%(errands)s, 'running', 'done', 'x')""",
    ),
    to_somewhere_else=Broken(RUN, "is 'failed'", on_run("""status = 'failed', error = '{}'""")),
)
def test_changes_of_status_that_no_rule_allows_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)


@cases(
    another_than_the_keys=Broken(
        CHARGE,
        "than the one its key answers",
        "update agentflow.idempotency_records set output = '1' where key = 'charge:1'",
    ),
    key_done_by_a_failure=Broken(
        CHARGE, "its key 'charge:1' is done", on_charge("status = 'error', error = '{}'", "agent_steps")
    ),
    answer_not_in_the_log=Broken(
        "run {errands} step 7",
        "does not have",
        "delete from agentflow.model_calls where run_id = %(errands)s and step_index = 7",
    ),
    another_answer=Broken(
        "run {errands} step 7",
        "another content",
        """update agentflow.agent_steps set tool_output = '{"content": "x", "tool_calls": []}'
        where run_id = %(errands)s and step_index = 7""",
    ),
    other_calls=Broken(
        "run {errands} step 0",
        "other calls",
        """update agentflow.agent_steps set tool_output = '{"content": null, "tool_calls": []}'
        where run_id = %(errands)s and step_index = 0""",
    ),
    another_than_the_model_was_told=Broken(
        CHARGE, "was not told in step 7", on_charge("""tool_output = '"charged nobody"'""", "agent_steps")
    ),
    object_the_model_was_not_told=Broken(
        "run {errands} step 1",
        "was not told in step 7",
        """update agentflow.agent_steps set tool_output = '{"state": "open"}'
        where run_id = %(errands)s and step_index = 1""",
    ),
)
def test_results_that_changed_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)
