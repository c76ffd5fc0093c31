"""What a call may use at most: set aside before it is made."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.domain.errors import ConfigError
from agentflow.llm.prices import cost_usd
from agentflow.llm.projection import DEFAULT_OUTPUT_TOKENS, Projection, is_priced, output_limit, project
from agentflow.llm.protocol import Usage

OWN = {"m": {"input_mtok": "0.5", "output_mtok": 2}}


def test_prompt_and_answer_are_projected_at_the_listed_price() -> None:
    assert project("openai:gpt-4o-mini", 1_000, 200) == Projection(1_200, Decimal("0.00027"))


def test_ones_own_prices_are_taken() -> None:
    assert project("openai:m", 1_000, 200, OWN) == Projection(1_200, Decimal("0.0009"))


def test_a_model_without_a_price_is_projected_in_tokens_alone() -> None:
    assert project("openai:never-heard-of", 1_000, 200) == Projection(1_200, None)


@given(
    st.sampled_from(["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "openai:gpt-5"]),
    st.integers(0, 500_000),
    st.integers(0, 100_000),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_no_use_of_the_cache_costs_more_than_projected(
    model: str, prompt: int, output: int, cached: float, written: float
) -> None:
    read = int(prompt * cached)
    spent = cost_usd(
        model,
        Usage(prompt, output),
        cache_read_tokens=read,
        cache_write_tokens=int((prompt - read) * written),
    )

    projected = project(model, prompt, output).cost_usd

    assert spent is not None
    assert projected is not None
    assert spent <= projected


@given(st.integers(0, 500_000), st.integers(0, 100_000), st.integers(0, 500_000), st.integers(0, 100_000))
def test_fewer_tokens_than_projected_never_cost_more(prompt: int, output: int, less: int, shorter: int) -> None:
    projected = project("anthropic:claude-sonnet-4-5", prompt, output).cost_usd

    spent = cost_usd("anthropic:claude-sonnet-4-5", Usage(min(less, prompt), min(shorter, output)))

    assert spent is not None
    assert projected is not None
    assert spent <= projected


@pytest.mark.parametrize(
    ("model", "prices", "priced"),
    [
        ("openai:gpt-4o-mini", None, True),
        ("openai:never-heard-of", None, False),
        ("openai:m", OWN, True),
        ("openai:m", {"m": {"input_mtok": 0, "output_mtok": 0}}, True),
        ("openai:m", {"m": {"context_window": 8_192}}, False),
    ],
    ids=["listed", "unknown", "one's own", "free", "a window alone"],
)
def test_a_model_is_priced_where_its_cost_can_be_known(model: str, prices: Any, *, priced: bool) -> None:
    assert is_priced(model, prices) is priced


@pytest.mark.parametrize("price", [-1, float("nan"), float("inf"), "NaN", "a", True, None])
def test_a_price_that_is_none_is_refused_and_not_taken_for_missing(price: Any) -> None:
    prices = {"m": {"input_mtok": price, "output_mtok": 1}}

    with pytest.raises(ConfigError, match="price of 'openai:m' needs 'input_mtok'"):
        is_priced("openai:m", prices)
    with pytest.raises(ConfigError, match="price of 'openai:m' needs 'input_mtok'"):
        project("openai:m", 1, 1, prices)


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({}, DEFAULT_OUTPUT_TOKENS),
        ({"temperature": 0.5}, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60}, 60),
        ({"max_tokens": 50, "max_completion_tokens": 60}, 60),
        ({"max_tokens": None}, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": -5}, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": "many"}, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": True}, DEFAULT_OUTPUT_TOKENS),
    ],
    ids=str,
)
def test_an_answers_length_is_what_the_settings_allow(settings: dict[str, Any], limit: int) -> None:
    assert output_limit(settings) == limit
