"""The embedded PostgreSQL and Valkey: real servers out of pip-installed wheels, for whoever set no URL.

    services = attach(Path(".agentflow"))        # starts what does not run yet, finds what does
    services.database_url, services.redis_url    # good until close(), or until this process is gone

Each server has a folder below the data directory and a supervisor of its own, a small process that was started,
detached, by whoever came first. Nobody has to stop anything: the kernel's file locks say who is alive, however a
process dies.

    users.lock        shared by every process that uses the server. The supervisor waits for it exclusively: when it
                      gets it, nobody is left, and it stops the server while newcomers wait
    start.lock        held by the one user that is starting a supervisor
    supervisor.lock   held by the supervisor
    server.lock       inherited by the server and all its children: whoever gets it knows that none of them lives

          attach                     answers                     users.lock is ours, or SIGTERM
    none --------> starting server ----------> ready, record says so --------------------------> stopped, record removed
                         ^                          |
                         +--- backoff, bounded <----+ the server died by itself (same port, same password)

A supervisor that is killed takes its server along (parent-death signal; a watchdog process where the kernel has none),
and the next `attach` takes over what it left behind.
"""

from agentflow.local.attachment import Services, attach
from agentflow.local.errors import LocalServicesError, ServerFailed, ServerMissing
from agentflow.local.record import RunningServer, RunningServices, status

__all__ = [
    "LocalServicesError",
    "RunningServer",
    "RunningServices",
    "ServerFailed",
    "ServerMissing",
    "Services",
    "attach",
    "status",
]
