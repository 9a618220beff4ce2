"""The small HPCM with the intra-scale stage: it learns, codes exactly, and resumes bit by bit."""

import json
import signal

import killing
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

OVERRIDES = [
    *("model=hpcm_tiny", "data=bundled", "data.batch_size=2", "data.crop_size=128", "data.val_crop_size=256"),
    *(f"trainer.max_steps={killing.MAX_STEPS}", "evaluation.enabled=true", "evaluation.limit=1"),
]


def test_it_learns_and_resumes(tmp_path):
    reference = killing.finish(tmp_path / "reference", OVERRIDES)
    losses = pd.read_json(reference / "metrics.jsonl", lines=True)["train/loss"].dropna()
    assert losses.tail(4).mean() < 0.5 * losses.iloc[0]
    evaluation = pd.read_csv(reference / "eval/images.csv")
    assert evaluation["exact"].all()
    assert abs(evaluation["bpp"].sum() / evaluation["bpp_estimated"].sum() - 1) < 0.02
    killing.trial(tmp_path / "killed", reference, OVERRIDES, signal.SIGKILL, 3)
    (status,) = (tmp_path / "killed").rglob("status.json")
    assert json.loads(status.read_text())["state"] == "done"
