"""Every error agentflow raises, in one tree.

AgentflowError
├── ConfigError                 settings, services, schema: what an operator mends
│   ├── DatabaseUnavailable
│   └── SchemaOutdated
├── DeclarationError            a tool or an agent that can't work as it is declared
├── SubmissionRefused           what a client sent is refused, nothing was written
│   ├── UnknownAgent
│   ├── InvalidInput
│   ├── InputTooLarge
│   └── IdempotencyConflict
├── UnknownTool                 what is to be paused or resumed is registered by no worker
├── InterventionRefused         what a person asked for is refused, nothing was changed
├── ApprovalNotFound
├── RunNotFound
├── RunFailed                   the run that was waited for did not end `done`
├── WaitTimeout
├── PayloadRefused              a value that Postgres could not give back
├── IllegalTransition
├── ModelError                  a model's provider could not answer
│   └── RecordingDeviated       a recorded model was asked what was never recorded
└── ToolError                   raised by tools: its message is the tool's message
"""

from __future__ import annotations

from agentflow.domain.failure import ErrorKind
from agentflow.domain.quoting import quoted


class AgentflowError(Exception):
    """agentflow could not go on."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").split("\n")[0])


class ConfigError(AgentflowError):
    """The configuration cannot be used."""


class DatabaseUnavailable(ConfigError):
    """The database cannot be reached."""


class SchemaOutdated(ConfigError):
    """The database is behind its migrations: run `agentflow db upgrade`."""


class DeclarationError(AgentflowError):
    """An agent or a tool cannot work as it is declared."""


class SubmissionRefused(AgentflowError):
    """The submission is refused; nothing was written."""


class UnknownAgent(SubmissionRefused):
    """No worker has registered this agent."""


class InvalidInput(SubmissionRefused):
    """The input does not fit the agent's input schema."""


class InputTooLarge(SubmissionRefused):
    """The input is over the size limit."""


class IdempotencyConflict(SubmissionRefused):
    """The idempotency key was used before with another input."""


class UnknownTool(AgentflowError):
    """No worker has registered this tool or model."""


class InterventionRefused(AgentflowError):
    """What was asked for is refused; nothing was changed."""


class ApprovalNotFound(AgentflowError):
    """No approval or question has this id."""


class RunNotFound(AgentflowError):
    """No run has this id."""


class RunFailed(AgentflowError):
    """The run did not end `done`."""


class WaitTimeout(AgentflowError):
    """The run was not finished in time; it goes on."""


class PayloadRefused(AgentflowError):
    """The value cannot be stored so that it reads back the same."""


class IllegalTransition(AgentflowError):
    """No rule allows this change of status."""


class ModelError(AgentflowError):
    """The model's provider could not answer.

    `kind` is a word of the failure taxonomy (`transient`, `rate_limited`, `auth`, `bad_input`, `timeout`, `quota`,
    `context_overflow`, `refused`, `malformed`), `status` the HTTP status where there was one, `retry_after_s` the
    provider's own wish in seconds.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        kind: str = "transient",
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s


class RecordingDeviated(ModelError):
    """The recorded model was asked something that its recording does not hold."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, kind="bad_input")


class ToolError(AgentflowError):
    """Raised by a tool to say that it failed; the message goes to the model word for word.

    `happened` is the tool's own word on whether its effect took place: False for certainly not, True for certainly,
    None where it can't tell; then a refusal among the kinds (`rate_limited`, `auth`, `bad_input`, `quota`, ...) still
    means that it did not. `kind` is a word of the failure taxonomy and decides what is done about it: a plain
    `tool_error` is final, a `transient` one is tried again. `status` is the HTTP status where there was one,
    `retry_after_s` the other side's own wish in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        happened: bool | None = None,
        kind: str = ErrorKind.TOOL_ERROR,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        if kind not in list(ErrorKind):
            raise ValueError(f"{quoted(kind)} is no kind of failure: give one of {', '.join(ErrorKind)}")
        if happened is not None and not isinstance(happened, bool):
            raise ValueError(f"happened={quoted(happened)}: give True, False, or None where nobody can tell")
        self.happened = happened
        self.kind = str(kind)
        self.status = status
        self.retry_after_s = retry_after_s
