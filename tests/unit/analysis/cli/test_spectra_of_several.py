"""`spectra` of several runs: one that cannot be diagnosed, and one signature in two folders."""

from pathlib import Path

import pytest
import torch
from made_runs import write_run
from scale_toys import Banded, photos

from analysis.__main__ import main
from lic_exp.config.loading import load_config
from lic_exp.evaluation.diagnosis import diagnose
from lic_exp.evaluation.diagnosis_files import file_after

IMAGES = photos(2, 16, 16)


def kept(folder: Path, *images: int) -> Path:
    """A run with a diagnosis after 10, 20, ... steps, each of so many images."""
    run = write_run(folder, load_config(["tracker=none"]))
    (run / "diagnosis").mkdir()
    for place, count in enumerate(images, 1):
        found = diagnose(Banded((0, 0.25, 1)), IMAGES[:count], None, torch.device("cpu"), step=10 * place)
        found.write(run / "diagnosis" / file_after(10 * place))
    return run


@pytest.mark.parametrize("refused", ["a", "bc"])
def test_a_run_of_several_that_cannot_be_diagnosed_is_passed_over_by_name(refused, tmp_path, capfd):
    for name in "abc":
        kept(tmp_path / "runs" / (name * 16), *((1, 2) if name in refused else (2, 2)))
    assert main(["spectra", str(tmp_path / "runs")]) == 0
    said = capfd.readouterr()
    for name in "abc":
        assert (f"passed over: {name * 16}: its diagnoses are not of the same images" in said.err) is (name in refused)
        assert (f"{name * 16}: two scales have" in said.out) is (name not in refused)


@pytest.mark.parametrize("names", [["runs"], ["runs/" + "a" * 16], ["runs", "runs/" + "a" * 16]])
def test_where_none_is_left_or_it_was_named_itself_it_is_refused(names, tmp_path, capfd):
    kept(tmp_path / "runs" / ("a" * 16), 1, 2)
    assert main(["spectra", *(str(tmp_path / name) for name in names)]) == 2
    assert "its diagnoses are not of the same images" in capfd.readouterr().err


def test_one_signature_in_two_folders_is_two_runs(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("analysis.spectral_plots.figures_of", lambda course: {})
    runs = [kept(tmp_path / folder / ("a" * 16), 2) for folder in ("here", "there")]
    out = tmp_path / "out"
    assert main(["spectra", *map(str, runs), str(runs[0]), "--out", str(out)]) == 0
    said = capfd.readouterr().out
    for run in runs:
        assert f"{'a' * 16} ({run}): two scales have" in said
    assert sorted(path.name for path in out.iterdir()) == ["a" * 16, f"{'a' * 16}-2"]
