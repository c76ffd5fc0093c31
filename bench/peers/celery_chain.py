"""Raw Celery: a chain of tasks, results in Valkey. Nothing is durable, and nothing brings back what a crash loses."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery, chain

from bench.peers.work import STEPS, do_step, redis_url

CHILDREN = 4

app = Celery("chain", broker=redis_url(0), backend=redis_url(1))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # Short tasks: by Celery's own advice many at a time.
    worker_prefetch_multiplier=16,
    worker_hijack_root_logger=False,
)


@app.task(name="step")
def step(number: int) -> dict[str, object]:
    """Do the step; Celery stores what it returns, and calls the next task of the chain."""
    return do_step(number)


def prepare() -> None:
    """Make nothing: a queue comes with its first message."""


def work(_name: str) -> None:
    """Serve the queue in a few processes."""
    app.worker_main(
        ["worker", "-P", "prefork", "-c", str(CHILDREN), "-l", "WARNING", "--without-gossip", "--without-mingle"]
    )


def connect() -> Callable[[int], None]:
    """Return what submits so many runs."""

    def submit(count: int) -> None:
        for _ in range(count):
            chain(*(step.si(number) for number in range(STEPS))).apply_async()

    return submit
