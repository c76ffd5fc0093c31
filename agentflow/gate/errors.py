"""Owns the gate's error.

ConfigError, OSError
└── GateUnreachable     Redis does not answer, or refuses
"""

from agentflow.domain.errors import ConfigError


class GateUnreachable(ConfigError, OSError):
    """The gate's Redis is out of reach: see that it runs, and that AGENTFLOW_REDIS_URL names it."""
