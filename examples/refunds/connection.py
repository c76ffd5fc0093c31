"""Owns the agents' connection to the shop."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx2

from agentflow import resource


@resource
def shop() -> Iterator[httpx2.Client]:
    """Open one connection to the shop per worker process and tool."""
    with httpx2.Client(base_url=os.environ["SHOP_URL"], timeout=8.0) as client:
        yield client
