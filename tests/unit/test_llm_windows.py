"""Windows: from the bundled list, without a network, or from a table of one's own."""

import subprocess
import sys
from typing import Any

import pytest

from agentflow.domain.errors import ConfigError
from agentflow.llm.prices import cost_usd
from agentflow.llm.protocol import Usage
from agentflow.llm.windows import window_of


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ("openai:gpt-4o-mini", 128_000),
        ("gpt-4o-mini", 128_000),
        ("openai:gpt-4o-mini-2024-07-18", 128_000),
        ("anthropic:claude-sonnet-4-5", 200_000),
    ],
)
def test_listed_models_have_their_window(model: str, window: int) -> None:
    assert window_of(model) == window


@pytest.mark.parametrize("model", ["openai:never-heard-of", "nobody:gpt-4o-mini", "ScriptedModel", ""])
def test_the_window_of_an_unknown_model_is_not_known(model: str) -> None:
    assert window_of(model) is None


@pytest.mark.parametrize("key", ["my-model:8b", "openai:my-model:8b"])
def test_a_table_of_ones_own_may_name_the_window(key: str) -> None:
    assert window_of("openai:my-model:8b", {key: {"context_window": 8_192}}) == 8_192


def test_ones_own_window_goes_before_the_list_and_the_listed_one_before_none() -> None:
    priced = {"input_mtok": 1, "output_mtok": 1}

    assert window_of("openai:gpt-4o-mini", {"gpt-4o-mini": {**priced, "context_window": 16_000}}) == 16_000
    assert window_of("openai:gpt-4o-mini", {"gpt-4o-mini": priced}) == 128_000


def test_an_entry_that_names_a_window_alone_leaves_the_price_as_it_is() -> None:
    prices = {"gpt-4o-mini": {"context_window": 16_000}}

    assert cost_usd("openai:gpt-4o-mini", Usage(1_000, 200), prices=prices) == cost_usd(
        "openai:gpt-4o-mini", Usage(1_000, 200)
    )


@pytest.mark.parametrize("window", [0, -1, 1.5, "many", None, True, float("nan")])
def test_a_window_that_is_none_is_refused_by_name(window: Any) -> None:
    with pytest.raises(ConfigError, match=r"'context_window' of 'openai:m' is .*: give a whole number"):
        window_of("openai:m", {"m": {"context_window": window}})


def test_the_list_is_not_imported_before_it_is_asked() -> None:
    code = (
        "import sys; from agentflow.llm import projection, windows;"
        "windows.window_of('openai:m', {'m': {'context_window': 5}});"
        "assert 'genai_prices' not in sys.modules; print(windows.window_of('openai:gpt-4o-mini'))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "128000"
