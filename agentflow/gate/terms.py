"""Owns a bulkhead's limits in the form that the scripts read, and that Redis keeps for whoever asks without them."""

from __future__ import annotations

import json

from agentflow.gate.keys import Keys
from agentflow.gate.protocol import Bulkhead


def terms_of(bulkhead: Bulkhead, keys: Keys) -> str:
    """Return the terms as JSON."""
    limits, breaker = bulkhead.limits, bulkhead.limits.breaker
    rates = [{"calls": rate.calls, "per_s": rate.per_s} for rate in limits.rates]
    shared = [place for place, rate in enumerate(limits.rates) if rate.key is None]
    terms = {
        "slots": limits.slots,
        "failures": breaker.failures,
        "within_s": breaker.within_s,
        "open_s": breaker.open_s,
        "probes": breaker.probes,
        "retry_share": limits.retry_share,
        "retry_floor": limits.retry_floor,
        "rates": rates,
        "shared_rates": [{"key": keys.rate(bulkhead.name, place), **rates[place]} for place in shared],
        "breaker_keys": keys.breaker(bulkhead.breaker),
    }
    return json.dumps(terms, separators=(",", ":"))
