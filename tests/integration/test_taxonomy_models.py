"""What a model's provider may answer with, through the vendors' own libraries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from agentflow.domain.errors import ModelError
from agentflow.domain.message import user
from agentflow.llm.clients import VendorClient, client_for
from agentflow.llm.protocol import ModelRequest
from agentflow.policy.taxonomy import classify_error
from agentflow.policy.taxonomy.excerpt import MAX_MESSAGE
from tests.integration.faulty import Answer, Cut, FaultyServer, Hang, huge, refused_url

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as faulty:
        yield faulty


@pytest.fixture(params=PATHS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(server: FaultyServer, provider: str, monkeypatch: pytest.MonkeyPatch) -> VendorClient:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    return client_for(f"{provider}:some-model", base_url=f"{server.url}/v1", api_key=f"key-{server.server_port}")


def failure(client: VendorClient, timeout_s: float = 10.0) -> ModelError:
    with pytest.raises(ModelError) as caught:
        client.complete(ModelRequest(f"{client.provider}:some-model", [user("hi")], timeout_s=timeout_s))
    return caught.value


def date(**ahead: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)


def refusal(message: str, code: str | None = None) -> dict[str, Any]:
    return {"type": "error", "error": {"type": code or "error", "message": message, "code": code}}


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "1.5"}, 1.5, 1.5),
        ({"Retry-After-Ms": "250", "Retry-After": "9"}, 0.25, 0.25),
        ({"Retry-After": date(minutes=30)}, 1, 1800),
        ({"Retry-After": "31536000"}, 3600, 3600),
        ({"Retry-After": date(days=365)}, 3600, 3600),
    ],
    ids=["seconds", "decimals", "milliseconds", "date", "a year", "a year's date"],
)
def test_a_providers_wish_is_read_and_cut_at_an_hour(
    server: FaultyServer, client: VendorClient, provider: str, headers: dict[str, str], least: float, most: float
) -> None:
    server.script(PATHS[provider], Answer(429, headers))
    error = failure(client)
    assert error.kind == "rate_limited"
    assert error.retry_after_s is not None
    assert least <= error.retry_after_s <= most


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "soon", "nan", "inf", date(days=-1)],
    ids=["zero", "below", "a word", "nan", "inf", "yesterday"],
)
def test_a_providers_wish_that_makes_no_sense_is_none(
    server: FaultyServer, client: VendorClient, provider: str, text: str
) -> None:
    server.script(PATHS[provider], Answer(529, {"Retry-After": text}))
    error = failure(client)
    assert (error.kind, error.retry_after_s) == ("transient", None)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, refusal("You exceeded your current quota.", "insufficient_quota")),
        (400, refusal("Your hard limit.", "billing_hard_limit_reached")),
        (429, refusal("Your credit balance is too low.")),
        (400, refusal("Your credit balance is too low to access the Anthropic API.", "invalid_request_error")),
        (402, refusal("Pay.")),
    ],
)
def test_a_provider_that_asks_for_money_is_quota(
    server: FaultyServer, client: VendorClient, provider: str, status: int, body: dict[str, Any]
) -> None:
    server.script(PATHS[provider], Answer(status, body=body))
    assert failure(client).kind == "quota"


def test_a_providers_error_of_ten_megabytes_leaves_a_short_message(
    server: FaultyServer, client: VendorClient, provider: str
) -> None:
    server.script(PATHS[provider], huge(500))
    error = failure(client)
    assert (error.kind, error.status) == ("transient", 500)
    assert len(str(error)) == MAX_MESSAGE


@pytest.mark.parametrize(
    ("fault", "kind", "happened"),
    [
        (Answer(401), "auth", False),
        (Answer(408), "transient", False),
        (Answer(500), "transient", None),
        (Answer(502), "transient", None),
        (Answer(503), "transient", False),
        (Answer(529), "transient", False),
        (Answer(body="no JSON"), "malformed", None),
        (Cut(), "transient", None),
        (Hang(), "timeout", None),
    ],
    ids=repr,
)
def test_a_models_failure_has_its_word_on_whether_it_happened(
    server: FaultyServer, client: VendorClient, provider: str, fault: Any, kind: str, happened: bool | None
) -> None:
    server.script(PATHS[provider], fault)
    client.connect()
    failed = classify_error(failure(client, timeout_s=1.0), now=datetime.now(UTC))
    assert (failed.kind, failed.happened) == (kind, happened)
    assert len(server.arrivals(PATHS[provider])) == 1


def test_a_provider_that_cannot_be_reached_is_transient() -> None:
    error = failure(client_for("openai:m", base_url=f"{refused_url()}/v1", api_key="key"))
    assert classify_error(error, now=datetime.now(UTC)).kind == "transient"
