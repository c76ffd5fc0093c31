"""A child of `agentflow dev`: `python -m agentflow.cli.dev.attached MODULE ARGUMENT...` runs a module as a program.

Its standard input is a pipe whose other end only `dev` holds. The end of the pipe is the end of `dev`, however it came,
SIGKILL included: then the child is asked to end, and ended when it does not.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

PATIENCE_S = 20.0


def main() -> None:
    """Run the module that the first argument names, for as long as the starter lives."""
    module = sys.argv[1]
    sys.argv[:] = sys.argv[1:]
    threading.Thread(target=_end_with_starter, name="end-with-starter", daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_starter() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(PATIENCE_S)
    # The child leads a group of its own: its pool's processes go with it.
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
