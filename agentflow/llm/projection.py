"""What a model call may use at most, known before it is made, so that it can be set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agentflow.declare.agent import OUTPUT_LIMITS
from agentflow.llm.prices import PriceTable, cost_usd
from agentflow.llm.protocol import Usage

DEFAULT_OUTPUT_TOKENS = 4096
"""Taken for the length of an answer where an agent's settings name no limit."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The tokens and the dollars that one call is held to; `cost_usd` is None for a model without a price."""

    tokens: int
    cost_usd: Decimal | None


def project(model: str, prompt_tokens: int, output_tokens: int, prices: PriceTable | None = None) -> Projection:
    """What a call of these tokens costs at most; raise ConfigError for a price that is none.

    Nothing is expected of a cache. Writing to one may cost more than the prompt alone: the dearest case is taken.
    """
    usage = Usage(prompt_tokens, output_tokens)
    costs = [
        cost_usd(model, usage, prices=prices),
        cost_usd(model, usage, prices=prices, cache_write_tokens=prompt_tokens),
    ]
    return Projection(prompt_tokens + output_tokens, max((cost for cost in costs if cost is not None), default=None))


def is_priced(model: str, prices: PriceTable | None = None) -> bool:
    """Whether the cost of a model's calls can be known; raise ConfigError for a price that is none."""
    return cost_usd(model, Usage(), prices=prices) is not None


def output_limit(settings: Mapping[str, Any]) -> int:
    """The tokens that an answer may have by an agent's settings; DEFAULT_OUTPUT_TOKENS where they don't say."""
    given = [settings[name] for name in OUTPUT_LIMITS if name in settings]
    limits = [limit for limit in given if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0]
    return max(limits, default=DEFAULT_OUTPUT_TOKENS)
