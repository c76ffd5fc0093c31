"""What is printed: the points of each scenario, and what became of the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.crashpoints.play import Result, lines_of

_HEADS = ("scenario", "points", "kills", "freezes", "violations", "in doubt", "seconds")


def print_points(points: Mapping[str, Sequence[str]]) -> None:
    """List every point with its number."""
    for name, labels in points.items():
        print(f"{name}: {len(labels)} points")
        for number, label in enumerate(labels, start=1):
            print(f"  {number:4} {label}")


def print_table(points: Mapping[str, Sequence[str]], results: Sequence[Result], seconds: float) -> None:
    """Say what is wrong, case by case, and then how each scenario came off."""
    print(*(line for result in results for line in lines_of(result)), sep="", end="")
    rows = [_row(name, points[name], [each for each in results if each.case.scenario == name]) for name in points]
    total = [sum(int(row[column]) for row in rows) for column in range(1, len(_HEADS))]
    for row in (_HEADS, *rows, ("all", *map(str, total[:-1]), f"{seconds:.0f} in all")):
        print(f"{row[0]:22}", *(f"{cell:>10}" for cell in row[1:]))


def _row(name: str, labels: Sequence[str], results: Sequence[Result]) -> tuple[str, ...]:
    kills = sum(each.case.how == "kill" for each in results)
    wrong, doubts = sum(bool(each.wrong) for each in results), sum(each.doubts for each in results)
    seconds = round(sum(each.seconds for each in results))
    return (name, *map(str, (len(labels), kills, len(results) - kills, wrong, doubts, seconds)))
