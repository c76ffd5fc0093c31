"""Measures the round trips to Postgres per step: a short burst whose every connection goes through a counting proxy.

It has a turn of its own, because the proxy costs time.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from agentflow import Client
from bench.figures import Figure
from bench.forms import Agentflow
from bench.proxy import counting
from bench.size import Size

_WARM_UP, _SHARE = 10, 4


def measure_trips(forms: Sequence[Agentflow], size: Size) -> dict[str, list[Figure]]:
    """Return the figures by form. A form's workers are replaced by ones that go through a proxy, and stay so."""
    with ThreadPoolExecutor(len(forms)) as threads:
        found = list(threads.map(lambda form: _measure(form, max(1, size.runs // _SHARE)), forms))
    return dict(zip((form.name for form in forms), found, strict=True))


def _measure(form: Agentflow, runs: int) -> list[Figure]:
    url = form.stack.database_url
    with counting(url) as of_workers, counting(url) as of_client:
        form.stack.replace_workers({"AGENTFLOW_DATABASE_URL": of_workers.url})
        with Client(database_url=of_client.url, redis_url=form.redis_url) as client:
            form.client = client
            form.burst(_WARM_UP)
            before = of_workers.trips, of_client.trips
            steps = form.burst(runs).steps
            workers, submitter = of_workers.trips.since(before[0]), of_client.trips.since(before[1])
    both = {"workers": workers, "client": submitter}
    return [
        Figure("round trips to Postgres per step", (workers.trips + submitter.trips) / steps, "", form=form.name),
        *(Figure(f"  {who}: round trips", counted.trips / steps, "", form=form.name) for who, counted in both.items()),
        *(
            Figure(f"  {who}: statements", counted.statements / steps, "", form=form.name)
            for who, counted in both.items()
        ),
        *(
            Figure(f"  {who}: transactions", counted.transactions / steps, "", form=form.name)
            for who, counted in both.items()
        ),
    ]
