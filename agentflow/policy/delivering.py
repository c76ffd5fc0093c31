"""What an e-mail or a webhook must look like to be queued: judged by its form alone, nothing is looked up or sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.policy.addresses import PrivateReach, is_this_machine, literal

MAX_SUBJECT = 900
MAX_ADDRESS = 320
MAX_URL = 2_048

_EMAIL_REQUIRED = ("to", "subject", "body")
EMAIL_FIELDS = (*_EMAIL_REQUIRED, "html", "reply_to", "from")
WEBHOOK_FIELDS = ("url", "payload", "headers")

_OURS = re.compile(
    r"host|content-(length|type|encoding)|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect"
    r"|proxy-.*|webhook-.*",
    re.IGNORECASE,
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# Our own, and stricter than the standard library's: that one mends what it reads, and differs by patch release.
_ATOM = r"[^\s\"(),.:;<>@\[\\\]]+"
_MAILBOX = re.compile(
    rf"(?P<open>(?:\"(?P<quoted>[^\"\\]*)\"|(?P<name>[^\"(),:;<>@\[\\\]]*?)) *<)?"
    rf"(?P<user>{_ATOM}(?:\.{_ATOM})*)@(?P<domain>\w(?:[\w.-]*\w)?|\[[\w.:]+\])(?(open)>)"
)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address, and the name before it."""

    name: str
    user: str
    domain: str

    @property
    def address(self) -> str:
        """The address alone, as the envelope has it."""
        return f"{self.user}@{self.domain}"


def check_email(payload: Mapping[str, Any]) -> None:
    """Refuse an e-mail that could not be sent as it is meant, by a ToolError of kind `bad_input`.

    `to`, `subject` and `body` are text, and so are `html`, `reply_to` and `from` where they are given. Each address is
    one mailbox; no header holds a line break or any other control character.
    """
    _check_fields("the e-mail", payload, EMAIL_FIELDS, _EMAIL_REQUIRED)
    given = {name: value for name, value in payload.items() if value is not None or name in _EMAIL_REQUIRED}
    for name, value in given.items():
        if not isinstance(value, str):
            raise refused(f"the e-mail's {name!r} is a {type(value).__name__}; give text")
    for name in ("to", "reply_to", "from"):
        if name in given:
            read_mailbox(name, given[name])
    _check_line("the e-mail's 'subject'", payload["subject"], MAX_SUBJECT)


def check_webhook(payload: Mapping[str, Any], private: PrivateReach | None = None) -> None:
    """Refuse a webhook whose URL or headers could not or must not be used, by a ToolError of kind `bad_input`.

    `url` is http or https without a user; an address in it is public or in `private`. What a name resolves to is
    judged when it is sent. `payload` is any JSON value, `headers` are text by name. The webhook kind's own `check`
    knows what the settings allow in `private`.
    """
    _check_fields("the webhook", payload, WEBHOOK_FIELDS, ("url", "payload"))
    url, headers = payload["url"], payload.get("headers") or {}
    if not isinstance(url, str) or not isinstance(headers, Mapping):
        raise refused("the webhook's 'url' must be text, and its 'headers' text by name")
    _check_host(url, _split(url).hostname or "", private or PrivateReach())
    for name, value in headers.items():
        _check_header(name, value)


def read_mailbox(field: str, text: str) -> Mailbox:
    """Return the one mailbox that a field holds, `ann@example.com` or `Ann <ann@example.com>`; refuse anything else."""
    _check_line(f"the e-mail's {field!r}", text, MAX_ADDRESS)
    _check_letters(f"the e-mail's {field!r}", text)
    found = _MAILBOX.fullmatch(text.strip(" "))
    if found is None or ".." in found["domain"]:
        raise refused(f"the e-mail's {field!r} is {text!r}: give one address; each message has one recipient")
    return Mailbox(found["quoted"] or found["name"] or "", found["user"], found["domain"])


def refused(message: str) -> ToolError:
    """The error for what is wrong in itself: nothing was sent, and trying again mends nothing."""
    return ToolError(message, kind=ErrorKind.BAD_INPUT, happened=False)


def _check_fields(what: str, payload: Mapping[str, Any], known: tuple[str, ...], required: tuple[str, ...]) -> None:
    missing = [name for name in required if name not in payload]
    unknown = [name for name in payload if name not in known]
    if missing:
        raise refused(f"{what} has no {missing[0]!r}; give {', '.join(required)}")
    if unknown:
        raise refused(f"{what} has no field {unknown[0]!r}; there are {', '.join(known)}")


def _check_line(what: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise refused(f"{what} has {len(text):,} characters; at most {limit} are sent")
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise refused(f"{what} holds a line break or a control character: {text[:100]!r}; leave it out")


def _check_letters(what: str, text: str) -> None:
    # In a text they are replaced when it is stored; an address would become another one.
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise refused(f"{what} holds half of a surrogate pair: {text[:100]!r}; leave it out")


def _split(url: str) -> SplitResult:
    _check_line("the webhook's 'url'", url, MAX_URL)
    _check_letters("the webhook's 'url'", url)
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not set(url) & set(" \\")
    except ValueError:
        parts, fits = SplitResult("", "", "", "", ""), None
    if not fits:
        raise refused(f"the webhook's url {url!r} can't be used; write it as https://host[:port]/path")
    if parts.username is not None or parts.password is not None:
        # The URL is not repeated: what stands there may be a password.
        raise refused("the webhook's url names a user before its host; send credentials in a header")
    return parts


def _check_host(url: str, host: str, private: PrivateReach) -> None:
    try:
        address = literal(host)
    except ValueError as error:
        raise refused(f"the webhook's url {url!r} can't be used: {error}") from None
    allowed = address is None or private.admits(host, address)
    if not allowed or (is_this_machine(host) and not private.names(host) and not private.networks):
        raise private_refused(host)


def private_refused(host: str, address: object = None) -> ToolError:
    """The error for a webhook that would leave the public internet."""
    is_one = f"resolves to {address}, a private address" if address else "is a private address"
    return refused(f"the webhook's host {host!r} {is_one}; give a public one, or allow it in AGENTFLOW_WEBHOOK_PRIVATE")


def _check_header(name: object, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str) or not _HEADER_NAME.fullmatch(name):
        raise refused(f"the webhook's header {name!r} can't be sent; give text by name")
    if _OURS.fullmatch(name):
        raise refused(f"the webhook's header {name!r} is set by agentflow; leave it out")
    if not value.isascii() or not value.isprintable():
        raise refused(f"the webhook's header {name!r} holds what no header may; give printable ASCII")
