"""What the doctor finds in what is declared and set here."""

from __future__ import annotations

import pytest
import structlog
from pydantic import SecretStr

from agentflow.cli.configured import examine_alert_urls, examine_prices
from agentflow.declare.agent import Agent
from agentflow.declare.budget import Budget
from agentflow.declare.fallback import Handoff, Model
from agentflow.declare.registry import Registry
from agentflow.llm.scripted import scripted
from agentflow.settings import Settings

# apprise imports it.
pytestmark = pytest.mark.filterwarnings("ignore:.imghdr. is deprecated:DeprecationWarning")

OWN_PRICE = '{"acme:large": {"input_mtok": 1, "output_mtok": 2}}'


def said_of_prices(agent: Agent, settings: Settings | None = None) -> list[str]:
    return [each.says for each in examine_prices(Registry.of([agent]), settings or Settings())]


def said_of_urls(urls: str) -> list[tuple[str, str]]:
    with structlog.testing.capture_logs():
        return [(each.level, each.says) for each in examine_alert_urls(Settings(alert_urls=SecretStr(urls)))]


def test_model_without_a_price_under_a_ceiling_of_cost_is_found() -> None:
    [said] = said_of_prices(Agent("helper", model="acme:large"))
    assert said == "'helper' asks 'acme:large', which has no price"


def test_fallbacks_model_without_a_price_is_found() -> None:
    fallback = Model("acme:small", then=Handoff())
    [said] = said_of_prices(Agent("helper", model="openai:gpt-4o-mini", fallback=fallback))
    assert said == "the fallback of 'helper' is 'acme:small', which has no price"


def test_models_with_a_price_without_a_ceiling_or_of_ones_own_are_in_order() -> None:
    assert said_of_prices(Agent("listed", model="openai:gpt-4o-mini", fallback=Model("openai:gpt-4.1-nano"))) == []
    assert said_of_prices(Agent("own", model="acme:large"), Settings(prices=OWN_PRICE)) == []
    assert said_of_prices(Agent("open", model="acme:large", budget=Budget(cost_usd=None))) == []
    assert said_of_prices(Agent("object", model=scripted("done"))) == []


def test_alert_url_that_apprise_does_not_know_is_found_by_its_number_and_never_shown() -> None:
    said = said_of_urls("json://127.0.0.1:1/s3cret,nothing://s3cret")
    assert said == [
        ("warn", "AGENTFLOW_ALERT_URLS: apprise can't use URL 2 of 2"),
        ("ok", "pages go to JSON"),
    ]


def test_alert_urls_that_are_none_are_found() -> None:
    assert [level for level, _ in said_of_urls("://")] == ["warn"]


def test_nothing_is_said_where_nobody_is_to_be_paged() -> None:
    assert list(examine_alert_urls(Settings())) == []
