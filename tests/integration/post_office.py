"""Owns a real mail server on loopback that answers as it is told to: with TLS, logins, refusals, cuts and silence."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from agentflow.ports import free_port

USER, PASSWORD = "agent", "s3cret"
CUT = "cut"
HANG = "hang"


@dataclass(frozen=True)
class Arrival:
    """A letter that the server took, and how it came."""

    sender: str
    recipient: str
    message: EmailMessage
    encrypted: bool
    user: str | None
    options: tuple[str, ...]


class PostOffice:
    """A mail server. `answers` has what it says at a stage, RCPT or DATA, in place of its yes.

    `CUT` ends the connection there, `HANG` says nothing until the end; every answer takes `delay_s`. What comes to DATA
    has arrived, whatever is answered.
    """

    def __init__(self, *, login: bool = False, **options: Any) -> None:
        if login:
            options |= {"auth_required": True, "authenticator": self._let_in}
        self.answers: dict[str, str] = {}
        self.arrivals: list[Arrival] = []
        self.logins: list[str] = []
        self.connections = 0
        self.delay_s = 0.0
        self._sessions: list[SMTP] = []
        self._ended = asyncio.Event()
        office = self

        class Counter(Controller):
            def factory(self) -> SMTP:
                office.connections += 1
                office._sessions.append(super().factory())
                return office._sessions[-1]

        self._controller = Counter(self, hostname="127.0.0.1", port=free_port(), **options)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._controller.port}"

    def hang_up(self) -> None:
        """End every connection from this side."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._controller.loop).result(10)

    @contextmanager
    def serving(self) -> Iterator[PostOffice]:
        """Serve until the end of the block."""
        self._controller.start()
        # The controller's own, by which it sees that it is up.
        self.connections = 0
        try:
            yield self
        finally:
            self._controller.loop.call_soon_threadsafe(self._ended.set)
            self.hang_up()
            self._controller.stop()

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet."""
        session.host_name = hostname
        await asyncio.sleep(self.delay_s)
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Take a recipient."""
        answer = await self._answer("RCPT", server)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a letter."""
        assert isinstance(envelope.content, bytes)
        login = session.auth_data.login.decode() if session.auth_data else None
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.arrivals.append(
            Arrival(
                str(envelope.mail_from), *envelope.rcpt_tos, message, session.ssl is not None, login,
                tuple(envelope.mail_options),
            )
        )  # fmt: skip
        return await self._answer("DATA", server)

    def _let_in(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        fits = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=fits, handled=False, auth_data=data)

    async def _hang_up(self) -> None:
        for session in self._sessions:
            # Under TLS the session's transport is made up, and this one the real one.
            transport = session._original_transport or session.transport
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        # The loop's next round closes them.
        await asyncio.sleep(0)

    async def _answer(self, stage: str, server: SMTP) -> str:
        await asyncio.sleep(self.delay_s)
        answer = self.answers.get(stage, "250 OK")
        if answer == CUT:
            server.transport.abort()
        elif answer == HANG:
            await self._ended.wait()
        return answer if answer[0].isdigit() else "451 too late"


class Authority:
    """A certificate authority of a test, and what it signed for this machine and `names`."""

    def __init__(self, folder: Any, *names: str) -> None:
        authority = trustme.CA()
        self.file = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.file)
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1", *names).configure_cert(self.server)
