"""A variable-rate codec of a user's own package from the command line: run, listing, evaluation, curves, extension."""

import csv
import json
import math
import re
from pathlib import Path

import pytest
import toy
from commands import QUICK, called

from lic_exp import exit_codes
from lic_exp.tracking import names
from lic_exp.tracking.run_folder import RunFolder

OVERRIDES = (
    *QUICK,
    f"plugins=[{toy.NAME}]",
    "model=toy_scalable",
    "criterion=variable_rate",
    "data.steps_per_epoch=2",
    "trainer.max_steps=4",
    "trainer.validate_every_steps=2",
    "trainer.log_every_steps=1",
    "evaluation.enabled=true",
    "evaluation.pictures=1",
    "name=ranging",
)


@pytest.fixture(scope="module")
def run(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("ranging")
    done = called("launch.py", *OVERRIDES, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "lmbda 0.0009842 to 0.06299, which as weights of MSE on [0, 1] are 64 to 4096" in done.stderr
    assert re.search(r"12\.6 │ +0\.002261", done.stdout), "the conclusion has a row per rate"
    (found,) = folder.glob("runs/*/")
    return RunFolder(found)


def verb(package: str, *arguments: str, run: RunFolder, code: int = 0):
    done = called(package, *arguments, folder=run.root.parent.parent)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_its_metrics_are_of_each_rate(run: RunFolder) -> None:
    with open(run.artifacts / "validation_rates.csv", newline="") as file:
        rates = list(csv.DictReader(file))
    validated = [entry for entry in run.metrics() if names.VAL_RD_LOSS in entry]
    assert len(validated) == 2
    for entry in validated:
        logarithm = sum(math.log(entry[rate["metric"]]) for rate in rates) / len(rates)
        assert math.exp(logarithm) == pytest.approx(entry[names.VAL_RD_LOSS], rel=1e-9)
    assert run.status()["best"] == min(entry[names.VAL_RD_LOSS] for entry in validated)


def test_it_is_evaluated_at_its_validation_rates(run: RunFolder) -> None:
    saved = json.loads((run.eval / "evaluation.json").read_text())
    assert [point["rate"] for point in saved["points"]] == [0, 12.6, 25.2, 37.8, 50.4, 63]
    assert saved["exact"] is True
    assert (run.eval / "rd_curve.png").is_file()


def test_it_is_shown_and_listed(run: RunFolder) -> None:
    shown = verb("lic_exp", "show", run.signature, run=run).stdout
    assert "val/rd_loss_q12.6" in shown
    assert "rate 12.6" in shown
    listed = verb("lic_exp", "ls", run=run).stdout
    assert f"{run.status()['best']:.4f}" in listed


def test_analysis_makes_a_curve_of_it(run: RunFolder) -> None:
    points = verb("analysis", "rd", str(run.root), run=run).stdout
    assert len(re.findall(r"│ +\d+\.\d{4} │", points)) == 6
    itself = verb("analysis", "bdrate", str(run.root), str(run.root), run=run).stdout
    assert "+0.00" in itself


def test_other_qualities_are_evaluated_beside_its_own(run: RunFolder) -> None:
    before = (run.eval / "images.csv").read_bytes()
    arguments = ("eval", run.signature, "--qualities", "0,31.5")
    assert "31.5" in verb("lic_exp", *arguments, run=run).stdout
    assert (run.eval / "images.csv").read_bytes() == before
    (file,) = run.eval.glob("chosen_rates-*/rd_point.json")
    assert json.loads(file.read_text())["results"]["rate"] == [0, 31.5]
    verb("lic_exp", "eval", run.signature, "--qualities", "31.5,0", run=run)
    verb("lic_exp", "eval", run.signature, "--qualities", "31.5", run=run)
    counts = [len(json.loads(file.read_text())["points"]) for file in run.eval.glob("chosen_rates-*/evaluation.json")]
    assert sorted(counts) == [1, 2]


def test_targets_are_met_and_written_down(run: RunFolder) -> None:
    points = json.loads((run.eval / "evaluation.json").read_text())["points"]
    bpp, psnr = points[2]["bpp"], points[3]["psnr"] - 0.5
    arguments = ("eval", run.signature, "--target-bpp", f"{bpp}", "--target-psnr", f"{psnr}")
    said = verb("lic_exp", *arguments, run=run).stderr
    assert "within 0.5 %" in said
    (folder,) = run.eval.glob("targets-*")
    first, second = json.loads((folder / "targets.json").read_text())
    assert first["reached"] == pytest.approx(bpp, rel=0.005)
    assert second["reached"] == pytest.approx(psnr, abs=0.01)
    assert len(json.loads((folder / "evaluation.json").read_text())["points"]) == 2


def test_what_it_cannot_do_is_refused(run: RunFolder) -> None:
    for arguments, message in (
        (("--qualities", "64"), "--qualities: quality 64 is outside this model's range of 0 to 63"),
        (("--target-bpp", "1000"), "--target-bpp: 1000 bpp is out of reach: on these images quality 0 gives"),
        (("--target-bpp", "0"), "--target-bpp=0: a target must be greater than 0"),
        (("--qualities", "1", "--target-bpp", "1"), "leave one out"),
    ):
        verb_arguments = ("eval", run.signature, *arguments)
        done = verb("lic_exp", *verb_arguments, run=run, code=exit_codes.CONFIG)
        assert message in done.stderr


def test_a_model_of_one_rate_has_none_to_choose(small_run: Path) -> None:
    one = RunFolder(small_run)
    for arguments, message in (
        (("--qualities", "1"), "--qualities=1: this run's model has one rate, so there is no quality to choose"),
        (("--target-psnr", "30"), "its model has one rate, which cannot be made to meet a target"),
    ):
        done = verb("lic_exp", "eval", one.signature, *arguments, run=one, code=2)
        assert message in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("toy_folder")
def test_an_extension_ends_where_a_longer_run_does(tmp_path: Path) -> None:
    constant = ("scheduler=constant", "evaluation.enabled=false")
    for overrides in ("trainer.max_steps=4",), ("trainer.max_steps=6",):
        done = called("launch.py", *OVERRIDES, *constant, *overrides, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    short, long = sorted(map(RunFolder, tmp_path.glob("runs/*/")), key=lambda found: found.status()["max_steps"])
    done = called("lic_exp", "extend", short.signature, "trainer.max_steps=6", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (extended,) = (
        found for found in map(RunFolder, tmp_path.glob("runs/*/")) if found.status().get("parent") == short.signature
    )
    losses = [
        {entry["step"]: entry["train/loss"] for entry in found.metrics() if "train/loss" in entry}
        for found in (long, extended)
    ]
    assert losses[1] == {step: losses[0][step] for step in (5, 6)}
