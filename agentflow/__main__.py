"""`python -m agentflow`: the command line."""

from __future__ import annotations

from agentflow.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
