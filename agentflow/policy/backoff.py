"""How long a step waits before it is tried again. `draw` is the caller's random number, from 0 up to 1."""

from __future__ import annotations

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
FIRST_PARKING_S = 30.0
MAX_PARKING_S = 600.0


def backoff_s(tries: int, draw: float) -> float:
    """The wait after so many failures, the first being 1: anything up to a bound that doubles (full jitter).

    Drawn from zero on, so that a thousand steps that failed together do not come back together.
    """
    return draw * _doubled(FIRST_BACKOFF_S, tries, MAX_BACKOFF_S)


def parking_s(tries_beyond: int, draw: float) -> float:
    """The wait after so many failures past the quick retries: half of a bound that doubles, and up to all of it."""
    bound = _doubled(FIRST_PARKING_S, tries_beyond, MAX_PARKING_S)
    return bound / 2 + draw * bound / 2


def _doubled(first_s: float, times: int, most_s: float) -> float:
    # The exponent is bounded first: a float of 2 to the 1,100th does not exist.
    return min(most_s, first_s * 2.0 ** min(max(times - 1, 0), 16))
