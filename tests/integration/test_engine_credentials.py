"""A credential that is refused is refreshed once across the fleet, and every step that met it goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentflow import Agent, Context, Pipeline, credential, tool
from agentflow.domain.outcome import Completed, Retrying
from agentflow.engine.executor import execute_step
from agentflow.engine.runtime import Runtime
from agentflow.llm.clients import client_for
from agentflow.testing import Harness
from tests.integration.credential_fleet import entering, fleet, refreshes, work
from tests.integration.faulty import Answer, Arrival, Fault
from tests.integration.gate_visits import wait_until
from tests.integration.hands import Hands
from tests.integration.outside import NO_TLS, Endpoint, completion, make_due, step_error, tries, wait_s

pytest_plugins = ["tests.integration.outside_server"]


class Vault:
    """Where the secret lives: read by every process, renewed by whoever was told to."""

    def __init__(self) -> None:
        self.secret = "canary-0"
        self.reads = 0
        self.refreshes = 0
        self.breaks = False
        self.before_refresh = threading.Event()
        self.before_refresh.set()

    def renew(self) -> None:
        assert self.before_refresh.wait(10)
        self.refreshes += 1
        if self.breaks:
            raise RuntimeError(f"the vault would not take {self.secret}")
        self.secret = f"canary-{self.refreshes}"


VAULT = Vault()


@pytest.fixture(autouse=True)
def vault() -> Vault:
    VAULT.__init__()  # type: ignore[misc]
    return VAULT


@credential
def shop_token() -> str:
    VAULT.reads += 1
    return VAULT.secret


shop_token.refresh(VAULT.renew)


@tool(effect="keyed", credential=shop_token)
def pay(ctx: Context, url: str) -> Any:
    headers = {"Authorization": f"Bearer {ctx.secret(shop_token)}", "Idempotency-Key": ctx.idempotency_key}
    return httpx2.post(url, headers=headers, timeout=10, verify=NO_TLS).raise_for_status().json()


paying = Pipeline("paying", [pay])


class Door:
    """Lets in who shows the key; those who do not are kept until as many have come as are expected."""

    def __init__(self, key: str, *, expected: int = 1) -> None:
        self._key = key
        self._refused = threading.Barrier(expected)

    def __call__(self, arrival: Arrival) -> Fault:
        if arrival.headers["authorization"] == f"Bearer {self._key}":
            return Answer(200, body={"paid": True})
        self._refused.wait(10)
        return Answer(401, body="who are you?")


def in_threads(*steps: tuple[Runtime, str]) -> Sequence[Any]:
    with ThreadPoolExecutor(len(steps)) as pool:
        return [each.result() for each in [pool.submit(execute_step, runtime, run_id, 0) for runtime, run_id in steps]]


def workers(agentflow: Harness, count: int) -> list[Runtime]:
    """As many workers, each with what it has read of its own."""
    return [agentflow.runtime(paying) for _ in range(count)]


def paid(hands: Hands, run_ids: Sequence[str]) -> bool:
    found = [hands.harness.client.get(run_id) for run_id in run_ids]
    return all((run.status, run.result) == ("done", {"paid": True}) for run in found)


def test_a_refused_credential_is_refreshed_and_the_step_made_again_with_the_new_one(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    endpoint.answers(Door("canary-1"))
    hands = Hands(agentflow, paying)
    run_id = hands.begin(paying, {"url": endpoint.url})

    assert isinstance(hands.do(run_id), Retrying)
    hands.work()

    assert paid(hands, [run_id])
    assert (vault.refreshes, tries(hands, run_id), hands.causes()) == (1, ["retried", "ok"], set())
    assert len({arrival.headers["idempotency-key"] for arrival in endpoint.arrivals}) == 1


def test_workers_that_are_refused_together_refresh_once_and_none_waits_for_it(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    endpoint.answers(Door("canary-1", expected=6))
    hands = Hands(agentflow, paying)
    run_ids = [hands.begin(paying, {"url": endpoint.url}) for _ in range(6)]
    vault.before_refresh.clear()

    with ThreadPoolExecutor(6) as pool:
        running = [
            pool.submit(execute_step, runtime, run_id, 0)
            for runtime, run_id in zip(workers(agentflow, 6), run_ids, strict=True)
        ]
        # The others have parked their steps while the refresh still hangs.
        wait_until(lambda: sum(each.done() for each in running) == 5)
        vault.before_refresh.set()
    hands.work()

    assert all(isinstance(each.result(), Retrying) for each in running)
    assert paid(hands, run_ids)
    assert vault.refreshes == 1
    assert {tuple(tries(hands, run_id)) for run_id in run_ids} == {("retried", "ok")}


def test_processes_that_are_refused_together_refresh_once(
    agentflow: Harness, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.answers(Door("new", expected=3))
    hands = Hands(agentflow, entering)
    run_ids = [hands.begin(entering, {"url": endpoint.url}) for _ in range(3)]

    with fleet(3, agentflow.database.url, tmp_path) as processes:
        first = list(processes.map(work, run_ids))
        make_due(hands)
        second = list(processes.map(work, run_ids))

    assert (first, second) == (["Retrying"] * 3, ["Completed"] * 3)
    assert refreshes(tmp_path) == 1


def test_threads_of_one_worker_refresh_once(agentflow: Harness, endpoint: Endpoint, vault: Vault) -> None:
    endpoint.answers(Door("canary-1", expected=6))
    hands = Hands(agentflow, paying)
    hands.runtime.isolated = False
    run_ids = [hands.begin(paying, {"url": endpoint.url}) for _ in range(6)]

    endings = in_threads(*[(hands.runtime, run_id) for run_id in run_ids])
    hands.work()

    assert all(isinstance(ending, Retrying) for ending in endings)
    assert paid(hands, run_ids)
    assert vault.refreshes == 1


def test_a_refusal_that_comes_after_the_refresh_is_one_of_the_old_secret(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    others_are_done = threading.Event()

    def refuse_late(arrival: Arrival) -> Fault:
        assert others_are_done.wait(10)
        return Answer(401)

    hands = Hands(agentflow, paying)
    hands.runtime.isolated = False
    slow, quick = (hands.begin(paying, {"url": endpoint.url}) for _ in range(2))
    endpoint.answers(refuse_late, Answer(401), Answer(200, body={"paid": True}))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(execute_step, hands.runtime, slow, 0)
        wait_until(lambda: endpoint.arrivals)
        assert isinstance(hands.do(quick), Retrying)
        assert isinstance(hands.do(quick), Completed)
        others_are_done.set()
        assert isinstance(running.result(), Retrying)
    hands.work()

    assert paid(hands, [slow, quick])
    assert vault.refreshes == 1


def test_a_worker_that_still_has_the_old_secret_reads_the_new_one_and_refreshes_nothing(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    first, second = Hands(agentflow, paying), Hands(agentflow, paying)
    one, other, third = (first.begin(paying, {"url": endpoint.url}) for _ in range(3))
    endpoint.answers(Door("canary-0"))
    assert isinstance(second.do(one), Completed)
    endpoint.answers(Door("canary-1"))
    assert [type(first.do(other)) for _ in range(2)] == [Retrying, Completed]

    assert [type(second.do(third)) for _ in range(2)] == [Retrying, Completed]

    assert (vault.refreshes, tries(first, third)) == (1, ["retried", "ok"])


def test_a_second_refusal_fails_the_step_and_tells_a_person(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    endpoint.answers(Answer(401, body="not you"))
    hands = Hands(agentflow, paying)
    run_id = hands.begin(paying, {"url": endpoint.url})

    hands.work()

    assert agentflow.client.get(run_id).status == "failed"
    assert (vault.refreshes, tries(hands, run_id)) == (1, ["retried", "error"])
    [alert] = agentflow.client.alerts()
    assert (alert["topic"], alert["run_id"]) == ("auth:pay", run_id)
    assert "not you" in alert["message"]


def test_without_a_credential_a_refusal_is_final_and_tells_a_person(agentflow: Harness, endpoint: Endpoint) -> None:
    @tool(effect="read", name="peek")
    def peek(url: str) -> Any:
        return httpx2.get(url, verify=NO_TLS).raise_for_status().json()

    endpoint.answers(Answer(403))
    peeking = Pipeline("peeking", [peek])
    hands = Hands(agentflow, peeking)
    run_id = hands.begin(peeking, {"url": endpoint.url})

    hands.work()

    assert (tries(hands, run_id), hands.causes()) == (["error"], {"auth"})


def test_a_tool_that_is_refused_before_it_reads_its_secret_is_refreshed_for_once_too(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    @tool(effect="read", name="peek", credential=shop_token)
    def peek(ctx: Context, url: str) -> Any:
        httpx2.head(url, verify=NO_TLS).raise_for_status()
        return ctx.secret(shop_token)

    endpoint.answers(Answer(401))
    peeking = Pipeline("peeking", [peek])
    hands = Hands(agentflow, peeking)
    run_id = hands.begin(peeking, {"url": endpoint.url})

    hands.work()

    assert (tries(hands, run_id), vault.refreshes) == (["retried", "error"], 1)


def test_each_refusal_of_a_new_generation_is_answered_anew_in_another_step(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    hands = Hands(agentflow, paying)
    for generation in (1, 2, 3):
        endpoint.answers(Door(f"canary-{generation}"))
        run_id = hands.begin(paying, {"url": endpoint.url})
        hands.work()
        assert paid(hands, [run_id])

    assert vault.refreshes == 3
    assert hands.value("select generation from agentflow.credentials") == 3


def test_a_refusal_that_was_mended_makes_no_later_wait_longer(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(401), Answer(503))
    hands = Hands(agentflow, paying)
    hands.runtime.draw = lambda: 1.0
    run_id = hands.begin(paying, {"url": endpoint.url})

    hands.do(run_id)
    make_due(hands)
    hands.do(run_id)

    assert wait_s(hands, run_id) == pytest.approx(1.0, abs=0.2)


def everything_stored(hands: Hands) -> Iterator[str]:
    for table in ("agent_runs", "agent_steps", "attempts", "alerts", "credentials", "model_calls", "messages"):
        for row in hands.sql(f"select t::text as row from agentflow.{table} t"):
            yield row["row"]


def test_a_refresher_that_fails_fails_the_step_and_what_it_said_is_kept_nowhere(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    endpoint.answers(Answer(401))
    vault.breaks = True
    hands = Hands(agentflow, paying)
    run_id = hands.begin(paying, {"url": endpoint.url})

    hands.work()

    assert (tries(hands, run_id), hands.causes()) == (["error"], {"auth"})
    assert "'shop_token' could not be refreshed" in step_error(hands, run_id)["message"]
    assert hands.value("select error from agentflow.credentials") == "RuntimeError"
    assert not [row for row in everything_stored(hands) if "canary" in row]


def test_a_refresher_that_failed_is_called_again_by_the_next_who_is_refused(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    endpoint.answers(Door("canary-2"))
    hands = Hands(agentflow, paying)
    vault.breaks = True
    failed = hands.begin(paying, {"url": endpoint.url})
    hands.work()
    vault.breaks = False

    run_id = hands.begin(paying, {"url": endpoint.url})
    hands.work()

    assert agentflow.client.get(failed).status == "failed"
    assert paid(hands, [run_id])


def test_a_refresh_whose_worker_died_in_it_is_taken_over(agentflow: Harness, endpoint: Endpoint, vault: Vault) -> None:
    endpoint.answers(Door("canary-1"))
    hands = Hands(agentflow, paying)
    run_id = hands.begin(paying, {"url": endpoint.url})
    hands.sql(
        "insert into agentflow.credentials (name, refreshing_by, refreshing_until) "
        "values ('shop_token', gen_random_uuid(), clock_timestamp() + interval '30 seconds')"
    )

    ending = hands.do(run_id)
    assert isinstance(ending, Retrying)
    assert (ending.after_s, vault.refreshes) == (1.0, 0)
    hands.sql("update agentflow.credentials set refreshing_until = clock_timestamp()")
    hands.work()

    assert paid(hands, [run_id])
    assert vault.refreshes == 1


clerk = Agent("clerk", model="openai:gpt-4o-mini", credential=shop_token)


def asking(agentflow: Harness, endpoint: Endpoint) -> Hands:
    hands = Hands(agentflow, clerk)
    hands.runtime.models = lambda model, api_key=None: client_for(model, base_url=endpoint.url, api_key=api_key)
    return hands


def refuse_old_keys(arrival: Arrival) -> Fault:
    if arrival.headers["authorization"] == "Bearer canary-1":
        return completion("done")
    return Answer(401, {"Content-Type": "application/json"}, {"error": {"message": "bad key", "code": "invalid"}})


def test_a_models_key_is_refreshed_too(agentflow: Harness, endpoint: Endpoint, vault: Vault) -> None:
    endpoint.answers_at("/chat/completions", refuse_old_keys)
    hands = asking(agentflow, endpoint)
    run_id = hands.begin(clerk, "go")

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.result, vault.refreshes) == ("done", "done", 1)
    assert tries(hands, run_id) == ["retried", "ok"]
    assert not [row for row in everything_stored(hands) if "canary" in row]


def test_a_models_key_that_stays_refused_ends_the_run_and_tells_a_person(
    agentflow: Harness, endpoint: Endpoint, vault: Vault
) -> None:
    vault.refreshes = 7
    endpoint.answers_at("/chat/completions", refuse_old_keys)
    hands = asking(agentflow, endpoint)
    run_id = hands.begin(clerk, "go")

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], vault.refreshes) == ("failed", "model_failed", 8)
    assert (tries(hands, run_id), hands.causes()) == (["retried", "error"], {"auth"})
    assert run.cost_usd == 0
