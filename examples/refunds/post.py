"""Owns the customers' mail server, `python -m examples.refunds.post --log F.jsonl`, which prints its SMTP URL.

Each letter is in its log before the server says that it has it. `--put-off chen@example.com` answers the first letter
to that address with 451: come back later.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Literal

from aiosmtpd.smtp import SMTP, Envelope, Session

from examples.refunds.journal import Journal, now_text, read_lines

PUT_OFF = 451


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter that came: it was taken, or its sender was told to come back later."""

    event: Literal["taken", "put off"]
    message_id: str
    recipient: str
    at: str


class PostOffice:
    """What the SMTP server does with letters."""

    def __init__(self, journal: Journal, put_off: Iterable[str] = ()) -> None:
        self._journal = journal
        self._put_off = set(put_off)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Take a letter, or put it off."""
        [recipient] = envelope.rcpt_tos
        message_id = message_from_bytes(envelope.original_content or b"")["Message-ID"]
        if recipient in self._put_off:
            self._put_off.remove(recipient)
            self._journal.append(asdict(Letter("put off", message_id, recipient, now_text())))
            return f"{PUT_OFF} 4.7.1 greylisted: come back later"
        self._journal.append(asdict(Letter("taken", message_id, recipient, now_text())))
        return "250 2.0.0 taken"


def read_letters(path: Path) -> list[Letter]:
    """Return what came to a mail server."""
    return [Letter(**line) for line in read_lines(path)]


async def serve(office: PostOffice) -> None:
    """Serve on a free port of loopback until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(office), "127.0.0.1", 0)
    print(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m examples.refunds.post", description="A small mail server.")
    parser.add_argument("--log", type=Path, required=True, metavar="F.jsonl", help="which letters came")
    parser.add_argument("--put-off", action="append", default=[], metavar="ADDRESS", help="whose first letter waits")
    chosen = parser.parse_args()
    with Journal(chosen.log) as journal:
        asyncio.run(serve(PostOffice(journal, chosen.put_off)))


if __name__ == "__main__":
    main()
