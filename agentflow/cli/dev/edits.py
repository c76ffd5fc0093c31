"""The files that the declarations come from, and when one of them is edited."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

# How often the watcher looks up from the kernel's queue, and how long it gathers what an editor does at once.
_STEP_MS, _DEBOUNCE_MS = 100, 400


class Edits:
    """Watches files on a thread of its own and hands on the names of those that changed."""

    def __init__(self, tell: Callable[[list[str]], None]) -> None:
        self._tell = tell
        # While something is broken, what is at fault may be a module that was never imported.
        self.any_module = False
        self._files: frozenset[Path] = frozenset()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, files: Iterable[Path]) -> None:
        """Watch these files from now on."""
        wanted = frozenset(files)
        if wanted == self._files:
            return
        self.stop()
        self._files, self._stop = wanted, threading.Event()
        self._thread = threading.Thread(target=self._run, args=[self._stop, wanted], daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch nothing any more."""
        self._stop.set()

    def _run(self, stop: threading.Event, files: frozenset[Path]) -> None:
        from watchfiles import watch

        # Their folders: an editor that saves writes a new file and moves it into the old one's place.
        folders = {file.parent for file in files if file.parent.is_dir()}
        if not folders:
            return
        changes = watch(
            *folders,
            watch_filter=lambda _, path: Path(path) in files or (self.any_module and path.endswith(".py")),
            stop_event=stop,
            step=_STEP_MS,
            debounce=_DEBOUNCE_MS,
            recursive=False,
            raise_interrupt=False,
        )
        for changed in changes:
            self._tell(sorted({os.path.relpath(path) for _, path in changed}))
