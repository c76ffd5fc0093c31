from __future__ import annotations

import pytest

from agentflow import DeclarationError, ToolError
from agentflow.declare.delivery import DeliveryKind, delivery
from agentflow.declare.outbox import Outbox
from agentflow.declare.registry import Registry, load
from agentflow.domain.delivery import Delivery
from agentflow.domain.outcome import OutboxMessage


def refuse_long_texts(payload: object) -> None:
    if len(str(payload)) > 50:
        raise ToolError("too long for one text message", kind="bad_input", happened=False)


@delivery("sms", effect="keyed", check=refuse_long_texts)
def send_sms(message: Delivery) -> None:
    """Send nothing."""


def test_messages_are_kept_in_order_with_what_was_given_and_no_more() -> None:
    outbox = Outbox({"sms": send_sms})
    outbox.email(to="ann@example.com", subject="Hi", body="there")
    outbox.email(to="ann@example.com", subject="Hi", body="there", html="<p>there</p>", reply_to="bob@example.com")
    outbox.webhook("https://example.com/hook", {"paid": True})
    outbox.send("sms", {"to": "+49", "text": "hi"})

    plain = {"to": "ann@example.com", "subject": "Hi", "body": "there"}
    assert outbox.messages == (
        OutboxMessage("email", plain),
        OutboxMessage("email", {**plain, "html": "<p>there</p>", "reply_to": "bob@example.com"}),
        OutboxMessage("webhook", {"url": "https://example.com/hook", "payload": {"paid": True}}),
        OutboxMessage("sms", {"to": "+49", "text": "hi"}),
    )


def test_what_cannot_be_sent_is_refused_when_it_is_queued_and_nothing_is() -> None:
    outbox = Outbox({"sms": send_sms})

    with pytest.raises(ToolError, match="line break") as broken:
        outbox.email(to="ann@example.com", subject="Hi\nBcc: bob@example.com", body="")
    with pytest.raises(ToolError, match="private address"):
        outbox.webhook("http://[::ffff:127.0.0.1]/", {})
    with pytest.raises(ToolError, match="too long"):
        outbox.send("sms", {"text": "x" * 100})
    with pytest.raises(ToolError, match="give a mapping"):
        outbox.send("sms", "hello")  # type: ignore[arg-type]

    assert (broken.value.kind, broken.value.happened) == ("bad_input", False)
    assert outbox.messages == ()


def test_a_kind_that_nobody_declared_is_refused_with_those_there_are() -> None:
    with pytest.raises(ToolError, match="there is no kind of message 'pigeon'; there are 'email', 'sms', 'webhook'"):
        Outbox({"sms": send_sms}).send("pigeon", {})


def test_where_nobody_can_tell_which_kinds_there_are_any_name_of_one_is_taken() -> None:
    outbox = Outbox()
    outbox.send("pigeon", {"n": 1})

    assert outbox.messages == (OutboxMessage("pigeon", {"n": 1}),)
    with pytest.raises(ToolError, match="no kind of message 'not a name'"):
        outbox.send("not a name", {})


def test_settings_of_a_kind_count_where_it_is_known() -> None:
    lenient = DeliveryKind("webhook", send_sms.deliver, effect="keyed", check=lambda payload: None)
    outbox = Outbox({"webhook": lenient})

    outbox.webhook("http://127.0.0.1/", {})

    assert len(outbox.messages) == 1


def test_kinds_are_found_in_the_agents_modules() -> None:
    registry = load([__name__])

    assert registry.deliveries == {"sms": send_sms}
    assert {"outbox.sms", "outbox.email", "outbox.webhook"} <= registry.queues


def test_two_kinds_of_one_name_or_of_one_of_our_own_are_refused_with_their_places() -> None:
    other = DeliveryKind("sms", refuse_long_texts, effect="keyed")
    with pytest.raises(
        DeclarationError, match=r"outbox\.py:\d+: the delivery 'sms' is declared at .*outbox\.py:\d+ too"
    ):
        Registry.of([], [send_sms, other])
    with pytest.raises(
        DeclarationError, match=r"outbox\.py:\d+: the delivery 'email' is agentflow's own; rename yours"
    ):
        Registry.of([], [DeliveryKind("email", refuse_long_texts, effect="keyed")])
