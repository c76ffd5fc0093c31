"""One `agentflow dev` per data directory: the kernel's lock says so, and forgets it however dev dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentflow.cli.complaints import WrongUse
from agentflow.domain.errors import ConfigError
from agentflow.local.locks import try_lock


@contextmanager
def alone_in(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; raise WrongUse where another dev does."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = try_lock(data_dir / "dev.lock")
    except OSError as error:
        raise ConfigError(
            f"the data directory {str(data_dir)!r} cannot be used ({error.strerror}): make it this user's own, or set "
            "AGENTFLOW_DATA_DIR to another one"
        ) from error
    if lock is None:
        raise WrongUse(f"`agentflow dev` runs in {str(data_dir)!r} already: use that one, or set AGENTFLOW_DATA_DIR")
    try:
        yield
    finally:
        lock.release()
