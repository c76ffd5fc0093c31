"""What `agentflow doctor` finds beyond this process: the services, the schema, the live workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text

from agentflow.cli.findings import Finding, clock_skew
from agentflow.cli.served import Served
from agentflow.domain.errors import DatabaseUnavailable, SchemaOutdated
from agentflow.engine.sweeper import DEAD_S
from agentflow.settings import Settings, postgres_url
from agentflow.store import schema, workers
from agentflow.store.database import Database, probe_engine
from agentflow.store.reads import Reads


@dataclass(frozen=True, slots=True)
class Found:
    """The URLs that there are to look at; an embedded server that does not run has none."""

    database_url: str
    redis_url: str


@contextmanager
def running_services(configured: Settings) -> Iterator[tuple[Finding, Found]]:
    """Yield where the services are, without starting any."""
    database_url = configured.database_url.get_secret_value() if configured.database_url else ""
    redis_url = configured.redis_url.get_secret_value() if configured.redis_url else ""
    if database_url and redis_url:
        yield (
            Finding("ok", "services", "named by AGENTFLOW_DATABASE_URL and AGENTFLOW_REDIS_URL"),
            Found(database_url, redis_url),
        )
        return
    from agentflow.local import status

    running = status(configured.data_dir)
    postgres, valkey = (running.postgres, running.valkey) if running else (None, None)
    found = Found(
        database_url or (postgres_url(postgres.url) if postgres and postgres.ready else ""),
        redis_url or (valkey.url if valkey and valkey.ready else ""),
    )
    folder = str(configured.data_dir)
    if found.database_url and found.redis_url:
        yield Finding("ok", "services", f"embedded, running in {folder!r}"), found
    else:
        mend = "`agentflow dev` starts them; a service sets AGENTFLOW_DATABASE_URL and AGENTFLOW_REDIS_URL"
        yield Finding("warn", "services", f"the embedded ones in {folder!r} do not run", mend), found


def examine_database(url: str, configured: Settings) -> Iterator[Finding]:
    """Look at the database: it answers, it is new enough, its clock fits, its schema is ours."""
    try:
        with probe_engine(url).connect() as connection:
            version = connection.execute(text("show server_version")).scalar_one()
            major = int(connection.execute(text("show server_version_num")).scalar_one()) // 10_000
            skew = clock_skew(connection.execute(text("select clock_timestamp()")).scalar_one())
    except Exception as error:
        line = str(getattr(error, "orig", error)).strip().split("\n")[0]
        raise DatabaseUnavailable(f"does not answer: {line}; start it, or mend AGENTFLOW_DATABASE_URL") from error
    if major < schema.OLDEST_POSTGRES:
        yield Finding("fail", "database", f"PostgreSQL {version}", f"agentflow needs {schema.OLDEST_POSTGRES} or later")
    else:
        yield Finding("ok", "database", f"PostgreSQL {version}")
    if skew:
        yield skew
    try:
        revision = schema.check(url, configured.db_schema)
        if revision == schema.head():
            yield Finding("ok", "schema", f"{configured.db_schema!r} at {revision}")
        else:
            says = f"{configured.db_schema!r} at {revision}, newer than this agentflow, and serves it too"
            yield Finding("warn", "schema", says, "install the agentflow that it was made for")
    except SchemaOutdated as error:
        yield Finding("fail", "schema", str(error))


def examine_redis(url: str) -> Iterator[Finding]:
    """Look at the broker: it answers, it keeps what it is given, it drops nothing when it is full."""
    import redis

    with redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3) as client:
        info = client.info()
    name, version = info.get("server_name", "redis"), info.get("valkey_version") or info.get("redis_version")
    yield Finding("ok", "redis", f"{name} {version}")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding("warn", "redis", f"maxmemory-policy is {policy}", "set noeviction: what it drops delays runs")
    if not info.get("aof_enabled"):
        yield Finding(
            "warn", "redis", "appendonly is off", "a restart delays queued runs by some seconds; set appendonly yes"
        )


def examine_workers(url: str, configured: Settings, served: Served | None) -> Iterator[Finding]:
    """Look at the live workers, and at the queues that none of them serves."""
    database = Database(url, schema=configured.db_schema, application="agentflow doctor")
    try:
        with database.transaction() as tx:
            alive = workers.alive(tx, DEAD_S)
        registered = {queue for agent in Reads(database, configured.tenant).agents() for queue in agent["queues"]}
    finally:
        database.close()
    if not alive:
        yield Finding("warn", "workers", "none is alive", "start `agentflow dev`, or `agentflow worker POOL` per pool")
        return
    for worker in alive:
        queues = ", ".join(worker["queues"])
        yield Finding("ok", "workers", f"{worker['pool']} on {worker['hostname']} ({worker['pid']}) serves {queues}")
    needed = registered | (served.registry.queues if served else set())
    if missing := sorted(needed - {queue for worker in alive for queue in worker["queues"]}):
        yield Finding("warn", "queues", f"nobody serves {', '.join(missing)}", "start a worker whose pool serves them")
