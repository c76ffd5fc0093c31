"""Owns the demo, `python -m examples.refunds.demo`: tickets come in, much fails, and the proof is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from agentflow import AgentflowError, Client
from agentflow.gate.fleet import fleet_gate
from agentflow.local.locks import try_lock
from agentflow.settings import Settings, settings
from examples.refunds import servers
from examples.refunds.desk import HelpDesk
from examples.refunds.environment import real_model
from examples.refunds.fleet import POOLS, Fleet
from examples.refunds.leash import Leash
from examples.refunds.plot import Plot
from examples.refunds.proof import Evidence
from examples.refunds.report import show_proof, show_timelines, show_way_on
from examples.refunds.reservations import still_held
from examples.refunds.servers import DemoFailed, Servers
from examples.refunds.story import Story


def main() -> int:
    """Play the demo; 0 if nothing was done twice and nothing was forgotten."""
    story = Story()
    try:
        with reserved(settings().data_dir / "demo") as folder:
            return play(story, folder)
    except KeyboardInterrupt:
        story.say("Stopped. Everything that was started has ended.")
        return 130
    except (AgentflowError, DemoFailed) as error:
        story.complain(str(error))
        return 1


def play(story: Story, folder: Path) -> int:
    """Tell the whole story in a folder of its own."""
    story.title("agentflow: a refund agent, calls that fail in every way, a worker that is killed")
    with ExitStack() as open_:
        leash = open_.enter_context(Leash())
        story.say("PostgreSQL and Valkey start, embedded, for this demo alone. The shop opens, and a mail server.")
        world = open_.enter_context(servers.started(folder, leash))
        client = open_.enter_context(connect(world))
        fleet = open_.enter_context(Fleet(world, leash))
        start_workers(story, fleet, client)
        desk = HelpDesk(client)
        Plot(story, world, leash, fleet, desk).unfold()
        evidence = evidence_of(world, desk, client)
        show_timelines(story, evidence)
        if faults := show_proof(story, evidence):
            story.complain(*faults)
            return 1
        show_way_on(story, folder)
        return 0


def start_workers(story: Story, fleet: Fleet, client: Client) -> None:
    """Start a worker per pool, and wait for them."""
    pids = [f"{pool} (pid {fleet.start(pool)})" for pool in POOLS]
    story.say(f"Workers start: {', '.join(pids)}.")
    key = real_model()
    scripted = "No API key is set: a scripted server plays the model. Tokens and costs are estimates."
    story.say(f"{key} is set: a real model thinks." if key else scripted)
    fleet.wait_until_ready(client)


def evidence_of(world: Servers, desk: HelpDesk, client: Client) -> Evidence:
    """Return what the database and the outside world say, once all is given back."""
    held = still_held(client, fleet_gate(world.redis_url, servers.SCHEMA))
    asked = client.approvals.list(status=None)
    return Evidence(desk.cases(), client.outbox(), world.shop_log(), asked, world.letters(), world.overloads(), held)


@contextmanager
def reserved(folder: Path) -> Iterator[Path]:
    """Keep a folder for this demo alone; raise DemoFailed where another one plays in it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = try_lock(folder / "demo.lock")
    if lock is None:
        raise DemoFailed(f"another demo plays in {str(folder)!r}: wait for it, or set AGENTFLOW_DATA_DIR")
    try:
        yield folder
    finally:
        lock.release()


def connect(world: Servers) -> Client:
    """Return a client that knows nothing of the caller's own services."""
    own = Settings(tenant="default", db_schema=servers.SCHEMA, database_url=SecretStr(world.database_url))
    return Client(database_url=world.database_url, redis_url=world.redis_url, settings=own)


if __name__ == "__main__":
    raise SystemExit(main())
