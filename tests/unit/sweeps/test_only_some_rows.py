"""Tables under options that only some of their rows have: the others are their plain selves, and studies stay apart."""

import json
from pathlib import Path
from typing import Any

import pytest
import toy

import lic_exp
from analysis.studies import load_study
from lic_exp import exit_codes
from lic_exp.ablation_spec import FOLDER
from lic_exp.cli.launch import main
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.config.validation import validate
from lic_exp.sweeps.trainings import Training, trainings

PACKAGE = "toys_of_other_options"
TABLE = """# @package _global_
table:
  title: toys
  paper: nobody's
  baseline: plain
  seeds: [3]
  rates:
    criterion.lmbda: [0.05]
  variants:
    plain: {label: plain, overrides: []}
    cut: {label: cut, overrides: [spectral_reg=intra, spectral_reg.truncation_length=1]}
    muon: {label: muon, overrides: [optimizer=muon, spectral_reg=intra]}
"""
TAU, MOMENTUM = "spectral_reg.tau_init=0.2", "optimizer.momentum=0.7"


@pytest.fixture
def toys(toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of the table's runs, in an empty working folder."""
    toy.write_package(tmp_path, PACKAGE, {"__init__.py": "", "conf/experiment/toys.yaml": TABLE})
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return [f"plugins=[{toy.NAME},{PACKAGE}]", *toy.SHORT_RUN, "experiment=toys"]


def configs(given: list[str]) -> dict[str, tuple[Training, RunConfig]]:
    found = trainings(given, several=True)
    return {str(one.role["variant"]): (one, validate(compose(one.overrides))) for one in found}


@pytest.mark.parametrize(
    ("own", "having"),
    [
        ([TAU], {"cut", "muon"}),
        ([MOMENTUM], {"muon"}),
        ([TAU, MOMENTUM], {"cut", "muon"}),
    ],
)
def test_a_row_without_the_option_is_its_plain_self(toys: list[str], own: list[str], having: set[str]) -> None:
    plain, found = configs(toys), configs([*toys, *own])
    assert {row for row, (_, config) in found.items() if config.signature != plain[row][1].signature} == having
    lacking = {row: set(training.left_out) for row, (training, _) in found.items()}
    keys = {text.partition("=")[0] for text in own}
    assert lacking == {
        "plain": keys,
        "cut": keys - {"spectral_reg.tau_init"},
        "muon": set(),
    }


@pytest.mark.parametrize(
    ("own", "key"),
    [
        (["variant=plain", TAU], r"spectral_reg\.tau_init"),
        (["variant=plain,cut", MOMENTUM], r"optimizer\.momentum"),
        (["variant=plain,cut", "spectral_reg.tau_inti=0.2"], r"spectral_reg\.tau_inti"),
        (["spectral_reg.tau_init=7"], r"spectral_reg\.tau_init"),
    ],
)
def test_what_none_of_the_launched_rows_takes_is_refused(toys: list[str], own: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        lic_exp.plan([*toys, *own])


def record(given: list[str], row: str) -> Any:
    training, config = configs(given)[row]
    assert training.study is not None
    return training.study.record(config)


def test_studies_of_other_values_are_kept_apart(toys: list[str]) -> None:
    given: list[list[str]] = [[], [TAU], ["spectral_reg.tau_init=0.3", MOMENTUM]]
    paths = [record([*toys, *own], "plain") for own in given]
    assert len(set(paths)) == len(given)
    studies = [load_study("toys", runs="runs", study=json.loads(path.read_text())["study"]) for path in paths]
    rows = [{cell.variant: name for cell, name in one.signatures} for one in studies]
    assert len({one["plain"] for one in rows}) == 1
    assert len({one["cut"] for one in rows}) == 3
    assert len({one["muon"] for one in rows}) == 3
    assert record([*toys, MOMENTUM, "spectral_reg.tau_init=0.3"], "plain") == paths[2]
    assert len(list(Path("runs", FOLDER).iterdir())) == len(given)


def test_a_study_without_such_options_has_its_baselines_name(toys: list[str]) -> None:
    manifest = json.loads(record(toys, "plain").read_text())
    assert manifest["study"] == manifest["cells"][0]["signature"]
    assert "only_some" not in manifest


def test_what_is_left_out_is_said(toys: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *toys, MOMENTUM, "plan=true"]) == exit_codes.DONE
    said = " ".join("".join(capsys.readouterr()).split())
    assert "optimizer.momentum is left out where there is no such option: plain; cut" in said
