"""Shows that the demo's mail server keeps what it takes, and that the proof sees mail that is missing or doubled."""

from __future__ import annotations

import smtplib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from examples.refunds.deliveries import arrival_faults
from examples.refunds.post import Letter, read_letters
from tests.integration.local_users import ROOT

ADA, CHEN = "ada@example.com", "chen@example.com"
TAKEN = Letter("taken", "<1@shop.example>", ADA, "2026-01-01T00:00:00+00:00")
SENT = {"status": "sent", "payload": {"to": ADA}, "response": {"message_id": "<1@shop.example>"}, "error": None}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The demo's mail server, a process of its own, which puts Chen's first letter off."""
    command = [sys.executable, "-m", "examples.refunds.post", "--put-off", CHEN, "--log", str(tmp_path / "mail.jsonl")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = urlsplit(server.stdout.readline().strip())
        yield str(url.hostname), int(url.port or 0)
        server.kill()


def test_the_mail_server_writes_down_what_it_takes_and_what_it_puts_off(
    address: tuple[str, int], tmp_path: Path
) -> None:
    with smtplib.SMTP(*address) as sender:
        sender.sendmail("desk@shop.example", ADA, letter("<1@shop.example>"))
        with pytest.raises(smtplib.SMTPDataError, match="451"):
            sender.sendmail("desk@shop.example", CHEN, letter("<2@shop.example>"))
        sender.sendmail("desk@shop.example", CHEN, letter("<2@shop.example>"))

    assert [(each.event, each.recipient, each.message_id) for each in read_letters(tmp_path / "mail.jsonl")] == [
        ("taken", ADA, "<1@shop.example>"),
        ("put off", CHEN, "<2@shop.example>"),
        ("taken", CHEN, "<2@shop.example>"),
    ]


@pytest.mark.parametrize(
    ("rows", "letters", "faults"),
    [
        pytest.param([SENT], [TAKEN], [], id="arrived once"),
        pytest.param([SENT], [], [f"the e-mail to {ADA} is sent, and arrived 0 times"], id="never arrived"),
        pytest.param([SENT], [TAKEN, TAKEN], [f"the e-mail to {ADA} is sent, and arrived 2 times"], id="arrived twice"),
        pytest.param(
            [],
            [TAKEN],
            [f"the e-mail <1@shop.example> to {ADA} arrived, and is not in the outbox as sent"],
            id="of nobody",
        ),
        pytest.param(
            [{**SENT, "status": "in_doubt", "response": None, "error": {"message": "its relay died"}}],
            [],
            [f"the e-mail to {ADA} is in_doubt: its relay died"],
            id="in doubt",
        ),
    ],
)
def test_the_proof_finds_mail_that_did_not_arrive_exactly_once(
    rows: list[Mapping[str, Any]], letters: list[Letter], faults: list[str]
) -> None:
    assert list(arrival_faults([dict(row) for row in rows], letters)) == faults


def letter(message_id: str) -> str:
    return f"Message-ID: {message_id}\r\nFrom: desk@shop.example\r\nSubject: your order\r\n\r\nHello\r\n"
