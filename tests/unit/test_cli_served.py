"""Which pool would serve what."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.cli.served import Served, served_here
from agentflow.domain.errors import ConfigError, DeclarationError
from agentflow.settings import Settings

MODULE = """
from agentflow import Pipeline, tool

@tool(effect="read", timeout_s=3)
def fetch(name: str) -> str:
    "Fetch."
    return name

@tool(effect="unsafe", queue="{queue}")
def publish(fetch: str) -> str:
    "Publish."
    return fetch

nightly = Pipeline("nightly", [fetch, publish])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("served_agents", "broken_agents"):
        sys.modules.pop(name, None)


def served(folder: Path, queue: str = "tool.publish", pools: Path | None = None) -> Served:
    (folder / "served_agents.py").write_text(MODULE.format(queue=queue), encoding="utf-8")
    return served_here(Settings(agents="served_agents", pools=pools))


def test_default_pool_serves_every_queue_that_no_other_names(folder: Path) -> None:
    pools = served(folder).pools
    assert {name: pool.queues for name, pool in pools.items()} == {
        "default": ("outbox.email", "outbox.webhook", "tool.fetch", "tool.publish"),
        "models": ("coordinator", "model"),
        "quarantine": ("quarantine",),
    }


def test_unknown_pool_is_refused_with_those_there_are(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no worker pool 'nope'; there are 'default', 'models', 'quarantine'"):
        served(folder).pool("nope")


def test_unsafe_tool_in_a_pool_of_threads_is_refused_with_its_place(folder: Path) -> None:
    with pytest.raises(DeclarationError, match=r"served_agents\.py:\d+: tool 'publish' is 'unsafe'.*pool 'models'"):
        served(folder, queue="model")


def test_unsafe_messages_in_a_pool_of_threads_are_refused(folder: Path) -> None:
    pools = folder / "pools.toml"
    pools.write_text('[pools.post]\nqueues = ["outbox.email"]\nkind = "threads"\nconcurrency = 3\n', encoding="utf-8")

    with pytest.raises(DeclarationError, match=r"messages of kind 'email' are 'unsafe'.*pool 'post'"):
        served(folder, pools=pools)


def test_pools_of_ones_own_are_read_from_their_file(folder: Path) -> None:
    pools = folder / "pools.toml"
    pools.write_text('[pools.all]\nqueues = ["*"]\nkind = "prefork"\nconcurrency = 3\n', encoding="utf-8")
    plan = served(folder, pools=pools).pool("all")
    assert plan.concurrency == 3
    of_messages = {"outbox.email", "outbox.webhook"}
    assert set(plan.queues) == {"coordinator", "model", "tool.fetch", "tool.publish"} | of_messages


def test_description_says_of_each_tool_how_it_is_run(folder: Path) -> None:
    [agent] = served(folder).described()["agents"]
    fetch, publish = agent["tools"]
    assert (fetch["effect"], fetch["timeout_s"], fetch["queue"], fetch["pool"]) == ("read", 3, "tool.fetch", "default")
    assert publish["effect"] == "unsafe"
    assert "served_agents.py:" in publish["place"]


def test_description_says_of_each_tool_what_it_promises_and_what_is_open(folder: Path) -> None:
    [agent] = served(folder).described()["agents"]
    publish = agent["tools"][1]
    assert agent["on_failure"] == "compensate"
    assert (publish["verify"], publish["compensate"], publish["approval"]) == (False, None, False)
    assert [(each["tool"], each["kind"]) for each in agent["open"]] == [
        ("publish", "no_approval"),
        ("publish", "no_compensation"),
        ("publish", "on_failure"),
    ]


def test_queue_that_no_pool_serves_has_no_pool(folder: Path) -> None:
    pools = folder / "pools.toml"
    pools.write_text('[pools.some]\nqueues = ["tool.fetch"]\nkind = "prefork"\nconcurrency = 1\n', encoding="utf-8")
    [agent] = served(folder, pools=pools).described()["agents"]
    assert [tool["pool"] for tool in agent["tools"]] == ["some", None]
