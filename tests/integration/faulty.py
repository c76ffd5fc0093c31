"""A real HTTP server on this machine that fails as it is told to, and keeps a log of what arrived and when.

    with FaultyServer() as server:
        server.script("/refunds", Answer(429, {"Retry-After": "2"}), Cut(), Answer(200, body={"refund": 1}))
        httpx2.post(server.url + "/refunds", json={...})
        assert [arrival.at for arrival in server.arrivals("/refunds")] == ...

Each path has a script of its own. Its last answer goes on for ever; a path without a script answers 200 and `{}`. In
place of an answer a script may hold a function of the arrival, for a server that makes up its mind as it goes.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

Body = bytes | str | Mapping[str, Any] | list[Any]


@dataclass(frozen=True)
class Answer:
    """A whole answer, after `delay_s`. A body that is neither text nor bytes is sent as JSON."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(frozen=True)
class Hang:
    """Nothing, until the client leaves or the server closes."""


@dataclass(frozen=True)
class Cut:
    """The connection ends once the request was read, and so after its effect: by a reset, or by a plain end."""

    reset: bool = False


@dataclass(frozen=True)
class CutWithin:
    """The head of an answer and some of its body; then the connection ends."""

    status: int = 200
    body: Body = field(default_factory=lambda: {"text": "x" * 100})


@dataclass(frozen=True)
class Raw:
    """Bytes that are no answer of HTTP; then the connection ends."""

    data: bytes


def truncated_json(status: int = 200) -> Answer:
    """An answer that is whole for HTTP and broken off for JSON."""
    return Answer(status, {"Content-Type": "application/json"}, '{"refund": {"id": ')


def huge(status: int = 500, megabytes: int = 10) -> Answer:
    """An answer whose body nobody wants to keep."""
    return Answer(status, {"Content-Type": "text/plain"}, b"x" * (megabytes << 20))


@dataclass(frozen=True)
class Arrival:
    """A request as it arrived; `at` is time.monotonic() once it was read, `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


Fault = Answer | Hang | Cut | CutWithin | Raw
Entry = Fault | Callable[[Arrival], Fault]


class FaultyServer(ThreadingHTTPServer):
    """Answers each path by its script, every request in a thread of its own, on a free port of this machine."""

    # Waited for when the server closes, so that no thread outlives its test.
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), FaultyHandler)
        self.closing = threading.Event()
        self._guard = threading.Condition()
        self._scripts: dict[str, deque[Entry]] = {}
        self._arrivals: dict[str, list[Arrival]] = defaultdict(list)
        self._open: set[socket.socket] = set()
        self._broken: list[BaseException] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"

    def script(self, path: str, *entries: Entry) -> None:
        """Say what a path answers from now on, in this order; the last entry goes on for ever."""
        with self._guard:
            self._scripts[path] = deque(entries)

    def arrivals(self, path: str) -> list[Arrival]:
        """What arrived at a path so far, in the order of arrival."""
        with self._guard:
            return list(self._arrivals[path])

    def wait_for(self, path: str, count: int, timeout_s: float = 10.0) -> list[Arrival]:
        """Wait until so many requests arrived at a path."""
        with self._guard:
            reached = self._guard.wait_for(lambda: len(self._arrivals[path]) >= count, timeout_s)
            assert reached, f"{len(self._arrivals[path])} of {count} requests arrived at {path} in {timeout_s} s"
            return list(self._arrivals[path])

    def decide(self, arrival: Arrival) -> Fault:
        """Log an arrival and take what its path's script says."""
        with self._guard:
            self._arrivals[arrival.path].append(arrival)
            self._guard.notify_all()
            script = self._scripts.get(arrival.path) or deque([Answer()])
            entry = script.popleft() if len(script) > 1 else script[0]
        return entry if isinstance(entry, Fault) else entry(arrival)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the handler keeps what went wrong, and raises nothing

    def keep(self, error: BaseException) -> None:
        """Keep an error of the server's own, to be raised at its end."""
        self._broken.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        with self._guard:
            left = list(self._open)
        for connection in left:
            _end(connection)
        self.server_close()
        if self._broken and error is None:
            raise self._broken[0]


class FaultyHandler(BaseHTTPRequestHandler):
    """One connection, kept alive from request to request until a fault ends it."""

    server: FaultyServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass  # the client left first
        except Exception as error:  # noqa: BLE001 - raised where the test can see it
            self.server.keep(error)

    def answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = urlsplit(self.path).path
        fault = self.server.decide(Arrival(self.command, path, headers, body, time.monotonic()))
        match fault:
            case Answer():
                self.server.closing.wait(fault.delay_s)
                self._send(fault.status, fault.headers, _encode(fault.body))
            case Hang():
                self.connection.recv(1)
                self.close_connection = True
            case Cut():
                self._cut(reset=fault.reset)
            case Raw():
                self.wfile.write(fault.data)
                self._cut(reset=False)
            case CutWithin():
                whole = _encode(fault.body)
                self._send(fault.status, {"Content-Length": str(len(whole))}, whole[: len(whole) // 2])
                self._cut(reset=False)

    def __getattr__(self, name: str) -> Any:
        # Every method is answered alike: http.server looks for do_GET, do_POST and so on.
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status, None if status in self.responses else "Made up")
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # Lingering for no time makes the kernel answer with a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            _end(self.connection)

    def log_message(self, *_: Any) -> None:
        pass


def refused_url() -> str:
    """An address on this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def _encode(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # it may have ended already
        connection.shutdown(socket.SHUT_RDWR)
