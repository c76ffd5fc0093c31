"""A letter: an e-mail as the mail server gets it, from one sender to one recipient."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from agentflow.domain.delivery import Delivery
from agentflow.policy.delivering import Mailbox, check_email, read_mailbox, refused

MAX_PLAIN = 60
"""Characters of a header that are sent as they are."""

_SEVEN_BIT = SMTP.clone(cte_type="7bit")
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Letter:
    """The envelope's two addresses, and the content as it stands between DATA and the final dot.

    `utf8` says that an address can only be sent to a server that offers SMTPUTF8.
    """

    sender: str
    recipient: str
    message_id: str
    content: bytes
    utf8: bool


def write_letter(delivery: Delivery, sender: str | None, now: datetime) -> Letter:
    """Write the letter of a delivery, from the payload's own `from` or from `sender`.

    A ToolError refuses what can't be sent as it is meant. The Message-ID is the same in every attempt.
    """
    payload = delivery.payload
    check_email(payload)
    given = payload.get("from") or sender
    if not given:
        raise refused("the e-mail has no sender; give it a 'from', or AGENTFLOW_SMTP_URL a ?from=agent@example.com")
    boxes = {"From": read_mailbox("from", given), "To": read_mailbox("to", payload["to"])}
    if payload.get("reply_to"):
        boxes["Reply-To"] = read_mailbox("reply_to", payload["reply_to"])
    message_id = f"<{delivery.message_id}@{boxes['From'].domain}>"
    lines = [*_head(boxes, payload["subject"], message_id, now), ""]
    content = "\r\n".join(lines).encode() + _body(payload["body"], payload.get("html"))
    utf8 = not all(box.address.isascii() for box in boxes.values())
    return Letter(boxes["From"].address, boxes["To"].address, message_id, _stuffed(content), utf8)


def _head(boxes: dict[str, Mailbox], subject: str, message_id: str, now: datetime) -> Iterator[str]:
    # Written here, since EmailMessage decodes encoded words that it finds in a text: a line break in one becomes a
    # header of its own, and a quoted name loses its quotes when it is folded.
    yield f"Message-ID: {message_id}"
    yield f"Date: {format_datetime(now)}"
    for name, box in boxes.items():
        yield f"{name}: {_named(box, name)}"
    yield f"Subject: {_worded(subject, 'Subject')}"


def _named(box: Mailbox, header: str) -> str:
    if not box.name:
        return box.address
    return f"{_worded(box.name, header, quote=True)} <{box.address}>"


def _worded(text: str, header: str, *, quote: bool = False) -> str:
    # What would have to be folded is encoded too: only so it arrives word for word.
    if text.isascii() and len(text) <= MAX_PLAIN and text == text.strip() and "=?" not in text:
        return f'"{text}"' if quote else text
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


def _body(text: str, html: str | None) -> bytes:
    message = EmailMessage(_SEVEN_BIT)
    message.set_content(text, cte=_encoding(text))
    if html:
        message.add_alternative(html, subtype="html", cte=_encoding(html))
    return message.as_bytes()


def _encoding(text: str) -> str | None:
    # NUL and its like may not be sent as they are; what else a text needs, the library sees by itself.
    hidden = any(unicodedata.category(character) == "Cc" for character in text if character not in "\t\r\n")
    return "base64" if hidden else None


def _stuffed(content: bytes) -> bytes:
    ended = content if content.endswith(b"\r\n") else content + b"\r\n"
    return _LEADING_DOT.sub(b"..", ended)
