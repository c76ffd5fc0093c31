"""Owns the outside world's mail server: letters that arrive, and how they fail to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.world.books import Books, Request
from tests.world.moods import Dice

AUTHORITY = "authority.pem"


class Mail:
    """A mail server with TLS in a thread of its own; with a password it lets nobody in without it."""

    def __init__(self, folder: Path, books: Books, dice: Dice, password: str | None = None) -> None:
        self._books, self._dice, self._password = books, dice, password
        self._tls = _certified(folder)
        self._loop = asyncio.new_event_loop()
        # A letter in hand, by its session: the fault that it has, and what else is drawn.
        self._faults: dict[int, tuple[str | None, Random]] = {}
        self.port = self._loop.run_until_complete(self._listen())
        threading.Thread(target=self._loop.run_forever, name="mail", daemon=True).start()

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Take a recipient, unless the letter is not to arrive."""
        fault, drawn = self._dice.throw("mail")
        self._faults[id(envelope)] = fault, drawn
        if fault in {"451", "550", "cut_before", "hang_before"}:
            answered = fault.removesuffix("_before")
            self._books.note(Request("mail", "", subject=address), answered, fault)
            return await self._fail(server, fault)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a letter, for its one recipient."""
        fault, _ = self._faults.pop(id(envelope), (None, None))
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        number = str(message["Message-ID"]).strip("<> ")
        letter = Request("mail", number, subject=str(envelope.rcpt_tos[0]), sent=envelope.content)
        if fault == "451_dot":
            self._books.note(letter, "451", fault)
        else:
            self._books.do(letter, fault.removesuffix("_after") if fault else "250", fault)
        return await self._fail(server, fault) if fault else "250 OK"

    async def _fail(self, server: SMTP, fault: str) -> str:
        if fault.startswith("hang"):
            await asyncio.to_thread(self._dice.hang)
        if not fault[0].isdigit():
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return f"{fault[:3]} injected" if fault[0].isdigit() else "451 too late"

    async def _listen(self) -> int:
        make = partial(
            SMTP,
            self,
            hostname="world.example",
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            auth_required=self._password is not None,
            authenticator=self._let_in,
            loop=self._loop,
        )
        server = await self._loop.create_server(make, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    def _let_in(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        fits = isinstance(data, LoginPassword) and data.password.decode() == (self._password or "")
        return AuthResult(success=fits, handled=False)


def _certified(folder: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / AUTHORITY)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context
