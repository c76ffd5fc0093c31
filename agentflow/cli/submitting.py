"""`agentflow submit`: one run, submitted and, if wanted, waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agentflow.client import Client, RunHandle


def submit(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")],
    text: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="The input as JSON, or as plain text where the agent takes a text. `-` reads standard input, "
            "`@FILE` a file.",
        ),
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Show the run's steps until it ends.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="Wait so many seconds at most.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key is the same run.")] = None,
    user: Annotated[str | None, typer.Option(help="The user that the run is for.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Runs of one conversation go one at a time.")] = None,
    not_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="Start at this time: 2026-12-24T18:00+01:00.")
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CEILING=N", help="Lower a ceiling of the agent's: cost_usd=0.10. May be given several times."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Submit a run and print its id. With --wait, exit 0 once it is done, 1 if it failed, 3 if it is not finished."""
    from agentflow.cli.following import follow
    from agentflow.cli.output import print_json
    from agentflow.cli.reaching import submitting_client

    start_at = _moment(not_before)
    ceilings = parse_ceilings(budget or [])
    with submitting_client() as client:
        handle = client.submit(
            agent,
            _input(client, agent, text),
            idempotency_key=key,
            user=user,
            conversation=conversation,
            not_before=start_at,
            budget=ceilings,
        )
        if wait:
            raise typer.Exit(follow(client, handle, timeout_s=timeout, json=json))
        if json:
            print_json(submitted(handle))
        else:
            print(handle.run_id)


def submitted(handle: RunHandle) -> dict[str, Any]:
    """Return what a submission came to, as JSON data."""
    return {"run_id": handle.run_id, "created": handle.created}


def parse_ceilings(given: Sequence[str]) -> Mapping[str, float]:
    """Return the ceilings that `--budget` options lower, by name."""
    from agentflow.cli.complaints import WrongUse
    from agentflow.domain.quoting import quoted

    ceilings: dict[str, float] = {}
    for each in given:
        name, _, text = (part.strip() for part in each.partition("="))
        if name in ceilings:
            raise WrongUse(f"--budget={each!r} gives {name!r} a second time; give it once")
        try:
            ceilings[name] = int(text) if text.isdecimal() else float(text)
        except ValueError:
            raise WrongUse(f"--budget={quoted(each)} is no ceiling and number; write it as cost_usd=0.10") from None
    return ceilings


def _input(client: Client, agent: str, text: str) -> Any:
    from agentflow.cli.inputs import parse_input, read_text
    from agentflow.settings import settings

    schemas = {row["name"]: row["input_schema"] for row in client.agents()}
    given = read_text(text, settings().max_input_bytes)
    # An agent that nobody registered is refused by the client, whatever its input.
    return parse_input(given, schemas[agent], agent) if agent in schemas else given


def _moment(text: str | None) -> datetime | None:
    from agentflow.cli.complaints import WrongUse

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        # In its own zone the first moment of all has none before it.
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        raise WrongUse(f"--not-before={text!r} is no time; write it as 2026-12-24T18:00+01:00") from None
