"""What a call costs, from the price list that comes with genai-prices (no network) or from prices of one's own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from agentflow.domain.errors import ConfigError
from agentflow.llm.protocol import Usage

PriceTable = Mapping[str, Mapping[str, Any]]
"""Dollars per million tokens: {"my-model": {"input_mtok": 0.5, "output_mtok": 1.5}}; "openai:my-model" works too."""

_MILLION = Decimal(1_000_000)


def cost_usd(
    model: str,
    usage: Usage,
    *,
    prices: PriceTable | None = None,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
) -> Decimal | None:
    """The price of one call; None for a model that has none. Cached tokens are part of the prompt's tokens."""
    provider, _, name = model.rpartition(":")
    if prices and (entry := prices.get(model) or prices.get(name)) is not None:
        return _own_cost(model, entry, usage)
    return _listed_cost(provider or None, name, usage, cache_read_tokens, cache_write_tokens)


def _own_cost(model: str, entry: Mapping[str, Any], usage: Usage) -> Decimal:
    prompt = _price(model, entry, "input_mtok") * usage.prompt_tokens
    completion = _price(model, entry, "output_mtok") * usage.completion_tokens
    return (prompt + completion) / _MILLION


def _price(model: str, entry: Mapping[str, Any], key: str) -> Decimal:
    try:
        price = Decimal(str(entry[key]))
    except (KeyError, InvalidOperation):
        price = Decimal(-1)
    if not price.is_finite() or price < 0:
        raise ConfigError(f"The price of {model!r} needs {key!r}, in dollars per million tokens, zero or more.")
    return price


def _listed_cost(provider: str | None, name: str, usage: Usage, cache_read: int, cache_write: int) -> Decimal | None:
    if not _is_listed(provider, name):
        return None
    from genai_prices import Usage as ListedUsage
    from genai_prices import calc_price

    listed = ListedUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )
    return calc_price(listed, name, provider_id=provider).total_price


@functools.lru_cache(maxsize=1024)
def _is_listed(provider: str | None, name: str) -> bool:
    # Importing the list takes half a second: not before the first call that is priced.
    from genai_prices import Usage as ListedUsage
    from genai_prices import calc_price

    try:
        calc_price(ListedUsage(input_tokens=0, output_tokens=0), name, provider_id=provider)
    except LookupError:
        return False
    return True
