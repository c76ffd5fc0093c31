"""The agents, tools and kinds of delivery that this process serves, loaded from the modules that declare them."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentflow.declare.declaration import Declaration
from agentflow.declare.delivery import DeliveryKind
from agentflow.declare.outbox import BUILT_IN
from agentflow.declare.tool import Tool
from agentflow.domain.errors import AgentflowError, DeclarationError
from agentflow.domain.hint import relay_hint


@dataclass(frozen=True, slots=True)
class Registry:
    """Declared agents by name, their tools by name, and the kinds of delivery beside e-mail and webhooks by name."""

    agents: Mapping[str, Declaration]
    tools: Mapping[str, Tool[Any, Any]]
    deliveries: Mapping[str, DeliveryKind] = field(default_factory=dict)

    @classmethod
    def of(cls, declarations: Iterable[Declaration], deliveries: Iterable[DeliveryKind] = ()) -> Registry:
        """Return the registry of some declarations; raise DeclarationError for two of one name."""
        agents: dict[str, Declaration] = {}
        tools: dict[str, Tool[Any, Any]] = {}
        for declaration in declarations:
            other = agents.setdefault(declaration.name, declaration)
            if other is not declaration:
                raise DeclarationError(
                    f"{declaration.place}: the agent {declaration.name!r} is declared at {other.place} too; rename one"
                )
            for tool in declaration.tools.values():
                known = tools.setdefault(tool.name, tool)
                if known is not tool:
                    raise DeclarationError(
                        f"{tool.place}: the tool {tool.name!r} is declared at {known.place} too; rename one by name=..."
                    )
                tool.check_complete()
        return cls(agents, tools, _by_name(deliveries))

    @property
    def queues(self) -> frozenset[str]:
        """Every queue that these agents' runs may use, and those of the messages that they send."""
        of_runs = {queue for agent in self.agents.values() for queue in agent.queues}
        return frozenset(of_runs | {relay_hint(kind).queue for kind in (*BUILT_IN, *self.deliveries)})


def _by_name(deliveries: Iterable[DeliveryKind]) -> Mapping[str, DeliveryKind]:
    kinds: dict[str, DeliveryKind] = {}
    for kind in deliveries:
        if kind.name in BUILT_IN:
            raise DeclarationError(f"{kind.place}: the delivery {kind.name!r} is agentflow's own; rename yours")
        other = kinds.setdefault(kind.name, kind)
        if other is not kind:
            raise DeclarationError(
                f"{kind.place}: the delivery {kind.name!r} is declared at {other.place} too; rename one"
            )
    return kinds


def load(modules: Iterable[str]) -> Registry:
    """Import the modules and return what they declare; raise DeclarationError with the place of what is wrong."""
    found: dict[int, Any] = {}
    for name in modules:
        module = _import(name)
        found.update({id(value): value for value in vars(module).values()})
    agents = [value for value in found.values() if isinstance(value, Declaration)]
    return Registry.of(agents, [value for value in found.values() if isinstance(value, DeliveryKind)])


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except AgentflowError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise DeclarationError(
                f"AGENTFLOW_AGENTS names {name!r}, which is no module on the path; run in its folder, or mend the name"
            ) from error
        raise _does_not_import(name, error) from error
    except (Exception, SystemExit) as error:
        # A module that ends the process would look like a program that had nothing to say.
        raise _does_not_import(name, error) from error


def _does_not_import(name: str, error: BaseException) -> DeclarationError:
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else name
    return DeclarationError(f"the agents module {name!r} does not import: {type(error).__name__}: {error} ({place})")
