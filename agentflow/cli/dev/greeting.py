"""What `agentflow dev` says once it is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentflow.cli.dev.model import SCRIPT, ScriptedServer
from agentflow.cli.dev.probe import Probed
from agentflow.cli.dev.window import Flower
from agentflow.cli.figures import duration
from agentflow.ports import HOST


@dataclass(frozen=True, slots=True)
class Facts:
    """What runs where."""

    probed: Probed
    embedded: bool
    data_dir: Path
    model: ScriptedServer | None
    flower: Flower | None


def greeting(bold: Callable[[str], str], facts: Facts, after_s: float) -> Iterator[str]:
    """Return the lines."""
    yield f"{bold('agentflow dev is ready')} after {duration(after_s)}"
    yield ""
    for name, tools in facts.probed.agents.items():
        yield f"  {bold('agent')}     {name}: {', '.join(tools) or 'no tools'}"
    yield f"  {bold('services')}  {_services(facts)}"
    if facts.model:
        yield f"  {bold('model')}     scripted by {SCRIPT} at {facts.model.base_url}"
        yield "            (no OPENAI_API_KEY and no AGENTFLOW_LLM_BASE_URL is set)"
    if facts.flower:
        access = f'user "dev", password "{facts.flower.password}"' if facts.flower.password else "AGENTFLOW_FLOWER_AUTH"
        yield f"  {bold('Flower')}    http://{HOST}:{facts.flower.port} ({access})"
    yield ""
    yield "  In another terminal, in this folder:"
    yield f"    agentflow submit {next(iter(facts.probed.agents), 'AGENT')} INPUT --wait"
    yield "  Ctrl-C ends everything."


def _services(facts: Facts) -> str:
    if facts.embedded:
        return f"Postgres and Valkey, embedded, in {str(facts.data_dir)!r}"
    return "as AGENTFLOW_DATABASE_URL and AGENTFLOW_REDIS_URL say"
