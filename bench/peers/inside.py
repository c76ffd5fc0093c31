"""The program in a peer's environment: `python -m bench.peers.inside MODULE prepare|work|submit [NAME]`.

prepare   makes what the peer needs in its database, and ends
work      is its worker of that name, until SIGTERM or the end of standard input
submit    is its client: for each line, a number, submits as many runs and answers with a line when they are accepted

Standard input is a pipe whose other end the starter holds: its end is the starter's end, however that came.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

_PATIENCE_S = 10.0


def main() -> None:
    """Do what the peer's module does under the asked name."""
    module, role, *names = sys.argv[1:]
    peer = importlib.import_module(f"bench.peers.{module}")
    if role == "submit":
        _submit(peer.connect)
    elif role == "work":
        threading.Thread(target=_end_with_starter, daemon=True).start()
        peer.work(*names)
    else:
        peer.prepare()


def _submit(connect: Callable[[], Callable[[int], None]]) -> None:
    asked: SimpleQueue[int] = SimpleQueue()
    threading.Thread(target=_read, args=(asked,), daemon=True).start()
    submit = connect()
    print("connected", flush=True)
    while True:
        submit(asked.get())
        print("submitted", flush=True)


def _read(asked: SimpleQueue[int]) -> None:
    for line in sys.stdin:
        asked.put(int(line))
    # At once, amid a submission too, with what the client has started.
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _end_with_starter() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_PATIENCE_S)
    # A worker leads a group of its own: its pool's processes go with it.
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
