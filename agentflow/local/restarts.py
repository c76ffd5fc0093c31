"""Owns how often a server that dies by itself is started again, and how fast."""

from __future__ import annotations

from dataclasses import dataclass

_STABLE_S = 10.0
_MOST = 10
_MOST_BEFORE_FIRST_READY = 5
_UNREADY_BEFORE_GIVING_WAY = 3
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


@dataclass
class Restarts:
    """Counts the ends in a row; one after a stable time begins a new row."""

    in_a_row: int = 0
    _unready: int = 0
    _was_ready: bool = False

    def note_end(self, ready_s: float | None) -> None:
        """Count an end after so many seconds of service; None if it never answered."""
        stable = ready_s is not None and ready_s >= _STABLE_S
        self.in_a_row = 1 if stable else self.in_a_row + 1
        self._unready = self._unready + 1 if ready_s is None else 0
        self._was_ready = self._was_ready or ready_s is not None

    @property
    def too_many(self) -> bool:
        """Whether to give up; a server that never answered has its starter waiting for the reason."""
        return self.in_a_row >= (_MOST if self._was_ready else _MOST_BEFORE_FIRST_READY)

    @property
    def data_to_blame(self) -> bool:
        """Whether it is time to suspect the data; once in a row of starts without an answer."""
        return self._unready == _UNREADY_BEFORE_GIVING_WAY

    @property
    def pause_s(self) -> float:
        """How long to wait before the next start."""
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**self.in_a_row)
