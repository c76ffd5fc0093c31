"""Owns the outside world's web server: what each path means, and how an answer fails."""

from __future__ import annotations

import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any
from urllib.parse import unquote

from tests.integration.faulty import Answer, Cut, CutWithin, FaultyHandler, FaultyServer, Raw, truncated_json
from tests.integration.faulty import Arrival as Received
from tests.integration.faulty import Fault as Reply
from tests.world.books import DEDUPED, Books, Outcome, Request, as_json
from tests.world.moods import BEFORE, GIVEN_UP, LATE, SLIPS, Dice
from tests.world.plans import complete

COMPLETIONS = "/v1/chat/completions"
TOOLS = ("read", "keyed", "idempotent", "verified", "unsafe", "undo")
WANT_KEY = (*DEDUPED, "verified", "hook")
LANDS_AFTER_S = (0.2, 1.5)
WORD_OF = {"hang_before": "hang", "hang_after": "hang", "cut_before": "cut", "cut_after": "cut", LATE: "cut"}
STATUS_OF = {"429_after_s": "429", "429_date": "429", "500_before": "500", "500_after": "500"}


class Caller(FaultyHandler):
    """One connection; the server asks by it whether anybody still listens."""

    server: Web

    def setup(self) -> None:
        super().setup()
        self.server.caller.connection = self.connection


class Web(FaultyServer):
    """Take requests at all doors, write each down, and answer it, or fail, as the dice say."""

    def __init__(self, books: Books, dice: Dice) -> None:
        super().__init__()
        self.RequestHandlerClass = Caller
        self.caller = threading.local()
        self._books, self._dice = books, dice

    def decide(self, arrival: Received) -> Reply:
        """Let a request happen or not, and return how it is answered."""
        request = read_request(arrival)
        if isinstance(request, Answer):
            return request
        if _has_left(self.caller.connection):
            # What was given up before the world came to it does not happen: its own slowness is no fault that counts.
            self._books.note(request, "gone", GIVEN_UP)
            return Cut()
        fault, drawn = self._dice.throw(request.door)
        return self._sound(request) if fault is None else self._faulty(request, fault, drawn)

    def _sound(self, request: Request) -> Answer:
        return _answer(request, self._books.do(request))

    def _faulty(self, request: Request, fault: str, drawn: Random) -> Reply:
        answered = WORD_OF.get(fault, STATUS_OF.get(fault, fault))
        if fault in BEFORE or fault == LATE:
            self._books.note(request, answered, fault)
            outcome = None
        else:
            outcome = self._books.do(request, answered, fault)
        if fault == LATE:
            self._land_later(request, drawn)
        if answered == "hang":
            self._dice.hang()
        return _reply(request, fault, answered, outcome, drawn)

    def _land_later(self, request: Request, drawn: Random) -> None:
        landing = threading.Timer(drawn.uniform(*LANDS_AFTER_S), self._books.do, (request, LATE, LATE))
        landing.daemon = True
        landing.start()


def read_request(arrival: Received) -> Request | Answer:
    """Say what a path asks for; an answer that refuses it where there is no such door."""
    parts = [unquote(part) for part in arrival.path.strip("/").split("/")]
    key, sent = arrival.headers.get("idempotency-key", ""), arrival.body
    match arrival.method, parts:
        case "POST", ["v1", "chat", "completions"]:
            asked = as_json(sent)
            return Request("model", asked["model"], key, sent=sent) if asked else Answer(400, body={"error": "no JSON"})
        case "POST", ["hooks", name]:
            delivery = arrival.headers.get("webhook-id", "")
            return _wanting_key(Request("hook", delivery, delivery, name, sent))
        case "GET", ["verified", name, asked_for]:
            return Request("verify", name, asked_for)
        case "POST", ["idempotent", name, subject]:
            return Request("idempotent", name, key, subject, sent)
        case "POST", [door, name] if door in TOOLS and door != "idempotent":
            return _wanting_key(Request(door, name, key, _subject(sent), sent))
    return Answer(404, body={"error": "there is no such door"})


def _wanting_key(request: Request) -> Request | Answer:
    if request.door in WANT_KEY and not request.key:
        return Answer(400, body={"error": f"the door {request.door!r} wants a key"})
    return request


def _subject(sent: bytes) -> str:
    body = as_json(sent)
    return str(body.get("subject", "")) if isinstance(body, dict) else ""


def _answer(request: Request, outcome: Outcome, slip: str | None = None) -> Answer:
    if request.door == "model":
        return Answer(200, {"Content-Type": "application/json"}, complete(json.loads(request.sent), slip))
    return Answer(outcome.status, {"Content-Type": "application/json"}, outcome.body)


def _reply(request: Request, fault: str, answered: str, outcome: Outcome | None, drawn: Random) -> Reply:
    if answered in {"hang", "cut"}:
        return Cut(reset=drawn.random() < 0.5)
    if answered.isdigit():
        return Answer(int(answered), _headers(fault), {"error": {"message": "injected", "type": fault}})
    assert outcome is not None
    if fault in SLIPS:
        return _answer(request, outcome, fault)
    return _broken(fault, _answer(request, outcome).body)


def _broken(fault: str, body: Any) -> Reply:
    if fault == "malformed":
        return truncated_json()
    return Raw(b"\x16\x03 no HTTP\r\n\r\n") if fault == "garbage" else CutWithin(200, body)


def _headers(fault: str) -> dict[str, str]:
    if fault == "429_after_s":
        return {"Retry-After": "1"}
    if fault == "429_date":
        return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)}
    return {}


def _has_left(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
