from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agentflow.domain.delivery import Delivery
from agentflow.domain.errors import ToolError
from agentflow.outbox.letter import Letter, write_letter

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
HEADERS = {"Message-ID", "Date", "From", "To", "Subject", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"}


def a_letter(**payload: str) -> Letter:
    known = {"to": "ann@example.com", "subject": "Hello", "body": "Hello", **payload}
    return write_letter(Delivery("id-1", "default", "run", 1, 0, "email", known, 1), "Bot <bot@shop.example>", NOW)


def read(letter: Letter) -> EmailMessage:
    message = message_from_bytes(letter.content.replace(b"\r\n..", b"\r\n."), policy=policy.default)
    assert not message.defects
    return message


def test_a_letter_is_plain_where_it_can_be() -> None:
    assert a_letter().content == (
        b"Message-ID: <id-1@shop.example>\r\n"
        b"Date: Fri, 20 Nov 2026 08:30:00 +0000\r\n"
        b'From: "Bot" <bot@shop.example>\r\n'
        b"To: ann@example.com\r\n"
        b"Subject: Hello\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"MIME-Version: 1.0\r\n"
        b"\r\n"
        b"Hello\r\n"
    )


def test_the_emails_own_sender_goes_before_the_servers() -> None:
    letter = a_letter(**{"from": "Ann <ann@crm.example>"})

    assert (letter.sender, letter.message_id) == ("ann@crm.example", "<id-1@crm.example>")


@given(some.text(some.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=300))
def test_whatever_a_subject_says_it_arrives_word_for_word_and_is_no_other_header(text: str) -> None:
    message = read(a_letter(subject=text))

    assert str(message["Subject"]) == text
    assert set(message.keys()) == HEADERS


@pytest.mark.parametrize("subject", ["=?utf-8?q?a=0D=0ABcc:_eve=40example.com?= hello", "=?utf-8?b?DQpCY2M6IHg=?="])
def test_a_line_break_in_an_encoded_word_stays_text(subject: str) -> None:
    message = read(a_letter(subject=subject))

    assert (str(message["Subject"]), message["Bcc"]) == (subject, None)


@pytest.mark.parametrize("name", ["Ä" * 80 + " B, eve@example.com", "=?utf-8?q?=22?=, eve@example.com", "x" * 200])
def test_a_name_is_never_taken_for_an_address(name: str) -> None:
    (address,) = read(a_letter(to=f'"{name}" <ann@example.com>'))["To"].addresses

    # The standard library's reader puts spaces between the parts of a long name.
    assert (address.addr_spec, address.display_name.replace(" ", "")) == ("ann@example.com", name.replace(" ", ""))


@given(some.text(some.characters(exclude_categories=("Cs",)), max_size=200))
def test_whatever_a_body_holds_no_line_of_it_ends_the_letter(text: str) -> None:
    lines = a_letter(body=text, html=text or "x").content.split(b"\r\n")

    assert lines[-1] == b""
    assert b"." not in lines
    assert not any(b"\r" in line or b"\n" in line or b"\x00" in line or len(line) > 998 for line in lines)


def test_a_body_with_nul_is_kept() -> None:
    assert read(a_letter(body="a\x00b")).get_content() == "a\x00b\r\n"


def test_html_stands_beside_the_text() -> None:
    message = read(a_letter(body="Grüße", html="<b>Grüße</b>"))

    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    ("to", "utf8"), [("ann@example.com", False), ("Änne <ann@example.com>", False), ("ä@b.de", True)]
)
def test_only_an_address_beyond_ascii_asks_something_of_the_server(to: str, utf8: bool) -> None:
    assert a_letter(to=to).utf8 is utf8


def test_without_any_sender_it_is_refused() -> None:
    delivery = Delivery("1", "default", "run", 1, 0, "email", {"to": "a@b.example", "subject": "", "body": ""}, 1)
    with pytest.raises(ToolError, match=r"give it a 'from', or AGENTFLOW_SMTP_URL a \?from="):
        write_letter(delivery, None, NOW)
