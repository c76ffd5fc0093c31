"""Prices: from the bundled list, without a network, or from one's own."""

from decimal import Decimal
from typing import Any

import pytest

from agentflow.domain.errors import ConfigError
from agentflow.llm.prices import cost_usd
from agentflow.llm.protocol import Usage

USAGE = Usage(prompt_tokens=1_000, completion_tokens=200)


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("openai:gpt-4o-mini", "0.00027"),
        ("gpt-4o-mini", "0.00027"),
        ("openai:gpt-4o-mini-2024-07-18", "0.00027"),
        ("anthropic:claude-sonnet-4-5", "0.006"),
        ("openai:ft:gpt-4o-mini-2024-07-18:acme::id", "0.00054"),
    ],
)
def test_listed_models_have_their_price(model: str, cost: str) -> None:
    assert cost_usd(model, USAGE) == Decimal(cost)


@pytest.mark.parametrize("model", ["openai:never-heard-of", "never-heard-of", "nobody:gpt-4o-mini"])
def test_an_unknown_model_has_no_price(model: str) -> None:
    assert cost_usd(model, USAGE) is None


def test_cached_tokens_are_cheaper() -> None:
    cost = cost_usd("openai:gpt-4o-mini", USAGE, cache_read_tokens=1_000)
    assert cost is not None
    assert cost < Decimal("0.00027")


@pytest.mark.parametrize("name", ["my-model", "llama3:8b"])
@pytest.mark.parametrize("provider", ["", "openai:"])
def test_own_prices_count_per_million_tokens(provider: str, name: str) -> None:
    prices = {provider + name: {"input_mtok": 0.5, "output_mtok": "2"}}
    assert cost_usd(f"openai:{name}", USAGE, prices=prices) == Decimal("0.0009")


def test_own_prices_go_before_the_list() -> None:
    prices = {"gpt-4o-mini": {"input_mtok": 0, "output_mtok": 0}}
    assert cost_usd("openai:gpt-4o-mini", USAGE, prices=prices) == 0


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"input_mtok": 1},
        {"input_mtok": "a", "output_mtok": 1},
        {"input_mtok": -1},
        {"input_mtok": 1, "output_mtok": float("nan")},
        {"input_mtok": float("inf"), "output_mtok": 1},
        {"input_mtok": 1, "context_window": 5},
    ],
    ids=str,
)
def test_a_price_that_is_none_is_refused_by_name(entry: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"price of 'openai:m' needs '(in|out)put_mtok'"):
        cost_usd("openai:m", USAGE, prices={"m": entry})


@pytest.mark.parametrize("entry", [0.5, "cheap", None, [1, 2]], ids=str)
def test_an_entry_that_is_no_object_is_refused_by_name(entry: Any) -> None:
    with pytest.raises(ConfigError, match=r"price of 'openai:m' is .*: write an object with 'input_mtok'"):
        cost_usd("openai:m", USAGE, prices={"m": entry})
