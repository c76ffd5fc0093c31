"""Delivery of webhooks: one signed POST to an address that was judged, no redirects."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import httpx2

from agentflow.domain.delivery import Delivery
from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.outbox.cutoff import Cutoff
from agentflow.outbox.resolving import LookUp, find_addresses, look_up
from agentflow.outbox.signing import Signer
from agentflow.outbox.webhook_answer import read_answer
from agentflow.policy.addresses import Address, PrivateReach
from agentflow.policy.delivering import check_webhook, refused

UNSIGNED = "webhooks are signed: set AGENTFLOW_WEBHOOK_SECRET to whsec_..."

_PORTS = {"http": 80, "https": 443}
_OURS = {
    "content-type": "application/json",
    "user-agent": "agentflow",
    # What comes packed could unpack to a gigabyte.
    "accept-encoding": "identity",
}


class WebhookSender:
    """Sends webhooks, each over a connection of its own: to an address, not to a name that may mean another one next.

    `tls` are the authorities that servers are verified by, the client's own bundle by default. Proxies of the
    environment are not used: they would look names up by themselves.
    """

    def __init__(
        self,
        signer: Signer | None,
        private: PrivateReach,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None = None,
        look_up: LookUp = look_up,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._signer = signer
        self._private = private
        self._timeout_s = timeout_s
        self._tls = tls
        self._look_up = look_up
        self._now = now

    def deliver(self, delivery: Delivery) -> dict[str, Any]:
        """POST the payload and return what is kept of the answer; see read_answer.

        `payload` goes out as the body, whatever JSON it is. Its bytes are the same in every attempt.
        """
        check_webhook(delivery.payload, self._private)
        if self._signer is None:
            raise ToolError(UNSIGNED, kind=ErrorKind.AUTH, happened=False)
        url = _read_url(delivery.payload["url"])
        body = json.dumps(delivery.payload["payload"], allow_nan=False, separators=(",", ":")).encode()
        headers = httpx2.Headers(delivery.payload.get("headers"))
        headers.update(self._signer.sign(delivery.message_id, self._now(), body))
        headers.update(_OURS)
        return self._exchange(httpx2.Request("POST", url, headers=headers, content=body))

    def _exchange(self, request: httpx2.Request) -> dict[str, Any]:
        cutoff = Cutoff(self._timeout_s)
        host, port = request.url.raw_host.decode(), request.url.port or _PORTS[request.url.scheme]
        addresses = find_addresses(host, port, self._private, self._look_up)
        try:
            return read_answer(self._send(request, addresses, cutoff), now=self._now())
        except httpx2.TransportError as error:
            if cutoff.over and not isinstance(error, httpx2.TimeoutException | httpx2.ConnectError):
                message = f"{host!r} did not answer in {self._timeout_s:g} s"
                raise ToolError(message, kind=ErrorKind.TIMEOUT) from error
            raise
        finally:
            cutoff.stop()

    def _send(self, request: httpx2.Request, addresses: list[Address], cutoff: Cutoff) -> httpx2.Response:
        *others, last = addresses
        for number, address in enumerate(others):
            # The time to connect is shared out, so that one address that is silent leaves some for the next.
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return self._send_to(address, request, cutoff, share=len(addresses) - number)
        return self._send_to(last, request, cutoff, share=1)

    def _send_to(self, address: Address, request: httpx2.Request, cutoff: Cutoff, *, share: int) -> httpx2.Response:
        left_s, name = cutoff.left_s, request.url.raw_host.decode().removesuffix(".")
        timeout = {"connect": left_s / share, "read": left_s, "write": left_s, "pool": left_s}
        extensions = {"timeout": timeout, "trace": cutoff.watch}
        if name != str(address):
            extensions["sni_hostname"] = name
        target = request.url.copy_with(host=str(address))
        aimed = httpx2.Request("POST", target, headers=request.headers, content=request.content, extensions=extensions)
        return self._transport.handle_request(aimed)

    @cached_property
    def _transport(self) -> httpx2.HTTPTransport:
        # Not a client: it would keep cookies from one receiver's answer to the next. No connection is kept, since one
        # that was made for another name of the same address was not verified for this one.
        limits = httpx2.Limits(max_keepalive_connections=0)
        return httpx2.HTTPTransport(verify=self._tls or True, trust_env=False, limits=limits)


def _read_url(text: str) -> httpx2.URL:
    try:
        return httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise refused(f"the webhook's url {text!r} can't be used: {error}") from error
