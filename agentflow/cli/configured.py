"""What `agentflow doctor` finds in what is declared and set here: models without a price, pages that go nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentflow.cli.findings import Finding
from agentflow.declare.agent import Agent
from agentflow.declare.registry import Registry
from agentflow.settings import Settings

_UNPRICED = (
    "no run of it gets past budget_unpriced_model: give the model a price in AGENTFLOW_PRICES, "
    "or the agent no ceiling of cost, Budget(cost_usd=None)"
)


def examine_prices(registry: Registry, configured: Settings) -> Iterator[Finding]:
    """Look at each agent whose budget has a ceiling of cost: a model without a price can't be held to it."""
    agents = [each for each in registry.agents.values() if isinstance(each, Agent)]
    limited = [agent for agent in agents if agent.budget.cost_usd is not None]
    for agent in limited:
        if not _is_priced(agent.model, configured.price_table):
            yield Finding("warn", "prices", f"{agent.name!r} asks {agent.model!r}, which has no price", _UNPRICED)
        elif not _is_priced(agent.fallback.model, configured.price_table):
            says = f"the fallback of {agent.name!r} is {agent.fallback.model!r}, which has no price"
            yield Finding("warn", "prices", says, "it is never asked: give it a price in AGENTFLOW_PRICES")


def examine_alert_urls(configured: Settings) -> Iterator[Finding]:
    """Look at whom AGENTFLOW_ALERT_URLS names. URLs are secrets: they go by their number, services by their name."""
    if configured.alert_urls is None:
        return
    from apprise.utils.parse import parse_urls

    from agentflow.telemetry.paging import open_services

    urls = parse_urls(configured.alert_urls.get_secret_value())  # type: ignore[no-untyped-call]
    services = [open_services(url) for url in urls]
    refused = [str(number) for number, opened in enumerate(services, 1) if not opened]
    if refused or not services:
        says = f"apprise can't use URL {', '.join(refused)} of {len(urls)}" if urls else "there is no URL in it"
        yield Finding("warn", "alerts", f"AGENTFLOW_ALERT_URLS: {says}", "nobody is paged by it: see apprise's wiki")
    if names := sorted({service.name for opened in services for service in opened}):
        yield Finding("ok", "alerts", f"pages go to {', '.join(names)}")


def _is_priced(model: Any, prices: Mapping[str, Any] | None) -> bool:
    from agentflow.llm.projection import is_priced

    # A model object says afterwards what it cost.
    return not isinstance(model, str) or is_priced(model, prices)
