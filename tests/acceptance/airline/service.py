"""Owns the airline's writes as a service: `python -m tests.acceptance.airline.service`, which prints its URL.

    POST /<tool>   Idempotency-Key: <key>   {"conversation_id": str, "arguments": {...}}
    200 the answer | 400 no such request | 404 no such tool | 422 the key stands for another request | 503 no database

A key's answer is kept in the transaction that does the write. A second request waits for the first and gets its answer.
"""

from __future__ import annotations

import hashlib
import json
import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from agentflow.settings import postgres_url
from tests.acceptance.airline import operations
from tests.acceptance.airline.rows import PostgresRows
from tests.acceptance.airline.world import World

TAKE_KEY = text(
    "insert into public.airline_keys (key, tool, request) values (:key, :tool, :request) "
    "on conflict do nothing returning key"
)
KEEP_ANSWER = text("update public.airline_keys set answer = :answer where key = :key")
REPEAT_ANSWER = text(
    "update public.airline_keys set repeats = repeats + 1 where key = :key and request = :request returning answer"
)


class AirlineService(ThreadingHTTPServer):
    """Serves on loopback, a thread per connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, world: World, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), WriteHandler)
        self.world = world

    @property
    def url(self) -> str:
        """What AIRLINE_URL has to be."""
        return f"http://127.0.0.1:{self.server_port}"

    def write(self, tool: str, body: bytes, key: str) -> str | None:
        """Answer a request, carrying it out if its key is new; None where the key stands for another request."""
        request = hashlib.sha256(tool.encode() + b"\n" + body).hexdigest()
        with self.world.engine.begin() as connection:
            if connection.execute(TAKE_KEY, {"key": key, "tool": tool, "request": request}).scalar() is None:
                return connection.execute(REPEAT_ANSWER, {"key": key, "request": request}).scalar()
            answer = _carry_out(connection, tool, json.loads(body), key)
            connection.execute(KEEP_ANSWER, {"key": key, "answer": answer})
            return answer


class WriteHandler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: AirlineService

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, content = self._answer(self.path.removeprefix("/"), body, self.headers.get("Idempotency-Key"))
        encoded = content.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the tables tell what happened."""

    def _answer(self, tool: str, body: bytes, key: str | None) -> tuple[HTTPStatus, str]:
        if tool not in operations.WRITES:
            return HTTPStatus.NOT_FOUND, f"no tool {tool!r}; there are {', '.join(operations.WRITES)}"
        if not key:
            return HTTPStatus.BAD_REQUEST, "send an Idempotency-Key"
        try:
            answer = self.server.write(tool, body, key)
        except (ValueError, KeyError, TypeError) as error:
            return HTTPStatus.BAD_REQUEST, f"not a request for {tool!r}: {error!r}"
        except OperationalError as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, f"the database cannot be reached: {error.orig}"
        if answer is None:
            return (
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"the key {key!r} stands for another request: send each request under its own",
            )
        return HTTPStatus.OK, answer


def _carry_out(connection: Connection, tool: str, request: Any, key: str) -> str:
    rows = PostgresRows(connection, request["conversation_id"])
    return operations.write(rows, tool, request["arguments"], key)


def main() -> None:
    """Serve the database of AGENTFLOW_DATABASE_URL until killed."""
    service = AirlineService(World(postgres_url(os.environ["AGENTFLOW_DATABASE_URL"])))
    print(service.url, flush=True)
    service.serve_forever()


if __name__ == "__main__":
    main()
