"""Questions: a tool by which an agent asks a person, and waits for the answer."""

from __future__ import annotations

from typing import Any

from agentflow.declare.tool import Tool
from agentflow.domain.errors import DeclarationError
from agentflow.domain.waiting import Person

_DAY_S = 86_400.0


def ask_person(
    name: str = "ask_person",
    *,
    description: str = "Ask a person at our company a question, and wait for the answer.",
    expires_s: float = _DAY_S,
) -> Tool[Any, Any]:
    """Return a tool by which the model asks a person; the answer is the tool's.

    The run waits, and holds no worker meanwhile. A question that nobody answers within `expires_s` seconds fails with
    the kind `expired`.
    """

    def ask(question: str) -> str:
        raise DeclarationError(f"{name!r} is answered by a person; it cannot be called")

    ask.__doc__ = f"{description}\n\nArgs:\n    question: The question, with all that is needed to answer it.\n"
    ask.__name__ = name
    return Tool(ask, effect="read", name=name, person=Person.QUESTION, expires_s=expires_s)
