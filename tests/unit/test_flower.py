"""Flower does not start without a password, listens on loopback and changes nothing, unless it is told otherwise."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from flower.urls import handlers

OPTIONS = Path(__file__).resolve().parents[2] / "config" / "flower.py"
COMMAND = [sys.executable, "-m", "celery", "--broker", "memory://", "flower", f"--conf={OPTIONS}"]

CHANGING_CALLS = [
    "task/abort",
    "task/apply",
    "task/async-apply",
    "task/rate-limit",
    "task/revoke",
    "task/send-task",
    "task/timeout",
    "worker/pool/autoscale",
    "worker/pool/grow",
    "worker/pool/restart",
    "worker/pool/shrink",
    "worker/queue/add-consumer",
    "worker/queue/cancel-consumer",
    "worker/shutdown",
]


def environment(**settings: str) -> dict[str, str]:
    """This process's variables without any of Flower's, and with those given."""
    inherited = {name: value for name, value in os.environ.items() if "FLOWER_" not in name}
    return inherited | {f"AGENTFLOW_FLOWER_{name}": value for name, value in settings.items()}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status_of(url: str, method: str = "GET", credentials: str = "") -> int:
    """The HTTP status that `url` answers with."""
    request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None)
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once Flower answers; fail when it ended, or after thirty seconds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if status_of(f"{url}/healthcheck") == 200:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"Flower ended by itself with {process.wait(timeout=0.1)}")
    pytest.fail("Flower did not answer within thirty seconds")


@pytest.fixture(scope="module")
def flower() -> Iterator[str]:
    """The address of a Flower with our options."""
    port = free_port()
    process = subprocess.Popen(COMMAND, env=environment(AUTH="op:secret", PORT=str(port)), stderr=subprocess.DEVNULL)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.parametrize("page", ["/", "/tasks", "/workers", "/broker", "/api/workers", "/api/tasks", "/metrics"])
def test_pages_ask_for_the_password(flower: str, page: str) -> None:
    assert status_of(flower + page) == 401
    assert status_of(flower + page, credentials="op:wrong") == 401


@pytest.mark.parametrize("page", ["/", "/tasks", "/api/workers", "/metrics"])
def test_pages_open_with_the_password(flower: str, page: str) -> None:
    assert status_of(flower + page, credentials="op:secret") == 200


@pytest.mark.parametrize("call", CHANGING_CALLS)
def test_calls_that_change_something_are_refused(flower: str, call: str) -> None:
    assert status_of(f"{flower}/api/{call}/name", method="POST", credentials="op:secret") == 403


def test_list_of_changing_calls_is_complete() -> None:
    patterns = [entry[0] for entry in handlers if isinstance(entry, tuple) and "post" in vars(entry[1])]
    posted_to = {pattern.removeprefix("/api/").removesuffix("/(.+)") for pattern in patterns}
    assert posted_to - {".*"} == set(CHANGING_CALLS)


def test_flower_listens_on_no_other_address(flower: str) -> None:
    with (
        pytest.raises((ConnectionRefusedError, TimeoutError)),
        socket.create_connection(("127.0.0.2", int(flower.rpartition(":")[2])), timeout=5),
    ):
        pass


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        pytest.param({}, "AGENTFLOW_FLOWER_AUTH: Field required", id="no password"),
        pytest.param({"AUTH": ""}, "AGENTFLOW_FLOWER_AUTH: Field required", id="empty"),
        pytest.param({"AUTH": "op:"}, "write it as user:password", id="empty password"),
        pytest.param({"AUTH": "a:b,operator"}, "write it as user:password", id="no colon"),
        pytest.param({"AUTH": "op:gehëim"}, "write it as user:password", id="beyond ASCII"),
        pytest.param({"AUTH": "op:x", "READ_ONLY": "maybe"}, "AGENTFLOW_FLOWER_READ_ONLY", id="switch that is none"),
        pytest.param({"AUTH": "op:x", "PORT": "70000"}, "AGENTFLOW_FLOWER_PORT", id="port that is none"),
    ],
)
def test_flower_does_not_start_with_options_it_cannot_use(settings: dict[str, str], complaint: str) -> None:
    values = environment(**settings)
    ended = subprocess.run(COMMAND, env=values, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert complaint in ended.stderr
    assert "gehëim" not in ended.stderr
