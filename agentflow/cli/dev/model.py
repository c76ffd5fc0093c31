"""The model of `agentflow dev` where nobody named one: a server that plays the folder's script."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agentflow.cli.dev.child import Program
from agentflow.ports import HOST, free_port

SCRIPT = Path("dev-model.json")
SERVER = "dev-model"
_ELSEWHERE = ("OPENAI_API_KEY", "AGENTFLOW_LLM_BASE_URL")


@dataclass(frozen=True, slots=True)
class ScriptedServer:
    """The server's program and what the workers' environment says of it."""

    program: Program
    base_url: str


def scripted_server() -> ScriptedServer | None:
    """Return the server of the folder's script; None without one, or where a real model is named."""
    if not SCRIPT.is_file() or any(os.environ.get(name) for name in _ELSEWHERE):
        return None
    port = free_port()
    arguments = ("--script", str(SCRIPT), "--port", str(port))
    return ScriptedServer(Program(SERVER, "agentflow.llm.server", arguments, dict), f"http://{HOST}:{port}/v1")
