"""The fault-injecting server does to its clients what its script says, and nothing else."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.integration.faulty import Answer, Arrival, Fault, FaultyServer, Hang


def test_a_script_is_played_once_and_its_last_answer_for_ever() -> None:
    with FaultyServer() as server:
        server.script("/a", Answer(503), Answer(429), Answer(body={"done": True}))
        assert [httpx2.get(f"{server.url}/a").status_code for _ in range(5)] == [503, 429, 200, 200, 200]
        assert httpx2.get(f"{server.url}/a").json() == {"done": True}


def test_each_path_has_a_script_of_its_own() -> None:
    with FaultyServer() as server:
        server.script("/a", Answer(503))
        assert httpx2.get(f"{server.url}/a?x=1").status_code == 503
        assert httpx2.delete(f"{server.url}/b").json() == {}


def test_the_log_has_what_arrived_and_when() -> None:
    with FaultyServer() as server:
        before = time.monotonic()
        httpx2.put(f"{server.url}/a", content=b"abc", headers={"Idempotency-Key": "k"})
        (arrival,) = server.arrivals("/a")
        assert (arrival.method, arrival.body, arrival.headers["idempotency-key"]) == ("PUT", b"abc", "k")
        assert before <= arrival.at <= time.monotonic()


def test_a_function_in_a_script_makes_up_its_mind_as_it_goes() -> None:
    def refuse_the_first(arrival: Arrival) -> Fault:
        return Answer(429 if arrival.headers["x-number"] == "0" else 200)

    with FaultyServer() as server:
        server.script("/a", refuse_the_first)
        statuses = [httpx2.get(f"{server.url}/a", headers={"x-number": str(n)}).status_code for n in range(3)]
    assert statuses == [429, 200, 200]


def test_many_clients_at_once_each_take_one_answer() -> None:
    with FaultyServer() as server, httpx2.Client() as client, ThreadPoolExecutor(16) as pool:
        server.script("/a", *(Answer(503) for _ in range(100)), Answer())
        statuses = list(pool.map(lambda _: client.get(f"{server.url}/a").status_code, range(200)))
        assert (statuses.count(503), len(server.arrivals("/a"))) == (100, 200)


def test_a_server_that_closes_lets_go_of_those_it_hangs_on() -> None:
    with ThreadPoolExecutor(1) as pool:
        with FaultyServer() as server:
            server.script("/a", Hang())
            waiting = pool.submit(httpx2.get, f"{server.url}/a", timeout=60)
            server.wait_for("/a", 1)
        assert isinstance(waiting.exception(timeout=10), httpx2.RemoteProtocolError)


def test_no_thread_outlives_the_server() -> None:
    before = set(threading.enumerate())
    with FaultyServer() as server, httpx2.Client() as client:
        client.get(f"{server.url}/kept-alive")
    assert set(threading.enumerate()) == before


def test_an_error_of_a_scripts_own_reaches_the_test() -> None:
    def broken(_: Arrival) -> Fault:
        raise LookupError("no such answer")

    def ask() -> None:
        with FaultyServer() as server:
            server.script("/a", broken)
            with pytest.raises(httpx2.RemoteProtocolError):
                httpx2.get(f"{server.url}/a")

    with pytest.raises(LookupError, match="no such answer"):
        ask()
