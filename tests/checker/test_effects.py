"""Group 1 can fail: each way in which an effect is missing, doubled, unknown, late or wrongly undone is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.checker.breaking import Broken, arriving, assert_reported, cases, without

if TYPE_CHECKING:
    from tests.checker.healthy import Healthy

GROUP = 1


@cases(
    keyed_twice=Broken(
        "charge:1", "2 effects", evident=arriving(door="keyed", name="charge", key="charge:1", effect=True)
    ),
    keyed_lost=Broken("charge:1", "0 effects", evident=without("charge:1")),
    verified_twice=Broken(
        "{booking}:1", "2 effects", evident=arriving(door="verified", name="book", key="{booking}:1", effect=True)
    ),
    verified_lost=Broken("{booking}:1", "0 effects", evident=without("{booking}:1")),
    unsafe_twice=Broken(
        "{errands}:5", "2 effects", evident=arriving(door="unsafe", name="send_parcel", key="{errands}:5", effect=True)
    ),
    unsafe_lost=Broken("{errands}:5", "0 effects", evident=without("{errands}:5")),
    happened_by_a_person_and_lost=Broken("{told}:1", "0 effects", evident=without("{told}:1")),
    doubtful_twice=Broken(
        "{parcel}:1", "2 effects", evident=arriving(door="unsafe", name="send_parcel", key="{parcel}:1", effect=True)
    ),
    idempotent_lost=Broken("{errands}:3", "0 effects", evident=without("{errands}:3")),
    not_happened_and_did=Broken(
        "{undone}:1", "1 effects", evident=arriving(door="keyed", name="refuse", key="{undone}:1", effect=True)
    ),
    failed_twice=Broken(
        "{undone}:1",
        "2 effects instead of 0 to 1",
        """update agentflow.agent_steps set error = '{"kind": "timeout", "happened": null}'
        where run_id = %(undone)s and step_index = 1""",
        evident=lambda evidence, runs: arriving(door="keyed", name="refuse", key=runs["undone"] + ":1", effect=True)(
            arriving(door="keyed", name="refuse", key=runs["undone"] + ":1", effect=True)(evidence, runs), runs
        ),
    ),
    reading_changes=Broken(
        "{errands}:1", "never has", evident=arriving(door="read", name="look_up", key="{errands}:1", effect=True)
    ),
    nobody_called=Broken(
        "charge:nobody", "no step that was tried", evident=arriving(door="keyed", name="charge", key="charge:nobody")
    ),
    called_before_the_claim=Broken(
        "{gift}:1",
        "no step that was tried",
        evident=arriving(door="unsafe", name="give_away", key="{gift}:1", effect=True),
    ),
    another_body=Broken(
        "charge:1", "2 different bodies", evident=arriving(door="keyed", name="charge", key="charge:1", body="other")
    ),
    late_write=Broken(
        "{errands}:3",
        "wrote '1' late",
        evident=arriving(door="idempotent", name="set_state", key="{errands}:3", subject="1", effect=True),
    ),
    answered_by_nobody=Broken(
        "run {charged} step 0",
        "nobody has answered",
        "delete from agentflow.idempotency_records where key = 'charge:3'",
    ),
)
def test_effects_that_no_class_promises_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)


@cases(
    missing=Broken("run {errands} step 6", "with 0 rows", "delete from public.ledger"),
    doubled=Broken("run {errands} step 6", "with 2 rows", "insert into public.ledger select * from public.ledger"),
    not_recorded=Broken(
        "run {errands} step 6",
        "is error with 1 rows",
        "update agentflow.agent_steps set status = 'error' where run_id = %(errands)s and step_index = 6",
    ),
    unknown=Broken(
        "run {errands} step 2", "no transactional step", "insert into public.ledger values ('k', %(errands)s, 2)"
    ),
    another_key=Broken("run {errands} step 6", "no transactional step", "update public.ledger set key = 'k'"),
    without_a_table=Broken("run {errands} step 6", "with 0 rows", "drop table public.ledger"),
)
def test_ledger_rows_that_do_not_fit_their_steps_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)


@cases(
    twice=Broken(
        "charge:6",
        "undone 2 times",
        evident=arriving(door="undo", name="charge", key="{undone}:2", subject="charge:6", effect=True),
    ),
    never=Broken("run {undone} step 2", "never undone", evident=without("{undone}:2")),
    by_nobody=Broken(
        "nobody:2",
        "no compensation knows",
        evident=arriving(door="undo", name="charge", key="nobody:2", subject="charge:6", effect=True),
    ),
    another_subject=Broken(
        "{undone}:2",
        "no compensation knows",
        evident=arriving(door="undo", name="charge", key="{undone}:2", subject="charge:7"),
    ),
    left=Broken(
        "run {undone} step 0",
        "was not undone",
        "update agentflow.agent_steps set status = 'error' where run_id = %(undone)s and step_index = 2",
    ),
    not_kept=Broken(
        "run {undone} step 2",
        "compensation is 'kept'",
        "update agentflow.agent_runs set compensation = 'kept' where run_id = %(undone)s",
    ),
)
def test_effects_that_are_wrongly_undone_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)
