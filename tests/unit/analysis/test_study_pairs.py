"""Rows of a table that were not launched at every rate, or in another order: compared rate by rate, or named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_study import RATES, write_study

from analysis.__main__ import main
from analysis.ablation import ablation
from analysis.rows import Row
from analysis.studies import load_study
from lic_exp.ablation_spec import FOLDER

Cells = list[dict[str, Any]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("recorded") / "runs"
    write_study(runs)
    return runs


@pytest.fixture
def launched(recorded: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """The recorded runs under a manifest that is changed first."""

    def changed(change: Callable[[dict[str, Any]], None]) -> Path:
        for run in recorded.glob("0*"):
            (tmp_path / run.name).symlink_to(run)
        (file,) = (recorded / FOLDER).iterdir()
        manifest = json.loads(file.read_text())
        change(manifest)
        (tmp_path / FOLDER).mkdir()
        (tmp_path / FOLDER / file.name).write_text(json.dumps(manifest))
        return tmp_path

    return changed


def is_at(cell: dict[str, Any], variant: str, seed: int, rate: float) -> bool:
    return (cell["variant"], cell["seed"], cell["rate"]) == (variant, seed, {"criterion.lmbda": rate})


def row_of(runs: Path, name: str = "intra") -> Row:
    (row,) = (row for row in ablation(load_study("table2", runs=runs)).rows if row.name == name)
    return row


@pytest.mark.parametrize("rate", [RATES[0], RATES[-1]])
@pytest.mark.parametrize(
    ("variant", "row", "seeds", "said"),
    [
        ("intra", "intra", (0, 2), "seed 1 is left out: naive has a run at {0}, and intra none"),
        ("naive", "intra", (0, 2), "seed 1 is left out: intra has a run at {0}, and naive none"),
        (
            "naive",
            "naive again",
            (0, 2),
            "seed 1 is left out: naive, seed {1} has a run at {0}, and naive, seed 1 none",
        ),
    ],
)
def test_a_seed_that_lacks_a_rate_is_left_out_and_named(
    launched: Any, rate: float, variant: str, row: str, seeds: tuple[int, ...], said: str
) -> None:
    def without(manifest: dict[str, Any]) -> None:
        manifest["cells"] = [cell for cell in manifest["cells"] if not is_at(cell, variant, 1, rate)]

    runs = launched(without)
    found = row_of(runs, row)
    other = load_study("table2", runs=runs).table.aa_seeds[1]
    assert found.complete == seeds
    assert said.format(f"criterion.lmbda={rate}", other) in found.notes
    assert found.speed is not None
    assert tuple(found.speed.observations["steps"]) == seeds
    assert found.bd_rate is not None
    assert tuple(found.bd_rate.values) == seeds


def test_a_row_that_lacks_a_rate_in_every_seed_has_no_number(
    launched: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(manifest: dict[str, Any]) -> None:
        lacking = ({"criterion.lmbda": RATES[1]}, "intra")
        manifest["cells"] = [cell for cell in manifest["cells"] if (cell["rate"], cell["variant"]) != lacking]

    runs = launched(without)
    assert main(["ablation", "table2", "--trace", "--runs", str(runs), "--out", str(tmp_path / "tables")]) == 0
    text = (tmp_path / "tables/table2-mini.md").read_text()
    said = f"seeds 0, 1, 2 are left out: naive has a run at criterion.lmbda={RATES[1]}, and intra none"
    assert text.count(said) == 1
    assert "| intra-scale | 0/3 seeds |" in text


@pytest.mark.parametrize("order", [lambda cell: -cell["rate"]["criterion.lmbda"], lambda cell: cell["signature"][::-1]])
def test_rates_are_compared_with_their_own_whatever_their_order(
    recorded: Path, launched: Any, order: Callable[[dict[str, Any]], Any]
) -> None:
    def shuffled(manifest: dict[str, Any]) -> None:
        of = [cell for cell in manifest["cells"] if cell["variant"] == "intra" and cell["seed"] != 2]
        manifest["cells"] = [cell for cell in manifest["cells"] if cell not in of] + sorted(of, key=order)

    ours, theirs = row_of(launched(shuffled)), row_of(recorded)
    assert ours.speed is not None
    assert theirs.speed is not None
    for unit, found in theirs.speed.observations.items():
        assert {seed: one.value for seed, one in found.items()} == pytest.approx(
            {seed: one.value for seed, one in ours.speed.observations[unit].items()}, rel=1e-12
        )
    assert ours.bd_rate is not None
    assert theirs.bd_rate is not None
    assert ours.bd_rate.values == pytest.approx(theirs.bd_rate.values, rel=1e-12)
    assert ours.rd_change is not None
    assert theirs.rd_change is not None
    assert ours.rd_change.values == pytest.approx(theirs.rd_change.values, rel=1e-12)


@pytest.mark.parametrize("own", ["intra", "naive"])
def test_a_row_of_other_rates_than_what_it_is_against_is_compared_with_anchors_alone(launched: Any, own: str) -> None:
    def with_rates(manifest: dict[str, Any]) -> None:
        manifest["table"]["variants"][own]["rates"] = {"criterion.lmbda": RATES[:2]}
        manifest["cells"] = [
            cell for cell in manifest["cells"] if cell["variant"] != own or cell["rate"]["criterion.lmbda"] in RATES[:2]
        ]

    found = row_of(launched(with_rates))
    assert found.complete == (0, 1, 2)
    assert (found.speed, found.at_end, found.bd_rate) == (None, None, None)
    assert "its rates are not those of what it is against: it is compared with anchors alone" in found.notes
