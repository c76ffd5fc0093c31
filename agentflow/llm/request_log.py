"""What a model server was asked: one line of JSON per request, written before its answer is sent."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from agentflow.llm.protocol import ModelRequest
from agentflow.llm.wire import wire_message


class RequestLog:
    """A file that is only ever appended to, line by line and flushed."""

    def __init__(self, path: Path) -> None:
        self._writing = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def write(self, request: ModelRequest, messages_hash: str, outcome: dict[str, Any]) -> None:
        """Append one request with its `answer` or its `error`."""
        line = {
            "at": time.time(),
            "user": request.user,
            "model": request.model.removeprefix("openai:"),
            "messages_hash": messages_hash,
            "messages": [wire_message(message) for message in request.messages],
            "tools": [tool.name for tool in request.tools],
            "settings": request.settings,
            **outcome,
        }
        text = json.dumps(line, separators=(",", ":"))
        with self._writing:
            self._file.write(text + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
