"""The first steps of `experiment=box` on the photos that the codec in the box was trained on: the numbers on record."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from machines import kind_of_machine

from lic_exp import exit_codes

PHOTOS = ROOT.parent / "shared" / "data"
EXPECTED = ROOT / "tests" / "expected" / "box_first_steps.json"
STEPS = 300
REGENERATE = "LIC_EXP_REGENERATE" in os.environ

FIRST_STEPS = f"""
import sys

from lic_exp.cli.starting import start_composed
from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.training.preempted import Preempted
from lic_exp.training.trainer import Trainer


def stop_after_the_first(trainer):
    if trainer.step == {STEPS}:
        trainer.save()
        raise Preempted("the test asks for it")


Trainer._stop_if_asked = stop_after_the_first
sys.exit(start_composed(compose(parse(sys.argv[1:])), sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.exists(), reason=f"the photos of the recipe are not at {PHOTOS}")
def test_the_first_steps_are_those_on_record(tmp_path: Path) -> None:
    recorded = json.loads(EXPECTED.read_text())
    if recorded["machine"] != kind_of_machine() and not REGENERATE:
        pytest.skip(f"the numbers are those of {recorded['machine']}, and this is {kind_of_machine()}")
    photos = [f"data.train=[{PHOTOS}/train]", f"data.val=[{PHOTOS}/kodak]", "data.preflight=off"]
    command = [sys.executable, "-c", FIRST_STEPS, "experiment=box", *photos, "tracker=none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == exit_codes.PREEMPTED, done.stderr[-3000:]
    (metrics,) = tmp_path.glob("runs/*/metrics.jsonl")
    entries = [json.loads(line) for line in metrics.read_text().splitlines()]
    losses = {str(entry["step"]): entry["train/loss"] for entry in entries if "train/loss" in entry}
    assert max(map(int, losses)) == STEPS
    if REGENERATE:
        EXPECTED.write_text(json.dumps({"machine": kind_of_machine(), "train/loss": losses}, indent=1) + "\n")
    assert losses == json.loads(EXPECTED.read_text())["train/loss"]
