"""Averaged weights in the loop."""

import pytest
import torch
from training_parts import unequal
from whole_trainings import fresh, uninterrupted

from lic_exp.tracking import names
from lic_exp.training.checkpoint import load_checkpoint


def test_ema_is_the_recursion_by_hand(tmp_path):
    run = fresh(tmp_path, ema_decay=0.75)
    raw, step = [], run.stepper.step

    def watched(batch, progress):
        done = step(batch, progress)
        raw.append(run.objective.codec.g_a.weight.detach().double().clone())
        return done

    run.stepper.step = watched
    run.fit()
    expected = raw[0]
    for weight in raw[1:]:
        expected = 0.75 * expected + 0.25 * weight
    assert torch.allclose(run.ema.codec.g_a.weight.double(), expected, rtol=1e-6, atol=0)
    assert torch.equal(run.ema.codec.seen, run.objective.codec.seen), "buffers are copied"


@pytest.mark.parametrize("judged", ["raw", "ema"])
def test_the_eval_weights_give_validation_and_best(tmp_path, judged):
    run = uninterrupted(tmp_path, ema_decay=0.9, eval_weights=judged)
    codecs = {"raw": run.objective.codec, "ema": run.ema.codec}
    values = {name: run.validate(codec)[names.VAL_RD_LOSS] for name, codec in codecs.items()}
    assert values["raw"] != values["ema"]
    last = run.reporter.entries[-1]
    assert last["step"] == 10
    assert last[names.VAL_RD_LOSS] == values[judged] == run.best, "the loss still falls, so the last is the best"
    best = load_checkpoint(tmp_path / "best.pt")
    assert unequal(best["codec"], dict(codecs[judged].state_dict())) == []
