"""One agent that serves two guests at once, in one process: what each tool keeps must stay with its guest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from agentflow import Agent, Context, resource, tool
from tests.integration.workers.agents.outside import arrive, wait_at


class Desk:
    """What a tool's bulkhead opens once; each guest's business is on the guest's own slip."""

    def __init__(self) -> None:
        self.number = id(self)
        self.slip = threading.local()


@resource
def desk() -> Iterator[Desk]:
    """Open a desk."""
    yield Desk()


@tool(effect="read", timeout_s=30)
def note(ctx: Context, word: str) -> str:
    """Keep a word for the guest, once both guests stand at the desk."""
    before = dict(ctx.scratchpad)
    opened = ctx.use(desk)
    opened.slip.word = word
    ctx.scratchpad["word"] = word
    arrive(ctx, "note", guest=ctx.run.user_id, desk=opened.number, before=before)
    wait_at(f"noted-{word}")
    return _said(ctx, opened, word)


@tool(effect="read", timeout_s=30)
def recall(ctx: Context) -> str:
    """Say the guest's word again."""
    opened = ctx.use(desk)
    arrive(ctx, "recall", guest=ctx.run.user_id, desk=opened.number, before=dict(ctx.scratchpad))
    return str(ctx.scratchpad["word"])


def _said(ctx: Context, opened: Desk, word: str) -> str:
    kept: dict[str, Any] = dict(ctx.scratchpad)
    return f"{word} {kept['word']} {opened.slip.word}"


concierge = Agent("concierge", model="openai:gpt-4o-mini", instructions="You keep words.", tools=[note, recall])
