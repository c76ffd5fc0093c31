"""Shows every fault of the outside world's web and mail: what the caller sees, and what happened."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import threading
from typing import Any

import httpx2
import pytest

from tests.integration.workers.waiting import until
from tests.world.knocks import effects, lines, pay, send
from tests.world.moods import AFTER, APPLICABLE, BEFORE, LATE
from tests.world.process import World

SEEN: dict[str, Any] = {
    "429": 429, "429_after_s": 429, "429_date": 429, "500_before": 500, "503": 503, "529": 529, "500_after": 500,
    "hang_before": httpx2.ReadTimeout, "hang_after": httpx2.ReadTimeout,
    "cut_before": httpx2.NetworkError | httpx2.RemoteProtocolError,
    "cut_after": httpx2.NetworkError | httpx2.RemoteProtocolError,
    LATE: httpx2.NetworkError | httpx2.RemoteProtocolError,
    "malformed": ValueError, "garbage": httpx2.RemoteProtocolError, "truncated": httpx2.RemoteProtocolError,
}  # fmt: skip


@pytest.mark.parametrize("fault", APPLICABLE["keyed"])
def test_a_fault_shows_and_the_effect_is_there_or_not(world: World, fault: str) -> None:
    world.misbehave({"keyed": {fault: 1.0}})
    key, seen = f"k-{fault}", SEEN[fault]
    if isinstance(seen, int):
        assert pay(world, key).status_code == seen
    else:
        with pytest.raises(seen.__args__ if hasattr(seen, "__args__") else seen):
            pay(world, key).json()
    assert effects(world, key=key) == (1 if fault in AFTER else 0)
    assert {each.fault for each in lines(world, key=key)} == {fault}
    if fault == LATE:
        until(lambda: effects(world, key=key), "the late effect", timeout_s=5)
    world.heal()
    assert pay(world, key).status_code == 200
    assert effects(world, key=key) == 1


def test_every_fault_of_the_web_is_shown_above() -> None:
    assert set(SEEN) == {*BEFORE, *AFTER, LATE}


def test_who_is_refused_is_told_when_to_come_again(world: World) -> None:
    world.misbehave({"keyed": {"429_after_s": 1.0}})
    assert pay(world, "k-later").headers["retry-after"] == "1"
    world.misbehave({"keyed": {"429_date": 1.0}})
    assert pay(world, "k-later").headers["retry-after"].endswith("GMT")


def test_healing_lets_go_who_hangs(world: World) -> None:
    world.misbehave({"keyed": {"hang_after": 1.0}})
    ends = []

    def wait() -> None:
        with pytest.raises((httpx2.NetworkError, httpx2.RemoteProtocolError)):
            httpx2.post(f"{world.url}/keyed/pay", json={}, headers={"Idempotency-Key": "k-held"}, timeout=20)
        ends.append(True)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: lines(world, key="k-held"), "the request")
    world.heal()
    waiting.join(10)
    assert ends == [True]


def test_what_was_given_up_before_the_world_came_to_it_does_not_happen(world: World) -> None:
    os.kill(world.pid, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", httpx2.URL(world.url).port or 0)) as caller:
        head = b"POST /unsafe/act HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k-gone\r\nContent-Length: 2\r\n\r\n{}"
        caller.sendall(head)
    os.kill(world.pid, signal.SIGCONT)
    until(lambda: lines(world, key="k-gone"), "the request")
    assert [(each.fault, each.effect) for each in lines(world, key="k-gone")] == [("given_up", False)]


@pytest.mark.parametrize(
    ("fault", "seen", "arrived"),
    [
        ("451", "451", False),
        ("550", "550", False),
        ("451_dot", "451", False),
        ("cut_before", "closed", False),
        ("cut_after", "closed", True),
        ("hang_before", "timed out", False),
        ("hang_after", "timed out", True),
    ],
)
def test_a_fault_of_the_mail_shows(world: World, fault: str, seen: str, arrived: bool) -> None:
    assert fault in APPLICABLE["mail"]
    world.misbehave({"mail": {fault: 1.0}})
    with pytest.raises(smtplib.SMTPException, match=seen):
        send(world, f"letter-{fault}", timeout_s=0.5)
    assert effects(world, door="mail", name=f"letter-{fault}") == arrived
    assert lines(world, door="mail", fault=fault)
