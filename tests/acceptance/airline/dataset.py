"""Owns the recorded conversations and the airline's rows, read in place from the data folder beside the repository."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "airline"
ABSENT = f"the airline's recordings are not here: put them into {'/'.join(FOLDER.parts[-3:])}, beside the repository"

TABLES = ("flights", "reservations", "users")
GOODBYE = "###STOP###"
HANDOFF = "transfer_to_human_agents"

Row = dict[str, Any]


class Ending(StrEnum):
    """How the run of one customer's message ends."""

    ANSWERED = "answered"
    HANDED_OFF = "handed off"
    RECORDING_ENDED = "recording ended"


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One tool call of the model; `position` is its message's place in the conversation."""

    position: int
    name: str
    arguments: Mapping[str, Any]
    answer: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One customer's message: a run. `result` is what the run answers, None where the recording breaks off."""

    message: str
    ending: Ending
    result: str | None


@dataclass(frozen=True)
class Conversation:
    """One recording, its messages in the chat-completions form."""

    conversation_id: str
    messages: Sequence[Mapping[str, Any]]

    @cached_property
    def turns(self) -> Sequence[Turn]:
        """The customer's messages that are submitted, in order: all but the goodbye, which nothing answers."""
        starts = [place for place, message in enumerate(self.messages) if message["role"] == "user"]
        ends = [*starts[1:], len(self.messages)]
        spoken = [self.messages[start:end] for start, end in zip(starts, ends, strict=True)]
        return [_turn(messages) for messages in spoken if GOODBYE not in messages[0]["content"]]

    @cached_property
    def calls(self) -> Sequence[RecordedCall]:
        """The model's tool calls and what the airline answered, in order."""
        return list(self._calls())

    @cached_property
    def thoughts(self) -> Sequence[int]:
        """The places of the model's own messages."""
        return [place for place, message in enumerate(self.messages) if message["role"] == "assistant"]

    def _calls(self) -> Iterator[RecordedCall]:
        for place in self.thoughts:
            for call in self.messages[place].get("tool_calls", ()):
                function, answer = call["function"], self.messages[place + 1]["content"]
                yield RecordedCall(place, function["name"], json.loads(function["arguments"]), answer)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a conversation leaves behind: the calls that change rows, and each changed row in its final state."""

    state_changing_calls: Sequence[Mapping[str, Any]]
    changed: Mapping[str, Mapping[str, Row]]


def is_present() -> bool:
    """True where the data folder can be read."""
    return (FOLDER / "conversations.jsonl").is_file()


@cache
def conversations() -> Sequence[Conversation]:
    """Return all recordings in the order of the file."""
    return [Conversation(line["conversation_id"], line["messages"]) for line in _lines("conversations.jsonl")]


@cache
def expected() -> Mapping[str, Expected]:
    """Return what each conversation leaves behind, by its id."""
    return {
        line["conversation_id"]: Expected(line["state_changing_calls"], line["changed"])
        for line in _lines("expected.jsonl")
    }


@cache
def base_rows(table: str) -> Mapping[str, Row]:
    """Return a table's rows by id, as they are before each conversation."""
    rows: dict[str, Row] = json.loads((FOLDER / f"{table}.json").read_text(encoding="utf-8"))
    return rows


@cache
def policy() -> str:
    """Return the system prompt of all conversations."""
    return (FOLDER / "policy.md").read_text(encoding="utf-8")


def _lines(name: str) -> Iterator[dict[str, Any]]:
    with (FOLDER / name).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _turn(messages: Sequence[Mapping[str, Any]]) -> Turn:
    asked, last = messages[0]["content"], messages[-1]
    if last["role"] == "assistant":
        return Turn(asked, Ending.ANSWERED, last["content"])
    if last["role"] == "tool" and last["name"] == HANDOFF:
        return Turn(asked, Ending.HANDED_OFF, last["content"])
    return Turn(asked, Ending.RECORDING_ENDED, None)
