"""Signatures of webhooks, by Standard Webhooks: who gets one can tell that it is ours, unchanged and new."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with each of its secrets, so that a receiver may have the old one or the new one while they change."""

    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def read(cls, text: str) -> Signer:
        """Read secrets with commas between, each `whsec_` and base64 of 24 to 64 bytes; ValueError repeats none."""
        secrets = tuple(filter(None, (part.strip() for part in text.split(","))))
        for number, secret in enumerate(secrets, 1):
            if not secret.startswith(PREFIX) or not MIN_BYTES <= _size(secret) <= MAX_BYTES:
                raise ValueError(
                    f"secret {number} is not {PREFIX} and the base64 of {MIN_BYTES} to {MAX_BYTES} random bytes; "
                    f'make one: echo "{PREFIX}$(openssl rand -base64 32)"'
                )
        return cls(secrets)

    def sign(self, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
        """Return the headers that go with a message; `at` is in UTC."""
        signatures = [Webhook(secret).sign(message_id, at, body.decode()) for secret in self.secrets]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def _size(secret: str) -> int:
    try:
        return len(base64.b64decode(secret.removeprefix(PREFIX), validate=True))
    except binascii.Error:
        return 0
