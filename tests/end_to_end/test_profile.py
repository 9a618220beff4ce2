"""`trainer.profile=true` from the command line: the same run, and where its steps go."""

import json
from pathlib import Path

import pytest
import torch
from commands import QUICK

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.training import arithmetic

SMALL = (
    *QUICK,
    "model=hyperprior_tiny",
    "data.crop_size=64",
    "trainer.max_steps=9",
    "data.steps_per_epoch=3",
    "trainer.validate_every_steps=4",
)
WAYS = {
    "truncated": (("spectral_reg=intra", "spectral_reg.truncation_length=2"), 2 * 64**2),
    "in stages": (
        (
            "trainer.precision=bf16",
            "trainer.max_steps=null",
            "stages=[{steps: 7, data: {batch_size: 1}}, {steps: 5, data: {crop_size: 128, batch_size: 2}}]",
        ),
        (2 * 64**2 + 4 * 2 * 128**2) / 6,  # two of the first stage are timed, four of the second
    ),
}
"""Overrides, and pixels of a mean step that is timed."""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(arithmetic, "_side", lambda device, dtype: 64)


def run_of(folder, *overrides):
    assert main([*SMALL, f"paths.runs={folder}", *overrides]) == exit_codes.DONE
    (run,) = Path(folder).glob("[0-9a-f]*")
    return run


def same(one, other):
    weights = [torch.load(run / "checkpoints/best.pt", weights_only=True)["codec"] for run in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    lines = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, other)]
    timeless = [
        [{name: value for name, value in line.items() if name not in ("time", "train/images_per_s")} for line in of]
        for of in lines
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize("way", WAYS)
def test_the_run_is_the_same_and_says_where_its_steps_go(tmp_path, capfd, way):
    overrides, pixels = WAYS[way]
    plain = run_of(tmp_path / "plain", *overrides)
    assert not list(plain.glob("artifacts/profile.*"))
    capfd.readouterr()
    seen = run_of(tmp_path / "seen", *overrides, "trainer.profile=true")
    said = capfd.readouterr().err
    assert plain.name == seen.name
    same(plain, seen)
    files = sorted(path.name for path in seen.glob("artifacts/profile.*"))
    assert files == [f"profile.{end}" for end in ("csv", "json", "md", "png")]
    record = json.loads((seen / "artifacts/profile.json").read_text())
    assert record["steps"] == json.loads((seen / "status.json").read_text())["max_steps"] - 6
    assert sum(part["host_ms"] for part in record["parts"]) == pytest.approx(record["step_ms"])
    assert record["missing"] == {}
    assert record["run"] == seen.name
    parts = {part["part"]: part for part in record["parts"]}
    assert all(parts[name]["launches"] and parts[name]["host_ms"] for name in ("forward", "backward", "optimizer"))
    assert record["validation"]["begun"] >= 2
    assert f"where a step of {record['step_ms']:.4g} ms goes" in said
    assert "artifacts/profile.md" in said
    costs = json.loads((seen / "complexity.json").read_text())["macs_per_pixel"]
    assert record["flops_per_step"] == pytest.approx(6 * costs * pixels)


def test_a_run_that_is_too_short_is_refused_before_it_has_a_folder(tmp_path, capfd):
    for steps in (1, 6):
        line = [*SMALL, f"trainer.max_steps={steps}", f"paths.runs={tmp_path / 'runs'}", "trainer.profile=true"]
        assert main(line) == exit_codes.CONFIG
        assert f"this run makes {steps}, and 7 are needed at least" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_of_a_run_that_is_done_it_is_said_that_nothing_is_measured(tmp_path, capfd):
    run = run_of(tmp_path / "runs")
    run_of(tmp_path / "runs", "trainer.profile=true")
    said = capfd.readouterr().err
    assert f"trainer.profile=true: run {run.name} is trained already, and only steps that are made can be" in said
    assert not list(run.glob("artifacts/profile.*"))
