from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentflow.domain.delivery import Delivery
from agentflow.domain.errors import ConfigError, ToolError
from agentflow.outbox.kinds import builtin_kinds
from agentflow.outbox.mail_server import MailServer
from agentflow.outbox.signing import Signer
from agentflow.outbox.smtp_answers import expect
from agentflow.settings import Settings, settings

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"AGENTFLOW_{name.upper()}", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    ("url", "port", "security"),
    [
        ("smtp://mail.example.com", 25, "opportunistic"),
        ("smtp://u:p@mail.example.com", 587, "required"),
        ("smtp://u:p@mail.example.com:2525?starttls=off", 2525, "off"),
        ("smtp://mail.example.com?starttls=required", 25, "required"),
        ("smtps://mail.example.com", 465, "implicit"),
    ],
)
def test_a_password_asks_for_tls_unless_told_otherwise(url: str, port: int, security: str) -> None:
    server = MailServer.read(url)

    assert (server.host, server.port, server.security) == ("mail.example.com", port, security)


def test_a_url_says_everything_of_a_mail_server(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.touch()
    server = MailServer.read(
        f"smtp://agent%40shop:s%2F3@[::1]:587?from=agent+x@shop.example&ca={authorities}&timeout=5&helo=agent.shop.example"
    )

    assert (server.user, server.password, server.host) == ("agent@shop", "s/3", "::1")
    assert (server.sender, server.ca, server.timeout_s) == ("agent+x@shop.example", authorities, 5.0)
    assert server.helo == "agent.shop.example"
    assert "s/3" not in repr(server)


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("SMTP_URL", "http://mail.example.com", "write it as smtp://"),
        ("SMTP_URL", "smtp://", "write it as smtp://"),
        ("SMTP_URL", "smtp://mail.example.com/inbox", "write it as smtp://"),
        ("SMTP_URL", "smtp://u:s3cret/x@mail.example.com", "special characters of a password as %xx"),
        ("SMTP_URL", "smtp://mail.example.com:0", "its port is 0"),
        ("SMTP_URL", "smtp://u:@mail.example.com", "both a user and a password"),
        ("SMTP_URL", "smtp://u:s3cr%C3%A9t@mail.example.com", "in ASCII"),
        ("SMTP_URL", "smtp://mail.example.com?tls=1", "there is no parameter 'tls'; there are starttls, from"),
        ("SMTP_URL", "smtp://mail.example.com?starttls=yes", "give required, opportunistic or off"),
        ("SMTP_URL", "smtps://mail.example.com?starttls=off", "TLS from the start"),
        ("SMTP_URL", "smtp://mail.example.com?from=agent", "write agent@example.com"),
        ("SMTP_URL", "smtp://mail.example.com?ca=nowhere.pem", "is no file"),
        ("SMTP_URL", "smtp://mail.example.com?timeout=0", "give seconds above zero"),
        ("SMTP_URL", "smtp://mail.example.com?timeout=nan", "give seconds above zero"),
        ("SMTP_URL", "smtp://mail.example.com?helo=a%0D%0Ab", "is no host name"),
        ("EMAIL_ON_DOUBT", "guess", "'ask' or 'resend'"),
        ("WEBHOOK_SECRET", "s3cret", "secret 1 is not whsec_"),
        ("WEBHOOK_SECRET", f"{SECRET},whsec_s3cret", "secret 2 is not whsec_"),
        ("WEBHOOK_PRIVATE", "10.0.0.1/8", "write networks"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_with_its_mend(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, mend: str
) -> None:
    monkeypatch.setenv(f"AGENTFLOW_{name}", value)
    with pytest.raises(ConfigError) as caught:
        settings()

    assert f"AGENTFLOW_{name}: " in str(caught.value)
    assert mend in str(caught.value)
    assert "s3cr" not in str(caught.value)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMTP_URL", "EMAIL_ON_DOUBT", "WEBHOOK_SECRET", "WEBHOOK_PRIVATE"):
        monkeypatch.setenv(f"AGENTFLOW_{name}", "")

    assert settings() == Settings()


def test_secrets_are_shown_nowhere() -> None:
    configured = Settings(smtp_url="smtp://u:s3cret@mail.example.com", webhook_secret=SECRET)

    assert "s3cret" not in repr(configured)
    assert SECRET not in repr(configured) + repr(Signer.read(SECRET))


def test_unconfigured_kinds_say_what_is_missing_and_check_all_the_same() -> None:
    email, webhook = (builtin_kinds(Settings())[name] for name in ("email", "webhook"))

    assert "set AGENTFLOW_SMTP_URL" in str(email.unconfigured)
    assert "set AGENTFLOW_WEBHOOK_SECRET" in str(webhook.unconfigured)
    for kind, payload in ((email, {"to": "x"}), (webhook, {"url": "x"})):
        assert kind.check is not None
        with pytest.raises(ToolError, match="has no"):
            kind.check(payload)


def test_an_email_without_a_mail_server_certainly_does_not_leave() -> None:
    with pytest.raises(ToolError, match="set AGENTFLOW_SMTP_URL") as caught:
        builtin_kinds(Settings())["email"].deliver(Delivery("1", "default", "run", 1, 0, "email", {}, 1))

    assert (caught.value.kind, caught.value.happened) == ("auth", False)


def test_configured_kinds_lack_nothing_and_end_by_themselves() -> None:
    kinds = builtin_kinds(Settings(smtp_url="smtp://mail.example.com?timeout=7", webhook_secret=SECRET))

    assert [kind.unconfigured for kind in kinds.values()] == [None, None]
    assert kinds["email"].timeout_s > 7


@pytest.mark.parametrize(("on_doubt", "effect"), [("ask", "unsafe"), ("resend", "keyed")])
def test_an_email_in_doubt_waits_for_a_person_unless_told_to_be_sent_again(on_doubt: Any, effect: str) -> None:
    assert builtin_kinds(Settings(email_on_doubt=on_doubt))["email"].effect == effect


def test_each_host_of_webhooks_has_a_breaker_of_its_own() -> None:
    kind = builtin_kinds(Settings())["webhook"]

    assert kind.effect == "keyed"
    assert kind.breaker({"url": "https://Hooks.example.com:8443/x"}) == "outbox.webhook:hooks.example.com"


def test_the_webhook_kind_takes_what_the_settings_allow() -> None:
    check = builtin_kinds(Settings(webhook_private="10.0.0.0/8"))["webhook"].check
    assert check is not None

    check({"url": "http://10.1.2.3/x", "payload": {}})
    with pytest.raises(ToolError, match="is a private address"):
        check({"url": "http://192.168.1.1/x", "payload": {}})


@pytest.mark.parametrize(("unsure", "happened"), [(False, False), (True, None)])
def test_an_answer_that_is_none_leaves_a_doubt_after_the_final_dot_alone(unsure: bool, happened: bool | None) -> None:
    with pytest.raises(ToolError, match="with what is no answer: -1 HTTP") as caught:
        expect((-1, b"HTTP/1.1 400"), "the letter", unsure=unsure)

    assert (caught.value.kind, caught.value.happened) == ("malformed", happened)
