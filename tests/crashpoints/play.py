"""Several stages side by side, each a process of its own that was forked with everything imported."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing import util
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import agentflow.llm.openai_chat  # noqa: F401 - takes seconds: imported before the stages are forked
import tests.crashpoints.agents  # noqa: F401 - the same
from agentflow.llm.prices import cost_usd
from agentflow.llm.protocol import Usage
from agentflow.testing.databases import Databases
from tests.crashpoints.cases import units
from tests.crashpoints.children import keep_output
from tests.crashpoints.haste import hasten
from tests.crashpoints.seam import seam
from tests.crashpoints.stage import Stage
from tests.crashpoints.verdict import judge
from tests.crashpoints.victims import Case

_stages: list[Stage] = []


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case; `wrong` is empty where all is well, `missed` where its victim was struck at its point.

    `seconds` are its share of its group's.
    """

    case: Case
    doubts: int
    wrong: tuple[str, ...]
    missed: str
    seconds: float


class Players:
    """The stages; each has a database of its own on one server, and a number of its own on one Redis."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, *, jobs: int) -> None:
        self._open = ExitStack()
        self._folder, self._database_url, self._redis_url, self._jobs = folder, database_url, redis_url, jobs
        self._pool: ProcessPoolExecutor

    def __enter__(self) -> Self:
        hasten()
        seam.install()
        # The price list is read at its first use, which takes a busy machine seconds.
        cost_usd("openai:gpt-4o-mini", Usage(1, 1))
        databases = self._open.enter_context(Databases.on(self._database_url))
        context = multiprocessing.get_context("fork")
        places = context.SimpleQueue()
        broker = self._redis_url.rpartition("/")[0]
        for number in range(self._jobs):
            places.put((self._folder / f"stage-{number}", databases.create(f"stage_{number}"), f"{broker}/{number}"))
        gc.collect()
        gc.freeze()
        self._pool = ProcessPoolExecutor(self._jobs, context, _enter_stage, (places,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._open.close()

    def count(self, names: Sequence[str], expected: Mapping[str, int]) -> dict[str, list[str]]:
        """Return every point of each scenario; where they are not as many as expected, after a second count."""
        points = dict(zip(names, self._pool.map(_count, names), strict=True))
        # On a machine that is too slow a call takes too long, and is answered otherwise.
        again = [name for name in names if len(points[name]) != expected.get(name)]
        return points | dict(zip(again, self._pool.map(_count, again), strict=True))

    def play(self, cases: Sequence[Case], points: Mapping[str, Sequence[str]]) -> list[Result]:
        """Play cases; those whose victim missed its point once more, which is wrong if that happens again."""
        results = self._play(cases, points)
        missed = [result for result in results if result.missed and not result.wrong]
        again = self._play([result.case for result in missed], points) if missed else []
        return [result for result in results if result not in missed] + [_without_excuse(result) for result in again]

    def _play(self, cases: Sequence[Case], points: Mapping[str, Sequence[str]]) -> list[Result]:
        groups = units(cases)
        playing = {self._pool.submit(_play, group, points): group for group in groups}
        results: list[Result] = []
        for number, done in enumerate(as_completed(playing), start=1):
            results += (came := _results_of(done, playing[done]))
            print(*(line for result in came for line in lines_of(result)), sep="", end="")
            wrong = sum(bool(result.wrong) for result in results)
            print(f"{number} of {len(groups)} groups, {len(results)} of {len(cases)} cases, {wrong} wrong")
        return results


def _results_of(done: Future[list[Result]], group: Sequence[Case]) -> list[Result]:
    try:
        return done.result()
    except AssertionError as error:
        # Its cases could not be brought to where they begin.
        return [Result(case, 0, (), str(error), 0.0) for case in group]


def lines_of(result: Result) -> list[str]:
    """Say what is wrong with a case, and how it is repeated."""
    case = result.case
    where = f"WRONG --scenario {case.scenario} --point {case.point} --how {case.how} ({case.label})"
    return [f"{where}: {wrong}\n" for wrong in result.wrong]


def _without_excuse(result: Result) -> Result:
    return (
        replace(result, wrong=(*result.wrong, f"its point was missed twice: {result.missed}"))
        if result.missed
        else result
    )


def _enter_stage(places: Any) -> None:
    folder, database_url, redis_url = places.get()
    keep_output(folder / "stage.log")
    stage = Stage(folder, database_url, redis_url)
    util.Finalize(stage, stage.close, exitpriority=10)
    _stages.append(stage)


def _count(name: str) -> list[str]:
    [stage] = _stages
    return stage.points(name)


def _play(group: Sequence[Case], points: Mapping[str, Sequence[str]]) -> list[Result]:
    [stage] = _stages
    began = time.time()
    played = stage.play(group)
    judge(stage, played, points, [each for each in stage.world.arrivals() if each.at >= began])
    share = (time.time() - began) / len(group)
    return [Result(each.case, each.doubts, tuple(each.wrong), each.missed, share) for each in played]
