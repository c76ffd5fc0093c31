"""E-mail is handed to real mail servers, and what may have been taken is told from what was not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from agentflow.domain.delivery import Delivery
from agentflow.domain.errors import ToolError
from agentflow.outbox.mail_server import MailServer
from agentflow.outbox.mailer import Mailer
from tests.integration.post_office import CUT, HANG, PASSWORD, USER, Authority, PostOffice

Open = Callable[..., Mailer]


def an_email(number: int = 1, attempt: int = 1, **payload: object) -> Delivery:
    known = {"to": "ann@example.com", "subject": "Your order", "body": "It is on its way.", **payload}
    return Delivery(f"0190c3a4-1111-7222-8333-{number:012}", "default", "run", 1, 0, "email", known, attempt)


@pytest.fixture
def post_office() -> Iterator[PostOffice]:
    with PostOffice().serving() as office:
        yield office


@pytest.fixture
def mailer_to() -> Iterator[Open]:
    opened: list[Mailer] = []

    def open_mailer(address: str, scheme: str = "smtp", **parameters: object) -> Mailer:
        query = "&".join(f"{name}={value}" for name, value in {"from": "bot@shop.example", **parameters}.items())
        opened.append(Mailer(MailServer.read(f"{scheme}://{address}?{query}")))
        return opened[-1]

    yield open_mailer
    for mailer in opened:
        mailer.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def refusal_of(mailer: Mailer, delivery: Delivery | None = None) -> ToolError:
    with pytest.raises(ToolError) as caught:
        mailer.deliver(delivery or an_email())
    return caught.value


def test_an_email_arrives_word_for_word(post_office: PostOffice, mailer_to: Open) -> None:
    subject, body = "Ihre Bestellung: =?utf-8?q?x?= für 5 €", ".\nGrüße\n..\nund 😀\n"

    kept = mailer_to(post_office.address).deliver(
        an_email(
            to='"Änne, B." <ann@example.com>',
            subject=subject,
            body=body,
            html="<b>Grüße</b>",
            reply_to="help@shop.example",
        )
    )

    (arrived,) = post_office.arrivals
    text, html = (part for part in arrived.message.walk() if part.get_content_maintype() == "text")
    assert (arrived.sender, arrived.recipient) == ("bot@shop.example", "ann@example.com")
    assert (arrived.message["Subject"], arrived.message["Reply-To"]) == (subject, "help@shop.example")
    assert (text.get_content().replace("\r\n", "\n"), html.get_content().strip()) == (body, "<b>Grüße</b>")
    assert [address.display_name for address in arrived.message["To"].addresses] == ["Änne, B."]
    assert arrived.message["Date"].datetime is not None
    assert kept == {"code": 250, "text": "OK", "message_id": arrived.message["Message-ID"]}


def test_each_attempt_at_a_message_has_its_message_id(post_office: PostOffice, mailer_to: Open) -> None:
    mailer = mailer_to(post_office.address)
    for attempt in (1, 2):
        mailer.deliver(an_email(7, attempt))

    assert [arrival.message["Message-ID"] for arrival in post_office.arrivals] == [
        "<0190c3a4-1111-7222-8333-000000000007@shop.example>"
    ] * 2


def test_one_connection_serves_many(post_office: PostOffice, mailer_to: Open) -> None:
    mailer = mailer_to(post_office.address)
    for number in range(20):
        mailer.deliver(an_email(number))

    assert (len(post_office.arrivals), post_office.connections) == (20, 1)


def test_a_password_goes_over_starttls_to_a_server_that_was_verified(mailer_to: Open, authority: Authority) -> None:
    office = PostOffice(login=True, tls_context=authority.server, require_starttls=True)
    with office.serving():
        mailer_to(f"{USER}:{PASSWORD}@{office.address}", ca=authority.file).deliver(an_email())

    assert [(arrival.encrypted, arrival.user) for arrival in office.arrivals] == [(True, USER)]


def test_smtps_is_encrypted_from_the_start(mailer_to: Open, authority: Authority) -> None:
    with PostOffice(ssl_context=authority.server).serving() as office:
        mailer_to(office.address, "smtps", ca=authority.file).deliver(an_email())

    assert len(office.arrivals) == 1


def test_starttls_is_taken_where_it_is_offered(mailer_to: Open, authority: Authority) -> None:
    with PostOffice(tls_context=authority.server).serving() as office:
        mailer_to(office.address, ca=authority.file).deliver(an_email())

    assert [arrival.encrypted for arrival in office.arrivals] == [True]


def test_a_server_that_nobody_vouches_for_gets_nothing(mailer_to: Open, authority: Authority) -> None:
    with PostOffice(login=True, tls_context=authority.server).serving() as office:
        refusal = refusal_of(mailer_to(f"{USER}:{PASSWORD}@{office.address}"))

    assert (refusal.kind, refusal.happened) == ("bug", False)
    assert "certificate is not trusted" in str(refusal)
    assert (office.arrivals, office.logins) == ([], [])


@pytest.mark.parametrize("starttls", ["required", "opportunistic"])
def test_no_password_goes_over_a_line_without_tls(post_office: PostOffice, mailer_to: Open, starttls: str) -> None:
    refusal = refusal_of(mailer_to(f"{USER}:{PASSWORD}@{post_office.address}", starttls=starttls))

    assert (refusal.kind, refusal.happened) == ("auth", False)
    assert "offers no STARTTLS" in str(refusal)
    assert post_office.logins == []


def test_a_wrong_password_is_told_as_such(mailer_to: Open, authority: Authority) -> None:
    with PostOffice(login=True, tls_context=authority.server).serving() as office:
        refusal = refusal_of(mailer_to(f"{USER}:wrong@{office.address}", ca=authority.file))

    assert (refusal.kind, refusal.happened, refusal.status, office.arrivals) == ("auth", False, 535, [])
    assert "wrong" not in str(refusal)


@pytest.mark.parametrize(
    ("stage", "answer", "kind"),
    [
        ("RCPT", "450 mailbox busy", "transient"),
        ("RCPT", "550 no such mailbox", "bad_input"),
        ("RCPT", "530 log in first", "auth"),
        ("DATA", "452 no room", "transient"),
        ("DATA", "554 looks like spam", "bad_input"),
    ],
)
def test_a_definite_no_is_told_and_the_next_email_goes_over_the_same_connection(
    post_office: PostOffice, mailer_to: Open, stage: str, answer: str, kind: str
) -> None:
    mailer = mailer_to(post_office.address)
    post_office.answers[stage] = answer
    refusal = refusal_of(mailer)
    post_office.answers.clear()

    assert (refusal.kind, refusal.happened, refusal.status) == (kind, False, int(answer[:3]))
    assert answer in str(refusal)
    assert mailer.deliver(an_email(2))["code"] == 250
    assert post_office.connections == 1


def test_a_connection_that_ends_before_the_final_dot_is_no_doubt(post_office: PostOffice, mailer_to: Open) -> None:
    post_office.answers["RCPT"] = CUT
    refusal = refusal_of(mailer_to(post_office.address))

    assert (refusal.kind, refusal.happened, post_office.arrivals) == ("transient", False, [])


def test_a_connection_that_ends_after_the_final_dot_is_a_doubt(post_office: PostOffice, mailer_to: Open) -> None:
    mailer = mailer_to(post_office.address)
    post_office.answers["DATA"] = CUT
    refusal = refusal_of(mailer)
    post_office.answers.clear()

    assert (refusal.kind, refusal.happened, len(post_office.arrivals)) == ("transient", None, 1)
    assert mailer.deliver(an_email(2))["code"] == 250


def test_no_answer_after_the_final_dot_is_a_doubt(post_office: PostOffice, mailer_to: Open) -> None:
    post_office.answers["DATA"] = HANG
    refusal = refusal_of(mailer_to(post_office.address, timeout=0.3))

    assert (refusal.kind, refusal.happened, len(post_office.arrivals)) == ("timeout", None, 1)


@pytest.mark.parametrize("stage", ["RCPT", "greeting"])
def test_no_answer_before_the_final_dot_is_no_doubt(post_office: PostOffice, mailer_to: Open, stage: str) -> None:
    post_office.answers[stage] = HANG
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}" if stage == "greeting" else post_office.address
        refusal = refusal_of(mailer_to(address, timeout=0.3))

    assert (refusal.kind, refusal.happened) == ("timeout", False)


def test_a_server_that_is_not_there_is_no_doubt(mailer_to: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    refusal = refusal_of(mailer_to(address))

    assert (refusal.kind, refusal.happened) == ("transient", False)


def test_the_time_is_that_of_the_whole_delivery(post_office: PostOffice, mailer_to: Open) -> None:
    post_office.delay_s = 0.3
    began = time.monotonic()
    refusal = refusal_of(mailer_to(post_office.address, timeout=0.5))

    assert (refusal.kind, refusal.happened) == ("timeout", False)
    assert time.monotonic() - began < 1.5


def test_a_kept_connection_that_the_server_has_closed_is_no_doubt(post_office: PostOffice, mailer_to: Open) -> None:
    mailer = mailer_to(post_office.address)
    mailer.deliver(an_email(1))
    post_office.hang_up()

    assert mailer.deliver(an_email(2))["code"] == 250
    assert (len(post_office.arrivals), post_office.connections) == (2, 2)


def test_an_address_beyond_ascii_goes_to_a_server_that_takes_it(mailer_to: Open) -> None:
    with PostOffice(enable_SMTPUTF8=True).serving() as office:
        mailer_to(office.address).deliver(an_email(to="änne@bücher.example"))

    (arrived,) = office.arrivals
    assert (arrived.recipient, arrived.message["To"]) == ("änne@bücher.example", "änne@bücher.example")
    assert "SMTPUTF8" in arrived.options


def test_an_address_beyond_ascii_is_refused_where_the_server_cannot_take_it(mailer_to: Open) -> None:
    with PostOffice(enable_SMTPUTF8=False).serving() as office:
        mailer = mailer_to(office.address)
        refusal = refusal_of(mailer, an_email(to="änne@example.com"))
        mailer.deliver(an_email(2))

    assert (refusal.kind, refusal.happened) == ("bad_input", False)
    assert "offers no SMTPUTF8" in str(refusal)
    assert [arrival.recipient for arrival in office.arrivals] == ["ann@example.com"]


@pytest.mark.parametrize("field", ["to", "subject", "reply_to", "from"])
def test_a_header_with_a_line_break_reaches_no_server(post_office: PostOffice, mailer_to: Open, field: str) -> None:
    refusal = refusal_of(mailer_to(post_office.address), an_email(**{field: "x@example.com\r\nBcc: eve@example.com"}))

    assert (refusal.kind, refusal.happened, post_office.connections) == ("bad_input", False, 0)
    assert f"the e-mail's {field!r} holds a line break" in str(refusal)


def test_no_sender_is_told_before_anything_is_sent(post_office: PostOffice) -> None:
    refusal = refusal_of(Mailer(MailServer.read(f"smtp://{post_office.address}")))

    assert (refusal.kind, refusal.happened, post_office.connections) == ("bad_input", False, 0)
    assert "give it a 'from'" in str(refusal)
