"""Delivery of e-mail: one letter at a time, over a connection that is kept for the next one."""

from __future__ import annotations

import os
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from agentflow.domain.delivery import Delivery
from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.outbox.letter import Letter, write_letter
from agentflow.outbox.mail_server import MailServer
from agentflow.outbox.smtp import Conversation
from agentflow.outbox.smtp_answers import classify_break, text_of, unwelcome

# Servers and firewalls between forget a silent connection, some of them without a word.
MAX_SILENCE_S = 60.0


class Mailer:
    """Hands e-mail to one mail server. Connections are kept per process; a letter never waits for another's."""

    def __init__(self, server: MailServer, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._server = server
        self._now = now
        self._tls: ssl.SSLContext | None = None
        self._kept: deque[tuple[Conversation, float]] = deque()
        self._process = os.getpid()

    def deliver(self, delivery: Delivery) -> dict[str, Any]:
        """Hand an e-mail over and return the server's answer: `code`, `text`, and the `message_id` it was sent under.

        A ToolError says whether it may have been taken: `happened` is None for a connection that ended, or a time that
        was over, after the final dot, and False for everything else.
        """
        letter = self._written(delivery)
        deadline = time.monotonic() + self._server.timeout_s
        conversation = self._reused(deadline) or Conversation(self._server, self._authorities(), deadline)
        try:
            if conversation.sock is None:
                conversation.begin()
            reply = conversation.hand_over(letter)
        except ToolError:
            raise
        except Exception as error:
            raise classify_break(error, handed_over=conversation.handed_over) from error
        finally:
            self._put_back(conversation)
        return {"code": reply[0], "text": text_of(reply), "message_id": letter.message_id}

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._kept:
            self._kept.pop()[0].close()

    def _written(self, delivery: Delivery) -> Letter:
        try:
            return write_letter(delivery, self._server.sender, self._now())
        except ToolError:
            raise
        except Exception as error:
            message = f"the e-mail can't be written: {type(error).__name__}: {error}"
            raise ToolError(message, kind=ErrorKind.BUG, happened=False) from error

    def _reused(self, deadline: float) -> Conversation | None:
        if self._process != os.getpid():
            # A connection from before the fork is another process's.
            self._process, self._kept = os.getpid(), deque()
        with suppress(IndexError):
            while True:
                kept, since = self._kept.pop()
                if time.monotonic() - since < MAX_SILENCE_S and kept.is_fresh(deadline):
                    return kept
                kept.close()
        return None

    def _put_back(self, conversation: Conversation) -> None:
        if conversation.usable and conversation.sock is not None:
            self._kept.append((conversation, time.monotonic()))
        else:
            conversation.close()

    def _authorities(self) -> ssl.SSLContext:
        if self._tls is None:
            try:
                self._tls = ssl.create_default_context(cafile=self._server.ca)
            except OSError as error:
                raise unwelcome(f"the authorities of ?ca={str(self._server.ca)!r} can't be read: {error}") from error
        return self._tls
