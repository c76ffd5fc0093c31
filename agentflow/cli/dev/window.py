"""Flower under `agentflow dev`: its port, and a password where nobody set one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from agentflow.cli.complaints import WrongUse
from agentflow.ports import free_port, is_free

_USUAL_PORT = 5555


@dataclass(slots=True)
class Flower:
    """Where Flower is, and the password if it was made up here. `fixed` says that a person asked for that port."""

    port: int
    password: str | None
    fixed: bool = False

    def environment(self) -> Mapping[str, str]:
        """Return what a process of Flower has to know. Somebody may have taken the port since it was chosen."""
        if not self.fixed and not is_free(self.port):
            self.port = free_port()
        made_up = {"AGENTFLOW_FLOWER_AUTH": f"dev:{self.password}"} if self.password else {}
        return {"AGENTFLOW_FLOWER_PORT": str(self.port), **made_up}


def choose_flower(wished_port: int | None) -> Flower:
    """Return Flower at the wished port; without one, at the usual or a free one. Raises WrongUse for a taken port."""
    password = None if os.environ.get("AGENTFLOW_FLOWER_AUTH") else secrets.token_urlsafe(9)
    if wished_port is not None:
        if not is_free(wished_port):
            raise WrongUse(f"port {wished_port} is in use: give --port-flower another one, or leave it out")
        return Flower(wished_port, password, fixed=True)
    port = os.environ.get("AGENTFLOW_FLOWER_PORT", "")
    usual = int(port) if port.isdecimal() else _USUAL_PORT
    return Flower(usual if is_free(usual) else free_port(), password)
