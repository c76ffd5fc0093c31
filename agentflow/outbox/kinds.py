"""The kinds of delivery that agentflow brings: e-mail and webhooks, as the settings have them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from agentflow.declare.delivery import Deliver, DeliveryKind
from agentflow.domain.delivery import Delivery
from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.domain.step import Effect
from agentflow.outbox.mail_server import MailServer
from agentflow.outbox.mailer import Mailer
from agentflow.outbox.signing import Signer
from agentflow.outbox.webhook import UNSIGNED, WebhookSender
from agentflow.policy.addresses import PrivateReach
from agentflow.policy.delivering import check_email, check_webhook
from agentflow.settings import Settings

WEBHOOK_TIMEOUT_S = 10.0
DEFAULT_EMAIL_TIMEOUT_S = 30.0

NO_MAIL_SERVER = "there is no mail server: set AGENTFLOW_SMTP_URL to smtp://user:password@host:587"

# A transport ends by itself, and says what it knows; who interrupts it learns nothing.
_MARGIN_S = 5.0


def builtin_kinds(settings: Settings) -> dict[str, DeliveryKind]:
    """Return the kinds by name. What the settings lack is in a kind's `unconfigured`; its `check` works without."""
    kinds = (_email(settings), _webhook(settings))
    return {kind.name: kind for kind in kinds}


def _email(settings: Settings) -> DeliveryKind:
    server = MailServer.read(settings.smtp_url.get_secret_value()) if settings.smtp_url else None
    deliver: Deliver = Mailer(server).deliver if server else _refuse_email
    return DeliveryKind(
        "email",
        deliver,
        effect=Effect.KEYED if settings.email_on_doubt == "resend" else Effect.UNSAFE,
        timeout_s=(server.timeout_s if server else DEFAULT_EMAIL_TIMEOUT_S) + _MARGIN_S,
        check=check_email,
        unconfigured=None if server else NO_MAIL_SERVER,
    )


def _webhook(settings: Settings) -> DeliveryKind:
    private = PrivateReach.read(settings.webhook_private)
    signer = Signer.read(settings.webhook_secret.get_secret_value()) if settings.webhook_secret else None
    return DeliveryKind(
        "webhook",
        WebhookSender(signer, private, timeout_s=WEBHOOK_TIMEOUT_S).deliver,
        effect=Effect.KEYED,
        timeout_s=WEBHOOK_TIMEOUT_S + _MARGIN_S,
        check=partial(check_webhook, private=private),
        breaker_of=_host,
        unconfigured=None if signer else UNSIGNED,
    )


def _host(payload: Mapping[str, Any]) -> str:
    return urlsplit(payload["url"]).hostname or ""


def _refuse_email(_: Delivery) -> Any:
    raise ToolError(NO_MAIL_SERVER, kind=ErrorKind.AUTH, happened=False)
