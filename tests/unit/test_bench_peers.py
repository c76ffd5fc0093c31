"""The figures of the peers' benchmark: medians, ratios, what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.figures import Skipped
from bench.peers import environments
from bench.peers.catalogue import PEERS
from bench.peers.environments import pinned
from bench.peers.outcomes import median_of, missing, names, of_floor, ratio, split_of
from bench.peers.plot import draw
from bench.peers.table import cost_rows, rate_rows, ratio_rows, rounded

_SVG = "{http://www.w3.org/2000/svg}"


def _measured(peer: str, number: int, per_s: float, *, cpu_s: float = 2.0, floor: float = 4000.0) -> dict[str, Any]:
    return {
        "peer": peer,
        "round": number,
        "steps_per_s": per_s,
        "p50_ms": 10.0,
        "p95_ms": 20.0,
        "cpu_s_per_1000_steps": cpu_s,
        "cpu_split": {"client": cpu_s / 4, "workers": cpu_s / 2, "Postgres": cpu_s / 4},
        "transactions_per_step": 1.25,
        "wal_kb_per_step": 0.5,
        "foreign_cpu_share": 0.0,
        "floor": {"per_second": floor, "by": "pgbench"},
    }


OUTCOMES = [
    _measured("agentflow", 1, 1000, cpu_s=1.0),
    _measured("absurd", 1, 500),
    # The machine had other work in this round: both are slower, the ratio is not.
    _measured("absurd", 2, 100, floor=1000.0),
    _measured("agentflow", 2, 300, cpu_s=1.0, floor=1000.0),
    _measured("agentflow", 3, 900, cpu_s=1.0),
    {"peer": "absurd", "round": 3, "skipped": False, "none_because": "a process ended by itself"},
]


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert median_of(OUTCOMES, "agentflow", "steps_per_s") == 900


def test_a_ratio_compares_within_a_round_and_leaves_out_rounds_that_one_of_both_has_not() -> None:
    assert ratio(OUTCOMES, "steps_per_s", "agentflow", "absurd") == 2.5
    assert ratio(OUTCOMES, "cpu_s_per_1000_steps", "agentflow", "absurd") == 0.5


def test_there_is_no_ratio_to_a_reference_that_was_not_measured() -> None:
    assert ratio(OUTCOMES, "steps_per_s", "agentflow", "dbos") is None


def test_the_share_of_the_floor_is_taken_from_the_floor_right_before() -> None:
    assert of_floor(OUTCOMES, "agentflow") == 0.25


def test_the_fastest_comes_first_and_who_has_no_figures_last() -> None:
    absent = {"peer": "dbos", "round": 0, "skipped": True, "none_because": "no packages"}

    assert names([absent, *OUTCOMES]) == ["agentflow", "absurd", "dbos"]


def test_cpu_is_split_by_kind_and_a_kind_that_used_none_has_zero() -> None:
    assert split_of(OUTCOMES, "agentflow") == {"client": 0.25, "workers": 0.5, "Postgres": 0.25, "Valkey": 0.0}


def test_a_round_without_figures_says_why() -> None:
    assert missing(OUTCOMES) == {"absurd": "a process ended by itself"}


def test_the_tables_have_a_row_for_each_peer() -> None:
    assert rate_rows(OUTCOMES)[0] == ["agentflow", "900", "300 to 1,000", "10.0", "20.0", "0.00"]
    assert cost_rows(OUTCOMES)[1] == ["absurd", "2.00", "0.50", "1.00", "0.50", "0.00", "1.25", "0.50"]
    assert ratio_rows(OUTCOMES)[0] == ["agentflow", "0.25", "2.50", "", "", "0.50", "", ""]


@pytest.mark.parametrize(("value", "shown"), [(None, ""), (0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234")])
def test_a_figure_is_shown_with_about_three_digits(value: float | None, shown: str) -> None:
    assert rounded(value) == shown


def test_the_plot_has_a_bar_for_each_rate_and_for_each_share_of_the_cpu() -> None:
    titles = [title.text for title in _drawn(OUTCOMES, "title")]

    assert "agentflow: 900 steps per second" in titles
    assert "absurd, workers: 1.00 s" in titles


def test_the_bars_keep_the_proportion_of_the_rates() -> None:
    widths = {bar[0].text: float(bar.attrib["width"]) for bar in _drawn(OUTCOMES, "rect") if len(bar)}

    fast, slow = widths["agentflow: 900 steps per second"], widths["absurd: 300 steps per second"]
    assert fast == pytest.approx(slow * 3, abs=0.2)


def test_nothing_measured_draws_a_plot_without_rows() -> None:
    assert not [text for text in _drawn([], "text") if text.text == "agentflow"]


@pytest.mark.parametrize("peer", [peer for peer in PEERS.values() if peer.environment], ids=lambda peer: peer.name)
def test_a_peers_environment_pins_the_peer(peer: Any) -> None:
    assert peer.package in pinned(peer.environment)


def test_a_peer_whose_packages_do_not_install_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "_PINS", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "absent.txt").write_text("agentflow-has-no-such-peer==1.0\n", encoding="utf-8")

    with pytest.raises(Skipped, match="agentflow-has-no-such-peer"):
        environments.interpreter(tmp_path / "home", "absent")


def _drawn(outcomes: list[dict[str, Any]], kind: str) -> list[ET.Element]:
    drawing = ET.fromstring(draw(outcomes))  # noqa: S314 - we drew it ourselves
    return list(drawing.iter(f"{_SVG}{kind}"))
