"""Celery and Postgres as tutorials have it: a task for each step, rows through the ORM, a commit for each change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from celery import Celery
from sqlalchemy import JSON, ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.peers.work import STEPS, database_url, do_step, redis_url

CHILDREN = 4

app = Celery("orm", broker=redis_url(0), backend=redis_url(1))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)
# Connections open at the first use, that is after the fork.
engine = create_engine(database_url().replace("postgresql://", "postgresql+psycopg2://", 1), pool_pre_ping=True)


def _now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The tables."""

    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012 - SQLAlchemy's own form


class Run(Base):
    """One run, and what its steps have returned so far."""

    __tablename__ = "runs"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    status: Mapped[str] = mapped_column(default="pending", index=True)
    current: Mapped[int] = mapped_column(default=0)
    state: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=_now)
    updated_at: Mapped[datetime] = mapped_column(default=_now, onupdate=_now)


class Step(Base):
    """One step of a run."""

    __tablename__ = "steps"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id"), index=True)
    number: Mapped[int]
    status: Mapped[str] = mapped_column(default="pending")
    result: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=_now)
    finished_at: Mapped[datetime | None]


@app.task(name="step")
def step(run_id: str, number: int) -> dict[str, object]:
    """Mark the run, find or make the step, mark it, do it, store what it returned, tell the run, call the next one."""
    with Session(engine) as session:
        run = session.get_one(Run, UUID(run_id))
        run.status = "running"
        session.commit()
        row = _find_or_make(session, run, number)
        row.status = "running"
        session.commit()
        row.result, row.status, row.finished_at = do_step(number), "ok", _now()
        session.commit()
        run.state, run.current = {**run.state, str(number): row.result}, number + 1
        if run.current == STEPS:
            run.status = "done"
        session.commit()
    if number + 1 < STEPS:
        step.delay(run_id, number + 1)
    return {"run_id": run_id, "step": number}


def _find_or_make(session: Session, run: Run, number: int) -> Step:
    row = session.scalar(select(Step).where(Step.run_id == run.id, Step.number == number))
    if row is None:
        row = Step(run_id=run.id, number=number)
        session.add(row)
        session.commit()
    return row


def prepare() -> None:
    """Make the tables."""
    Base.metadata.create_all(engine)


def work(_name: str) -> None:
    """Serve the queue in a few processes."""
    app.worker_main(
        ["worker", "-P", "prefork", "-c", str(CHILDREN), "-l", "WARNING", "--without-gossip", "--without-mingle"]
    )


def connect() -> Callable[[int], None]:
    """Return what submits so many runs."""

    def submit(count: int) -> None:
        for _ in range(count):
            with Session(engine) as session:
                run = Run()
                session.add(run)
                session.commit()
                step.delay(str(run.id), 0)

    return submit
