"""The seam: lists every point at which this process speaks to Postgres, Redis or the outside, and may end it there.

It wraps the libraries, not the code under test: psycopg2's cursors, redis-py's connection, httpx2's transports,
smtplib's conversation. Unarmed it does nothing. One message to Postgres may hold many statements: the server has all of
it or nothing, so that it is one point, named after its last statement, which is the one that is waited for.
"""

from __future__ import annotations

import os
import re
import smtplib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

import httpx2
from httpcore2._backends.sync import SyncStream
from psycopg2 import extensions
from redis.connection import AbstractConnection
from sqlalchemy import Engine, event

from agentflow.gate import scripts
from agentflow.store.statements import Statements

_CALLED = re.compile(r"execute (\w+) \(")
_PART = re.compile(rb"\$\d+\r\n([^\r]*)\r\n")
_SCRIPTS = {each.digest: name for name, each in vars(scripts).items() if isinstance(each, scripts.Script)}


class Seam:
    """What this process has reached since it was armed; at the `strike_at`th point it sends itself a signal."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self._strike_at = 0
        self._signal: Signals | None = None
        self._tell = Path()
        self._is_armed = False
        self._names: Mapping[str, str] = {}
        self._awaits_answer = ""
        self._thread = 0

    def install(self, schema: str = "agentflow") -> None:
        """Wrap the libraries of this process and its children."""
        self._names = {text: name for name, text in Statements.load(schema).by_name.items()}
        event.listen(Engine, "do_connect", _with_noted_cursors)
        _wrap(AbstractConnection, "send_packed_command", self._sending)
        _wrap(AbstractConnection, "read_response", self._reading)
        _wrap(httpx2.HTTPTransport, "handle_request", self._exchange)
        _wrap(httpx2.AsyncHTTPTransport, "handle_async_request", self._async_exchange)
        _wrap(SyncStream, "read", self._first_read)
        _wrap(smtplib.SMTP, "send", self._saying)
        _wrap(smtplib.SMTP, "getreply", self._hearing)

    def arm(self) -> None:
        """Count from here."""
        self.points, self._signal, self._is_armed = [], None, True
        self._thread = threading.get_ident()

    def arm_to_strike(self, at: int, signal: Signals, tell: Path) -> None:
        """Count from here, and at a point write its label into a file and send the signal."""
        self.arm()
        self._strike_at, self._signal, self._tell = at, signal, tell

    def disarm(self) -> None:
        """Count no more."""
        self._is_armed = False

    @contextmanager
    def passing_over(self) -> Iterator[None]:
        """Let something be done in this process that another would do."""
        was_armed, self._is_armed = self._is_armed, False
        try:
            yield
        finally:
            self._is_armed = was_armed

    def reach(self, label: str) -> None:
        """Be at a point; nothing after it happens in a process that is struck there."""
        if not self._is_armed:
            return
        self.points.append(label)
        if self._signal is not None and len(self.points) == self._strike_at:
            self._tell.write_text(label)
            os.kill(os.getpid(), self._signal)

    def name_of(self, statement: str | bytes) -> str:
        """Return what to call a statement that goes to Postgres."""
        text = statement if isinstance(statement, str) else statement.decode(errors="replace")
        if called := _CALLED.match(text):
            return called[1]
        # A savepoint's name has a number that grows from one to the next.
        return self._names.get(text) or re.sub(r"_\d+$", "", " ".join(text.split()[:3]))

    def _sending(self, original: Callable[..., Any], connection: Any, command: Any, *rest: Any, **more: Any) -> Any:
        if self._is_of_act:
            self.reach(f"before {_command_of(command)}")
        return original(connection, command, *rest, **more)

    def _reading(self, original: Callable[..., Any], connection: Any, *rest: Any, **more: Any) -> Any:
        answer = original(connection, *rest, **more)
        if self._is_of_act:
            self.reach("after redis")
        return answer

    @property
    def _is_of_act(self) -> bool:
        # Events go out from a thread of their own, whenever it comes to that.
        return threading.get_ident() == self._thread

    def _exchange(self, original: Callable[..., Any], transport: Any, request: httpx2.Request) -> Any:
        where = _door_of(request)
        self.reach(f"before {where}")
        self._awaits_answer = where
        try:
            answer = original(transport, request)
        finally:
            self._awaits_answer = ""
        self.reach(f"after {where}")
        return answer

    async def _async_exchange(self, original: Callable[..., Any], transport: Any, request: httpx2.Request) -> Any:
        where = _door_of(request)
        self.reach(f"before {where}")
        answer = await original(transport, request)
        self.reach(f"after {where}")
        return answer

    def _first_read(self, original: Callable[..., Any], stream: Any, *rest: Any, **more: Any) -> Any:
        if self._awaits_answer:
            self.reach(f"sent, not answered: {self._awaits_answer}")
            self._awaits_answer = ""
        return original(stream, *rest, **more)

    def _saying(self, original: Callable[..., Any], conversation: Any, said: Any) -> Any:
        self.reach(f"before {_smtp_word(said)}")
        return original(conversation, said)

    def _hearing(self, original: Callable[..., Any], conversation: Any) -> Any:
        reply = original(conversation)
        self.reach("after smtp")
        return reply


class _NotedCursor(extensions.cursor):
    """A cursor that says what it sends. What it has made a text of, the end of the next message may be."""

    _made: Mapping[bytes, str] = {}

    def mogrify(self, statement: Any, parameters: Any = None) -> bytes:
        made: bytes = super().mogrify(statement, parameters)
        self._made = {**self._made, made: seam.name_of(statement)}
        return made

    def execute(self, statement: Any, parameters: Any = None) -> None:
        name = self._name_of(statement)
        seam.reach(f"before {name}")
        try:
            super().execute(statement, parameters)
        finally:
            seam.reach(f"after {name}")

    def _name_of(self, message: Any) -> str:
        made, self._made = self._made, {}
        last = (name for text, name in reversed(made.items()) if isinstance(message, bytes) and message.endswith(text))
        return next(last, None) or seam.name_of(message)


def _with_noted_cursors(_: Any, __: Any, ___: Any, connecting: dict[str, Any]) -> None:
    # What looks on from outside has no name.
    if "application_name" in connecting:
        connecting["cursor_factory"] = _NotedCursor


def _wrap(owner: type, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, lambda self, *rest, **more: around(original, self, *rest, **more))


def _command_of(command: Any) -> str:
    packed = command if isinstance(command, bytes) else b"".join(command)
    parts = [part.decode(errors="replace") for part in _PART.findall(packed)]
    return " ".join(["redis", *parts[:1], *(_SCRIPTS[part] for part in parts if part in _SCRIPTS)])


def _door_of(request: httpx2.Request) -> str:
    return f"{request.method} /{request.url.path.strip('/').partition('/')[0]}"


def _smtp_word(said: Any) -> str:
    text = said if isinstance(said, str) else bytes(said).decode(errors="replace")
    word = text.split(maxsplit=1)[0] if text.split() else ""
    return f"smtp {word.upper()}" if word.isalpha() else "smtp letter"


seam = Seam()
