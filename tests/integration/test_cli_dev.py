"""`agentflow dev` from its start to its end, and what the other commands say of it meanwhile."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.local import status
from tests.integration.cli_commands import Dev, Project, wait_until
from tests.integration.local_users import is_alive

READY = "agentflow dev is ready"
ORDER = '{"name": "teapots", "pieces": 3}'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("dev")
    (folder / ".env").write_text("AGENTFLOW_AGENTS=nightly_agents\n", encoding="utf-8")
    return Project.of(folder)


@pytest.fixture(scope="module")
def dev(project: Project) -> Iterator[Dev]:
    dev = Dev(project)
    dev.wait_for(READY)
    yield dev
    dev.process.terminate()
    dev.process.wait(30)


def result_of(project: Project) -> str:
    done = project.run("submit", "nightly", ORDER, "--wait")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_greeting_says_what_runs_and_how_to_get_in(dev: Dev) -> None:
    end = dev.wait_for("Ctrl-C ends everything")
    greeting = "".join(dev.lines[dev.wait_for(READY) - 1 : end])
    assert "nightly: fetch, publish" in greeting
    assert "Postgres and Valkey, embedded" in greeting
    assert re.search(r'http://127\.0\.0\.1:\d+ \(user "dev", password "[\w-]{8,}"\)', greeting)


def test_output_in_a_pipe_is_plain_with_each_childs_name_in_front(dev: Dev) -> None:
    ready = dev.wait_for("default@")
    assert re.match(r"default +\| \d\d:\d\d:\d\d \[info\] default@\S+ ready\.$", dev.lines[ready - 1])
    assert "\x1b" not in "".join(dev.lines)


@pytest.mark.usefixtures("dev")
def test_submitted_run_is_followed_line_by_line_to_its_result(project: Project) -> None:
    done = project.run("submit", "nightly", ORDER, "--wait", "--user", "ada", "--key", "k-1")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert re.fullmatch(r"[0-9a-f-]{36}", lines[0])
    assert any("step 0 fetch ok" in line for line in lines)
    assert lines[-1] == "result published 3 teapots"
    again = project.read("submit", "nightly", ORDER, "--user", "ada", "--key", "k-1")
    assert again == {"run_id": lines[0], "created": False}


@pytest.mark.usefixtures("dev")
def test_run_is_listed_and_shown_as_a_timeline_and_as_json(project: Project) -> None:
    [run] = project.read("runs", "list", "--agent", "nightly", "--status", "done", "--user", "ada")
    shown = project.run("runs", "show", run["run_id"]).stdout
    for part in (f"run {run['run_id']}  done", "  0  fetch", "  1  publish", "result  published 3", "attempts 2/60"):
        assert part in shown
    read = project.read("runs", "show", run["run_id"])
    assert read["run"]["result"] == "published 3 teapots"
    assert [step["tool_name"] for step in read["steps"]] == ["fetch", "publish"]
    assert read["transitions"][-1]["new"] == "done"


@pytest.mark.usefixtures("dev")
def test_agents_and_tools_are_listed_with_the_pools_that_serve_them(project: Project) -> None:
    [agent] = project.read("agents", "list")
    assert (agent["name"], agent["kind"], agent["served_by"]) == ("nightly", "pipeline", ["default", "models"])
    assert agent["unserved"] == []
    tools = {tool["name"]: tool for tool in project.read("tools", "list")}
    assert tools["fetch"]["effect"] == "read"
    assert tools["publish"]["served_by"] == ["default"]


@pytest.mark.usefixtures("dev")
def test_doctor_finds_everything_in_order(project: Project) -> None:
    findings = project.read("doctor")["findings"]
    assert {finding["level"] for finding in findings} == {"ok"}, findings
    subjects = [finding["subject"] for finding in findings]
    assert {"database", "schema", "redis", "agents", "services"} <= set(subjects)
    assert subjects.count("workers") == 3


@pytest.mark.usefixtures("dev")
def test_second_dev_in_the_same_folder_is_refused(project: Project) -> None:
    refused = project.run("dev", "--no-flower")
    assert refused.returncode == 2
    assert "runs in '.agentflow' already" in refused.stderr


@pytest.mark.usefixtures("dev")
def test_port_that_is_taken_is_refused(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = project.run("dev", "--port-flower", str(port))
    assert refused.returncode == 2
    assert refused.stderr == f"agentflow: port {port} is in use: give --port-flower another one, or leave it out\n"


@pytest.mark.slow
def test_edit_reaches_the_workers_and_a_broken_one_does_not(dev: Dev, project: Project) -> None:
    seen = len(dev.lines)
    project.edit("printed")
    seen = dev.wait_for("ready again", after=seen)
    assert result_of(project) == "result printed 3 teapots"
    (project.folder / "nightly_agents.py").write_text("nightly = (\n", encoding="utf-8")
    seen = dev.wait_for("the workers go on as they were", after=seen)
    assert "nightly_agents.py:1" in dev.lines[seen - 1]
    assert result_of(project) == "result printed 3 teapots"
    project.edit("published")
    dev.wait_for("ready again", after=seen)


def test_worker_that_is_killed_starts_again(dev: Dev, project: Project) -> None:
    seen = len(dev.lines)
    workers = [finding for finding in project.read("doctor")["findings"] if finding["subject"] == "workers"]
    [pid] = [int(re.search(r"\((\d+)\)", each["says"])[1]) for each in workers if each["says"].startswith("models")]  # type: ignore[index]
    os.kill(pid, signal.SIGKILL)
    seen = dev.wait_for("models ended (killed by SIGKILL); it starts again in 0.5 s", after=seen)
    dev.wait_for("ready again", after=seen)
    assert result_of(project) == "result published 3 teapots"


def servers_of(folder: Path) -> set[int]:
    running = status(folder / ".agentflow")
    assert running is not None
    assert running.postgres is not None
    assert running.valkey is not None
    return {server.server_pid for server in (running.postgres, running.valkey)}


def test_killed_dev_leaves_nothing_running(tmp_path: Path) -> None:
    dev = Dev(Project.of(tmp_path, AGENTFLOW_AGENTS="nightly_agents"), "--no-flower")
    try:
        dev.wait_for(READY)
        everything = dev.processes() | servers_of(tmp_path)
        assert len(everything) >= 8
    finally:
        dev.process.kill()
        dev.process.wait()
    wait_until(lambda: not any(map(is_alive, everything)), timeout_s=30)
    assert status(tmp_path / ".agentflow") is None


def test_ctrl_c_ends_everything_within_seconds(dev: Dev, project: Project) -> None:
    everything = dev.processes() | servers_of(project.folder)
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(15) == 0
    wait_until(lambda: not any(map(is_alive, everything)), timeout_s=15)
    assert status(project.folder / ".agentflow") is None
