"""Owns the environment of the demo's processes: the caller's own, without what points at the caller's own services."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REAL_MODELS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
SCRIPTED_MODEL = "openai:gpt-4o-mini"
SENDER = "desk@shop.example"
POOLS = Path(__file__).with_name("pools.toml")

_LOOPBACK = "127.0.0.1,localhost"


def real_model() -> str | None:
    """Name the variable that holds a real model's key; None where the script plays the model."""
    return next((name for name in REAL_MODELS if os.environ.get(name)), None)


def bare_environment() -> dict[str, str]:
    """Return the environment for what knows nothing of agentflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTFLOW_")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # The shop and the scripted model are on this machine: no proxy may stand between.
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "NO_PROXY": _LOOPBACK, "no_proxy": _LOOPBACK}


def worker_environment(
    database_url: str, redis_url: str, shop_url: str, smtp_url: str, model_url: str | None
) -> Mapping[str, str]:
    """Return the environment for workers and the command line; `model_url` is the scripted model's."""
    environment = {
        **bare_environment(),
        "AGENTFLOW_DATABASE_URL": database_url,
        "AGENTFLOW_REDIS_URL": redis_url,
        "AGENTFLOW_AGENTS": "examples.refunds.agent,examples.refunds.checkout",
        "AGENTFLOW_POOLS": str(POOLS),
        "AGENTFLOW_SMTP_URL": f"{smtp_url}?from={SENDER}",
        "SHOP_URL": shop_url,
    }
    if model_url is None:
        own = {name: os.environ[name] for name in ("AGENTFLOW_LLM_BASE_URL", "AGENTFLOW_PRICES") if name in os.environ}
        return environment | own
    return {**environment, "AGENTFLOW_LLM_BASE_URL": model_url, "AGENT_MODEL": SCRIPTED_MODEL}
