"""Owns what the demo shows at its end: timelines, failures, the logs of the outside world, the proof."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from agentflow.cli.timeline import Timeline
from examples.refunds.consequences import undone_cases, verified_steps
from examples.refunds.customers import BUSY_ORDER, SLOW_ORDER
from examples.refunds.extracts import approval_table, mail_log_table, shop_log_table
from examples.refunds.notes import notes
from examples.refunds.proof import Evidence
from examples.refunds.story import Story
from examples.refunds.tables import failure_table, proof_table
from examples.refunds.timelines import Timelines


def show_timelines(story: Story, evidence: Evidence) -> None:
    """Show what every run did, and one of them step by step: the one whose worker was killed."""
    story.title("What each run did, and when")
    story.show(Timelines(evidence.cases))
    for case in evidence.struck():
        if case.order_id == SLOW_ORDER:
            story.title(f"{case.customer.name}'s run, whose worker was killed")
            story.show(Timeline(case.run, case.steps, datetime.now(UTC)))


def show_proof(story: Story, evidence: Evidence) -> list[str]:
    """Show what was asked for beside what the world says was done, and return where they do not agree."""
    story.title("What failed, and what was done about it")
    story.show(failure_table(evidence.failures()))
    show_logs(story, evidence)
    story.title("What was asked for, and what was done: the database beside the world's logs")
    story.show(proof_table(evidence.lines(), [case.order_id for case in evidence.struck()]))
    story.show("")
    for note in notes(evidence):
        story.show(note)
    return evidence.faults() or evidence.untried()


def show_logs(story: Story, evidence: Evidence) -> None:
    """Show what the outside world wrote down itself, where a failure had consequences."""
    verified = [case.order_id for case, _ in verified_steps(evidence.cases)]
    undone = [case.order_id for case in undone_cases(evidence.cases)]
    for order_id in dict.fromkeys([BUSY_ORDER, *(case.order_id for case in evidence.struck()), *verified, *undone]):
        story.title(f"The shop's own log of order {order_id}")
        story.show(shop_log_table([entry for entry in evidence.shop_log if entry.order_id == order_id and entry.key]))
    for approved in evidence.approvals():
        order_id = approved.case.order_id
        story.title(f"The refund of order {order_id}: a person's word, then the shop's own log")
        story.show(approval_table(approved, [entry for entry in evidence.shop_log if entry.order_id == order_id]))
    if evidence.letters:
        story.title("The mail server's own log")
        story.show(mail_log_table(evidence.letters))


def show_way_on(story: Story, folder: Path) -> None:
    """Say what it came to, and where to look on."""
    story.title("Nothing twice, nothing forgotten, nobody called before their time.", "bold green")
    command = Path(sys.executable).with_name("agentflow")
    name = os.path.relpath(command) if command.exists() else "agentflow"
    story.show("It is all still there, to look at:\n")
    story.suggest(f"AGENTFLOW_DATA_DIR={folder} {name} runs list")
