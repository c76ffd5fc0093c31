"""How Celery speaks to the broker."""

from __future__ import annotations

from typing import Any

# Without socket timeouts, publishing to a broker that hangs blocks until it comes back.
TRANSPORT_OPTIONS: dict[str, Any] = {
    "socket_timeout": 10.0,
    "socket_connect_timeout": 3.0,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": False,
    "max_retries": 0,
}
