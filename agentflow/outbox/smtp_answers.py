"""What a mail server's answer, or the lack of one, says of a delivery."""

from __future__ import annotations

import ssl

from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind

Reply = tuple[int, bytes]

MAX_TEXT = 500
"""Characters of an answer that are kept."""

# 530 asks for a login, 534 and 538 for another one, 535 refuses this one.
_AUTH_CODES = frozenset({530, 534, 535, 538})


def text_of(reply: Reply) -> str:
    """The words of an answer."""
    return reply[1].decode(errors="replace")[:MAX_TEXT]


def classify_break(error: Exception, *, handed_over: bool) -> ToolError:
    """The failure that a conversation ended with, where it was not the server's no."""
    happened = None if handed_over else False
    when = "after the letter was handed over: it may have been taken" if handed_over else "before it was sent"
    if isinstance(error, ssl.SSLCertVerificationError):
        message = f"the mail server's certificate is not trusted: {error.verify_message}; name its authority in ?ca="
        return ToolError(message, kind=ErrorKind.BUG, happened=False)
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return ToolError(f"the mail server did not answer in time, {when}", kind=ErrorKind.TIMEOUT, happened=happened)
    if isinstance(error, OSError):
        message = f"the connection to the mail server failed, {when}: {type(error).__name__}: {error}"
        return ToolError(message, kind=ErrorKind.TRANSIENT, happened=happened)
    return ToolError(f"{type(error).__name__} {when}: {error}", kind=ErrorKind.BUG, happened=happened)


def expect(reply: Reply, what: str, *, wanted: int | None = None, unsure: bool = False) -> Reply:
    """Return an answer that is a yes; raise the ToolError that any other one is.

    `unsure` says that an answer which is none leaves open whether the letter was taken.
    """
    code = reply[0]
    if code == wanted or (wanted is None and code // 100 == 2):
        return reply
    if code // 100 not in {4, 5}:
        message = f"the mail server answered {what} with what is no answer: {code} {text_of(reply)}"
        raise ToolError(message, kind=ErrorKind.MALFORMED, happened=None if unsure else False)
    kind = ErrorKind.TRANSIENT if code // 100 == 4 else ErrorKind.BAD_INPUT
    message = f"the mail server refused {what}: {code} {text_of(reply)}"
    raise ToolError(message, kind=ErrorKind.AUTH if code in _AUTH_CODES else kind, happened=False, status=code)


def unwelcome(why: str) -> ToolError:
    """The error for a server that can't be used as it is set up."""
    return ToolError(f"the mail server can't be used: {why}", kind=ErrorKind.AUTH, happened=False)
