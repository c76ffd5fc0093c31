"""What a call costs, from the price list that comes with genai-prices (no network) or from prices of one's own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from agentflow.domain.errors import ConfigError
from agentflow.llm.protocol import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

PriceTable = Mapping[str, Mapping[str, Any]]
"""Dollars per million tokens: {"my-model": {"input_mtok": 0.5, "output_mtok": 1.5}}; "openai:my-model" works too.

An entry may name the model's `context_window` in tokens; one that names nothing else leaves the listed price as it is.
"""

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
    entry = own_entry(model, prices)
    if entry is not None and set(entry) != {"context_window"}:
        return _own_cost(model, entry, usage)
    return _listed_cost(model, usage, cache_read_tokens, cache_write_tokens)


def own_entry(model: str, prices: PriceTable | None) -> Mapping[str, Any] | None:
    """What one's own table says of a model, by its full name or without its provider; None where it says nothing."""
    for key in (model, _split(model)[1]):
        if prices and key in prices:
            entry: object = prices[key]
            if not isinstance(entry, Mapping):
                raise ConfigError(f"The price of {model!r} is {entry!r}: write an object with 'input_mtok' and so on.")
            return entry
    return None


@functools.lru_cache(maxsize=1024)
def listed_model(model: str) -> ModelInfo | None:
    """What the bundled list says of a model; None for one that it does not price."""
    # Importing the list takes half a second: not before the first call that is priced.
    from genai_prices import Usage as ListedUsage
    from genai_prices import calc_price

    provider, name = _split(model)
    try:
        return calc_price(ListedUsage(input_tokens=0, output_tokens=0), name, provider_id=provider).model
    except LookupError:
        return None


def _split(model: str) -> tuple[str | None, str]:
    # At the first colon: names such as "llama3:8b" and "ft:gpt-4o-mini:acme::id" hold more of them.
    provider, found, name = model.partition(":")
    return (provider, name) if found else (None, model)


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


def _listed_cost(model: str, usage: Usage, cache_read: int, cache_write: int) -> Decimal | None:
    if listed_model(model) is None:
        return None
    from genai_prices import Usage as ListedUsage
    from genai_prices import calc_price

    listed = ListedUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )
    provider, name = _split(model)
    return calc_price(listed, name, provider_id=provider).total_price
