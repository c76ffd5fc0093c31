"""A model that plays back recorded conversations, and refuses every request that the recording does not hold.

A recording is a line of JSON: {"conversation_id": str, "messages": [...]}, its messages in the chat-completions form.
It is found by `ModelRequest.user` where that names a conversation, else by its messages; several recordings may share
a prefix, the first that goes on is taken. Compared are roles, contents, call ids, names and the arguments' own text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from agentflow.domain.errors import ConfigError, ModelError, RecordingDeviated
from agentflow.domain.message import Message, chain
from agentflow.llm.deviation import describe_deviation
from agentflow.llm.protocol import ModelRequest, ModelResponse
from agentflow.llm.scripted import played_response
from agentflow.llm.wire import read_message

START = b""
"""The hash of the prefix that holds no message."""


class RecordingEnded(ModelError):
    """The recording ends here: it holds no answer to its own last message."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, kind="bad_input")


@dataclass(frozen=True)
class Recording:
    """One recorded conversation; `prefixes` holds the hash of its first n messages for each n from 0."""

    conversation_id: str
    model: str | None
    messages: Sequence[Message]
    bodies: Sequence[dict[str, Any]] = field(repr=False)
    prefixes: Sequence[bytes] = field(repr=False)

    def answers_after(self, length: int) -> bool:
        """Whether the recording goes on with the model's own words after this many messages."""
        return length < len(self.messages) and self.messages[length]["role"] == "assistant"


def recorded(source: str | PathLike[str] | Iterable[Mapping[str, Any]]) -> RecordedModel:
    """A model that answers from a file of recordings, or from conversations given as objects."""
    if isinstance(source, str | PathLike):
        return RecordedModel(read_recordings(Path(source)))
    return RecordedModel([read_recording(body, f"#{number}") for number, body in enumerate(source)])


def read_recordings(path: Path) -> list[Recording]:
    """Read a file of recordings; raise ConfigError naming the line that is none."""
    recordings = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                recordings.append(_read_line(line, f"{path}:{number}"))
    return recordings


def read_recording(body: Mapping[str, Any], place: str) -> Recording:
    """One conversation; `place` stands for its id where it has none."""
    messages = [read_message(message) for message in body["messages"]]
    bodies = [comparable(message) for message in messages]
    conversation_id, model = str(body.get("conversation_id", place)), body.get("model")
    return Recording(conversation_id, model, messages, bodies, [START, *chain(bodies)])


def _read_line(line: str, place: str) -> Recording:
    try:
        return read_recording(json.loads(line), place)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{place} is no recording, it needs 'conversation_id' and 'messages': {error!r}") from error


def comparable(message: Message) -> dict[str, Any]:
    """What of a message is compared: requests carry no tool's name, so that is left out."""
    body: dict[str, Any] = {"role": message["role"], "content": message["content"]}
    if calls := message.get("tool_calls"):
        body["tool_calls"] = [{key: call[key] for key in ("id", "name", "arguments")} for call in calls]
    if "tool_call_id" in message:
        body["tool_call_id"] = message["tool_call_id"]
    return body


class RecordedModel:
    """Answers a request whose messages are the prefix of a recording; holds no state of its own."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings = recordings
        self._by_id = {recording.conversation_id: recording for recording in reversed(recordings)}
        self._by_prefix: dict[bytes, tuple[Recording, int]] = {}
        for recording in recordings:
            self._index(recording)

    def complete(self, request: ModelRequest) -> ModelResponse:
        """Give the recorded answer; raise RecordingDeviated with the difference, or RecordingEnded."""
        bodies = [comparable(message) for message in request.messages]
        recording, length = self._find(bodies, request.user)
        if recording.answers_after(length):
            answer = recording.messages[length]
            return played_response(request, answer["content"], answer.get("tool_calls", []), recording.model)
        if length == len(recording.messages):
            raise RecordingEnded(
                f"The recording ends here: {recording.conversation_id!r} holds no answer to its message {length - 1}."
            )
        raise RecordingDeviated(describe_deviation(recording.conversation_id, length, recording.bodies, bodies))

    def _index(self, recording: Recording) -> None:
        for length, head in enumerate(recording.prefixes):
            known = self._by_prefix.get(head)
            if known is None or (recording.answers_after(length) and not known[0].answers_after(length)):
                self._by_prefix[head] = (recording, length)

    def _find(self, bodies: list[dict[str, Any]], user: str | None) -> tuple[Recording, int]:
        """The recording and how much of it the request holds; raise RecordingDeviated for the nearest miss."""
        candidates = [bodies, bodies[1:]] if bodies and bodies[0]["role"] == "system" else [bodies]
        own = self._by_id.get(user) if user is not None else None
        misses = []
        for candidate in candidates:
            recording, length = self._longest_match(candidate, own)
            if length == len(candidate):
                return recording, length
            misses.append((length, recording, candidate))
        length, recording, candidate = max(misses, key=lambda miss: miss[0])
        raise RecordingDeviated(describe_deviation(recording.conversation_id, length, recording.bodies, candidate))

    def _longest_match(self, bodies: list[dict[str, Any]], own: Recording | None) -> tuple[Recording, int]:
        heads = [START, *chain(bodies)]
        for length in range(len(bodies), -1, -1):
            if own is not None and length < len(own.prefixes) and own.prefixes[length] == heads[length]:
                return own, length
            if own is None and (found := self._by_prefix.get(heads[length])) is not None:
                return found
        raise RecordingDeviated("There is no recording: the file that was given holds none.")
