"""What `agentflow agents check` prints: each agent's tools, what they promise, and the assumptions that are open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from agentflow.cli.figures import duration
from agentflow.cli.output import console

_SERVED = ("tool", "effect", "timeout", "pool", "key")
_PROMISED = ("tool", "effect", "timeout", "verify", "compensate", "approval", "key")


def open_in(agents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what described agents leave open, each assumption once, also where several agents share its tool."""
    found: list[Mapping[str, Any]] = []
    for agent in agents:
        found += [assumption for assumption in agent["open"] if assumption not in found]
    return found


def unserved_in(agents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the described tools whose queue no pool serves."""
    return [tool for agent in agents for tool in agent["tools"] if tool["pool"] is None]


def print_declared(agents: Sequence[Mapping[str, Any]], *, strict: bool) -> None:
    """Print agents and tools; with `strict` what the tools promise in place of who serves them, and what is open."""
    screen = console()
    for agent in agents:
        line = Text.assemble((agent["name"], "bold"), f"  {agent['kind']} {agent['version']}")
        if strict:
            line.append(f"  on_failure={agent['on_failure']}")
        screen.print(line, Text(agent["place"], style="dim"), sep="  ", soft_wrap=True)
        rows = (_promised(tool) if strict else _served(tool) for tool in agent["tools"])
        screen.print(_table(_PROMISED if strict else _SERVED, rows))
    _print_unserved(unserved_in(agents))
    _print_open(open_in(agents), strict=strict)


def _print_unserved(tools: Sequence[Mapping[str, Any]]) -> None:
    screen = console()
    for tool in tools:
        said = f"nobody serves {tool['name']!r}: name its queue {tool['queue']!r} in a pool of AGENTFLOW_POOLS"
        screen.print(said, style="bold yellow", soft_wrap=True)
    if not tools:
        screen.print("everything can be served", style="green")


def _print_open(found: Sequence[Mapping[str, Any]], *, strict: bool) -> None:
    screen = console()
    for each in found if strict else ():
        whose = f"tool {each['tool']!r}" + (f" of {each['agent']!r}" if each["agent"] else "")
        line = Text.assemble((f"{each['place']}: ", "dim"), (whose, "bold"), f" {each['says']}; write {each['write']}")
        screen.print(line, soft_wrap=True)
    if found:
        said = "1 assumption is left open" if len(found) == 1 else f"{len(found)} assumptions are left open"
        screen.print(said if strict else f"{said}: see `agentflow agents check --strict`", style="yellow")
    elif strict:
        screen.print("no assumption is left open", style="green")


def _table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _served(tool: Mapping[str, Any]) -> Sequence[str]:
    pool = tool["pool"] or "none"
    # The queue is worth a word only where it is not the tool's own.
    served = pool if tool["queue"] == f"tool.{tool['name']}" else f"{pool}, by {tool['queue']}"
    return tool["name"], tool["effect"], f"{tool['timeout_s']:g} s", served, tool["key"] or ""


def _promised(tool: Mapping[str, Any]) -> Sequence[str]:
    told = (_verification(tool), _compensation(tool), _approval(tool))
    return tool["name"], tool["effect"], f"{tool['timeout_s']:g} s", *told, tool["key"] or ""


def _verification(tool: Mapping[str, Any]) -> str:
    if not tool["verify"]:
        return ""
    if not tool["verify_after"] and tool["effect"] != "verified":
        return "never"
    when = "each call" if tool["verify_after"] else "a doubt"
    return when if tool["settle_s"] is None else f"{when}, {tool['settle_s']:g} s"


def _compensation(tool: Mapping[str, Any]) -> str:
    undo = tool["compensate"]
    if undo is None:
        return "none, as stated" if tool["no_compensation"] else "" if tool["effect"] == "read" else "none"
    return f"{undo['effect']}, {undo['timeout_s']:g} s" if undo["says_effect"] else f"{undo['effect']}, as it follows"


def _approval(tool: Mapping[str, Any]) -> str:
    if tool["asks"]:
        return f"a question, {duration(tool['expires_s'])}"
    if tool["approval"]:
        return f"{'always' if tool['approval'] is True else tool['approval']}, {duration(tool['expires_s'])}"
    return "none, as stated" if tool["no_approval"] else "none" if tool["effect"] == "unsafe" else ""
