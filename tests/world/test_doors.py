"""Shows what each of the outside world's doors does."""

from __future__ import annotations

import smtplib
import ssl

import httpx2
import pytest

from tests.world.knocks import effects, lines, pay, post, send
from tests.world.process import World


def test_reading_changes_nothing(world: World) -> None:
    assert post(world, "/read/look", {"item": "a"}).status_code == 200
    assert [each.effect for each in lines(world, name="look")] == [False]


def test_a_key_makes_an_effect_once_and_repeats_get_the_first_answer(world: World) -> None:
    first, again = pay(world, "k-twice"), pay(world, "k-twice")
    assert again.json() == first.json()
    assert [each.effect for each in lines(world, key="k-twice")] == [True, False]


def test_a_key_stands_for_one_request(world: World) -> None:
    pay(world, "k-other", cents=1)
    assert pay(world, "k-other", cents=2).status_code == 422
    assert effects(world, key="k-other") == 1


@pytest.mark.parametrize("path", ["/keyed/pay", "/verified/charge", "/undo/pay", "/hooks/shop"])
def test_doors_that_want_a_key_refuse_who_has_none(world: World, path: str) -> None:
    assert post(world, path).status_code == 400


def test_there_are_no_other_doors(world: World) -> None:
    assert post(world, "/pay").status_code == 404


def test_an_object_has_the_state_that_was_set_last(world: World) -> None:
    for state in ("on", "off"):
        post(world, "/idempotent/switch/lamp 1", {"state": state}, idempotency_key=state)
    seen = post(world, "/read/look", {"subject": "lamp 1"}).json()["state"]
    assert seen == lines(world, subject="lamp 1", key="off")[0].body
    assert effects(world, subject="lamp 1") == 2


@pytest.mark.parametrize("door", ["verified", "unsafe"])
def test_doors_without_a_memory_make_an_effect_each_time(world: World, door: str) -> None:
    for _ in range(2):
        post(world, f"/{door}/act", idempotency_key=f"k-{door}")
    assert effects(world, door=door, key=f"k-{door}") == 2


def test_it_can_be_asked_whether_a_call_happened(world: World) -> None:
    where = f"{world.url}/verified/charge/refund%3A1%232"
    assert httpx2.get(where).status_code == 404
    post(world, "/verified/charge", {"cents": 1}, idempotency_key="refund:1#2")
    answer = httpx2.get(where)
    assert answer.status_code == 200
    assert answer.json()["times"] == 1
    assert [each.answered for each in lines(world, door="verify", key="refund:1#2")] == ["404", "200"]


def test_an_undoing_names_what_it_undoes_and_happens_once(world: World) -> None:
    for _ in range(2):
        post(world, "/undo/pay", {"subject": "k-undone"}, idempotency_key="u-1")
    assert [(each.key, each.effect) for each in lines(world, door="undo", subject="k-undone")] == [
        ("u-1", True),
        ("u-1", False),
    ]


def test_a_webhook_is_known_by_its_id(world: World) -> None:
    post(world, "/hooks/shop", {"a": 1}, webhook_id="message-1")
    assert [(each.subject, each.effect) for each in lines(world, door="hook", name="message-1")] == [("shop", True)]


def test_a_letter_is_known_by_its_id(world: World) -> None:
    send(world, "letter-1@shop.example")
    assert [each.subject for each in lines(world, door="mail", name="letter-1@shop.example", effect=True)] == [
        "b@x.example"
    ]


def test_nobody_sends_mail_without_the_password(world: World) -> None:
    with smtplib.SMTP("127.0.0.1", world.smtp_port, timeout=5) as connection:
        connection.starttls(context=ssl.create_default_context(cafile=world.authority))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            connection.login("agent", "another")
