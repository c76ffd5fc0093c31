"""What a backend service imports: submitting runs, waiting for them, reading them."""

from __future__ import annotations

from agentflow.client.bulkheads import Resumed
from agentflow.client.client import Client
from agentflow.client.handle import RunHandle

__all__ = ["Client", "Resumed", "RunHandle"]
