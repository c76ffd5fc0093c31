"""How many tokens a model's window holds, from the list that comes with genai-prices or from a table of one's own."""

from __future__ import annotations

from agentflow.domain.errors import ConfigError
from agentflow.llm.prices import PriceTable, listed_model, own_entry


def window_of(model: str, prices: PriceTable | None = None) -> int | None:
    """The tokens that a model's prompt and answer may have together; None where neither table knows."""
    entry = own_entry(model, prices)
    if entry is not None and "context_window" in entry:
        return _checked(model, entry["context_window"])
    listed = listed_model(model)
    return None if listed is None else listed.context_window


def _checked(model: str, window: object) -> int:
    if isinstance(window, bool) or not isinstance(window, int) or window <= 0:
        raise ConfigError(f"The 'context_window' of {model!r} is {window!r}: give a whole number of tokens above zero.")
    return window
