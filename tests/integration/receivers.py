"""Owns what pages are sent to in tests: an HTTP server and an SMTP server on loopback that keep what arrives."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from agentflow.ports import free_port


class WebReceiver:
    """A web server. It answers with `status`, or what `statuses` has for a path; while it hangs, not at all."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Mapping[str, str], bytes]] = []
        self.status = 200
        self.statuses: dict[str, int] = {}
        self._answering = threading.Event()
        self._answering.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_address[1]

    @property
    def alert_url(self) -> str:
        """What AGENTFLOW_ALERT_URLS names it by."""
        return f"json://127.0.0.1:{self.port}/s3cret"

    @property
    def dsn(self) -> str:
        """What SENTRY_DSN names it by."""
        return f"http://key@127.0.0.1:{self.port}/1"

    @property
    def pages(self) -> list[dict[str, Any]]:
        """The pages that arrived by apprise: each with a title and a message."""
        return [json.loads(body) for path, _, body in list(self.requests) if path == "/s3cret"]

    @property
    def envelopes(self) -> list[tuple[dict[str, Any], Any]]:
        """The items that arrived from Sentry's SDK: header and payload."""
        return [
            item
            for path, headers, body in list(self.requests)
            if path.endswith("/envelope/")
            for item in _items(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
        ]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events among them."""
        return [payload for header, payload in self.envelopes if header["type"] == "event"]

    def hang(self) -> None:
        """Take requests and leave them without an answer."""
        self._answering.clear()

    def answer(self) -> None:
        """Answer again, those too that hang."""
        self._answering.set()

    @contextmanager
    def serving(self) -> Iterator[WebReceiver]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.answer()
            self._server.shutdown()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((self.path, headers, body))
                receiver._answering.wait(30)
                self.send_response(receiver.statuses.get(self.path, receiver.status))
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the library calls it so

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler


class MailReceiver:
    """A mail server."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a message."""
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        text = "\n".join(part.get_content() for part in message.walk() if part.get_content_maintype() == "text")
        self.messages.append({"subject": str(message["subject"]), "to": str(message["to"]), "text": text})
        return "250 OK"

    @property
    def alert_url(self) -> str:
        """What AGENTFLOW_ALERT_URLS names it by."""
        return f"mailto://127.0.0.1:{self._controller.port}?from=agents@example.com&to=ann@example.com"

    @contextmanager
    def serving(self) -> Iterator[MailReceiver]:
        """Serve until the end of the block."""
        self._controller.start()
        try:
            yield self
        finally:
            self._controller.stop()


def _items(envelope: bytes) -> Iterator[tuple[dict[str, Any], Any]]:
    lines = envelope.split(b"\n")[1:]
    for header, payload in zip(lines[::2], lines[1::2], strict=False):
        yield json.loads(header), json.loads(payload)
