"""`agentflow db`: the schema."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="The database's schema.", no_args_is_help=True)

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
