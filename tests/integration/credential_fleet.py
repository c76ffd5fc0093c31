"""Owns the processes of a fleet that shares one credential, kept in a file, as each of them knows it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from agentflow import Context, Pipeline, credential, tool
from agentflow.engine.executor import execute_step
from agentflow.testing import Harness
from tests.integration.outside import NO_TLS

_fresh = multiprocessing.get_context("forkserver")
_fresh.set_forkserver_preload([__name__])
_vaults: list[Path] = []


@credential
def vault_token() -> str:
    return (_vaults[0] / "secret").read_text()


@vault_token.refresh
def renew() -> None:
    with (_vaults[0] / "refreshes").open("a") as log:
        log.write("once\n")
    (_vaults[0] / "secret").write_text("new")


@tool(effect="read", credential=vault_token)
def enter(ctx: Context, url: str) -> Any:
    headers = {"Authorization": f"Bearer {ctx.secret(vault_token)}"}
    return httpx2.get(url, headers=headers, timeout=10, verify=NO_TLS).raise_for_status().json()


entering = Pipeline("entering", [enter])


@contextmanager
def fleet(size: int, database_url: str, vault: Path) -> Iterator[ProcessPoolExecutor]:
    """So many workers, each a process with what it has read of its own."""
    (vault / "secret").write_text("old")
    (vault / "refreshes").touch()
    with ProcessPoolExecutor(size, _fresh, _begin, (database_url, vault)) as processes:
        yield processes


def refreshes(vault: Path) -> int:
    """How often the secret was renewed."""
    return len((vault / "refreshes").read_text().splitlines())


_workers: list[tuple[Harness, Any]] = []


def _begin(database_url: str, vault: Path) -> None:
    _vaults[:] = [vault]
    harness = Harness(database_url)
    _workers[:] = [(harness, harness.runtime(entering))]


def work(run_id: str) -> str:
    """Take a run's only step its way; return what came of it."""
    [(_, runtime)] = _workers
    return type(execute_step(runtime, run_id, 0)).__name__
