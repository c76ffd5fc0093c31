"""The mail server that e-mail is handed to, as AGENTFLOW_SMTP_URL names it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from agentflow.domain.errors import ToolError
from agentflow.policy.delivering import read_mailbox

Security = Literal["implicit", "required", "opportunistic", "off"]

_PORTS = {"smtps": 465, "smtp": 25}
_SUBMISSION_PORT = 587
_PARAMETERS = ("starttls", "from", "ca", "timeout", "helo")
_FORM = "write it as smtp://user:password@host:587?from=agent@example.com, or smtps://..."


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mail is handed over, and how.

    `security` is `implicit` for smtps. `required` refuses to go on without STARTTLS. `opportunistic` takes it where
    the server offers it, and never sends a password without it. A certificate that is shown is always verified, by the
    system's authorities or by those in the file `ca`.
    """

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str | None = None
    ca: Path | None = None
    timeout_s: float = 30.0
    helo: str | None = None

    @classmethod
    def read(cls, url: str) -> MailServer:
        """Read smtp:// and smtps:// URLs; ValueError says how to write them, and never repeats what may be a secret.

        Without `starttls`, a URL with a password requires it and one without takes it where it is offered.
        """
        parts = urlsplit(url)
        port = _port(parts)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.fragment:
            raise ValueError(_FORM)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(user) != bool(password) or not (user + password).isascii():
            raise ValueError("give both a user and a password in ASCII, special characters as %xx, or neither")
        given = _parameters(parts.query)
        security = _security(parts.scheme, given.get("starttls"), secret=bool(password))
        standard = _SUBMISSION_PORT if parts.scheme == "smtp" and password else _PORTS[parts.scheme]
        return cls(parts.hostname, port or standard, security, user, password, *_details(given))


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        # What stands in the port's place may be the rest of a password.
        raise ValueError("its port is no number; write special characters of a password as %xx") from None
    if port == 0:
        raise ValueError("its port is 0")
    return port


def _parameters(query: str) -> Mapping[str, str]:
    # parse_qsl would read the + of an address as a space.
    given = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    unknown = next((name for name in given if name not in _PARAMETERS), None)
    if unknown:
        raise ValueError(f"there is no parameter {unknown!r}; there are {', '.join(_PARAMETERS)}")
    return given


def _security(scheme: str, said: str | None, *, secret: bool) -> Security:
    if scheme == "smtps":
        if said is not None:
            raise ValueError("smtps:// is TLS from the start; leave starttls out, or write smtp://")
        return "implicit"
    if said is None:
        return "required" if secret else "opportunistic"
    if said not in {"required", "opportunistic", "off"}:
        raise ValueError(f"starttls={said!r}; give required, opportunistic or off")
    return cast("Security", said)


def _details(given: Mapping[str, str]) -> tuple[str | None, Path | None, float, str | None]:
    sender, ca = given.get("from") or None, Path(given["ca"]) if given.get("ca") else None
    if sender:
        try:
            read_mailbox("from", sender)
        except ToolError:
            raise ValueError(f"from={sender!r} is no address; write agent@example.com") from None
    if ca and not ca.is_file():
        raise ValueError(f"ca={str(ca)!r} is no file; name one with the certificates of authorities, in PEM")
    helo = given.get("helo") or None
    if helo and not (helo.isascii() and helo.isprintable() and " " not in helo):
        raise ValueError(f"helo={helo!r} is no host name")
    return sender, ca, _seconds(given.get("timeout", "30")), helo


def _seconds(said: str) -> float:
    try:
        seconds = float(said)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"timeout={said!r}; give seconds above zero")
    return seconds
