"""Questions: a tool by which an agent asks a person, and waits for the answer."""

from __future__ import annotations

import functools
from typing import Any

from agentflow.declare.signature import place_of_caller
from agentflow.declare.tool import DAY_S, Tool
from agentflow.domain.errors import ToolError
from agentflow.domain.waiting import Person


def ask_person(
    name: str = "ask_person",
    *,
    description: str = "Ask a person at our company a question, and wait for the answer.",
    expires_s: float = DAY_S,
) -> Tool[Any, Any]:
    """Return a tool by which the model asks a person; the answer is the tool's.

    The run waits, and holds no worker meanwhile. A question that nobody answers within `expires_s` seconds fails with
    the kind `expired`. The same question of two agents is one tool.
    """
    return _question(name, description, expires_s)


@functools.cache
def _question(name: str, description: str, expires_s: float) -> Tool[Any, Any]:
    def ask(question: str) -> str:
        raise ToolError(f"{name!r} is answered by a person; nothing here can say: {question}", happened=False)

    ask.__doc__ = f"{description}\n\nArgs:\n    question: The question, with all that is needed to answer it.\n"
    ask.__name__ = name
    return Tool(ask, effect="read", name=name, person=Person.QUESTION, expires_s=expires_s, place=place_of_caller())
