"""Owns the embedded Valkey as pytest-celery's broker."""

from __future__ import annotations

from typing import Any

from pytest_celery import CeleryTestBroker, CeleryTestContainer  # type: ignore[import-untyped]

from tests.integration.workers.servers import Servers
from tests.integration.workers.waiting import until


class BrokerContainer(CeleryTestContainer):  # type: ignore[misc]
    """The embedded Valkey where pytest-celery has a container."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    @property
    def name(self) -> str:
        """What it is."""
        return "valkey"

    @property
    def id(self) -> str:
        """Its name: there is one."""
        return self.name

    @property
    def attrs(self) -> dict[str, Any]:
        """What Docker would tell of a container."""
        return {"Id": self.id, "Name": self.name, "State": {"Status": self.status}}

    @property
    def status(self) -> str:
        """`running`, or `exited`."""
        return "running" if self._servers.redis_answers() else "exited"

    @property
    def celeryconfig(self) -> dict[str, Any]:
        """Where it is, from the workers as from here."""
        return {"url": self._servers.redis_url, "host_url": self._servers.redis_url}

    def logs(self) -> str:
        """Return nothing: its log is in the servers' folder."""
        return ""

    def kill(self, signal: str | int | None = None) -> None:
        """Kill it for good; `restart` brings it back."""
        self._servers.take_redis_down()

    def restart(self, timeout: float = 10) -> None:
        """Bring it back on its old port."""
        if self.status != "running":
            self._servers.bring_redis_back()

    def reload(self) -> None:
        """Do nothing: nothing is read ahead."""

    def ready(self) -> bool:
        """Wait until it answers."""
        return until(self._servers.redis_answers, "an answer of Valkey")

    def teardown(self) -> None:
        """Leave it to the session, whose it is."""


class BrokerNode(CeleryTestBroker):  # type: ignore[misc]
    """The broker."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(BrokerContainer(servers))
