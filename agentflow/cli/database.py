"""`agentflow db`: the schema, and what of its rows is past."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

app = typer.Typer(help="The database's schema, its partitions, and deleting what is past.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command()
def upgrade() -> None:
    """Bring the schema up to date. Safe to run again, beside workers, and from several places at once."""
    from agentflow.cli.reaching import database_url
    from agentflow.settings import settings
    from agentflow.store import schema

    with database_url(settings()) as url:
        revision = schema.upgrade(url, settings().db_schema)
    print(f"the schema {settings().db_schema!r} is at {revision}")


@app.command()
def check(*, json: AsJson = False) -> None:
    """Say whether the schema serves this agentflow; exit 1 if it does not."""
    from agentflow.cli.output import print_json
    from agentflow.cli.reaching import database_url, refuse_unborn
    from agentflow.settings import settings
    from agentflow.store import schema

    refuse_unborn(settings())
    with database_url(settings()) as url:
        revision = schema.check(url, settings().db_schema)
    if json:
        print_json({"schema": settings().db_schema, "revision": revision, "written_for": schema.head()})
    elif revision == schema.head():
        print(f"the schema {settings().db_schema!r} is at {revision}, as it should be")
    else:
        print(f"the schema {settings().db_schema!r} is at {revision}, newer than this agentflow, and serves it too")


@app.command()
def partitions(*, json: AsJson = False) -> None:
    """List the partitions: their time, their size in all tables, and about how many runs they hold."""
    from agentflow.cli.output import print_json
    from agentflow.cli.partitions import print_partitions
    from agentflow.cli.reaching import database_url, refuse_unborn
    from agentflow.settings import settings
    from agentflow.store import schema

    refuse_unborn(settings())
    with database_url(settings()) as url:
        schema.check(url, settings().db_schema)
        found = schema.read_partitions(url, settings().db_schema)
    if json:
        print_json(found)
    else:
        print_partitions(found)


@app.command()
def prune(
    *,
    before: Annotated[
        str | None, typer.Option(metavar="DATE", help="Delete the months that were over by then: 2026-12-01.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Delete the months that have been over for so long: 90d.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be dropped and kept.")] = False,
    json: AsJson = False,
) -> None:
    """Delete months of runs by dropping their partitions, and what is left over elsewhere; exit 1 where some must stay.

    A month stays while one of its runs is not over, one of its messages is not delivered, or an open run's conversation
    began in it. Business keys are never deleted.
    """
    from agentflow.cli.complaints import FAILED
    from agentflow.cli.output import print_json
    from agentflow.cli.partitions import limit_of, print_pruned
    from agentflow.cli.reaching import database_url, refuse_unborn
    from agentflow.settings import settings
    from agentflow.store import pruning, schema

    limit = limit_of(before, older_than, datetime.now(UTC))
    refuse_unborn(settings())
    with database_url(settings()) as url:
        schema.check(url, settings().db_schema)
        act = pruning.survey if dry_run else pruning.prune
        pruned = act(url, settings().db_schema, limit)
    if json:
        print_json(pruned)
    else:
        print_pruned(pruned, is_dry=dry_run)
    if pruned.kept:
        raise typer.Exit(FAILED)
