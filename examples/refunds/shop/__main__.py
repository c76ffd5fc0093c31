"""Owns the shop's command line: `python -m examples.refunds.shop --log F.jsonl`, which prints its URL."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.refunds.shop.ledger import Ledger
from examples.refunds.shop.service import Shop
from examples.refunds.shop.trouble import Trouble


def main() -> None:
    """Serve until killed."""
    chosen = _parser().parse_args()
    slow = {order_id: float(seconds) for order_id, _, seconds in (each.partition("=") for each in chosen.slow_order)}
    busy = {chosen.busy_order: chosen.busy_s} if chosen.busy_order else {}
    trouble = Trouble(busy_s=busy, down=filter(None, [chosen.down_order]))
    with Ledger(chosen.log) as ledger, Shop(ledger, port=chosen.port, slow_s=slow, trouble=trouble) as shop:
        print(shop.url, flush=True)
        shop.serve_forever()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.refunds.shop", description="A small shop.")
    parser.add_argument("--log", type=Path, required=True, metavar="F.jsonl", help="what was asked for and paid")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--slow-order",
        action="append",
        default=[],
        metavar="ORDER=SECONDS",
        help="an order whose refund is paid at once and answered late",
    )
    parser.add_argument("--busy-order", default="", help="the order whose refund is turned away at first, with 429")
    parser.add_argument("--busy-s", type=float, default=2.0, help="for how long, from its first request on")
    parser.add_argument("--down-order", default="", help="the order whose first lookup is turned away, with 503")
    return parser


if __name__ == "__main__":
    main()
