"""One SMTP conversation: it knows at each moment whether a letter may have been taken.

Up to the final dot a letter certainly did not leave, whatever goes wrong. From there on only the server's answer tells:
without one nobody knows. smtplib does not keep these apart, so the commands of a delivery are given here one by one.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from typing import Any

from agentflow.outbox.letter import Letter
from agentflow.outbox.mail_server import MailServer
from agentflow.outbox.smtp_answers import Reply, expect, unwelcome
from agentflow.policy.delivering import refused

GO_ON = 354
CLOSING = 421


class Conversation(smtplib.SMTP):
    """A connection to the server, made within `deadline` on the monotonic clock, as is everything said on it.

    `usable` says that the next letter may follow on it; `handed_over`, that the current one's final dot was sent.
    """

    def __init__(self, server: MailServer, tls: ssl.SSLContext, deadline: float) -> None:
        super().__init__(local_hostname=server.helo or "localhost")
        self._server, self._tls = server, tls
        self.deadline = deadline
        self.usable = False
        self.handed_over = False

    def begin(self) -> None:
        """Connect, greet, and log in where there is a password."""
        self.sock = socket.create_connection((self._server.host, self._server.port), self._left())
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server.security == "implicit":
            self._secure()
        expect(self.getreply(), "its greeting")
        self.local_hostname = self._server.helo or _literal(self.sock)
        self._greet()
        if self._server.security in {"required", "opportunistic"}:
            self._start_tls()
        if self._server.password:
            self._log_in()

    def hand_over(self, letter: Letter) -> Reply:
        """Hand a letter over and return the server's yes; a ToolError is its no."""
        self.usable, self.handed_over = False, False
        self._command("MAIL", f"FROM:<{letter.sender}>{self._options(letter)}")
        self._command("RCPT", f"TO:<{letter.recipient}>")
        self._command("DATA", wanted=GO_ON)
        # An error of `send` says that not all was handed over, and the dot is the last of it.
        self.send(letter.content + b".\r\n")
        self.handed_over = True
        return self._heard(self.getreply(), "the letter")

    def is_fresh(self, deadline: float) -> bool:
        """Whether a connection that was kept still listens; the one before leaves nothing behind."""
        self.deadline = deadline
        try:
            return self.rset()[0] // 100 == 2
        except (OSError, smtplib.SMTPException):
            return False

    def send(self, s: Any) -> None:
        """Send what smtplib says, in what is left of the time."""
        self._limit()
        super().send(s)

    def getreply(self) -> Reply:
        """Read an answer in what is left of the time."""
        self._limit()
        return super().getreply()

    def _limit(self) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._left())

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _command(self, name: str, rest: str = "", *, wanted: int | None = None) -> None:
        # An answer that is not waited for would be taken for that of the next command.
        self.usable = False
        self._heard(self.docmd(name, rest), name, wanted=wanted)

    def _heard(self, reply: Reply, what: str, *, wanted: int | None = None) -> Reply:
        self.usable = reply[0] >= 200 and reply[0] not in {GO_ON, CLOSING}
        return expect(reply, what, wanted=wanted, unsure=self.handed_over)

    def _options(self, letter: Letter) -> str:
        size = f" SIZE={len(letter.content)}" if self.has_extn("size") else ""
        if not letter.utf8:
            return size
        if not self.has_extn("smtputf8"):
            self.usable = True
            raise refused(
                f"{letter.recipient!r} or the sender's address is not ASCII, and the mail server offers no SMTPUTF8"
            )
        self.command_encoding = "utf-8"
        return f"{size} SMTPUTF8"

    def _greet(self) -> None:
        if self.ehlo()[0] // 100 != 2:
            expect(self.helo(), "HELO")

    def _start_tls(self) -> None:
        if not self.has_extn("starttls"):
            if self._server.security == "required" or self._server.password:
                raise unwelcome("it offers no STARTTLS; use one that does, or write ?starttls=off where nobody listens")
            return
        expect(self.docmd("STARTTLS"), "STARTTLS")
        self._secure()
        self._greet()

    def _secure(self) -> None:
        self._limit()
        assert self.sock is not None
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server.host)
        # What was said before, and what may have been slipped in after it, does not count.
        self.file = None
        self.esmtp_features = {}

    def _log_in(self) -> None:
        try:
            self.login(self._server.user, self._server.password)
        except smtplib.SMTPAuthenticationError as error:
            said = error.smtp_error
            expect((error.smtp_code, said.encode() if isinstance(said, str) else said), "the login")
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPException as error:
            raise unwelcome(f"no login: {error}") from error


def _literal(connected: socket.socket) -> str:
    # A name that is not in the DNS is refused by some servers, and looking it up may take long; an address always fits.
    address = connected.getsockname()[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
