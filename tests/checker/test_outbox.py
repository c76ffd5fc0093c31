"""Group 5 can fail: messages that were lost, doubled, left behind, or that nobody wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.checker.breaking import Broken, assert_reported, cases
from tests.world.arrival import Arrival

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.checker.evidence import Evidence
    from tests.checker.healthy import Healthy

GROUP = 5
LETTER = "0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a11"
SUBJECT = f"message {LETTER}"
RENAMED = f"update agentflow.outbox set message_id = '{LETTER}' where kind = '{{kind}}'; "


def arrived(door: str, times: int) -> object:
    """Say that all that arrived from the outbox is one message, so often."""

    def told(evidence: Evidence, _: Mapping[str, str]) -> Evidence:
        name = f"<{LETTER}@example.com>" if door == "mail" else LETTER
        tools = [each for each in evidence.arrivals if each.door not in ("mail", "hook")]
        others = [each for each in evidence.arrivals if each.door in {"mail", "hook"} - {door}]
        return replace(evidence, arrivals=[*tools, *others, *[Arrival(0.0, door, name, effect=True)] * times])

    return told


@cases(
    lost_letter=Broken(SUBJECT, "did not arrive", RENAMED.format(kind="email"), arrived("mail", 0)),
    lost_webhook=Broken(SUBJECT, "did not arrive", RENAMED.format(kind="webhook"), arrived("hook", 0)),
    doubled_letter=Broken(SUBJECT, "arrived 2 times", RENAMED.format(kind="email"), arrived("mail", 2)),
    webhook_more_often_than_tried=Broken(
        SUBJECT, "arrived 2 times", RENAMED.format(kind="webhook"), arrived("hook", 2)
    ),
    letter_of_nobody=Broken(SUBJECT, "no row knows", evident=arrived("mail", 1)),
    webhook_of_nobody=Broken(SUBJECT, "no row knows", evident=arrived("hook", 1)),
    sent_before_it_was_tried=Broken(
        SUBJECT,
        "arrived 1 times in 0",
        RENAMED.format(kind="email") + "update agentflow.outbox set attempt = 0",
        arrived("mail", 1),
    ),
    message_of_a_failed_step=Broken(
        SUBJECT,
        "a step that is error",
        RENAMED.format(kind="email")
        + "update agentflow.agent_steps set status = 'error' where run_id = %(errands)s and step_index = 6",
        arrived("mail", 1),
    ),
    message_of_no_step=Broken(
        SUBJECT,
        "a step that is nowhere",
        RENAMED.format(kind="email") + "update agentflow.outbox set step_index = 99",
        arrived("mail", 1),
    ),
    notice_of_no_run=Broken(
        SUBJECT,
        "a run that is nowhere",
        RENAMED.format(kind="email") + f"update agentflow.outbox set step_index = -1, run_id = '{LETTER}'",
        arrived("mail", 1),
    ),
    two_rows_for_one=Broken(
        "run {errands} step 6",
        "2 rows for its message 0",
        "alter table agentflow.outbox drop constraint outbox_item; update agentflow.outbox set item = 0",
    ),
    one_id_for_two=Broken(
        SUBJECT,
        "the id of 2 rows",
        f"""alter table agentflow.outbox drop constraint outbox_pkey;
        update agentflow.outbox set message_id = '{LETTER}'""",
    ),
)
def test_messages_that_are_lost_doubled_or_unknown_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)


@pytest.mark.parametrize("status", ["pending", "claimed", "sending"])
def test_message_that_is_left_behind_is_reported(healthy: Healthy, status: str) -> None:
    left = RENAMED.format(kind="email") + f"update agentflow.outbox set status = '{status}'"

    assert_reported(GROUP, healthy, Broken(SUBJECT, f"is still {status}", left, arrived("mail", 1)))
