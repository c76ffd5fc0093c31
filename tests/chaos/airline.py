"""Owns the airline's part: its systems, which nobody breaks, the recorded model, the comparison with the recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, text

from agentflow import Client
from agentflow.local import attach
from agentflow.settings import postgres_url
from tests.acceptance.airline import comparison, dataset, transcript
from tests.acceptance.airline.dataset import Conversation
from tests.acceptance.airline.processes import served
from tests.acceptance.airline.tables import create_tables
from tests.acceptance.airline.world import World
from tests.chaos.feed import Order
from tests.world.arrival import Arrival

MODEL = "gpt-4o"

# A write that the airline refused, and said so, was carried out too: its key is taken.
_CARRIED_OUT = text("""
    select tool, key, md5(arguments::text), extract(epoch from at)::float8 from public.airline_writes
    union all
    select tool, key, request, 0.0 from public.airline_keys k
    where answer is not null and not exists (select from public.airline_writes w where w.key = k.key)
""")


@dataclass(slots=True)
class Airline:
    """A running airline: the model servers that it brings, what workers have to know, and its own database."""

    models: Mapping[str, str]
    environment: Mapping[str, str]
    engine: Engine
    spoken: list[Conversation] = field(default_factory=list)

    def arrivals(self) -> Iterator[Arrival]:
        """Yield what the airline carried out, as what arrived in the outside world."""
        with self.engine.connect() as done:
            for tool, key, body, at in done.execute(_CARRIED_OUT):
                yield Arrival(at, "keyed", tool, key=key, effect=True, body=body)

    def differences(self, agentflow: Engine) -> Sequence[str]:
        """Name all that is not as it was recorded, of the conversations that were submitted."""
        with agentflow.connect() as told, self.engine.connect() as done:
            return [
                *transcript.ending_differences(told, self.spoken),
                *transcript.answer_differences(told, self.spoken),
                *transcript.prompt_differences(told, self.spoken),
                *comparison.row_differences(done, self.spoken),
                *comparison.write_differences(done, self.spoken),
            ]


@contextmanager
def opened(folder: Path) -> Iterator[Airline | None]:
    """Start the airline's systems on a Postgres of their own; nothing where the recordings are not here."""
    if not dataset.is_present():
        print(f"without the airline: {dataset.ABSENT}", flush=True)
        yield None
        return
    folder.mkdir(parents=True)
    with attach(folder / "services", valkey=False) as services:
        url = postgres_url(services.database_url)
        world = World(url)
        try:
            with world.engine.begin() as connection:
                create_tables(connection)
            with _systems(folder, url) as (model_url, service_url):
                environment = {"AIRLINE_URL": service_url, "AIRLINE_WRITES": "keyed", "AIRLINE_DATABASE_URL": url}
                yield Airline({MODEL: model_url}, environment, world.engine)
        finally:
            world.close()


@contextmanager
def _systems(folder: Path, database_url: str) -> Iterator[tuple[str, str]]:
    recording = ("--recording", str(dataset.FOLDER / "conversations.jsonl"))
    environment = {"AGENTFLOW_DATABASE_URL": database_url}
    model = served("agentflow.llm.server", *recording, environment={}, log=folder / "model.log")
    service = served("tests.acceptance.airline.service", environment=environment, log=folder / "airline.log")
    with model as model_url, service as service_url:
        yield model_url, service_url


def orders(airline: Airline, count: int, duration_s: float) -> Iterator[Order]:
    """Yield the submissions of so many conversations, spread over the time; all messages of one at once."""
    airline.spoken = list(dataset.conversations()[:count])
    for place, conversation in enumerate(airline.spoken):
        for number, turn in enumerate(conversation.turns):
            yield Order(duration_s * place / count, "airline", partial(_submit, conversation, number, turn.message))


def _submit(conversation: Conversation, number: int, message: str, client: Client) -> str:
    name = conversation.conversation_id
    return client.submit("airline", message, user=name, conversation=name, idempotency_key=f"{name}:{number}").run_id
