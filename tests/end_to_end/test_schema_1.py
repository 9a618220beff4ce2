"""A run folder of schema 1, made at commit dd516ce: listed as such, shown, evaluated and read, but found by nobody."""

import json
import shutil
from pathlib import Path

import pytest
from checkout import ROOT

import analysis
import lic_exp
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.runs.run import Run

NAME = "30b4630dd04f0c82"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(ROOT / "tests/expected/schema_1" / NAME, tmp_path / "runs" / NAME))


def test_it_is_listed_as_such(old, capsys):
    assert main(["ls"]) == exit_codes.DONE
    shown = capsys.readouterr().out
    assert "done" in shown
    assert "schema 1: no command finds it as done any more" in shown
    (row,) = lic_exp.list_runs().to_dict("records")
    assert (row["signature"], row["schema_version"], row["state"]) == (NAME, 1, "done")


def test_it_is_shown(old, capsys):
    assert main(["show", NAME[:6]]) == exit_codes.DONE
    shown = capsys.readouterr().out
    assert "204.05" in shown
    assert "trainer.judged_weights" in shown


def test_it_is_evaluated_as_it_was(old, capsys):
    before = json.loads((old / "eval/evaluation.json").read_text())["mean"]
    assert main(["eval", NAME]) == exit_codes.DONE
    after = json.loads((old / "eval/evaluation.json").read_text())["mean"]
    assert {key: after[key] for key in ("bpp", "psnr", "images")} == {
        key: before[key] for key in ("bpp", "psnr", "images")
    }


def test_analysis_reads_it(old):
    runs = analysis.load_runs(old.parent)
    (row,) = runs.runs.to_dict("records")
    assert (row["signature"], row["state"], row["lmbda"]) == (NAME, "done", 0.013)
    assert len(analysis.load_curve(str(old))) == 1


def test_the_same_command_line_is_another_run_now(old):
    overrides = json.loads((old / "environment.json").read_text())["overrides"]
    assert lic_exp.signature(overrides) != NAME
    assert Run(old).config.signature == lic_exp.signature(overrides)


def test_it_cannot_be_extended(old, capsys):
    assert main(["extend", NAME, "trainer.max_steps=8"]) == exit_codes.CONFIG
    assert "with schema 1, and cannot be continued" in capsys.readouterr().err
