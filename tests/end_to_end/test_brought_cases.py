"""Small inputs that people brought, where their folder lies beside the checkout: each does what its table says."""

import csv
import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT
from commands import SMALL_RUN
from toy_attempts import go, only_run

import lic_exp
from analysis.__main__ import main as analyse
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli.launch import main as launch
from lic_exp.config.overrides import quoted
from lic_exp.data.decoding import decode
from lic_exp.runs import attempt_record
from lic_exp.tracking.run_folder import RunFolder

BROUGHT = ROOT.parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(not (BROUGHT / "make_cases.py").is_file(), reason=f"there is no {BROUGHT}")
CODED = {
    "not_utf8": r"caf\xe9.png",
    "long_name": f"{'a' * 250}.png",
    "link_back": "one.png",
    "other_suffixes": "a.png",
    "damaged_exif": "a.png",
}
"""Folders of one picture that can be coded: what it is called in the results, without a folder before it."""
SAID = {
    "link_back": "which links give another name: sub/again (is link_back), sub/up (is link_back)",
    "other_suffixes": "were passed over: 1 .avif, 1 .gif, 1 .jfif, 1 .jp2, 1 .jpe, 1 .pgm, 1 .pnm",
}
"""What is told of a folder beside."""

LOADED = {
    "older_names": "",
    "oldest_names": "",
    "compiled": "_orig_mod.",
    "compiled_parallel": "_orig_mod.module.",
    "lightning": "model.",
    "averaged": "module.",
    "under_net": "net",
    "numpy_scalar": "",
    "arguments": "",
}
"""Files of weights that load, and what it is said was taken off their keys, or where they lay."""
REFUSED = {
    "model_and_ema": ["model", "ema"],
    "not_finite": ["finite"],
    "empty": ["empty"],
    "page": ["web page"],
}
"""Files of weights that are refused, and words of the reason."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the script fills."""
    folder = tmp_path_factory.mktemp("cases")
    script = runpy.run_path(str(BROUGHT / "make_cases.py"))
    for part in ("images", "curves", "weights"):
        script[part](folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, toy_folder: Path) -> Path:
    """The folder of runs that holds a finished one."""
    folder = tmp_path_factory.mktemp("trained")
    assert go(f"paths.runs={quoted(str(folder))}") == exit_codes.DONE
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    shutil.copytree(trained, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return only_run()


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_folder: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attempt_record, "record_environment", lambda *arguments: {})  # half of the time it takes


def coded(evaluation: Path) -> list[str]:
    """The pictures that an evaluation names."""
    with open(evaluation / "images.csv", encoding="utf-8", newline="") as file:
        return [row["image"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("case", CODED)
def test_a_folder_is_evaluated_on(cases, run, caplog, case):
    assert main(["eval", run.signature, "--data", str(cases / case), "--out", "results"]) == exit_codes.DONE
    assert SAID.get(case, "") in caplog.text
    (name,) = coded(Path("results"))
    assert Path(name).name == CODED[case] or CODED[case].removesuffix(".png") == Path(name).name
    assert json.loads(Path("results/evaluation.json").read_text())["mean"]["images"] == 1


@pytest.mark.parametrize("case", ["not_utf8", "long_name"])
def test_a_training_ends_with_its_evaluation(cases, training, case):
    data = f"evaluation.data={quoted(str(cases / case))}"
    assert go(data, "evaluation.enabled=true", "evaluation.pictures=1") == exit_codes.DONE
    run = only_run()
    assert run.status()["state"] == "done"
    (name,) = coded(run.eval)
    assert name.isprintable()
    pictures = list(run.eval.rglob("*.png"))
    assert pictures
    assert all(len(path.name.encode()) <= 255 and path.name.isprintable() for path in pictures)


def test_metadata_change_no_picture(cases):
    one, other = (decode((cases / place / "a.png").read_bytes()) for place in ("damaged_exif", "other_suffixes"))
    assert np.array_equal(one, other)


@pytest.fixture
def on_another_format(cases: Path, photos: Path, training: None) -> tuple[str, ...]:
    """Overrides that train on pictures of which one is of another format than its name says."""
    places = {"train": cases / "another_format_inside", "val": photos / "val"}
    folders = [f"data.{part}={quoted([str(place)])}" for part, place in places.items()]
    return ("data=folder", *folders, "data.crop_size=64", "data.num_workers=0", "data.steps_per_epoch=3")


def test_another_format_inside_is_named(on_another_format, capfd):
    assert go(*on_another_format) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert "x.png cannot be decoded: " in said
    assert "data.preflight=skip" in said


def test_another_format_inside_can_be_left_out(on_another_format):
    assert go(*on_another_format, "data.preflight=skip") == exit_codes.DONE
    assert "left out 1 training and 0 validation images" in only_run().log.read_text()


def test_two_folders_of_one_name_are_two_evaluations(cases, run):
    for folder in ("first", "second"):
        assert main(["eval", run.signature, "--data", str(cases / "same_name" / folder / "kodak")]) == exit_codes.DONE
    found = [json.loads(path.read_text()) for path in run.eval.glob("kodak*/evaluation.json")]
    assert sorted(list(each["sizes"]) for each in found) == [["128 x 128"], ["96 x 96"]]


def test_curves(cases, capsys):
    curves = cases / "curves"
    assert analyse(["bdrate", "kodak/vtm_18.0", str(curves / "with_names.json")]) == exit_codes.DONE
    assert "names" in capsys.readouterr().out
    assert analyse(["bdrate", "kodak/vtm_18.0", str(curves / "two_spellings.json")]) == exit_codes.CONFIG
    assert "psnr-rgb" in capsys.readouterr().err


@pytest.mark.parametrize("name", LOADED)
def test_weights_that_load(cases, caplog, name):
    own = lic_exp.create_model("hyperprior_tiny").state_dict()
    loaded = lic_exp.create_model("hyperprior_tiny", weights=str(cases / "weights" / f"{name}.pt"), seed=1).state_dict()
    assert LOADED[name] in caplog.text
    assert loaded.keys() == own.keys()
    assert all(torch.equal(loaded[key], own[key]) for key in own)


@pytest.mark.parametrize("name", REFUSED)
def test_weights_that_are_refused(cases, tmp_path, monkeypatch, capfd, name):
    monkeypatch.chdir(tmp_path)
    file = cases / "weights" / f"{name}.pt"
    given = [*SMALL_RUN, f"model.weights={quoted(str(file))}"]
    assert launch(given) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert all(word in said for word in (file.name, *REFUSED[name]))
    assert "\x1b" not in said
    assert not Path("runs").exists()
