"""Histories that are too long for a model's window, made shorter: which texts are cut and which turns are left out.

In this order: tool outputs are cut, the longest first; then the oldest turns are left out; then what the customer and
the model wrote is cut. The instructions stay whole, and the first and the last question and the latest turn stay in
their places. A call and its answers stay or leave together, since no vendor takes one without the other.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agentflow.domain.message import Message

FLOOR_CHARACTERS = 200
"""So much of a text is kept in any case: half of it from its head, half from its tail."""

MARKER_CHARACTERS = 64
"""The marker is never longer; a text with no more than this to lose would not get shorter."""

Measure = Callable[[Sequence[Message]], int]
"""How long messages are, in the unit of the limit: tokens, say. Fewer bytes may not measure more."""

Cut = tuple[int, int]
"""Which message is cut, and how many of its characters are kept."""

_Edit = TypeVar("_Edit")


@dataclass(frozen=True, slots=True)
class Shortened:
    """A history as short as was asked for. `fits` is False where the limit cannot be reached even so."""

    messages: Sequence[Message]
    dropped_messages: int = 0
    removed_characters: int = 0
    fits: bool = True


def shorten(messages: Sequence[Message], limit: int, measure: Measure) -> Shortened:
    """Return the messages with as little taken from them as makes `measure` of them at most `limit`.

    What fits is returned as it is. Give it the history itself and not what it made of one, so that the markers count
    what is missing from the original. `measure` is called some dozens of times, however long the history is.
    """
    if measure(messages) <= limit:
        return Shortened(messages)

    def fits(candidate: Sequence[Message]) -> bool:
        return measure(candidate) <= limit

    # How many turns leave is found with every output at its shortest; then outputs are cut no more than is needed.
    dropped = _fewest(_turns(messages), lambda turns: fits(_cut_all(_without(messages, turns))))
    kept = _without(messages, dropped)
    kept = _cut_until(kept, ("tool",), fits)
    kept = _cut_until(kept, ("user", "assistant"), fits)
    return Shortened(kept, len(messages) - len(kept), _characters(messages) - _characters(kept), fits(kept))


def _fewest(edits: Sequence[_Edit], suffice: Callable[[Sequence[_Edit]], bool]) -> Sequence[_Edit]:
    """The shortest prefix that suffices, or all of them where none does."""
    return edits[: bisect_left(range(len(edits)), True, key=lambda count: suffice(edits[:count]))]  # noqa: FBT003


def _cuts(messages: Sequence[Message], roles: Sequence[str]) -> list[Cut]:
    """The cuts that these texts allow: the longest text is halved first, and again, until each is at its floor."""
    lengths = [len(message["content"] or "") if message["role"] in roles else 0 for message in messages]
    waiting = [(-length, i) for i, length in enumerate(lengths) if length > FLOOR_CHARACTERS + MARKER_CHARACTERS]
    heapq.heapify(waiting)
    cuts: list[Cut] = []
    while waiting:
        length, index = heapq.heappop(waiting)
        kept = max(FLOOR_CHARACTERS, -length // 2)
        cuts.append((index, kept))
        if kept > FLOOR_CHARACTERS:
            heapq.heappush(waiting, (-kept, index))
    return cuts


def _cut_all(messages: Sequence[Message]) -> Sequence[Message]:
    return _cut(messages, _cuts(messages, ("tool",)))


def _cut_until(
    messages: Sequence[Message], roles: Sequence[str], fits: Callable[[Sequence[Message]], bool]
) -> Sequence[Message]:
    cuts = _cuts(messages, roles)
    return _cut(messages, _fewest(cuts, lambda some: fits(_cut(messages, some))))


def _cut(messages: Sequence[Message], cuts: Sequence[Cut]) -> Sequence[Message]:
    kept = dict(cuts)
    return [
        {**message, "content": _shortened(message["content"] or "", kept[index])} if index in kept else message
        for index, message in enumerate(messages)
    ]


def _shortened(text: str, kept: int) -> str:
    tail = kept // 2
    return f"{text[: kept - tail]}\n[shortened: {len(text) - kept} more characters]\n{text[-tail:]}"


def _without(messages: Sequence[Message], turns: Sequence[Sequence[int]]) -> Sequence[Message]:
    gone = {index for turn in turns for index in turn}
    return [message for index, message in enumerate(messages) if index not in gone]


def _turns(messages: Sequence[Message]) -> list[list[int]]:
    """What may be left out, the oldest first: a question between the first and the last leaves with all its answers."""
    units = _units(messages)
    pinned = _pinned(messages, units)
    turns: dict[int, list[int]] = {}
    asked: int | None = None
    for unit in units:
        first = unit[0]
        if messages[first]["role"] == "user":
            asked = first
        if first not in pinned:
            turns.setdefault(first if asked is None or asked in pinned else asked, []).extend(unit)
    return list(turns.values())


def _units(messages: Sequence[Message]) -> list[list[int]]:
    """The indices of what cannot be parted: a message, or one that calls tools with all their answers."""
    units: list[list[int]] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool" and units and messages[units[-1][0]].get("tool_calls"):
            units[-1].append(index)
        else:
            units.append([index])
    return units


def _pinned(messages: Sequence[Message], units: Sequence[Sequence[int]]) -> set[int]:
    instructions = [index for index, message in enumerate(messages) if message["role"] == "system"]
    questions = [index for index, message in enumerate(messages) if message["role"] == "user"]
    return {*instructions, *questions[:1], *questions[-1:], *(unit[0] for unit in units[-1:])}


def _characters(messages: Sequence[Message]) -> int:
    return sum(len(message["content"] or "") for message in messages)
