"""Owns the errors of the embedded servers.

ConfigError
└── LocalServicesError
    ├── ServerMissing     no binary on this machine
    └── ServerFailed      a binary is there, but no server came out of it
"""

from agentflow.domain.errors import ConfigError


class LocalServicesError(ConfigError):
    """The embedded PostgreSQL and Valkey cannot be used."""


class ServerMissing(LocalServicesError):
    """No server of the kind is installed."""


class ServerFailed(LocalServicesError):
    """The embedded server did not start."""
