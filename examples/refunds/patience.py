"""Owns the proof that failures were answered well: all of them logged, and nobody called before its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

from examples.refunds.failures import Failure
from examples.refunds.provider import OVERLOADED, Overload
from examples.refunds.shop.ledger import Entry

# Who was turned away, and how: an order or a customer, and a status.
Place = tuple[str, int]

_TURNED_AWAY = {int(HTTPStatus.TOO_MANY_REQUESTS), int(HTTPStatus.SERVICE_UNAVAILABLE)}


def early_attempts(failures: Sequence[Failure]) -> Iterator[str]:
    """Name the attempts that the database's own log shows to have come before their time."""
    for each in failures:
        if each.came_early:
            place = f"step {each.step.step_index} of {each.case.customer.name}'s run"
            yield f"{place} was tried again after {each.came_s:.2f} s, before its time of {each.promised_s:.2f} s"


def early_calls(shop_log: Sequence[Entry]) -> Iterator[str]:
    """Name the refunds that the shop was asked for again while it wanted to be left alone."""
    for place, refused in enumerate(shop_log):
        if refused.event != "refused" or refused.retry_after_s is None:
            continue
        until = datetime.fromisoformat(refused.at) + timedelta(seconds=refused.retry_after_s)
        for entry in shop_log[place + 1 :]:
            if entry.event == "asked" and entry.key == refused.key and datetime.fromisoformat(entry.at) < until:
                early_s = (until - datetime.fromisoformat(entry.at)).total_seconds()
                yield f"the shop was asked for {entry.key!r} again {early_s:.2f} s before its Retry-After was over"


def unlogged_failures(
    failures: Sequence[Failure], shop_log: Sequence[Entry], overloads: Sequence[Overload] | None
) -> Iterator[str]:
    """Name the requests that were turned away and are no attempt in the database, and the other way round."""
    said, logged = _said(shop_log, overloads), _logged(failures, has_provider=overloads is not None)
    lost = Counter(_whose(each) for each in failures if each.attempt["status"] == "lost")
    for whose, status in sorted(said.keys() | logged.keys()):
        told, kept = said[whose, status], logged[whose, status]
        # Who dies with an answer in hand writes nothing down: the attempt is there, as lost.
        if kept > told or told > kept + lost[whose]:
            yield f"{whose} was turned away with {status} {told} times, and {kept} of them are in the log"


def _said(shop_log: Sequence[Entry], overloads: Sequence[Overload] | None) -> Counter[Place]:
    by_shop = [(entry.order_id, entry.status or 0) for entry in shop_log if entry.event == "refused"]
    return Counter(by_shop + [(each.user, OVERLOADED) for each in overloads or ()])


def _logged(failures: Sequence[Failure], *, has_provider: bool) -> Counter[Place]:
    shop = [(_whose(each), each.status) for each in failures if each.status in _TURNED_AWAY and _is_shops(each)]
    model = [(_whose(each), OVERLOADED) for each in failures if each.status == OVERLOADED and not _is_shops(each)]
    return Counter(shop + (model if has_provider else []))


def _whose(failure: Failure) -> str:
    return str(failure.step.input["order_id"]) if _is_shops(failure) else failure.case.customer.address


def _is_shops(failure: Failure) -> bool:
    return "order_id" in (failure.step.input or {})
