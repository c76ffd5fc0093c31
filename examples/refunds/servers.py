"""Owns what the demo's workers talk to: embedded Postgres and Valkey, the shop, the mail server, the scripted model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from sqlalchemy import create_engine, text

from agentflow.local import Services, attach
from agentflow.settings import postgres_url
from agentflow.store import schema
from examples.refunds.customers import BUSY_ORDER, DOWN_ORDER, OVERLOADS, PUT_OFF, SLOW_ORDER, UNANSWERED_ORDER
from examples.refunds.environment import bare_environment, real_model, worker_environment
from examples.refunds.leash import Leash, Process
from examples.refunds.post import Letter, read_letters
from examples.refunds.provider import Overload, read_overloads
from examples.refunds.shop.ledger import Entry, read_log

SCHEMA = "agentflow"
SCRIPT = Path(__file__).with_name("script.json")

# A model takes its time, and so does the one that plays a script.
_LATENCY_MS = 150
# Long enough to be struck in, and shorter than the agent waits for an answer; and longer than it waits for a wire's.
_SLOW_S, _UNANSWERED_S = 6, 5
_BUSY_S = 2
_SLOW = ("--slow-order", f"{SLOW_ORDER}={_SLOW_S}", "--slow-order", f"{UNANSWERED_ORDER}={_UNANSWERED_S}")
_BUSY = ("--busy-order", BUSY_ORDER, "--busy-s", str(_BUSY_S), "--down-order", DOWN_ORDER)
_SHOP = ("-m", "examples.refunds.shop", *_SLOW, *_BUSY, "--log")
_POST = ("-m", "examples.refunds.post", "--put-off", PUT_OFF, "--log")
_OVERLOADED = [word for user, times in OVERLOADS.items() for word in ("--overloaded", f"{user}={times}")]
_SCRIPTED = ("--script", str(SCRIPT), "--latency-ms", str(_LATENCY_MS))
_MODEL = ("-m", "examples.refunds.provider", *_SCRIPTED, *_OVERLOADED, "--log")


class DemoFailed(Exception):
    """The demo could not be played to its end; the message says why."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where everything is."""

    database_url: str
    redis_url: str
    shop_url: str
    smtp_url: str
    model_url: str | None
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that workers and the command line need."""
        return worker_environment(self.database_url, self.redis_url, self.shop_url, self.smtp_url, self.model_url)

    def shop_log(self) -> list[Entry]:
        """Return the shop's own word on what it was asked for, what it paid and what it turned away."""
        return read_log(self.folder / "shop.jsonl")

    def overloads(self) -> list[Overload] | None:
        """Return the provider's own word on whom it turned away; None where a real one thinks."""
        return None if self.model_url is None else read_overloads(self.folder / "model.jsonl")

    def letters(self) -> list[Letter]:
        """Return the mail server's own word on which letters came, and what it said."""
        return read_letters(self.folder / "mail.jsonl")

    def empty_redis(self) -> None:
        """Delete everything in Redis."""
        with redis.Redis.from_url(self.redis_url) as connection:
            connection.flushall()


@contextmanager
def started(folder: Path, leash: Leash) -> Iterator[Servers]:
    """Start everything, without what an earlier demo left; the embedded servers end with the block or the process."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for left in (*folder.glob("*.log"), *folder.glob("*.jsonl")):
        left.unlink()
    shop = _start(leash, (*_SHOP, str(folder / "shop.jsonl")), folder / "shop.log")
    post = _start(leash, (*_POST, str(folder / "mail.jsonl")), folder / "mail.log")
    model = None if real_model() else _start(leash, (*_MODEL, str(folder / "model.jsonl")), folder / "model.log")
    with attach(folder) as services:
        _empty(services)
        yield Servers(
            database_url=postgres_url(services.database_url),
            redis_url=services.redis_url,
            shop_url=_announced(shop, folder / "shop.log"),
            smtp_url=_announced(post, folder / "mail.log"),
            model_url=_announced(model, folder / "model.log") if model else None,
            folder=folder,
        )


def _start(leash: Leash, arguments: tuple[str, ...], log: Path) -> Process:
    return leash.start([sys.executable, *arguments], environment=bare_environment(), log=log, announces=True)


def _announced(process: Process, log: Path) -> str:
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        raise DemoFailed(f"a server did not start; its log says: {log.read_text(encoding='utf-8')[-2000:]}")
    return url


def _empty(services: Services) -> None:
    with redis.Redis.from_url(services.redis_url) as connection:
        connection.flushall()
    engine = create_engine(postgres_url(services.database_url))
    with engine.begin() as connection:
        connection.execute(text(f"drop schema if exists {SCHEMA} cascade"))
    engine.dispose()
    schema.upgrade(postgres_url(services.database_url), SCHEMA)
